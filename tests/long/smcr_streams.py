#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
Data between smcu and the kernel's SMC, both roles: sizes from a byte to beyond the element, buffers of
16 KiB to 512 KiB on either side, wraps in every alignment, readers that sleep.  Every byte is checked
by both ends.
"""
# time limit: 1800
# alone: the eBPF programs are one set a kernel, and guests are slow

import os
import random
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop"))

import lab
from lab import expect, wait_until
from talk import (ROLES, clc_types, expect_good_end, expect_rendezvous, from_guest, guest_connection,
                  nothing_is_open, start_smcu, stop_smcu)

KIB = 1024
ELEMENTS = (16 * KIB, 32 * KIB, 64 * KIB, 128 * KIB, 256 * KIB, 512 * KIB)
SLEEP = 20  # seconds; longer than every timer but the test of the link
ports = iter(range(9000, 9999))  # apart from those of interop/smcr.py


def set_buffers(it, ours, theirs):
    """Elements of these sizes from the next connection on; theirs None: the guest's own size."""
    it.smcu.stop_daemon()
    it.smcu.start_daemon("--set", f"smcr.element_bytes={ours}")
    it.guest_words = () if theirs is None else (f"--receive-buffer={theirs}",
                                                f"--send-buffer={theirs}")


def begin(it, start, *words, server=()):
    """(port, pair): a connection where the guest's end has the buffers that were set."""
    port = next(ports)
    here, there = ((server, words + it.guest_words) if start is from_guest
                   else (server + it.guest_words, words))
    return port, start(it, port, *there, server=here)


def stream(it, start, size, count, *words, server=()):
    port, pair = begin(it, start, "--stream", f"--size={size}", f"--count={count}", *words,
                       server=server)
    expect_good_end(pair, size * count)
    return port


def buffers_are_as_they_were_asked_for(it):
    for size in ELEMENTS:
        set_buffers(it, size, size)
        for start in ROLES:
            port, pair = begin(it, start, "--hold")
            pair[1].expect("held")
            seen = guest_connection(it, port)
            expect((seen["mode"], seen["peer_rmb"]), ("smcr", size), f"the guest's view of {size}")
            pair[1].end_input()
            expect_good_end(pair, 500)


def streams_pass_between_buffers_of_all_sizes(it):
    pairs = [(each, each) for each in ELEMENTS] + [
        (ELEMENTS[0], ELEMENTS[-1]), (ELEMENTS[-1], ELEMENTS[0]), (ELEMENTS[0], None)]
    for ours, theirs in pairs:
        set_buffers(it, ours, theirs)
        for start in ROLES:
            port = stream(it, start, 100003, 15)
            expect_rendezvous(it, port)


def every_size_comes_back(it):
    """With 16 KiB on both sides: around the powers of two, the element and its multiples."""
    set_buffers(it, 16 * KIB, 16 * KIB)
    for start in ROLES:
        for size in (1, 2, 3, 7, 44, 45, 1023, 1024, 1025, 4097, 16383, 16384, 16385, 32768, 32769,
                     70000):
            _, pair = begin(it, start, f"--size={size}", "--count=13")
            expect_good_end(pair, size * 13)


def wraps_pass_in_every_alignment(it):
    """A size coprime to the element puts the wrap of each round elsewhere; also beside slow readers."""
    set_buffers(it, 16 * KIB, 16 * KIB)
    dice = random.Random(4)
    for start in ROLES:
        sizes = [16 * KIB - 1, 16 * KIB + 1, 8 * KIB - 1, 5461, 1009] + \
                [dice.randrange(1, 40000) | 1 for _ in range(6)]
        for size in sizes:
            stream(it, start, size, max(20, 400000 // size))
        stream(it, start, 3001, 100, "--read-delay=3")
        stream(it, start, 3001, 100, server=("--read-delay=3",))


def carries(it, port):
    """Does data pass on the connection?"""
    seen = guest_connection(it, port)
    return seen and seen["state"] == "active" and seen["sent_producer"] != [0, 0]


def a_reader_that_sleeps_blocks_its_writer_and_nothing_is_lost(it):
    """Each of the four programs is stopped in the middle of a stream, for long."""
    set_buffers(it, 16 * KIB, 16 * KIB)
    for start in ROLES:
        for sleeper in (0, 1):
            size, count = 50000, 400
            port, pair = begin(it, start, "--stream", f"--size={size}", f"--count={count}")
            wait_until(lambda: carries(it, port), "data passes")
            pair[sleeper].kill(signal.SIGSTOP)
            time.sleep(SLEEP)
            expect([each.status for each in pair], [None, None], "what has ended meanwhile")
            expect(guest_connection(it, port)["mode"], "smcr", "the mode")
            pair[sleeper].kill(signal.SIGCONT)
            expect_good_end(pair, size * count)
            expect(len(clc_types(it, port)), 3, "the number of CLC messages")


def nothing_is_left(it):
    nothing_is_open(it)


CASES = [
    buffers_are_as_they_were_asked_for,
    streams_pass_between_buffers_of_all_sizes,
    every_size_comes_back,
    wraps_pass_in_every_alignment,
    a_reader_that_sleeps_blocks_its_writer_and_nothing_is_lost,
    nothing_is_left,
]

if __name__ == "__main__":
    lab.main("smcr_streams", ["a"], CASES, before=start_smcu(), after=stop_smcu)
