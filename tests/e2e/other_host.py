#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
Programs for the two ends of a connection to another host.

  other_host.py peer                 not under smcu: sends the SMC option, and echoes by TCP what comes
  other_host.py call ADDRESS PORT    not under smcu: sends the SMC option, and waits for the end
  other_host.py WHAT ADDRESS PORT    under smcu: does it, and says what it got
"""

import asyncio
import errno
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time

LEVEL, ASK, TRACE_AND_OFFER = 0x534D4352, 1, 3


def peer(port):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(LEVEL, ASK, TRACE_AND_OFFER)
    listener.bind(("0.0.0.0", port))
    listener.listen(64)
    print("ready", flush=True)
    while True:
        end, _ = listener.accept()
        while True:
            try:
                data = end.recv(65536)
                if not data:
                    break
                end.sendall(data)
            except OSError:
                break
        end.close()


def call(address, port):
    end = socket.socket()
    end.setsockopt(LEVEL, ASK, TRACE_AND_OFFER)
    end.connect((address, port))
    try:
        while end.recv(65536):
            pass
    except OSError:
        pass


def name(call):
    try:
        result = call()
        return "ok" if result is None else str(result)
    except OSError as error:
        return errno.errorcode[error.errno]


def exactly(end, n):
    got = b""
    while len(got) < n:
        part = end.recv(n - len(got))
        if not part:
            break
        got += part
    return got


def echo(end):
    data = bytes(range(256)) * 1200
    sent = 0
    got = b""
    end.setblocking(False)
    while len(got) < len(data):
        readable, writable, _ = select.select([end], [end] if sent < len(data) else [], [])
        if writable:
            sent += end.send(data[sent:sent + 50000])
        if readable:
            got += end.recv(65536)
    end.setblocking(True)
    end.shutdown(socket.SHUT_WR)
    print("equal" if got == data else "differs", end.recv(1), name(lambda: end.send(b"x")))


def bits(end):
    poll = select.poll()
    poll.register(end, select.POLLIN | select.POLLOUT | select.POLLRDHUP)
    names = ("IN", "PRI", "OUT", "ERR", "HUP")
    got = dict(poll.poll(0)).get(end.fileno(), 0)
    return "+".join([n for i, n in enumerate(names) if got >> i & 1] + (["RDHUP"] if got & 0x2000 else []))


def first_answer(end, pipes):
    signal.signal(signal.SIGPIPE, lambda *_: pipes.append("SIGPIPE"))
    end.send(b"hello")
    got = exactly(end, 5).decode()
    time.sleep(0.3)
    return got


def end_of_it(end):
    """After the peer has closed, was reset, or the daemon has died."""
    said = []
    said.append(first_answer(end, said))
    said += [bits(end), name(lambda: len(end.recv(5)))]
    for _ in range(3):
        said.append(name(lambda: end.send(b"x")))
        time.sleep(0.1)
    print(*said, bits(end))


def send_after_reset(end):
    """A reset, seen by a send before anything else."""
    said = []
    said.append(first_answer(end, said))
    for _ in range(2):
        said.append(name(lambda: end.sendall(b"x")))
        time.sleep(0.1)
    print(*said, name(lambda: len(end.recv(1))))


def error_first(end):
    said = []
    print(first_answer(end, said), errno.errorcode[end.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)], bits(end))


def late(end):
    """Early data, and then TCP."""
    data = bytes(1000) + b"end"
    end.sendall(data)
    time.sleep(0.1)
    end.sendall(data * 300)
    got = exactly(end, len(data) * 301)
    end.sendall(b"more")
    print("equal" if got == data * 301 else "differs", exactly(end, 4).decode(), end=" ")
    end.shutdown(socket.SHUT_WR)
    print(end.recv(1))


def late_shut(end):
    end.sendall(b"early")
    end.shutdown(socket.SHUT_WR)
    print(exactly(end, 100).decode())


def linger(end):
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 5))
    end.sendall(bytes(100000))
    end.close()
    print("closed")


HEIR = """
import socket, sys
end = socket.socket(fileno=int(sys.argv[1]))
end.sendall(b"heir")
print(end.recv(4).decode(), flush=True)
"""


def serve(port):
    """A connection that is accepted, and handed on in each way."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 7)
    listener.bind(("0.0.0.0", port))
    listener.listen(5)
    print("ready", flush=True)
    end, _ = listener.accept()
    print(listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT), end.recv(0), flush=True)
    end.sendall(b"first")
    print(exactly(end, 5).decode(), flush=True)
    child = os.fork()
    if child == 0:
        end.sendall(b"child")
        os._exit(0)
    os.waitpid(child, 0)
    print(exactly(end, 5).decode(), flush=True)
    end.set_inheritable(True)
    subprocess.run([sys.executable, "-c", HEIR, str(end.fileno())], close_fds=False, check=True)
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        end.close()
        _, fds, _, _ = socket.recv_fds(theirs, 10, 1)
        passed = socket.socket(fileno=fds[0])
        passed.sendall(b"passed")
        print(exactly(passed, 6).decode(), flush=True)
        os._exit(0)
    socket.send_fds(ours, [b"x"], [end.fileno()])
    os.waitpid(child, 0)
    end.shutdown(socket.SHUT_WR)
    print(end.recv(5), flush=True)


async def server_speaks(address, port):
    """A connect that does not wait, by epoll."""
    reader, writer = await asyncio.open_connection(address, port)
    writer.write(b"x" * 100000)
    await writer.drain()
    got = await reader.readexactly(100000)
    writer.write_eof()
    print(len(got), await reader.read())
    writer.close()
    await writer.wait_closed()


def main():
    what = sys.argv[1]
    if what == "peer":
        peer(int(sys.argv[2]))
    elif what == "call":
        call(sys.argv[2], int(sys.argv[3]))
    elif what == "serve":
        serve(int(sys.argv[2]))
    elif what == "asyncio":
        asyncio.run(server_speaks(sys.argv[2], int(sys.argv[3])))
    else:
        end = socket.create_connection((sys.argv[2], int(sys.argv[3])), timeout=20)
        end.settimeout(None)
        globals()[what](end)


main()
