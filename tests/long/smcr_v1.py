#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
smcu and the kernel's SMC by SMC-Rv1, both roles.  The guest has modules with one condition widened
(tests/interop/widen.py) and no EID; and in the end two RNICs in one network, for which its kernel, as
the server, wants a second link.
"""
# time limit: 900
# alone: the eBPF programs are one set a kernel, and guests are slow

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop"))

import lab
from capture import ROCE_PORT, sent_message
from lab import expect
from talk import (ACCEPT, CLC_TYPE_AT, CLC_VERSION_AT, CONFIRM, DECLINE, NO_COMMON_NETWORK, PROPOSAL,
                  ROLES, VERSION_1, clc, declined, expect_good_end, from_guest, guest_connection,
                  nothing_is_open, our_connection, seen_as_tcp, start_smcu, stop_smcu, to_guest,
                  works_by_smc_r)

ADD_LINK, FLAGS_AT, RESPONSE, REJECTED = 0x02, 3, 0x80, 0x40  # of LLC
OTHER_GUEST, OTHER_HOST = "10.10.0.1", "10.10.0.254"
ports = iter(range(8000, 9000))


def expect_version_1(it, port):
    expect([(each[CLC_TYPE_AT], each[CLC_VERSION_AT] >> 4) for each in clc(it, port)][1:],
           [(ACCEPT, 1), (CONFIRM, 1)], "the answers to the Proposal")


def first_and_later_contacts_are_made_by_version_1(it):
    for start in ROLES:
        pairs = [(port := next(ports), start(it, port, "--hold")) for _ in range(3)]
        for port, pair in pairs:
            pair[1].expect("held")
            expect(guest_connection(it, port)["mode"], "smcr", "the guest's mode")
            expect(our_connection(it, port)["mode"], "SMCR", "our mode")
        groups = it.smcu.show("linkgroup")
        expect([(each["version"], each["connections"]) for each in groups
                if each["connections"]], [(1, 3)], "our link groups in use")
        for port, pair in pairs:
            pair[1].end_input()
            expect_good_end(pair, 500)
            expect_version_1(it, port)


def data_passes_by_version_1(it):
    for start in ROLES:
        for words, size in ((("--stream", "--size=65536", "--count=32"), 65536 * 32),
                            (("--stream", "--size=100003", "--count=20"), 100003 * 20),
                            (("--size=1", "--count=50"), 50), (("--half-close",), 500)):
            port = next(ports)
            expect_good_end(start(it, port, *words), size)
            expect_version_1(it, port)


def add_links(it, address):
    """The flags of each ADD LINK that came from there."""
    said = [sent_message(each) for each in it.capture.packets(ROCE_PORT)
            if each.source == address]
    return [each[FLAGS_AT] for each in said if each[:1] == bytes([ADD_LINK])]


def a_second_link_is_rejected_and_the_first_one_works(it):
    it.smcu.stop_daemon()
    it.smcu.start_daemon()
    guest = it.guests["a"]
    for number in range(2):
        guest.run("smc_netlink", "pnetid", "add", "NET1", f"eth{number}")
        guest.run("smc_netlink", "pnetid", "add", "NET1", f"rxe{number}", 1)
    for start in ROLES:
        works_by_smc_r(it, next(ports), (start,))
        port = next(ports)
        expect_good_end(start(it, port, "--stream", "--size=100003", "--count=20"), 2000060)
        expect_version_1(it, port)
    asked = [each for each in add_links(it, guest.address) if not each & RESPONSE]
    answers = add_links(it, lab.HOST)
    print(f"    ADD LINK asked {len(asked)} times, answers {[hex(each) for each in answers]}",
          flush=True)
    expect(bool(asked), True, "that the kernel asked")
    expect(len(answers) > 0 and all(each & RESPONSE and each & REJECTED for each in answers), True,
           "that each answer is a rejection")


def hosts_without_a_common_network_speak_tcp(it):
    """
    The same network with another length is another network, and a proposal of version 1 names the one that the
    client's address is in.
    """
    guest = it.guests["a"]
    lab.ip("address", "add", f"{OTHER_HOST}/16", "dev", lab.BRIDGE)
    guest.run("network", "address", "eth0:1", f"{OTHER_GUEST}/24")
    for start, address in ((to_guest, OTHER_GUEST), (from_guest, OTHER_HOST)):
        port = next(ports)
        pair = start(it, port, "--hold", address=address)
        expect(seen_as_tcp(it, pair, port)["mode"], "tcp", "the guest's mode")
        declined(it, port, [PROPOSAL, DECLINE], NO_COMMON_NETWORK)
    works_by_smc_r(it, next(ports))
    next(ports)


def nothing_is_left(it):
    nothing_is_open(it)


if __name__ == "__main__":
    lab.main("smcr_v1", ["a"], [
        first_and_later_contacts_are_made_by_version_1,
        data_passes_by_version_1,
        hosts_without_a_common_network_speak_tcp,
        a_second_link_is_rejected_and_the_first_one_works,
        nothing_is_left,
    ], interfaces=2, before=start_smcu(), after=stop_smcu, **VERSION_1)
