#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
One guest whose kernel has SMC, and ordinary TCP programs on the host: every connection becomes TCP,
and the guest says why.  It is what a host without smcu is to the kernel, and it proves the lab.
"""
# time limit: 600

import lab
from capture import CLC_EYECATCHER, SMC_OPTION
from lab import expect

NO_SMC = 0x03010000  # the other side's SYN or SYN-ACK had no SMC option
STYLES = {  # what the programs do, each on a port of its own
    6010: ("--half-close",),
    6011: ("--urgent",),
    6012: ("--stream", "--size=100000", "--count=10"),
    6013: ("--abort",),
}


def from_guest(it, port, *words):
    """(server, client): the guest's AF_SMC client at a plain TCP server of the host."""
    server = it.exchange("serve", f"--address={lab.HOST}", f"--port={port}")
    server.expect("listening")
    return server, it.guests["a"].start("exchange", "connect", "--smc", f"--address={lab.HOST}",
                                        f"--port={port}", *words)


def from_host(it, port, *words):
    """(server, client): a plain TCP client of the host at the guest's AF_SMC server."""
    address = it.guests["a"].address
    server = it.guests["a"].start("exchange", "serve", "--smc", f"--address={address}",
                                  f"--port={port}")
    server.expect("listening")
    return server, it.exchange("connect", f"--address={address}", f"--port={port}", *words)


def exchange_and_look(it, pair, **which):
    """Let a connection live until the guest has been asked about it; what it said."""
    server, client = pair
    client.expect("held")
    seen = it.guests["a"].connection(**which)
    client.end_input()
    expect(client.succeed()[-1], "done 500", "the client's last line")
    expect(server.succeed()[-1], "ended 500 eof", "the server's last line")
    return seen


def expect_options(it, port, syn, syn_ack):
    """Does the SMC option stand in the SYN and in the SYN-ACK?  And no CLC was said."""
    expect(SMC_OPTION in it.capture.syn(port).options, syn, "an SMC option in the SYN")
    expect(SMC_OPTION in it.capture.syn_ack(port).options, syn_ack, "an SMC option in the SYN-ACK")
    said = [each for each in it.capture.connection(port) if each.data.startswith(CLC_EYECATCHER)]
    expect(said, [], "what was said in CLC")


def exchange_in_styles(it, start):
    for port, words in STYLES.items():
        server, client = start(it, port, *words)
        client.succeed()
        server.succeed()
        ending = "ECONNRESET" if "--abort" in words else "eof"
        expect(server.lines[-1].split()[-1], ending, f"the end of {words[0]}")
        if "--urgent" in words:
            expect("urgent 85" in server.lines, True, "the urgent byte at the server")
            expect("urgent 85" in client.lines, True, "the urgent byte at the client")


def the_guest_tells_what_it_was_told(it):
    guest = it.guests["a"]
    expect(guest.smc("eid", "list"), [{"eid": lab.EID}], "the list of EIDs")
    guest.run("smc_netlink", "pnetid", "add", "NET1", "eth0")
    entry, = guest.smc("pnetid", "list")
    expect((entry["pnetid"], entry["interface"]), ("NET1", "eth0"), "the PNETID")
    guest.run("smc_netlink", "pnetid", "flush")
    expect(guest.smc("pnetid", "list"), [], "the list of PNETIDs after the flush")
    device, = guest.smc("devices")
    expect(device["device"]["name"], "rxe0", "the RDMA device")
    expect(guest.smc("groups"), [], "the list of link groups")


def a_client_with_smc_becomes_tcp_at_a_plain_server(it):
    seen = exchange_and_look(it, from_guest(it, 6001, "--hold"), remote_port=6001)
    expect((seen["mode"], seen["reason"]), ("tcp", NO_SMC), "the client's mode and reason")
    expect_options(it, 6001, syn=True, syn_ack=False)


def a_plain_client_is_served_by_a_server_with_smc(it):
    seen = exchange_and_look(it, from_host(it, 6002, "--hold"), local_port=6002)
    expect((seen["mode"], seen["reason"]), ("tcp", NO_SMC), "the server's mode and reason")
    expect_options(it, 6002, syn=False, syn_ack=False)


def urgent_bytes_half_closes_streams_and_aborts_pass_from_the_guest(it):
    exchange_in_styles(it, from_guest)


def urgent_bytes_half_closes_streams_and_aborts_pass_from_the_host(it):
    exchange_in_styles(it, from_host)


if __name__ == "__main__":
    lab.main("fallback", ["a"], [
        the_guest_tells_what_it_was_told,
        a_client_with_smc_becomes_tcp_at_a_plain_server,
        a_plain_client_is_served_by_a_server_with_smc,
        urgent_bytes_half_closes_streams_and_aborts_pass_from_the_guest,
        urgent_bytes_half_closes_streams_and_aborts_pass_from_the_host,
    ])
