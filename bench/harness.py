# SPDX-License-Identifier: MIT
"""What bench/run and bench/demo share: processes, a place for them, and smcu's own word.

A Lab owns a temporary directory, a private smcu daemon (through SMCU_SOCKET) and every process it
started.  Leaving it, also by an error or Ctrl-C, ends all of them; a child whose Lab was killed is
ended by the kernel (PR_SET_PDEATHSIG).  Clients and servers run on one host; hosts.py has a Lab with two.
"""
import ctypes
import json
import os
import random
import resource
import select
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time

PR_SET_PDEATHSIG = 1
SERVER_PORTS = (15000, 32000)
TIME_LIMIT = 45.0  # seconds for one client; longer means it hangs
LIBC = ctypes.CDLL(None)


class Failure(Exception):
    """A measurement that did not come to a result."""


def child_setup():
    """In the child, before exec: do not outlive the harness."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def interrupt(signum, _frame):
    """SIGTERM and SIGHUP end a run the way Ctrl-C does."""
    raise KeyboardInterrupt(signal.Signals(signum).name)


def descriptor_limit():
    """The most descriptors a process here may have."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def free_port():
    """A TCP port that nobody uses now, outside the range from which connections take theirs."""
    while True:
        port = random.randrange(*SERVER_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


class Child:
    """A process, its output in files, and the processor time it used."""

    def __init__(self, lab, argv, env):
        self.name = os.path.basename(argv[0])
        self.argv = argv
        self.errors = tempfile.TemporaryFile(dir=lab.directory)
        self.process = subprocess.Popen(
            argv, env=env, cwd=lab.directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self.errors, preexec_fn=child_setup)
        self.output = b""
        self.cpu = None

    @property
    def pid(self):
        """Its process id."""
        return self.process.pid

    def complaint(self):
        """The end of what it wrote to standard error, on one line."""
        self.errors.seek(0)
        text = self.errors.read().decode(errors="replace").strip()
        return " | ".join(text.splitlines()[-3:])

    def failure(self, what):
        """The Failure that says what happened to this process."""
        complaint = self.complaint()
        return Failure(f"{shlex.join(self.argv)}: {what}" + (f" ({complaint})" if complaint else ""))

    def read_output(self, deadline, enough=lambda output: False):
        """Read standard output until @enough(output) or its end."""
        descriptor = self.process.stdout.fileno()
        while not enough(self.output):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                raise self.failure("no result in time: it hangs")
            piece = os.read(descriptor, 65536)
            if not piece:
                break
            self.output += piece

    def read_line(self):
        """The first line of its standard output."""
        self.read_output(time.monotonic() + TIME_LIMIT, lambda output: b"\n" in output)
        line, found, _ = self.output.partition(b"\n")
        if not found:
            self.finish()
            raise self.failure("it ended without a result")
        return line.decode()

    def finish(self, limit=10.0):
        """End its input, read the rest of its output, wait for it; returns the exit status."""
        deadline = time.monotonic() + limit
        self.process.stdin.close()
        self.read_output(deadline)
        while time.monotonic() < deadline:
            if self.reap():
                return self.process.returncode
            time.sleep(0.001)
        raise self.failure("it does not end")

    def reap(self):
        """Take its exit status and processor time if it has ended; returns whether it has."""
        if self.process.returncode is not None:
            return True
        pid, status, usage = os.wait4(self.pid, os.WNOHANG)
        if pid == 0:
            return False
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.cpu = usage.ru_utime + usage.ru_stime
        return True

    def stop(self):
        """End it: politely, then not; returns the processor time it used."""
        for signum, patience in ((signal.SIGTERM, 3.0), (signal.SIGKILL, 3.0)):
            if self.reap():
                break
            os.kill(self.pid, signum)
            deadline = time.monotonic() + patience
            while not self.reap() and time.monotonic() < deadline:
                time.sleep(0.002)
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            if not stream.closed:
                stream.close()
        return self.cpu


class Lab:
    """See the module's description.  address: of the servers."""

    address = "127.0.0.1"

    def __init__(self, build, prefix=None):
        self.build = build
        self.smcu = os.path.join(build, "smcu")
        self.bench = os.path.join(build, "bench", "smcu-bench")
        self.prefix = prefix or [self.smcu, "run", "--"]
        self.directory = None
        self.children = []
        self.environment = {}

    def __enter__(self):
        signal.signal(signal.SIGTERM, interrupt)
        signal.signal(signal.SIGHUP, interrupt)
        self.directory = tempfile.mkdtemp(prefix="smcu-bench-")
        self.environment = {name: value for name, value in os.environ.items()
                            if not name.startswith("SMCU_") and name != "LD_PRELOAD"}
        self.environment["SMCU_SOCKET"] = os.path.join(self.directory, "smcud.sock")
        self.environment["LC_ALL"] = "C"
        return self

    def __exit__(self, *_):
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, signal.SIG_IGN)  # finish what leaves nothing behind
        self.clear()
        self.stop_daemon()
        shutil.rmtree(self.directory, ignore_errors=True)
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, signal.SIG_DFL)

    def stop_daemon(self):
        """End our private daemon; it would end by itself some seconds later."""
        try:
            os.kill(self.stats()["daemon"]["pid"], signal.SIGTERM)
        except (Failure, KeyError, TypeError, ProcessLookupError):
            pass

    def command(self, argv, side, _server):
        """How @argv is run: (words, environment)."""
        return (self.prefix if side == "smcu" else []) + argv, self.environment

    def start(self, argv, side, server=False):
        """Start @argv, under smcu if @side is "smcu"; a server where servers run."""
        child = Child(self, *self.command(argv, side, server))
        self.children.append(child)
        return child

    def stop(self, child):
        """End @child and forget it; returns the processor time it used."""
        self.children.remove(child)
        return child.stop()

    def start_server(self, argv, side, port):
        """Start a server and wait until it listens on @port."""
        child = self.start(argv, side, server=True)
        deadline = time.monotonic() + 10
        while True:
            if child.reap():
                raise child.failure("the server ended")
            if port_listens(port, child.pid):
                return child
            if time.monotonic() > deadline:
                raise child.failure(f"the server does not listen on port {port}")
            time.sleep(0.005)

    def clear(self):
        """Stop whatever a failed measurement left running."""
        for child in list(reversed(self.children)):
            self.stop(child)

    def ask(self, *arguments):
        """What the smcu command prints."""
        answer = subprocess.run([self.smcu, *arguments], env=self.environment, timeout=10,
                                stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if answer.returncode != 0:
            raise Failure(f"smcu {shlex.join(arguments)}: {answer.stderr.decode().strip()}")
        return answer.stdout.decode()

    def stats(self):
        """smcu stats --json"""
        try:
            return json.loads(self.ask("stats", "--json"))
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            raise Failure(f"smcu stats --json: {error}") from error

    def moved_ends(self):
        """How many ends of connections moved since our daemon started; 0 if it does not run."""
        try:
            return int(self.stats()["moved"])
        except (Failure, KeyError, TypeError, ValueError):
            return 0

    def reasons(self):
        """Why ends stayed TCP since our daemon started: those reasons that occurred."""
        try:
            return {name: count for name, count in self.stats()["reasons"].items() if count}
        except (Failure, KeyError, AttributeError):
            return {}


def port_listens(port, pid):
    """Whether somebody listens on @port where process @pid is, found out without connecting to it."""
    wanted = f":{port:04X}"
    with open(f"/proc/{pid}/net/tcp", encoding="ascii") as table:
        for line in table:
            fields = line.split()
            if fields[1].endswith(wanted) and fields[3] == "0A":
                return True
    return False
