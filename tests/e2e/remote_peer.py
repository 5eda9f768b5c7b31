#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
Ordinary TCP programs for tests between hosts, which check what they get.

  remote_peer.py echo    ADDRESS PORT               sends back what comes; "ended HOW" for each connection, and
                                                "CLC" if what came was not for an application
  remote_peer.py hand-on ADDRESS PORT               listens, and becomes $PROGRAM (Python), which echoes
  remote_peer.py wait    ADDRESS PORT               three exchanges, "waiting", then the end: "ended HOW"
  remote_peer.py short   ADDRESS PORT COUNT         so many connections, an exchange each; "wrong N"
  remote_peer.py again   ADDRESS PORT COUNT         so many connections, one after the other and closed at once, with
                                                data of all sizes; "waiting"; after SIGUSR1 as many more; "wrong N"
  remote_peer.py receive ADDRESS PORT               counts and sums up what comes, and says so to the peer
  remote_peer.py send    ADDRESS PORT BYTES         to one that receives: "same" if it got all of it
  remote_peer.py crowd-echo ADDRESS PORT            as echo, on one thread (asyncio)
  remote_peer.py crowd   ADDRESS PORT COUNT ROUNDS  so many connections at once (asyncio); "wrong N"

HOW is eof, or the name of an error.
"""
import asyncio
import errno
import hashlib
import os
import random
import signal
import socket
import sys
import threading

BLOCK = 1 << 20
CLC = b"\xe2\xd4\xc3\xd9"  # begins a message that no application is to see
LIMIT = 60  # seconds that anything may take


def say(*words):
    print(*words, flush=True)


def error_name(error):
    return errno.errorcode.get(error.errno, type(error).__name__)


def connect(address, port):
    return socket.create_connection((address, port), LIMIT)


def listener(address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.create_server((address, port), family=family, backlog=1024)
    say("listening")
    return made


def read_whole(talk, length):
    pieces = []
    while length > 0:
        piece = talk.recv(min(length, BLOCK))
        if not piece:
            raise ConnectionError("the stream ended")
        pieces.append(piece)
        length -= len(piece)
    return b"".join(pieces)


def exchange(talk, question):
    talk.sendall(question)
    if read_whole(talk, len(question)) != question:
        raise ValueError("another answer")


def serve(address, port, handle):
    """A thread for each connection, without end."""
    with listener(address, port) as listening:
        while True:
            talk, _ = listening.accept()
            threading.Thread(target=guarded, args=(handle, talk), daemon=True).start()


def guarded(handle, talk):
    with talk:
        try:
            handle(talk)
            say("ended eof")
        except OSError as error:
            say("ended", error_name(error))


def echo(talk):
    while part := talk.recv(BLOCK):
        if CLC in part:
            say("CLC")
        talk.sendall(part)


def hand_on(address, port):
    """With the listener as a child of inetd has it."""
    program, listening = os.environ["PROGRAM"], listener(address, port)
    listening.set_inheritable(True)
    if os.environ.get("OFF"):
        os.environ["SMCU_OFF"] = "1"
    os.execv(program, [program, __file__, "given", str(listening.fileno()), "0"])


def given(number):
    with socket.socket(fileno=number) as listening:
        say("given")
        while True:
            talk, _ = listening.accept()
            guarded(echo, talk)


def wait(address, port, count=3):
    """As one who waits for an answer when the peer goes away."""
    with connect(address, port) as talk:
        talk.settimeout(None)
        for number in range(count):
            exchange(talk, b"question %d\n" % number)
        say("waiting")
        try:
            end = talk.recv(1)
            say("ended", "with data" if end else "eof")
        except OSError as error:
            say("ended", error_name(error))


def short(address, port, count):
    wrong = 0
    for number in range(count):
        try:
            with connect(address, port) as talk:
                exchange(talk, b"connection %6d " % number * 4)
                talk.shutdown(socket.SHUT_WR)
                if talk.recv(1):
                    raise ValueError("more than was sent")
        except (OSError, ValueError) as error:
            wrong += 1
            say(f"connection {number}: {type(error).__name__}: {error}")
    say("wrong", wrong)


def one_after_the_other(address, port, count):
    """What a process keeps of one serves the next."""
    data = random.Random(count)
    wrong = 0
    for number in range(count):
        try:
            with connect(address, port) as talk:
                for size in (1, data.randrange(1, 5000), data.randrange(1, 200000)):
                    exchange(talk, data.randbytes(size))
        except (OSError, ValueError) as error:
            wrong += 1
            say(f"connection {number}: {type(error).__name__}: {error}")
    return wrong


def again(address, port, count):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    wrong = one_after_the_other(address, port, count)
    say("waiting")
    signal.sigwait({signal.SIGUSR1})
    say("wrong", wrong + one_after_the_other(address, port, count))


def blocks(size):
    """So many bytes in pieces of all sizes, each block another."""
    block = random.Random(size).randbytes(BLOCK)
    sizes = random.Random(size + 1)
    number = 0
    while size > 0:
        piece = min(size, sizes.choice((1, 100, 4096, 65536, 300000, BLOCK)))
        head = number.to_bytes(8, "big")
        yield (head + block[:piece])[:piece]
        size -= piece
        number += 1


def receive(talk):
    total, length = hashlib.sha256(), 0
    while part := talk.recv(BLOCK):
        total.update(part)
        length += len(part)
    talk.sendall(f"{length} {total.hexdigest()}\n".encode())


def send(address, port, size):
    total = hashlib.sha256()
    with connect(address, port) as talk:
        for piece in blocks(size):
            total.update(piece)
            talk.sendall(piece)
        talk.shutdown(socket.SHUT_WR)
        talk.settimeout(600)
        with talk.makefile("r") as answer:
            got = answer.readline().strip()
    wanted = f"{size} {total.hexdigest()}"
    say("same" if got == wanted else f"differs: sent {wanted}, received {got}")


async def crowd_echo(address, port):
    async def handle(reader, writer):
        try:
            while part := await reader.read(65536):
                writer.write(part)
                await writer.drain()
            writer.close()
            await writer.wait_closed()
        except OSError as error:
            say("ended", error_name(error))

    server = await asyncio.start_server(handle, address, port, backlog=4096)
    say("listening")
    await server.serve_forever()


async def crowd(address, port, count, rounds):
    all_there = asyncio.Barrier(count) if hasattr(asyncio, "Barrier") else None

    async def member(number):
        sizes = random.Random(number)
        try:
            reader, writer = await asyncio.open_connection(address, port)
        except OSError:
            if all_there:
                await all_there.abort()
            raise
        if all_there:
            await all_there.wait()
        for _ in range(rounds):
            question = sizes.randbytes(sizes.randrange(1, 5000))
            writer.write(question)
            await writer.drain()
            if await reader.readexactly(len(question)) != question:
                raise ValueError("another answer")
        writer.write_eof()
        if await reader.read():
            raise ValueError("more than was sent")
        writer.close()

    results = await asyncio.gather(*map(member, range(count)), return_exceptions=True)
    bad = [result for result in results if result is not None]
    for result in bad[:5]:
        say(type(result).__name__, result)
    say("wrong", len(bad))


def main():
    what, address, port, *numbers = sys.argv[1:]
    port, numbers = int(port), list(map(int, numbers))
    if what in ("echo", "receive"):
        serve(address, port, {"echo": echo, "receive": receive}[what])
    elif what == "hand-on":
        hand_on(address, port)
    elif what == "given":
        given(int(address))
    elif what in ("crowd", "crowd-echo"):
        asyncio.run({"crowd": crowd, "crowd-echo": crowd_echo}[what](address, port, *numbers))
    else:
        {"wait": wait, "short": short, "again": again, "send": send}[what](address, port, *numbers)


if __name__ == "__main__":
    main()
