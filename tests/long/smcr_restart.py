#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
smcud is stopped, or killed, and started again under traffic; then the guest is: what the programs of either
side are told, and how soon, and that new connections are SMC-R again.
"""
# time limit: 1200
# alone: the eBPF programs are one set a kernel, and guests are slow

import itertools
import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop"))

import lab
from lab import expect, wait_until
from talk import (ROLES, STREAM, begin, expect_reset, from_guest, nothing_is_open, start_smcu,
                  stop_smcu, to_guest, works_by_smc_r)

ports = itertools.count(8000)


class Traffic:
    """A stream and an idle connection in either role: (our program, the guest's, the client of both)."""

    def __init__(self, it):
        self._streams, self._idle = [], []
        for start, ours in ((to_guest, 1), (from_guest, 0)):
            for words, kept in ((STREAM, self._streams), (("--hold",), self._idle)):
                pair = begin(it, start, next(ports), *words)
                kept.append((pair[ours], pair[1 - ours], pair[1]))
        self._begun = time.monotonic()

    def begins_to_end(self):
        self._begun = time.monotonic()

    def _took(self, limit, what):
        took = time.monotonic() - self._begun
        print(f"    {what} after {took:.1f} s", flush=True)
        expect(took < limit, True, f"that {what} within {limit} s")

    def ours_end(self, limit):
        """By an error; an idle client has all it wants, and does not look."""
        for ours, _, _ in self._streams:
            expect_reset(ours)
        self._took(limit, "our streams had ended")
        for ours, _, client in self._idle:
            if ours is client:
                client.end_input()
                client.succeed()
            else:
                expect_reset(ours)
        self._took(limit, "all of ours had ended")

    def theirs_end(self, limit):
        """No stream is taken for a whole one, and what came of it was right (exchange looks)."""
        for _, theirs, _ in self._streams:
            theirs.wait()
            last = theirs.lines[-1]
            expect(last.startswith("done") or "wrong" in last, False,
                   f"a good end, or wrong bytes, in '{last}'")
        for _, theirs, client in self._idle:
            if theirs is client:
                client.end_input()
            theirs.wait()
        self._took(limit, "all of the guest's had ended")


def goes_on_by_smc_r(it):
    works_by_smc_r(it, next(ports))
    next(ports)


def nothing_is_left(it, groups):
    """But for the link groups that the last connections were in."""
    nothing_is_open(it)
    wait_until(lambda: len(it.smcu.show("linkgroup")) <= groups, "our old link groups are gone")


def smcud_is_started_again(it, number, limit):
    for _ in range(3):
        traffic = Traffic(it)
        traffic.begins_to_end()
        it.smcu.stop_daemon(number)
        it.smcu.start_daemon()
        traffic.ours_end(5)
        goes_on_by_smc_r(it)
        traffic.theirs_end(limit)
        nothing_is_left(it, len(ROLES))


def smcud_is_stopped_and_started_again(it):
    smcud_is_started_again(it, signal.SIGTERM, 10)


def smcud_is_killed_and_started_again(it):
    """The guest finds out by TEST LINK, here after 3 + 2 s."""
    smcud_is_started_again(it, signal.SIGKILL, 20)


def the_guest_boots_again(it):
    """
    The first new connection waits two seconds for an answer from the old link group, and is SMC-R then; it tells
    of the restart.
    """
    traffic = Traffic(it)
    it.reset("a")
    traffic.begins_to_end()
    goes_on_by_smc_r(it)
    traffic.ours_end(20)
    goes_on_by_smc_r(it)
    nothing_is_left(it, len(ROLES))


def the_guest_boots_again_and_nobody_calls(it):
    """What is under way finds no answer for four seconds; else TEST LINK tells, after 32 to 62 s."""
    traffic = Traffic(it)
    traffic.begins_to_end()
    it.reset("a")
    traffic.ours_end(70)
    nothing_is_left(it, 0)
    goes_on_by_smc_r(it)


CASES = [
    smcud_is_stopped_and_started_again,
    smcud_is_killed_and_started_again,
    the_guest_boots_again,
    the_guest_boots_again_and_nobody_calls,
]

if __name__ == "__main__":
    lab.main("smcr_restart", ["a"], CASES, before=start_smcu(), after=stop_smcu)
