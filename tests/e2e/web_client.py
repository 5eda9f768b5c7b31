#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
Ask a web server for files over and over, compare each answer with the file, ask nothing twice.

  web_client.py PORT DIRECTORY KEPT FRESH

KEPT threads keep their connections for as long as the server does, FRESH threads make one for each
request.  SIGTERM ends it: requests under way are finished, then the last line says

  answered N failed N unlucky N

A request has failed if it got no answer, part of one, or a wrong one.  It is *unlucky* when a kept
connection ended before the first byte of the answer: a server may close an idle connection at the
very moment at which the next request is sent, over any TCP, and HTTP clients ask again.
"""
import os
import select
import signal
import socket
import sys
import threading

LIMIT = 30  # seconds that an answer may take

port, directory = int(sys.argv[1]), sys.argv[2]
files = {name: open(os.path.join(directory, name), "rb").read() for name in os.listdir(directory)}
ending = threading.Event()
lock = threading.Lock()
count = {"answered": 0, "failed": 0, "unlucky": 0}


class Closed(Exception):
    """The connection ended before the answer began."""


def add(outcome, why=None):
    with lock:
        count[outcome] += 1
        if why:
            print(outcome, why, flush=True)


def connect():
    talk = socket.create_connection(("127.0.0.1", port), LIMIT)
    talk.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return talk


def has_ended(talk):
    """Nothing was asked: what can be read is the end."""
    return bool(select.select([talk], [], [], 0)[0])


def read_head(talk):
    head = b""
    while b"\r\n\r\n" not in head:
        try:
            piece = talk.recv(65536)
        except (ConnectionResetError, BrokenPipeError):
            piece = b""
        if not piece and not head:
            raise Closed()
        if not piece:
            raise ValueError(f"half a head: {head!r}")
        head += piece
    head, body = head.split(b"\r\n\r\n", 1)
    return head.decode("latin-1").lower().split("\r\n"), body


def ask(talk, name, close):
    """One request; true if the connection goes on."""
    request = f"GET /{name} HTTP/1.1\r\nHost: test\r\n" + ("Connection: close\r\n" if close else "")
    try:
        talk.sendall(request.encode() + b"\r\n")
    except (ConnectionResetError, BrokenPipeError) as error:
        raise Closed() from error
    head, body = read_head(talk)
    fields = dict(line.split(": ", 1) for line in head[1:])
    length = int(fields["content-length"])
    pieces = [body]
    missing = length - len(body)
    while missing > 0:
        piece = talk.recv(min(missing, 1 << 20))
        if not piece:
            raise ValueError(f"{missing} of {length} bytes are missing")
        pieces.append(piece)
        missing -= len(piece)
    if " 200 " not in head[0] + " " or b"".join(pieces) != files[name]:
        raise ValueError(f"a wrong answer to {name}: {head}, {length} bytes")
    return fields.get("connection") != "close"


def client(number, close):
    names = sorted(files)
    talk, used = None, False
    while not ending.is_set():
        number += 1
        name = names[number % len(names)]
        try:
            if talk and has_ended(talk):
                talk.close()
                talk = None
            if not talk:
                talk, used = connect(), False
            going_on = ask(talk, name, close)
            add("answered")
            used = True
            if close or not going_on:
                talk.close()
                talk = None
        except Closed:
            add("unlucky") if used else add("failed", "a new connection ended without an answer")
            talk = None
        except (OSError, ValueError, KeyError) as error:
            add("failed", f"{type(error).__name__}: {error}")
            talk = None


def main():
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    threads = [threading.Thread(target=client, args=(number * 7, close))
               for close, many in ((False, int(sys.argv[3])), (True, int(sys.argv[4])))
               for number in range(many)]
    for thread in threads:
        thread.start()
    while not ending.wait(0.1):
        pass
    for thread in threads:
        thread.join()
    print("answered {answered} failed {failed} unlucky {unlucky}".format(**count), flush=True)


main()
