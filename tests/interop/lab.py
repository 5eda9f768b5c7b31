# SPDX-License-Identifier: MIT
"""
The lab: guests whose kernel speaks SMC-R, on a bridge with the host, in a network namespace of its
own.  docs/interop.md describes it.

                    private network namespace
     guest "a"  10.9.0.1 --- tapa0 --+
                                     +-- br0  10.9.0.254: programs of the test
     guest "b"  10.9.0.2 --- tapb0 --+    |
                10.9.0.12 -- tapb1 --+  capture

The interfaces of a guest are eth0, eth1 ... with rxe0, rxe1 ... on them; most cases need one.

A script of the lab is a list of cases, functions that get the lab and raise Failure:

    import lab

    def the_guest_is_there(it):
        it.guests["a"].run("network", "up", "eth0")

    if __name__ == "__main__":
        lab.main("name", ["a"], [the_guest_is_there])

Everything that the run writes is in build/interop/run/NAME; it is left there if a case fails, and
with SMCU_KEEP=1 in the environment.
"""

import ctypes
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
import traceback

import initramfs
import kernel
from capture import Capture
from guest import Guest, qemu_command
from kernel import Unavailable
from program import PATIENCE, Failure, HostProgram
from widen import widened_modules

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CACHE = os.path.join(TOP, "build", "interop")
BUILD = os.path.abspath(os.environ.get("SMCU_BUILD") or os.path.join(TOP, "build"))
GUEST_PROGRAMS = ("init", "network", "smc_netlink", "exchange", "urgent")
BRIDGE, HOST = "br0", "10.9.0.254"
EID = "SMCU-INTEROP-LAB"
TOOLS = ("qemu-system-x86_64", "tcpdump", "ip", "setpriv", "zstd", "dpkg-deb", "apt-get")

# As two hosts with one RNIC each are set up; a dead peer is found soon.
SYSCTLS = {"net/ipv4/conf/all/arp_ignore": 1, "net/ipv4/conf/all/arp_announce": 2,
           "net/smc/smcr_testlink_time": 3}


def expect(got, wanted, what):
    if got != wanted:
        raise Failure(f"{what} is {got!r}, not {wanted!r}")


def wait_until(condition, what):
    """Until the condition holds; what says in words what it is."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise Failure(f"it does not come true that {what}")
        time.sleep(0.05)


def interface_address(guest, interface):
    """guest: 1 for "a", 2 for "b"; interface: 0 for eth0."""
    return f"10.9.0.{10 * interface + guest}"


def ip(*words):
    done = subprocess.run(["ip", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False)
    if done.returncode:
        raise Unavailable(f"ip {' '.join(words)}: {done.stdout.decode().strip()}")


def guest_binary(name):
    return os.path.join(BUILD, "tests", "interop", "guest", f"guest-{name}")


def check_means():
    """Unavailable unless all is there that the lab needs."""
    if platform.machine() != "x86_64":
        raise Unavailable("the guests' kernel is for x86_64")
    if os.geteuid() != 0 or not os.path.exists("/dev/net/tun"):
        raise Unavailable("it needs root, and /dev/net/tun")
    for tool in TOOLS:
        if not shutil.which(tool):
            raise Unavailable(f"{tool} is not installed (scripts/setup interop)")
    for name in GUEST_PROGRAMS:
        if not os.path.exists(guest_binary(name)):
            raise Unavailable(f"{guest_binary(name)} is not built")


def enter_namespace():
    """This process, and what it starts from now on, has a network of its own."""
    CLONE_NEWNET = 0x40000000
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) < 0:
        raise Unavailable(f"network namespace: {os.strerror(ctypes.get_errno())}")


def make_bridge():
    ip("link", "set", "lo", "up")
    ip("link", "add", BRIDGE, "type", "bridge", "stp_state", "0", "forward_delay", "0",
       "mcast_snooping", "0")
    ip("address", "add", f"{HOST}/24", "dev", BRIDGE)
    ip("link", "set", BRIDGE, "up")


class Lab:
    """
    guests: by name; capture: what goes over the bridge; directory: where the run writes.
    eid: what guests have, or None.
    """

    def __init__(self, name, eid):
        self.name, self.eid = name, eid
        self.directory = os.path.join(CACHE, "run", name)
        self.guests, self.capture = {}, None
        self.smcu = None  # talk.py
        self._programs = []
        self._plugged = {}
        self._log = None

    def _open_log(self, name):
        return open(os.path.join(self.directory, name), "a", encoding="utf-8", buffering=1)

    def set_up(self, names, interfaces, widened, more_programs):
        """The network, the capture, and guests of these names, which are ready afterwards."""
        check_means()
        self.forget()
        os.makedirs(self.directory)
        self._log = self._open_log("host.log")
        version = kernel.kernel(os.path.join(CACHE, "kernel"))
        image = os.path.join(self.directory, "initramfs")
        with open(image, "wb") as file:
            programs = {each: guest_binary(each) for each in GUEST_PROGRAMS}
            programs.update(more_programs(CACHE) if more_programs else {})
            modules = widened_modules(version) if widened else {}
            file.write(initramfs.archive(version, programs, modules))
        enter_namespace()
        make_bridge()
        self.capture = Capture(BRIDGE, os.path.join(self.directory, "capture.pcap"))
        for number, name in enumerate(names, start=1):
            self._plug(name, number, interfaces, version, image)
            self._boot(name)
        for guest in self.guests.values():
            guest.await_ready()
            self._configure(guest)

    def _console(self, name):
        return os.path.join(self.directory, f"{name}.console.log")

    def _plug(self, name, number, interfaces, version, image):
        """The interfaces of a guest, and how it is booted."""
        taps = [(f"tap{name}{each}", f"52:54:00:00:{number:02x}:{each:02x}")
                for each in range(interfaces)]
        for tap, _ in taps:
            ip("tuntap", "add", tap, "mode", "tap")
            ip("link", "set", tap, "master", BRIDGE, "up")
        command = qemu_command(version, image, self._console(name), taps)
        self._plugged[name] = (command,
                               [interface_address(number, each) for each in range(interfaces)])

    def _boot(self, name):
        self.guests[name] = Guest(name, *self._plugged[name], self._open_log(f"{name}.agent.log"))

    def reset(self, name):
        """Without a word to anybody a guest stops, and boots again."""
        self.guests[name].stop()
        self._boot(name)
        self.guests[name].await_ready()
        self._configure(self.guests[name])

    def _configure(self, guest):
        for path, value in SYSCTLS.items():
            guest.write(f"/proc/sys/{path}", value)
        for number, address in enumerate(guest.addresses):
            guest.run("network", "address", f"eth{number}", f"{address}/24")
            guest.run("network", "rxe", "add", f"rxe{number}", f"eth{number}")
        if self.eid:
            guest.run("smc_netlink", "eid", "add", self.eid)

    def panicked_in(self, name, function):
        """Has the guest's kernel panicked, in this function of its own or what that called?"""
        with open(self._console(name), encoding="utf-8", errors="replace") as file:
            console = file.read()
        return "Kernel panic" in console and f"{function}+0x" in console

    def cut(self, name, interface):
        """Nothing passes any more to or from a guest's interface, which does not notice."""
        ip("link", "set", f"tap{name}{interface}", "nomaster")

    def mend(self, name, interface):
        """Undo cut."""
        ip("link", "set", f"tap{name}{interface}", "master", BRIDGE)

    def start(self, *words, env=None):
        """Start a program on the host's side of the bridge; does not wait for it."""
        program = HostProgram(words, self._log, env)
        self._programs.append(program)
        return program

    def exchange(self, *words):
        """The test program exchange, as an ordinary TCP program on the host's side."""
        return self.start(os.path.join(BUILD, "tests", "programs", "exchange"), *words)

    def exchange_between(self, server, client, port, *words):
        """The test program in two guests, over AF_SMC: (server, client with these options)."""
        address = f"--address={self.guests[server].address}"
        server = self.guests[server].start("exchange", "serve", "--smc", address, f"--port={port}")
        server.expect("listening")
        return server, self.guests[client].start("exchange", "connect", "--smc", address,
                                                 f"--port={port}", *words)

    def tear_down(self):
        """In reverse order; the namespace goes with its last process."""
        for program in self._programs:
            program.kill()
        for guest in self.guests.values():
            guest.stop()
        if self.capture:
            self.capture.stop()

    def forget(self):
        shutil.rmtree(self.directory, ignore_errors=True)


