#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
Connections of one process to itself before its daemon hangs, meanwhile, and after

    hung_again.py DAEMON
"""

import os
import signal
import socket
import sys
import time

HANGS_S = 0.3  # more than a daemon may read nothing


def exchange(listener):
    """Both ends of a connection, and time for them to move."""
    with socket.create_connection(listener.getsockname()) as near, listener.accept()[0] as far:
        for byte in bytes(range(20)):
            near.sendall(bytes([byte]))
            assert far.recv(1) == bytes([byte])
            far.sendall(bytes([byte]))
            assert near.recv(1) == bytes([byte])
            time.sleep(0.005)


def main(daemon):
    listener = socket.create_server(("127.0.0.1", 0))
    exchange(listener)
    os.kill(daemon, signal.SIGSTOP)
    try:
        for _ in range(3):
            exchange(listener)
            time.sleep(HANGS_S)
    finally:
        os.kill(daemon, signal.SIGCONT)
    time.sleep(HANGS_S)
    exchange(listener)


main(int(sys.argv[1]))
