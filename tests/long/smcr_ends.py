#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
How connections and link groups between smcu and the kernel's SMC begin and end: many of them in random
order, half closes, aborts, killed programs, link groups that idle, are tested, are ended by us in order, and
by the kernel under traffic.
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
from capture import ROCE_PORT, sent_message
from kernel import Unavailable
from lab import expect, wait_until
from program import Failure
from talk import begin as begin_at
from talk import (ROLES, STREAM, abort, expect_good_end, expect_rendezvous, expect_reset, from_guest,
                  guest_connection, nothing_is_open, our_connection, start_smcu, stop_smcu,
                  to_guest, works_by_smc_r)

SEED = int(os.environ.get("SMCU_SEED", "7609"))
DELETE_LINK, TEST_LINK = (0x04, 0x24), (0x07, 0x27)  # types of LLC, v1 and v2
LLC_FLAGS_AT, DELETE_ALL, DELETE_ORDERLY = 3, 0x40, 0x20
GUEST_CLIENTS = 9  # at one time; the agent runs 16 programs
ports = iter(range(8000, 9000))
two_ports = iter(range(9000, 9999, 2))  # the first of two


def group_ids(it):
    return sorted(each["group"]["id"] for each in it.guests["a"].smc("groups"))


def begin(it, start, *words, server=()):
    """(port, pair) of talk.begin."""
    port = next(ports)
    return port, begin_at(it, start, port, *words, server=server)


def expect_smc_r(it, port):
    expect(guest_connection(it, port)["mode"], "smcr", "the guest's mode")
    expect(our_connection(it, port)["mode"], "SMCR", "our mode")


def let_go(pair):
    pair[1].end_input()
    expect_good_end(pair, 500)


def first_and_later_contacts(it):
    for start in ROLES:
        before = group_ids(it)
        first, pair = begin(it, start, "--hold")
        made = group_ids(it)
        later, another = begin(it, start, "--hold")
        expect((len(made) - len(before), group_ids(it)), (1, made), "the groups that are made")
        expect_smc_r(it, first)
        expect_smc_r(it, later)
        let_go(pair)
        let_go(another)
        expect_rendezvous(it, first)
        expect_rendezvous(it, later)


def a_hundred_connections_end_in_random_order(it):
    dice = random.Random(SEED)
    print(f"    seed {SEED} (SMCU_SEED)", flush=True)
    words = ("--hold", "--stream", "--size=3000", "--count=4")
    servers = {to_guest: (next(ports), it.guests["a"].address), from_guest: (next(ports), lab.HOST)}
    many = (f"--connections={50}",)
    (there, first), (here, second) = [
        start(it, port, *words, server=many) for start, (port, _) in servers.items()]
    left = {to_guest: 49, from_guest: 49}
    held = {to_guest: [first], from_guest: [second]}
    while any(left.values()) or any(held.values()):
        start = dice.choice(ROLES)
        full = len(held[start]) >= (GUEST_CLIENTS if start is from_guest else 30)
        if left[start] and not full and dice.random() < 0.6:
            port, address = servers[start]
            begin_one = it.smcu.exchange if start is to_guest else \
                lambda *more: it.guests["a"].start("exchange", more[0], "--smc", *more[1:])
            held[start].append(begin_one("connect", f"--address={address}", f"--port={port}",
                                         *words))
            left[start] -= 1
        elif held[start]:
            client = held[start].pop(dice.randrange(len(held[start])))
            client.expect("held")
            client.end_input()
            expect(client.succeed()[-1], "done 12000", "a client's last line")
    for server in (there, here):
        expect(sum(each == "ended 12000 eof" for each in server.succeed()), 50,
               "the number of good ends")
    expect(it.smcu.show("stats")["remote"]["smcr"] >= 100, True, "that these were SMC-R")


def half_closes_pass_both_ways(it):
    for start in ROLES:
        for words, size in ((("--half-close",), 500),
                            (("--half-close", "--size=1", "--count=1"), 1),
                            (("--half-close", "--stream", "--size=70001", "--count=10"), 700010)):
            port = next(ports)
            expect_good_end(start(it, port, *words), size)
            expect_rendezvous(it, port)


