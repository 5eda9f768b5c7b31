#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
A guest whose kernel has two RNICs in one network, and smcu with one, by SMC-Rv2: smcu says that it takes
one link a group, so the kernel asks for no second one, and connections work.  (smcr_v1 has the case
where it asks.)
"""
# time limit: 600
# alone: the eBPF programs are one set a kernel, and guests are slow

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop"))

import lab
from capture import ROCE_PORT, sent_message
from lab import expect
from talk import (ROLES, expect_good_end, expect_rendezvous, nothing_is_open, start_smcu, stop_smcu,
                  works_by_smc_r)

ADD_LINK = 0x22  # type of LLC in v2
ports = iter(range(8000, 9000))


def connections_work_where_the_kernel_has_two_rnics(it):
    for number in range(2):
        it.guests["a"].run("smc_netlink", "pnetid", "add", "NET1", f"eth{number}")
        it.guests["a"].run("smc_netlink", "pnetid", "add", "NET1", f"rxe{number}", 1)
    for start in ROLES:
        works_by_smc_r(it, next(ports), (start,))
        port = next(ports)
        expect_good_end(start(it, port, "--stream", "--size=100003", "--count=20"), 2000060)
        expect_rendezvous(it, port)
    links = [each["link"]["device"] for each in it.guests["a"].smc("links") if "link" in each]
    expect(len(links), len(it.guests["a"].smc("groups")), "the number of links of all groups")


def no_second_link_is_asked_for(it):
    said = [sent_message(each)[:1] for each in it.capture.packets(ROCE_PORT)]
    expect(bytes([ADD_LINK]) in said, False, "that somebody said ADD LINK")


def nothing_is_left(it):
    nothing_is_open(it)


if __name__ == "__main__":
    lab.main("smcr_two_rnics", ["a"], [
        connections_work_where_the_kernel_has_two_rnics,
        no_second_link_is_asked_for,
        nothing_is_left,
    ], interfaces=2, before=start_smcu(), after=stop_smcu)