def run_case(lab, case):
    start = time.monotonic()
    try:
        case(lab)
        print(f"ok {case.__name__}", flush=True)
        return True
    except Unavailable as reason:
        print(f"skip {case.__name__} {reason}", flush=True)
        return True
    except Failure as failure:
        print(f"not ok {case.__name__} {failure}")
    except Exception:  # the case itself is wrong: the others still count
        print(f"not ok {case.__name__}\n{traceback.format_exc()}")
    print(f"    after {time.monotonic() - start:.1f} s", flush=True)
    return False


def run_cases(lab, cases, names, before, after, *how):
    """How many failed."""
    start = time.monotonic()
    lab.set_up(names, *how)
    print(f"guests {' '.join(names)} were ready after {time.monotonic() - start:.1f} s", flush=True)
    try:
        before(lab)
        return sum(not run_case(lab, case) for case in cases)
    finally:
        after(lab)


def attempt(lab, *what):
    """Did all go well?  What cannot be had here is not a failure."""
    try:
        return run_cases(lab, *what) == 0
    except Unavailable as reason:
        print(f"skip {lab.name} {reason}")
        return True
    except Failure as failure:
        print(f"not ok {lab.name} {failure}")
        return False


def nothing(_):
    pass


def main(name, guests, cases, interfaces=1, widened=False, more_programs=None, before=nothing,
         after=nothing, eid=EID):
    """
    Set up the lab, run the cases, say what came of them; does not return.
    guests: names; interfaces: of each guest; widened: can they do SMC-Rv1 (widen.py)?
    more_programs: a function that gets the cache's directory and returns files for the guests' /bin,
    a path by name.
    before, after: called with the lab around the cases; after also if before has failed.
    eid: of the guests; None: they have none.
    The command line may name the cases to run, instead of all.
    """
    lab = Lab(name, eid)
    cases = [each for each in cases if each.__name__ in (sys.argv[1:] or [each.__name__])]
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    good = False
    try:
        good = attempt(lab, cases, guests, before, after, interfaces, widened, more_programs)
    finally:
        lab.tear_down()
        if good and not os.environ.get("SMCU_KEEP"):
            lab.forget()
        else:
            print(f"the capture and the logs are in {os.path.relpath(lab.directory, TOP)}")
    sys.exit(not good)