def our_client_bears_with_an_accept_ten_seconds_late(it):
    port, pair = begin(it, to_guest, "--hold", server=("--accept-delay=10000",))
    expect_smc_r(it, port)
    let_go(pair)


def the_kernels_client_bears_with_an_accept_four_seconds_late(it):
    """It waits for six: our Accept comes only with the program's accept()."""
    port, pair = begin(it, from_guest, "--hold", server=("--accept-delay=4000",))
    expect_smc_r(it, port)
    let_go(pair)


def the_kernels_client_gives_up_on_an_accept_ten_seconds_late(it):
    """A known limit: docs/interop.md.  What counts is that both programs are told, and soon."""
    server, client = from_guest(it, next(ports), server=("--accept-delay=10000",))
    client.wait()
    expect("timed out" in client.lines[-1], True, f"a time-out in '{client.lines[-1]}'")
    server.wait()
    expect(server.lines[-1].split()[:2], ["ended", "0"], "what the server read")
    works_by_smc_r(it, next(two_ports))


def an_abort_is_an_end_at_the_other_side(it):
    """
    The kernel closes in order where TCP aborts, and shows an abnormal close of ours to who reads as the end of
    the file.
    """
    for start in ROLES:
        end = abort(it, start, next(ports), "--size=20000")
        expect(end in ("ECONNRESET", "EPIPE", "eof"), True, f"an end in '{end}'")


def any_of_the_four_programs_may_be_killed(it):
    """Idle, and in the middle of a stream."""
    for start in ROLES:
        for victim, other in ((0, 1), (1, 0)):
            for words in (("--hold",), STREAM):
                _, pair = begin(it, start, *words)
                pair[victim].kill()
                expect(pair[victim].wait(), 128 + signal.SIGKILL, "the status of the killed")
                if other == 1 and "--hold" in words:
                    pair[1].end_input()  # it has all it wants, and does not look
                    pair[1].succeed()
                else:
                    pair[other].wait()
                    print(f"    {start.__name__}, killed {victim}, {words[0]}: the other says "
                          f"'{pair[other].lines[-1]}'", flush=True)
    nothing_is_open(it)
    works_by_smc_r(it, next(two_ports))


def test_links(it, after):
    """(from the guest, from us): messages TEST LINK since that frame."""
    seen = [each for each in it.capture.packets(ROCE_PORT)[after:]
            if sent_message(each)[:1] and sent_message(each)[0] in TEST_LINK]
    return [sum(each.source == address for each in seen)
            for address in (it.guests["a"].address, lab.HOST)]


def idle_links_are_tested_by_either_side_and_used_again(it):
    """
    Ours when nothing came for 30 to 60 s, the guest's after smcr_testlink_time; requests and responses
    count alike.
    """
    guest = it.guests["a"]
    for start in ROLES:
        _, pair = begin(it, start, "--hold")
        groups = group_ids(it)
        before = len(it.capture.packets(ROCE_PORT))
        time.sleep(8)
        expect([each > 0 for each in test_links(it, before)], [True, True],
               "the guest's test, and our answer")
        let_go(pair)
        time.sleep(8)
        works_by_smc_r(it, next(ports), (start,))
        expect(group_ids(it), groups, "the link groups after a rest")
    guest.write("/proc/sys/net/smc/smcr_testlink_time", 0)  # of new link groups: never
    it.smcu.stop_daemon()
    it.smcu.start_daemon()
    time.sleep(8)  # what the guest still says on the old links is over
    _, pair = begin(it, to_guest, "--hold")
    before = len(it.capture.packets(ROCE_PORT))
    time.sleep(62)
    expect([each > 0 for each in test_links(it, before)], [True, True],
           "our test, and the guest's answer")
    let_go(pair)
    guest.write("/proc/sys/net/smc/smcr_testlink_time", 3)
    it.smcu.stop_daemon()
    it.smcu.start_daemon()


