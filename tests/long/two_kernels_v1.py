#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
Two guests whose kernels talk SMC-Rv1 with each other.  A stock kernel cannot over Soft-RoCE; these
have SMC modules with one condition widened (tests/interop/widen.py).
"""
# time limit: 900
# alone: the eBPF programs are one set a kernel, and guests are slow

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop"))

import lab
from capture import CLC_EYECATCHER
from lab import expect

ACCEPT, CONFIRM = 2, 3


def clc_versions(it, port):
    """(type, version) of each CLC message of a connection, in order."""
    return [(each.data[4], each.data[7] >> 4) for each in it.capture.connection(port)
            if each.data.startswith(CLC_EYECATCHER)]


def hold_and_look(it, port):
    """A connection: what the client's guest says of it, and the server's of its link group."""
    server, client = it.exchange_between("b", "a", port, "--hold")
    client.expect("held")
    seen = it.guests["a"].connection(remote_port=port)
    group, = it.guests["b"].smc("groups")
    client.end_input()
    expect(client.succeed()[-1], "done 500", "the client's last line")
    expect(server.succeed()[-1], "ended 500 eof", "the server's last line")
    return seen, group["group"]


def a_connection_without_a_common_eid_is_made_by_version_1(it):
    for guest in it.guests.values():
        guest.run("smc_netlink", "eid", "flush")
    seen, group = hold_and_look(it, 7201)
    expect(seen["mode"], "smcr", "the client's mode")
    expect("v2" in group, False, "that the link group knows of version 2")
    expect(clc_versions(it, 7201)[1:], [(ACCEPT, 1), (CONFIRM, 1)], "the answers to the proposal")


def streams_pass_by_version_1(it):
    server, client = it.exchange_between("b", "a", 7202, "--stream", "--size=65536", "--count=32")
    client.succeed()
    expect(server.succeed()[-1], f"ended {32 * 65536} eof", "the server's last line")
    expect(clc_versions(it, 7202)[1:], [(ACCEPT, 1), (CONFIRM, 1)], "the answers to the proposal")


if __name__ == "__main__":
    lab.main("two_kernels_v1", ["a", "b"], [
        a_connection_without_a_common_eid_is_made_by_version_1,
        streams_pass_by_version_1,
    ], widened=True)
