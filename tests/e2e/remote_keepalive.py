#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
A client whose TCP connection is kept alive, with short times of its own.

  remote_keepalive.py options ADDRESS PORT   what SO_KEEPALIVE is to the program and to its child, when it is
                                             set and taken back; a line each; waits for a signal in between
  remote_keepalive.py idle ADDRESS PORT      exchanges, "waiting"; after each SIGUSR1 it exchanges again,
                                             "exchanged"; reads until the end: "ended HOW"
"""
import errno
import os
import select
import signal
import socket
import sys

LIMIT = 60


def say(*words):
    print(*words, flush=True)


def exchange(talk, question):
    talk.sendall(question)
    got = b""
    while len(got) < len(question):
        part = talk.recv(65536)
        if not part:
            raise ConnectionError("the stream ended")
        got += part
    if got != question:
        raise ValueError("another answer")


def kept(talk):
    return talk.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def keep(talk, how):
    talk.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, how)


def wait_signal():
    signal.sigwait({signal.SIGUSR1})


def options(talk):
    """Each time it has waited the test has looked at the kernel's timer."""
    exchange(talk, b"hello")
    say("built in", kept(talk))
    wait_signal()
    say("later", kept(talk))
    say("one byte of it", *talk.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1))
    keep(talk, 1)
    say("set", kept(talk))
    if os.fork() == 0:
        say("in a child", kept(talk))
        keep(talk, 0)
        os._exit(0)
    os.wait()
    say("taken back by the child", kept(talk))
    wait_signal()
    exchange(talk, b"hello")
    say("ended well")


def idle(talk):
    keep(talk, 1)
    for name, value in ((socket.TCP_KEEPIDLE, 1), (socket.TCP_KEEPINTVL, 1), (socket.TCP_KEEPCNT, 2)):
        talk.setsockopt(socket.IPPROTO_TCP, name, value)
    exchange(talk, b"question")
    wake, signalled = socket.socketpair()
    signalled.setblocking(False)
    signal.set_wakeup_fd(signalled.fileno())
    signal.signal(signal.SIGUSR1, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
    say("waiting")
    while True:
        ready, _, _ = select.select([talk, wake], [], [])
        if talk in ready:
            break
        wake.recv(1)
        exchange(talk, b"question " * 10000)
        say("exchanged")
    say("ended", "with data" if talk.recv(1) else "eof")


def main():
    what, address, port = sys.argv[1:]
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    with socket.create_connection((address, int(port)), LIMIT) as talk:
        talk.settimeout(LIMIT)
        try:
            {"options": options, "idle": idle}[what](talk)
        except OSError as error:
            say("ended", errno.errorcode.get(error.errno, type(error).__name__))


if __name__ == "__main__":
    main()
