#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
smcu and the kernel's SMC, each the client and the server of the other: an ordinary TCP program under
smcu on the host, AF_SMC in the guest, SMC-Rv2 between them.
"""
# time limit: 600

import os
import signal
import subprocess
import time

import lab
from lab import expect, wait_until
from talk import (ACCEPT, CONFIRM, PROPOSAL, STREAM, abort, begin, clc_types, expect_good_end,
                  expect_rendezvous, expect_reset, from_guest, look, nothing_is_open, our_connection,
                  start_smcu, stop_smcu, to_guest, works_by_smc_r)


def listens(port):
    return bool(subprocess.run(["ss", "-Hltn", f"sport = :{port}"], stdout=subprocess.PIPE,
                               check=True).stdout)


def our_client_and_the_kernels_server_speak_smc_r(it):
    seen = look(it, to_guest(it, 8001, "--hold"), local_port=8001)
    expect((seen["mode"], seen["role"]), ("smcr", "server"), "the guest's mode and role")
    expect_rendezvous(it, 8001)


def the_kernels_client_and_our_server_speak_smc_r(it):
    seen = look(it, from_guest(it, 8002, "--hold"), remote_port=8002)
    expect((seen["mode"], seen["role"]), ("smcr", "client"), "the guest's mode and role")
    expect_rendezvous(it, 8002)


def later_connections_use_the_same_link_group(it):
    for start, first in ((to_guest, 8010), (from_guest, 8020)):
        pairs = [start(it, port, "--hold") for port in range(first, first + 3)]
        for _, client in pairs:
            client.expect("held")
        groups = [each["group"]["connections"] for each in it.guests["a"].smc("groups")]
        expect(3 in groups, True, f"a link group with three connections among {groups}")
        for server, client in pairs:
            client.end_input()
            client.succeed()
            server.succeed()


def streams_and_half_closes_pass(it):
    for start, port in ((to_guest, 8100), (from_guest, 8200)):
        styles = {port: ("--stream", "--size=65536", "--count=32"),
                  port + 1: ("--half-close",),
                  port + 2: ("--size=1", "--count=50"),
                  port + 3: ("--stream", "--size=100003", "--count=20")}
        for at, words in styles.items():
            server, client = start(it, at, *words)
            client.succeed()
            expect(server.succeed()[-1].split()[-1], "eof", f"the end of {words[0]}")
            expect(clc_types(it, at), [PROPOSAL, ACCEPT, CONFIRM], f"the CLC messages of {words}")


def urgent_bytes_pass(it):
    for start, port in ((to_guest, 8250), (from_guest, 8251)):
        server, client = start(it, port, "--urgent", "--count=4")
        client.succeed()
        expect(server.succeed()[-1].split()[-1], "eof", "the end")
        for end, lines in (("client", client.lines), ("server", server.lines)):
            expect("urgent 85" in lines, True, f"the urgent byte at the {end}")
        expect(clc_types(it, port), [PROPOSAL, ACCEPT, CONFIRM], "the CLC messages")


def an_urgent_byte_that_was_taken_does_not_stop_the_kernel(it):
    """It waits with its next byte until the urgent one counts as read."""
    urgent = os.path.join(lab.BUILD, "tests", "programs", "urgent")
    where = (f"--address={lab.HOST}", "--port=8260", "--only=alone_and_taken")
    here = it.smcu.start(urgent, "observe", "--listen", *where)
    wait_until(lambda: listens(8260), "the observer listens")
    it.guests["a"].start("urgent", "send", "--smc", *where).succeed()
    lines = [line.strip() for line in here.succeed()]
    expect("urgent = 1 !" in lines and "read = 4 then" in lines, True, f"both in {lines}")
    expect(clc_types(it, 8260), [PROPOSAL, ACCEPT, CONFIRM], "the CLC messages")


def small_buffers_wrap(it):
    """The guest's of 16 KiB, and a slow reader on either side (long/smcr_streams.py has all sizes)."""
    small = ("--receive-buffer=16384", "--send-buffer=16384")
    stream = ("--stream", "--size=10007", "--count=30")
    for port, server, client in ((8150, small, stream), (8151, (*small, "--read-delay=2"), stream)):
        expect_good_end(to_guest(it, port, *client, server=server), 300210)
    for port, server, client in ((8160, (), (*stream, *small)),
                                 (8161, ("--read-delay=2",), (*stream, *small))):
        expect_good_end(from_guest(it, port, *client, server=server), 300210)


