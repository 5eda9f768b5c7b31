# SPDX-License-Identifier: MIT
"""
A guest: Debian's kernel in QEMU, without acceleration, with our agent as its only service.

QEMU's standard input and output are the guest's second serial port, where the agent talks (the
lines are described in guest/agent.h).  Its console goes to a file.
"""

import json
import signal
import subprocess
import threading

from program import Failure, Program

MEMORY_MB = 256
PROGRAMS = 16  # that run at one time in a guest, as in guest/agent.h
REFUSED = 126  # status of a program that the agent did not start
# What is left out of the boot is not needed here, and takes its time under emulation.
KERNEL_ARGUMENTS = (
    "console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off nokaslr nopti nosmp "
    "random.trust_cpu=on tsc=reliable no_timer_check lpj=5000000 8250.nr_uarts=2 "
    "cryptomgr.notests audit=0 selinux=0 apparmor=0 pci=lastbus=0")


def qemu_command(kernel, initrd, console, interfaces):
    """interfaces: (tap, MAC address) pairs."""
    words = ["nice", "-n", "10", "qemu-system-x86_64", "-M", "q35", "-accel", "tcg", "-cpu", "max",
             "-smp", "1", "-m", str(MEMORY_MB), "-nodefaults", "-no-user-config",
             "-display", "none", "-no-reboot", "-kernel", f"{kernel}/vmlinux", "-initrd", initrd,
             "-append", KERNEL_ARGUMENTS,
             "-chardev", f"file,id=console,path={console},append=on", "-serial", "chardev:console",
             "-chardev", "stdio,id=agent,signal=off", "-serial", "chardev:agent"]
    for number, (tap, mac) in enumerate(interfaces):
        words += ["-netdev", f"tap,id=n{number},ifname={tap},script=no,downscript=no",
                  "-device", f"virtio-net-pci,netdev=n{number},mac={mac},romfile="]
    return words


class GuestProgram(Program):
    """A program in a guest."""

    def __init__(self, guest, number, words):
        super().__init__(words)
        self._guest, self._number = guest, number

    def end_input(self):
        if self.status is None:
            self._guest.tell(f"end {self._number}")

    def kill(self, number=signal.SIGKILL):
        if self.status is None:
            self._guest.tell(f"kill {self._number} {int(number)}")


class Guest:
    """
    name: "a", "b" ...; addresses: the IPv4 address of each interface once configured; address: the
    first of them.
    """

    def __init__(self, name, command, addresses, log):
        self.name, self.addresses, self.address, self._log = name, addresses, addresses[0], log
        self._agent = Program(["the agent of guest", name])
        self._programs = {}
        self._process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command],
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         stderr=subprocess.STDOUT)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self._process.stdout:
            text = line.decode(errors="replace").rstrip("\r\n")
            self._log.write(f"< {text}\n")
            self._take(text)
        status = self._process.wait()
        for program in [self._agent, *self._programs.values()]:
            program.take_status(status)

    def _take(self, text):
        number, _, rest = text.partition(" ")
        kind, _, rest = rest.partition(" ")
        program = self._programs.get(number)
        if program and kind == "out":
            program.take_line(rest)
        elif program and kind == "exit":
            del self._programs[number]
            program.take_status(int(rest))
        elif text.startswith("error run "):
            self._programs.pop(text.split()[2]).take_status(REFUSED)
        else:
            self._agent.take_line(text)

    def tell(self, line):
        self._log.write(f"> {line}\n")
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise Failure(f"guest {self.name} is gone") from None

    def await_ready(self):
        self._agent.expect("ready")

    def start(self, *words):
        """Start a program of the guest's /bin; does not wait for it."""
        free = [str(number) for number in range(PROGRAMS) if str(number) not in self._programs]
        if not free or any(" " in str(word) for word in words):
            raise Failure(f"guest {self.name} cannot be told to run {words}")
        number = free[0]
        program = self._programs[number] = GuestProgram(self, number, words)
        self.tell(f"run {number} {program}")
        return program

    def run(self, *words):
        """Run a program to its end, which is to be a good one; its lines."""
        return self.start(*words).succeed()

    def smc(self, *words):
        """What smc_netlink tells, an object a line."""
        return [json.loads(line) for line in self.run("smc_netlink", *words)]

    def connection(self, **wanted):
        """The SMC connection whose values are these: local_port, remote_port ..."""
        for each in self.smc("sockets"):
            if each["state"] != "listen" and wanted.items() <= each.items():
                return each
        raise Failure(f"guest {self.name} has no SMC connection with {wanted}")

    def write(self, path, text):
        """Write into a file of the guest, such as those below /proc/sys."""
        self.tell(f"write {path} {text}")
        if (status := self._agent.expect("write")) != "0":
            raise Failure(f"guest {self.name}: {path}: errno {status}")

    def stop(self):
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
