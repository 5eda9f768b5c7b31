# SPDX-License-Identifier: MIT
"""A Lab of two hosts: network namespaces with a veth pair between them, and an smcud with a soft RNIC each.

Clients run on host "a", servers on host "b".  "tcp" is TCP between the same two namespaces.
"""
import json
import os
import subprocess
import time

from harness import Child, Failure, Lab

ADDRESSES = {"a": "10.98.0.1", "b": "10.98.0.2"}
CGROUP2 = "cgroup2"


def run(*words):
    """Run a command that must succeed."""
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode != 0:
        raise Failure(f"{' '.join(words)}: {done.stderr.decode().strip()}")


def cgroup_root():
    """Where a cgroup v2 is mounted."""
    with open("/proc/mounts", encoding="ascii") as mounts:
        for line in mounts:
            if line.split()[2] == CGROUP2:
                return line.split()[1]
    raise Failure("no cgroup v2 is mounted")


def own_cgroup(root):
    """Where this process is now."""
    with open("/proc/self/cgroup", encoding="ascii") as lines:
        for line in lines:
            if line.startswith("0::"):
                return root + line.rstrip("\n")[3:]
    return root


class Host:
    """One of the two.  holder: a process that keeps its namespace; daemon: its smcud."""

    def __init__(self, lab, name):
        self.lab, self.name = lab, name
        self.socket = os.path.join(lab.directory, f"smcud-{name}.sock")
        self.environment = {**lab.environment, "SMCU_SOCKET": self.socket}
        self.daemon = None
        self.holder = Child(lab, ["unshare", "--net", "sleep", "infinity"], lab.environment)
        self._await_namespace()

    def _await_namespace(self):
        mine, deadline = os.readlink("/proc/self/ns/net"), time.monotonic() + 5
        while os.readlink(f"/proc/{self.holder.pid}/ns/net") == mine:
            if time.monotonic() > deadline:
                raise self.holder.failure("no network namespace")
            time.sleep(0.005)

    def inside(self, argv):
        """@argv as it is run here."""
        return ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net", *argv]

    def stop(self):
        """End the daemon and the namespace."""
        for child in (self.daemon, self.holder):
            if child:
                child.stop()

    def await_link(self):
        """An adapter whose port is down declines; the kernel may say that a link is up a second later."""
        deadline = time.monotonic() + 5
        while True:
            done = subprocess.run(self.inside(["ip", "-oneline", "link", "show", "wire"]), check=True,
                                  stdin=subprocess.DEVNULL, capture_output=True)
            if b" state UP " in done.stdout:
                return
            if time.monotonic() > deadline:
                raise Failure(f"the link of host {self.name} does not come up")
            time.sleep(0.01)

    def start_daemon(self, cgroup, prefix=()):
        """smcud with a soft RNIC on the veth.  prefix: what it is run by."""
        self.daemon = Child(self.lab, self.inside(
            [*prefix, os.path.join(self.lab.build, "smcud"), "--foreground", "--socket", self.socket,
             "--rnic", "wire", "--set", f"tcp_option.attach={cgroup}"]), self.environment)
        deadline = time.monotonic() + 5
        while not os.path.exists(self.socket):
            if self.daemon.reap() or time.monotonic() > deadline:
                raise self.daemon.failure("it does not start")
            time.sleep(0.005)


class Hosts(Lab):
    """See the module's description."""

    address = ADDRESSES["b"]

    def __init__(self, build, mtu):
        super().__init__(build)
        self.mtu = mtu
        self.hosts, self.cgroup, self.cgroup_before = {}, None, None

    def __enter__(self):
        super().__enter__()
        try:
            self._build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _build(self):
        root = cgroup_root()
        self.cgroup_before = own_cgroup(root)
        self.cgroup = os.path.join(root, f"smcu-bench-{os.getpid()}")
        os.mkdir(self.cgroup)
        self._move(self.cgroup)
        for name in ADDRESSES:
            self.hosts[name] = Host(self, name)
        a, b = (str(self.hosts[name].holder.pid) for name in ADDRESSES)
        run("ip", "link", "add", "wire", "mtu", str(self.mtu), "netns", a, "type", "veth", "peer",
            "name", "wire", "mtu", str(self.mtu), "netns", b)
        for name, host in self.hosts.items():
            for words in (("address", "add", f"{ADDRESSES[name]}/24", "dev", "wire"),
                          ("link", "set", "lo", "up"), ("link", "set", "wire", "up")):
                run(*host.inside(["ip", *words]))
        for name, host in self.hosts.items():
            host.await_link()
            host.start_daemon(self.cgroup, self.daemon_prefix(name))

    def daemon_prefix(self, _name):
        """What a host's daemon is run by."""
        return []

    @staticmethod
    def _move(cgroup):
        with open(os.path.join(cgroup, "cgroup.procs"), "w", encoding="ascii") as file:
            file.write(str(os.getpid()))

    def __exit__(self, *_):
        self.clear()
        for host in self.hosts.values():
            host.stop()
        super().__exit__()
        if self.cgroup:
            self._move(self.cgroup_before)
            try:
                os.rmdir(self.cgroup)
            except OSError:
                pass

    def clear(self):
        """Stop what a failed measurement left running: not the hosts themselves."""
        for child in list(reversed(self.children)):
            self.stop(child)

    def stop_daemon(self):
        """They have been stopped."""

    def command(self, argv, side, server):
        host = self.hosts["b" if server else "a"]
        prefix = self.prefix if side == "smcu" else []
        return host.inside([*prefix, *argv]), host.environment

    def ask_host(self, name, *arguments):
        """What the smcu command of a host prints, as an object."""
        done = subprocess.run([self.smcu, *arguments, "--json"], timeout=10, check=False,
                              env=self.hosts[name].environment, stdin=subprocess.DEVNULL,
                              capture_output=True)
        if done.returncode != 0:
            raise Failure(f"smcu {' '.join(arguments)}: {done.stderr.decode().strip()}")
        return json.loads(done.stdout)

    def moved_ends(self):
        """How many ends of connections became SMC-R."""
        return sum(int(self.ask_host(name, "stats")["moved"]) for name in self.hosts)

    def reasons(self):
        """Why ends stayed TCP: those reasons that occurred."""
        found = {}
        for name in self.hosts:
            for reason, count in self.ask_host(name, "stats")["reasons"].items():
                if count:
                    found[reason] = found.get(reason, 0) + count
        return found

    def daemon_kib(self):
        """Proportional memory of both daemons."""
        total = 0
        for host in self.hosts.values():
            with open(f"/proc/{host.daemon.pid}/smaps_rollup", encoding="ascii") as rollup:
                total += sum(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
        return total