def a_guest_without_smc_in_its_program_gets_tcp(it):
    guest, address = it.guests["a"], it.guests["a"].address
    there = guest.start("exchange", "serve", f"--address={address}", "--port=8270")
    there.expect("listening")
    expect_good_end((there, it.smcu.exchange("connect", f"--address={address}", "--port=8270")), 500)
    here = it.smcu.exchange("serve", f"--address={lab.HOST}", "--port=8271")
    here.expect("listening")
    expect_good_end((here, guest.start("exchange", "connect", f"--address={lab.HOST}",
                                       "--port=8271")), 500)
    for port in (8270, 8271):
        expect(clc_types(it, port), [], "what was said in CLC")


def our_abort_is_an_abnormal_close(it):
    """The kernel tells a program that writes an error, and one that reads nothing but the end of the file."""
    end = abort(it, to_guest, 8300)
    expect(end in ("ECONNRESET", "EPIPE", "eof"), True, f"an end in {end}")
    server, client = to_guest(it, 8301, "--hold", "--abort")
    client.expect("held")
    wait_until(lambda: our_connection(it, 8301)["smcr"]["receiving"]["produced"] == 500,
               "the last echo is here, so that the server reads")
    client.end_input()
    client.succeed()
    expect(server.succeed()[-1], "ended 500 eof", "what the kernel makes of it for who reads")


def a_killed_program_is_noticed_by_the_other_end(it):
    for start, port in ((to_guest, 8310), (from_guest, 8311)):
        server, client = start(it, port, "--hold")
        client.expect("held")
        client.kill()
        expect(client.wait(), 128 + signal.SIGKILL, "the client's status")
        server.succeed()
        expect(server.lines[-1].split()[-1] in ("eof", "ECONNRESET"), True,
               f"an end in {server.lines[-1]}")


def both_programs_are_told_when_our_daemon_is_stopped(it):
    """
    What the kernel says of its connections' end must be acknowledged, or its programs hang; the daemon waits
    for that.  Streams and idle connections, in both roles.
    """
    streams = [(begin(it, start, port, *STREAM), ours)
               for start, port, ours in ((to_guest, 8320, 1), (from_guest, 8321, 0))]
    idle = [begin(it, start, port, "--hold") for start, port in ((to_guest, 8322), (from_guest, 8323))]
    start = time.monotonic()
    it.smcu.daemon.kill(signal.SIGTERM)
    for pair, ours in streams:
        expect_reset(pair[ours])
        expect(time.monotonic() - start < 5, True, "that our program was told at once")
    expect(it.smcu.daemon.wait(), 0, "the daemon's status")
    expect(time.monotonic() - start < 5, True, "that the daemon has ended soon")
    for pair, ours in streams:
        pair[1 - ours].wait()
    for server, client in idle:
        client.end_input()
        client.wait()
        server.wait()
    took = time.monotonic() - start
    expect(took < 10, True, f"that all had ended after 10 s, and not {took:.1f} s")
    it.smcu.start_daemon()
    works_by_smc_r(it, 8324)


def nothing_is_left_when_all_are_closed(it):
    nothing_is_open(it)


CASES = [
    our_client_and_the_kernels_server_speak_smc_r,
    the_kernels_client_and_our_server_speak_smc_r,
    later_connections_use_the_same_link_group,
    streams_and_half_closes_pass,
    urgent_bytes_pass,
    an_urgent_byte_that_was_taken_does_not_stop_the_kernel,
    small_buffers_wrap,
    a_guest_without_smc_in_its_program_gets_tcp,
    our_abort_is_an_abnormal_close,
    a_killed_program_is_noticed_by_the_other_end,
    both_programs_are_told_when_our_daemon_is_stopped,
    nothing_is_left_when_all_are_closed,
]

if __name__ == "__main__":
    lab.main("smcr", ["a"], CASES, before=start_smcu(), after=stop_smcu)
