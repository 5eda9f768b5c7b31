#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
A daemon that only knows the control protocol and end 1 of a segment, so that the preload library's part of
connections to other hosts is tested alone.  On $SMCU_SOCKET it offers SMC-R, and plays the peer of each
RENDEZVOUS as its argument says:

  echo   what is written comes back; the end of the stream too
  close  the peer has closed after its first answer
  reset  the peer resets after its first answer
  die    the daemon is gone after its first answer
  back   the verdict is TCP: bytes in the ring are sent by TCP, late

It prints a line for what it saw: roles, marks, what came last.
"""

import mmap
import os
import select
import socket
import struct
import sys
import threading
import time

MODE = sys.argv[1]
RING, ELEMENT = 256 * 1024, 64 * 1024
WELCOME, RENDEZVOUS = 2, 10
VERSION = 3  # of control/message.h
ATTACHED, SHUT, CLOSED, BACK = 1, 2, 4, 8


def say(*words):
    print(*words, flush=True)


class End:
    """End 1 of a segment."""

    def __init__(self, fds):
        self.tcp = socket.socket(fileno=fds[0])
        self.map = mmap.mmap(fds[1], 4096 + 2 * RING)
        os.close(fds[1])
        self.data, self.space, self.stand_in = (socket.socket(fileno=fd) for fd in fds[2:])
        self.consumed = self.lap = self.produced = 0

    def word(self, at, size=8):
        return struct.unpack_from("<Q" if size == 8 else "<I", self.map, at)[0]

    def set(self, at, value, size=8):
        struct.pack_into("<Q" if size == 8 else "<I", self.map, at, value)

    def mark(self, marks):
        self.set(320 + 28, self.word(320 + 28, 4) | marks, 4)
        self.tell(320 + 128, self.data)

    def theirs(self):
        return self.word(28, 4)

    def tell(self, armed, bell):
        if self.word(armed, 4):
            self.set(armed, 0, 4)
            try:
                bell.send(b"x", socket.MSG_DONTWAIT)
            except OSError:
                pass

    def read(self):
        """What the application has written, one stretch of it."""
        produced, lap, limit = self.word(0), self.word(8), self.word(0)
        if produced == self.consumed:
            return b""
        if lap != self.lap and lap <= produced:
            if lap == self.consumed:
                self.lap = lap
            else:
                limit = lap
        offset = self.consumed - self.lap
        data = self.map[4096 + offset:4096 + offset + limit - self.consumed]
        self.consumed = limit
        return data

    def release(self):
        self.set(64, self.consumed)
        self.tell(32, self.space)

    def write(self, data):
        """As the peer's RNIC would; waits for room."""
        at = 4096 + RING
        while data:
            room = ELEMENT - (self.produced - self.word(320 + 64))
            offset = self.produced % ELEMENT
            n = min(room, ELEMENT - offset, len(data))
            if n == 0:
                time.sleep(0.001)
                if self.is_gone():
                    return
                continue
            self.map[at + offset:at + offset + n] = data[:n]
            self.produced += n
            self.set(320 + 8, (self.produced - 1) // ELEMENT * ELEMENT)
            self.set(320, self.produced)
            self.tell(320 + 128, self.data)
            data = data[n:]

    def is_gone(self):
        return bool(select.select([self.stand_in], [], [], 0)[0]) and self.theirs() & CLOSED

    def close(self):
        for each in (self.stand_in, self.data, self.space, self.tcp):
            each.close()


def smc(end):
    end.mark(ATTACHED)
    while True:
        data = end.read()
        end.release()
        if data:
            end.write(data)
        if data and MODE in ("close", "reset", "die"):
            break
        if not data and end.theirs() & SHUT:
            say("shut" if not end.theirs() & CLOSED else "closed")
            end.mark(SHUT)
            end.stand_in.shutdown(socket.SHUT_WR)
            while not end.theirs() & CLOSED:
                time.sleep(0.001)
            end.close()
            return
        time.sleep(0.0005)
    if MODE == "close":
        end.mark(SHUT | CLOSED)
        end.stand_in.shutdown(socket.SHUT_WR)
        unread = 1
        while end.stand_in.recv(1 + unread, socket.MSG_PEEK)[1:] == b"" and not end.theirs() & CLOSED:
            time.sleep(0.001)
    if MODE == "die":
        os._exit(0)
    end.close()


def back(end):
    time.sleep(0.2)
    end.mark(BACK)
    time.sleep(0.2)
    while True:
        data = end.read()
        if data:
            end.tcp.setblocking(True)
            end.tcp.sendall(data)
        end.release()
        if not data and end.word(192, 4) == 0:
            break
    if end.theirs() & SHUT:
        end.tcp.shutdown(socket.SHUT_WR)
    say("drained", end.consumed)
    end.close()


def session(line):
    while True:
        packet, fds, _, _ = socket.recv_fds(line, 256, 5)
        if not packet:
            return
        kind = struct.unpack_from("<H", packet)[0]
        if kind == 1:
            line.send(struct.pack("<HHIQIIIIii32s", WELCOME, VERSION, 72, 16384, RING, 100, ELEMENT, 3,
                                  os.getpid(), 0, b"other_end"))
            side = mmap.mmap(fds[0], 4096)
            struct.pack_into("<Q", side, 16, struct.unpack_from("<Q", side, 16)[0] + 1)
        if kind == RENDEZVOUS:
            role, ring, element = struct.unpack_from("<III", packet, 8)
            say("rendezvous", {1: "client", 2: "server"}[role], ring, element)
            threading.Thread(target=back if MODE == "back" else smc, args=(End(fds),), daemon=True).start()
        else:
            for fd in fds:
                os.close(fd)


def main():
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(os.environ["SMCU_SOCKET"])
    listener.listen(64)
    say("ready")
    while True:
        line, _ = listener.accept()
        threading.Thread(target=session, args=(line,), daemon=True).start()


main()
