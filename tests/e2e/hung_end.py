#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
What a server is told of the ends of a client's connections while the client's daemon hangs

    hung_end.py DAEMON LIBRARY

The client runs with LIBRARY preloaded and does what it reads from its standard input.  It offers "early" before the
process DAEMON is stopped, "pinned" and "unread" right after, and must not offer "late".
"""

import os
import signal
import socket
import subprocess
import sys
import time

SO_ZEROCOPY = 60  # keeps a connection on TCP
HANGS_S = 0.3  # more than a daemon may read nothing


def client(port):
    sockets = {}
    for line in sys.stdin:
        verb, name = line.split()
        if verb == "open":
            sockets[name] = socket.create_connection(("127.0.0.1", port))
            for _ in range(3):
                sockets[name].send(b"x")
                sockets[name].recv(1)
        elif verb == "pin":
            sockets[name].setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 1)
        else:
            sockets.pop(name).close()
        print("done", flush=True)


class Server:
    """The other end, and who tells the client what to do."""

    def __init__(self, library):
        self.listener = socket.create_server(("127.0.0.1", 0))
        port = str(self.listener.getsockname()[1])
        self.child = subprocess.Popen(
            [sys.executable, __file__, "client", port], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, env={**os.environ, "LD_PRELOAD": library, "SMCU_MOVE_AFTER": "0"})

    def ask(self, verb, name):
        print(verb, name, file=self.child.stdin, flush=True)

    def await_done(self):
        assert self.child.stdout.readline() == "done\n"

    def do(self, verb, name):
        self.ask(verb, name)
        self.await_done()

    def open(self, name):
        self.ask("open", name)
        end, _ = self.listener.accept()
        end.settimeout(3)
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(3):
            end.send(end.recv(1))
        self.await_done()
        return end


def told(end):
    try:
        return "data" if end.recv(1) else "end"
    except OSError as error:
        return type(error).__name__


def main(daemon, library):
    server = Server(library)
    early = server.open("early")
    os.kill(daemon, signal.SIGSTOP)
    pinned, unread = server.open("pinned"), server.open("unread")
    server.do("pin", "pinned")
    unread.send(b"unread")
    server.do("close", "pinned")
    print("closed:", told(pinned))
    server.do("close", "unread")
    print("closed with bytes unread:", told(unread))
    time.sleep(HANGS_S)
    late = server.open("late")
    server.child.kill()
    print("killed:", told(early), told(late))
    os.kill(daemon, signal.SIGCONT)


if sys.argv[1] == "client":
    client(int(sys.argv[2]))
else:
    main(int(sys.argv[1]), sys.argv[2])
