# SPDX-License-Identifier: MIT
"""
smcu on the host's side of the bridge: its daemon with a soft RNIC there, and programs under it.

The eBPF programs are attached to a cgroup of the run's own, which the programs of the test are in.
"""

import json
import os
import signal
import subprocess

import lab
from kernel import Unavailable
from program import Failure

PRELOAD = os.path.join(lab.BUILD, "libsmcu-preload.so")


def cgroup_root():
    """Where a cgroup v2 is mounted."""
    with open("/proc/mounts", encoding="ascii") as mounts:
        for line in mounts:
            words = line.split()
            if words[2] == "cgroup2":
                return words[1]
    raise Unavailable("no cgroup v2 is mounted")


class Cgroup:
    """A cgroup for this process and what it starts, until leave()."""

    def __init__(self, name):
        root = cgroup_root()
        with open("/proc/self/cgroup", encoding="ascii") as file:
            lines = [line for line in file if line.startswith("0::")]
        self._before = root + lines[0].rstrip("\n").split("::", 1)[1] if lines else root
        self.path = os.path.join(root, f"smcu-{name}-{os.getpid()}")
        try:
            os.mkdir(self.path)
        except OSError as error:
            raise Unavailable(f"{self.path}: {error.strerror}") from None
        self._move(self.path)

    @staticmethod
    def _move(path):
        with open(os.path.join(path, "cgroup.procs"), "w", encoding="ascii") as file:
            file.write(str(os.getpid()))

    def leave(self):
        self._move(self._before)
        try:
            os.rmdir(self.path)
        except OSError:
            pass  # somebody is still in it


class Smcu:
    """The daemon; exchange() and start() run programs under the preload library."""

    def __init__(self, it, *options):
        self.it = it
        self.socket = os.path.join(it.directory, "smcud.sock")
        if not os.path.exists(PRELOAD):
            raise Unavailable(f"{PRELOAD} is not built")
        self.cgroup = Cgroup(it.name)
        self._options = options
        self.daemon = None
        self.start_daemon()

    def start_daemon(self, *options, rnic=True, eid=lab.EID):
        """Those of the construction hold, too."""
        self.daemon = self.it.start(
            os.path.join(lab.BUILD, "smcud"), "--foreground", "--socket", self.socket,
            *(("--rnic", lab.BRIDGE) if rnic else ()), "--eid", eid, "--set",
            f"tcp_option.attach={self.cgroup.path}", *self._options, *options)
        self.daemon.expect("smcud: smcud ")

    def stop_daemon(self, number=signal.SIGTERM):
        self.daemon.kill(number)
        self.daemon.wait()

    def environment(self, **more):
        return {**os.environ, "LD_PRELOAD": PRELOAD, "SMCU_SOCKET": self.socket, **more}

    def start(self, *words, **more):
        return self.it.start(*words, env=self.environment(**more))

    def exchange(self, *words, **more):
        return self.start(os.path.join(lab.BUILD, "tests", "programs", "exchange"), *words, **more)

    def show(self, *words):
        """What the command tells, as an object."""
        done = subprocess.run([os.path.join(lab.BUILD, "smcu"), *words, "--json"],
                              env={**os.environ, "SMCU_SOCKET": self.socket},
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            raise Failure(f"smcu {' '.join(words)}: {done.stdout.decode().strip()}")
        return json.loads(done.stdout)

    def stop(self):
        self.stop_daemon(signal.SIGKILL)
        self.cgroup.leave()
