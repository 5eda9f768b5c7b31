#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
Talk to an echo server on several connections at once, and compare what comes back.

  echo_client.py PORT CONNECTIONS ROUNDS BYTES [late]

Each connection first has ROUNDS short exchanges, then sends BYTES in pieces of any size while it reads
them back, and shuts its sending down (late: when all has come back): the echo ends with the end of
file.  Prints "wrong N".
"""
import random
import socket
import sys
import threading

LIMIT = 60  # seconds that a read may take

port, connections, rounds, size = map(int, sys.argv[1:5])
late = sys.argv[5:] == ["late"]
wrong = []


def read_whole(talk, length):
    pieces = []
    while length > 0:
        piece = talk.recv(min(length, 1 << 20))
        if not piece:
            raise ValueError(f"{length} bytes are missing")
        pieces.append(piece)
        length -= len(piece)
    return b"".join(pieces)


def send_in_pieces(talk, data, seed):
    sizes = random.Random(seed)
    at = 0
    while at < len(data):
        piece = sizes.choice((1, 100, 1448, 4096, 65536, 300000))
        talk.sendall(data[at:at + piece])
        at += piece
    if not late:
        talk.shutdown(socket.SHUT_WR)


def converse(number):
    sizes = random.Random(number)
    data = sizes.randbytes(size)
    talk = socket.create_connection(("127.0.0.1", port), LIMIT)
    talk.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for _ in range(rounds):
        question = sizes.randbytes(sizes.randrange(1, 200)).replace(b"\n", b" ") + b"\n"
        talk.sendall(question)
        if read_whole(talk, len(question)) != question:
            raise ValueError("another answer")
    sender = threading.Thread(target=send_in_pieces, args=(talk, data, number))
    sender.start()
    if read_whole(talk, size) != data:
        raise ValueError("other bytes")
    sender.join()
    if late:
        talk.shutdown(socket.SHUT_WR)
    if talk.recv(1):
        raise ValueError("more bytes than were sent")
    talk.close()


def guarded(number):
    try:
        converse(number)
    except (OSError, ValueError) as error:
        wrong.append(f"connection {number}: {type(error).__name__}: {error}")


threads = [threading.Thread(target=guarded, args=(number,)) for number in range(connections)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("\n".join(wrong + [f"wrong {len(wrong)}"]))