def deletions(it, after):
    """(source, flags) of each DELETE LINK since that frame."""
    seen = [(each.source, sent_message(each)) for each in it.capture.packets(ROCE_PORT)[after:]]
    return [(source, message[LLC_FLAGS_AT]) for source, message in seen
            if message[:1] and message[0] in DELETE_LINK]


def an_idle_link_group_is_ended_by_us_in_order(it):
    """As its server, and as its client, which has ten seconds more.  The kernel would wait for ten minutes."""
    it.smcu.stop_daemon()
    it.smcu.start_daemon("--set", "smcr.linger=2")
    for start in ROLES:
        _, pair = begin(it, start, "--hold")
        groups = group_ids(it)
        before = len(it.capture.packets(ROCE_PORT))
        let_go(pair)
        wait_until(lambda: not group_ids(it), "the guest has no link group")
        wait_until(lambda: not it.smcu.show("linkgroup"), "nor have we")
        said = deletions(it, before)
        expect(said[0], (lab.HOST, DELETE_ALL | DELETE_ORDERLY), "the first DELETE LINK")
        print(f"    {start.__name__}: the guest says {said[1:]}", flush=True)
        works_by_smc_r(it, next(ports), (start,))
        expect(group_ids(it) not in ([], groups), True, "a new link group")
        wait_until(lambda: not group_ids(it), "that ends as well")
    it.smcu.stop_daemon()
    it.smcu.start_daemon()


def ended_link_groups(it, end, mend):
    """
    Connections of both roles, under traffic and idle, when their link group ends.  To its own programs
    the kernel says ECONNABORTED, or just the end of the file: that they end is all that is asked of them.
    end: may return a program, which ends once the connections are closed.
    """
    pairs = [(begin(it, start, *words)[1], ours)
             for start, ours in ((to_guest, 1), (from_guest, 0)) for words in (STREAM, ("--hold",))]
    ending = end()
    for pair, ours in pairs[0::2]:  # the streams
        expect_reset(pair[ours])
        pair[1 - ours].wait()
    for (server, client), _ in pairs[1::2]:
        client.end_input()
        client.wait()
        server.wait()
    if ending:
        ending.succeed()
    mend()
    nothing_is_open(it)
    works_by_smc_r(it, next(two_ports))


def a_link_group_ends_when_the_guests_rnic_goes(it):
    """The kernel removes the device only when the programs have closed their connections."""
    guest = it.guests["a"]

    def mend():
        guest.run("network", "rxe", "add", "rxe0", "eth0")
        wait_until(lambda: guest.smc("devices"), "the guest has an RNIC again")
        for start in ROLES:  # these may be TCP: smcr_fallback.py
            expect_good_end(start(it, next(ports)), 500)
    ended_link_groups(it, lambda: guest.start("network", "rxe", "remove", "rxe0"), mend)


def a_link_group_ends_when_the_guests_interface_goes_down(it):
    """Now and then Linux 6.12's rdma_rxe schedules the work of a queue pair that is no more."""
    guest = it.guests["a"]

    def end():
        guest.run("network", "down", "eth0")
    try:
        ended_link_groups(it, end, lambda: guest.run("network", "up", "eth0"))
    except Failure:
        if it.panicked_in("a", "rxe_sched_task"):
            raise Unavailable("the guest's kernel panicked in rxe_sched_task") from None
        raise


CASES = [
    first_and_later_contacts,
    a_hundred_connections_end_in_random_order,
    half_closes_pass_both_ways,
    our_client_bears_with_an_accept_ten_seconds_late,
    the_kernels_client_bears_with_an_accept_four_seconds_late,
    the_kernels_client_gives_up_on_an_accept_ten_seconds_late,
    an_abort_is_an_end_at_the_other_side,
    any_of_the_four_programs_may_be_killed,
    idle_links_are_tested_by_either_side_and_used_again,
    an_idle_link_group_is_ended_by_us_in_order,
    a_link_group_ends_when_the_guests_rnic_goes,
    a_link_group_ends_when_the_guests_interface_goes_down,
]

if __name__ == "__main__":
    lab.main("smcr_ends", ["a"], CASES, before=start_smcu(), after=stop_smcu)
