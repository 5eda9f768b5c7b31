#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
Two guests with two RNICs each: the link group gets a second link, and a connection goes on over it
when the first is cut.
"""
# time limit: 600
# alone: the eBPF programs are one set a kernel, and guests are slow

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop"))

import lab
from lab import expect, wait_until


def name_networks(it):
    """Both interfaces of both guests are in one physical network, so that SMC uses either."""
    for guest in it.guests.values():
        for number in range(2):
            guest.run("smc_netlink", "pnetid", "add", "NET1", f"eth{number}")
            guest.run("smc_netlink", "pnetid", "add", "NET1", f"rxe{number}", 1)


def link_devices(guest):
    """The RDMA devices of the links of the guest's only link group."""
    return [each["link"]["device"] for each in guest.smc("links") if "link" in each]


def a_link_group_gets_a_second_link(it):
    name_networks(it)
    server, client = it.exchange_between("b", "a", 7101, "--hold")
    client.expect("held")
    for guest in it.guests.values():
        wait_until(lambda guest=guest: sorted(link_devices(guest)) == ["rxe0", "rxe1"],
                   f"guest {guest.name} has two links")
    client.end_input()
    client.succeed()
    server.succeed()


def a_connection_survives_the_loss_of_its_link(it):
    """The loss is silent: only the test of the link, every three seconds, finds it."""
    server, client = it.exchange_between("b", "a", 7102, "--size=1000", "--count=100",
                                         "--delay=100")
    client.expect("connected")
    used = it.guests["a"].connection(remote_port=7102)["device"]
    other = {"rxe0": "rxe1", "rxe1": "rxe0"}[used]
    it.cut("a", int(used[-1]))
    wait_until(lambda: it.guests["a"].connection(remote_port=7102)["device"] == other,
               "the connection has gone to the other link")
    it.mend("a", int(used[-1]))
    expect(client.succeed()[-1], "done 100000", "the client's last line")
    expect(server.succeed()[-1], "ended 100000 eof", "the server's last line")


if __name__ == "__main__":
    lab.main("two_links", ["a", "b"], [
        a_link_group_gets_a_second_link,
        a_connection_survives_the_loss_of_its_link,
    ], interfaces=2)
