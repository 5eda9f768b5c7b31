# SPDX-License-Identifier: MIT
"""
A program of a test, in a guest or on the host: what it said, line by line, and how it ended.

The two kinds differ in how they are told something; waiting for them is the same.  Threads put in
what comes, the test takes it out.
"""

import signal
import subprocess
import threading
import time

PATIENCE = 120  # seconds; emulated processors are slow, and shared with other tests


class Failure(Exception):
    """A case has failed; the text says why."""


class Program:
    """What both kinds share.  status: None while it runs; 128 + N if signal N ended it."""

    def __init__(self, words):
        self.words = [str(word) for word in words]
        self.lines, self.status = [], None
        self._taken = 0
        self._changed = threading.Condition()

    def __str__(self):
        return " ".join(self.words)

    def take_line(self, line):
        with self._changed:
            self.lines.append(line)
            self._changed.notify_all()

    def take_status(self, status):
        with self._changed:
            self.status = status
            self._changed.notify_all()

    def _await(self, ready, wanted):
        deadline = time.monotonic() + PATIENCE
        with self._changed:
            while not (found := ready()):
                if not self._changed.wait(deadline - time.monotonic()):
                    raise Failure(f"'{self}' {wanted}; it said {self.lines}")
            return found

    def _next_line(self, start):
        while self._taken < len(self.lines):
            line = self.lines[self._taken]
            self._taken += 1
            if line.startswith(start):
                return line
        return "" if self.status is None else None

    def expect(self, start):
        """The rest of the next line that starts so; what comes before it is passed over."""
        def ready():
            line = self._next_line(start)
            if line is None:
                raise Failure(f"'{self}' ended without '{start}'; it said {self.lines}")
            return [line] if line else None
        return self._await(ready, f"does not say '{start}'")[0][len(start):].strip()

    def wait(self):
        """Its status."""
        return self._await(lambda: [self.status] if self.status is not None else None,
                           "does not end")[0]

    def succeed(self):
        """Its lines, once it has ended well."""
        if self.wait() != 0:
            raise Failure(f"'{self}' ended with status {self.status}; it said {self.lines}")
        return self.lines


class HostProgram(Program):
    """A process on the host."""

    def __init__(self, words, log, env=None):
        super().__init__(words)
        self._log = log
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *self.words], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env)
        log.write(f"{self._process.pid} run {self}\n")
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self._process.stdout:
            text = line.decode(errors="replace").rstrip("\n")
            self._log.write(f"{self._process.pid} out {text}\n")
            self.take_line(text)
        status = self._process.wait()
        self._log.write(f"{self._process.pid} exit {status}\n")
        self.take_status(status if status >= 0 else 128 - status)

    def end_input(self):
        self._process.stdin.close()

    def kill(self, number=signal.SIGKILL):
        if self.status is None:
            self._process.send_signal(number)
