#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
Two guests whose kernels talk SMC-Rv2 with each other: that the lab carries it, with what every
end of a connection looks like.  What smcu is to do later, the kernel does here.
"""
# time limit: 600
# alone: the eBPF programs are one set a kernel, and guests are slow

import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop"))

import lab
from capture import CLC_EYECATCHER, ROCE_PORT, SMC_OPTION, cdc_connection_flags
from lab import expect, wait_until

NO_COMMON_WAY = 0x03030000  # the server's reason where the EIDs differ
PEER_DECLINED = 0x05000000  # the client's
CLC_DECLINE = 4
ABNORMAL_CLOSE = 0x20


def look(it, pair, port):
    """What both guests say of a connection that is held, and then let go: (server, client)."""
    server, client = pair
    client.expect("held")
    seen = (it.guests["b"].connection(local_port=port), it.guests["a"].connection(remote_port=port))
    groups = it.guests["b"].smc("groups")
    client.end_input()
    client.succeed()
    expect(server.succeed()[-1].split()[-1], "eof", "the end at the server")
    return seen, groups


def clc_types(it, port):
    """The types of the CLC messages of a connection, in order."""
    return [each.data[4] for each in it.capture.connection(port)
            if each.data.startswith(CLC_EYECATCHER)]


def roce_count(it):
    return len(it.capture.packets(ROCE_PORT))


def a_connection_is_made_by_smc_r_version_2(it):
    (server, client), groups = look(it, it.exchange_between("b", "a", 7001, "--hold"), 7001)
    expect((server["mode"], client["mode"]), ("smcr", "smcr"), "the modes of both ends")
    expect((server["role"], client["role"]), ("server", "client"), "the roles of both ends")
    expect([each["group"]["v2"]["eid"] for each in groups], [lab.EID], "the EID of the link group")
    expect(SMC_OPTION in it.capture.syn(7001).options, True, "an SMC option in the SYN")
    expect(SMC_OPTION in it.capture.syn_ack(7001).options, True, "an SMC option in the SYN-ACK")
    expect(clc_types(it, 7001), [1, 2, 3], "the CLC messages: proposal, accept, confirm")
    expect(roce_count(it) > 0, True, "the presence of RoCE packets")


def a_second_connection_uses_the_same_link_group(it):
    pairs = [it.exchange_between("b", "a", port, "--hold") for port in (7002, 7003)]
    for _, client in pairs:
        client.expect("held")
    group, = it.guests["b"].smc("groups")
    expect(group["group"]["connections"], 2, "the number of connections in the link group")
    for server, client in pairs:
        client.end_input()
        client.succeed()
        server.succeed()


def streams_urgent_bytes_and_half_closes_pass(it):
    before = roce_count(it)
    styles = {7010: ("--stream", "--size=65536", "--count=32"), 7011: ("--urgent",),
              7012: ("--half-close",), 7013: ("--size=1", "--count=50"),
              7014: ("--receive-buffer=16384", "--size=100000", "--stream")}
    for port, words in styles.items():
        server, client = it.exchange_between("b", "a", port, *words)
        client.succeed()
        expect(server.succeed()[-1].split()[-1], "eof", f"the end of {words[0]}")
        expect(clc_types(it, port), [1, 2, 3], f"the CLC messages of {words[0]}")
    expect(roce_count(it) - before > 2 * 32 * 64, True, "that RoCE carried the stream")


def different_eids_end_in_tcp(it):
    guest = it.guests["a"]
    guest.run("smc_netlink", "eid", "flush")
    guest.run("smc_netlink", "eid", "add", "ANOTHER-EID")
    (server, client), _ = look(it, it.exchange_between("b", "a", 7020, "--hold"), 7020)
    expect((server["mode"], server["reason"]), ("tcp", NO_COMMON_WAY), "the server's reason")
    expect((client["mode"], client["reason"], client["peer_reason"]),
           ("tcp", PEER_DECLINED, NO_COMMON_WAY), "the client's reasons")
    expect(clc_types(it, 7020), [1, CLC_DECLINE], "the CLC messages: proposal, decline")
    guest.run("smc_netlink", "eid", "flush")
    guest.run("smc_netlink", "eid", "add", lab.EID)


def a_client_killed_with_data_unread_closes_abnormally(it):
    """What the server's program then reads, an end or an error, the kernel leaves to chance."""
    server, client = it.exchange_between("b", "a", 7030, "--abort", "--size=10000", "--hold")
    client.expect("held")
    wait_until(lambda: it.guests["a"].connection(remote_port=7030)["received_producer"] ==
               [0, 5 * 10000], "the client's kernel has all of the echo")
    client.kill()
    expect(client.wait(), 128 + signal.SIGKILL, "the client's status")
    server.succeed()
    for guest in it.guests.values():
        it.capture.await_packet(ROCE_PORT, lambda each, guest=guest: each.source == guest.address
                                and cdc_connection_flags(each) & ABNORMAL_CLOSE,
                                f"an abnormal close of guest {guest.name}")


if __name__ == "__main__":
    lab.main("two_kernels", ["a", "b"], [
        a_connection_is_made_by_smc_r_version_2,
        a_second_connection_uses_the_same_link_group,
        streams_urgent_bytes_and_half_closes_pass,
        different_eids_end_in_tcp,
        a_client_killed_with_data_unread_closes_abnormally,
    ])
