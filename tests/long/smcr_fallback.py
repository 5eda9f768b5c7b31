#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
Connections between smcu and the kernel's SMC that stay TCP, in both roles, and why: no common EID, no
RNIC on one side, a side without SMC, IPv6.  The data arrives as it is, and SMC-R works afterwards.
"""
# time limit: 900
# alone: the eBPF programs are one set a kernel, and guests are slow

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop"))

import lab
from capture import ROCE_PORT, SMC_OPTION
from lab import expect, wait_until
from talk import (ACCEPT, CONFIRM, DECLINE, NO_COMMON_WAY, NO_CONFIRM_LINK, NO_DEVICE, NO_SMC,
                  PEER_DECLINED, PROPOSAL, ROLES, clc, declined, expect_good_end,
                  from_guest, seen_as_tcp, start_smcu, stop_smcu, to_guest, works_by_smc_r)

GUEST6, HOST6 = "fd00:9::1", "fd00:9::254"
ports = iter(range(8000, 9000))


def hosts_without_a_common_eid_speak_tcp(it):
    it.smcu.stop_daemon()
    it.smcu.start_daemon(eid="ANOTHER-EID")
    for start in ROLES:
        port = next(ports)
        seen = seen_as_tcp(it, start(it, port, "--hold"), port)
        expect(seen["mode"], "tcp", "the guest's mode")
        declined(it, port, [PROPOSAL, DECLINE], NO_COMMON_WAY)
        expect((seen["reason"], seen["peer_reason"]),
               (NO_COMMON_WAY, 0) if start is to_guest else (PEER_DECLINED, NO_COMMON_WAY),
               "the guest's reasons")
    it.smcu.stop_daemon()
    it.smcu.start_daemon()
    works_by_smc_r(it, 8900)


def smcu_without_an_rnic_offers_nothing(it):
    it.smcu.stop_daemon()
    it.smcu.start_daemon(rnic=False)
    for start in ROLES:
        port = next(ports)
        seen = seen_as_tcp(it, start(it, port, "--hold"), port)
        expect((seen["mode"], seen["reason"]), ("tcp", NO_SMC), "the guest's mode and reason")
        expect(clc(it, port), [], "what was said in CLC")
    it.smcu.stop_daemon()
    it.smcu.start_daemon()
    works_by_smc_r(it, 8902)


def a_kernel_without_an_rnic_declines(it):
    guest = it.guests["a"]
    works_by_smc_r(it, 8910)
    guest.run("network", "rxe", "remove", "rxe0")
    port = next(ports)
    seen = seen_as_tcp(it, to_guest(it, port, "--hold"), port)
    expect((seen["mode"], seen["reason"]), ("tcp", NO_DEVICE), "the guest's mode and reason")
    declined(it, port, [PROPOSAL, DECLINE], NO_DEVICE)
    port = next(ports)
    seen = seen_as_tcp(it, from_guest(it, port, "--hold"), port)
    expect((seen["mode"], seen["reason"]), ("tcp", NO_COMMON_WAY), "the guest's mode and reason")
    declined(it, port, [DECLINE], NO_COMMON_WAY)
    guest.run("network", "rxe", "add", "rxe0", "eth0")
    wait_until(lambda: guest.smc("devices"), "the guest has an RNIC again")
    # The kernel has told nobody that its links are gone: who next uses a group finds out, and is TCP.
    for start in ROLES:
        expect_good_end(start(it, next(ports)), 500)
    works_by_smc_r(it, 8904)


def block_roce():
    """On our side, both ways."""
    rules = "table inet wall {\n" + "".join(
        f"chain {hook} {{ type filter hook {hook} priority 0; udp dport {ROCE_PORT} drop; }}\n"
        for hook in ("input", "output")) + "}\n"
    subprocess.run(["nft", "-f", "-"], input=rules.encode(), check=True)


def unblock_roce():
    subprocess.run(["nft", "delete", "table", "inet", "wall"], check=True)


def unreached_by_roce(it, start):
    """One of the two gives up first, and the other has waited for that: a second Decline would be data."""
    it.smcu.stop_daemon()
    it.smcu.start_daemon()
    block_roce()
    try:
        port = next(ports)
        expect(seen_as_tcp(it, start(it, port, "--hold"), port)["mode"], "tcp", "the guest's mode")
        declined(it, port, [PROPOSAL, ACCEPT, CONFIRM, DECLINE], NO_CONFIRM_LINK)
    finally:
        unblock_roce()


def a_link_of_the_kernels_server_that_roce_does_not_reach_is_declined(it):
    unreached_by_roce(it, to_guest)
    works_by_smc_r(it, 8908)


def a_link_of_ours_that_roce_does_not_reach_is_declined(it):
    unreached_by_roce(it, from_guest)
    works_by_smc_r(it, 8912)


def a_side_without_smc_gets_tcp(it):
    """Programs of the guest that use TCP with ours, and a program of the host without smcu."""
    guest, address = it.guests["a"], it.guests["a"].address
    port = next(ports)
    there = guest.start("exchange", "serve", f"--address={address}", f"--port={port}")
    there.expect("listening")
    expect_good_end((there, it.smcu.exchange("connect", f"--address={address}", f"--port={port}")),
                    500)
    expect(SMC_OPTION in it.capture.syn(port).options, True, "an SMC option in our SYN")
    expect(SMC_OPTION in it.capture.syn_ack(port).options, False, "one in the guest's SYN-ACK")
    expect(clc(it, port), [], "what was said in CLC")
    port = next(ports)
    here = it.smcu.exchange("serve", f"--address={lab.HOST}", f"--port={port}")
    here.expect("listening")
    expect_good_end((here, guest.start("exchange", "connect", f"--address={lab.HOST}",
                                       f"--port={port}")), 500)
    expect(SMC_OPTION in it.capture.syn_ack(port).options, False, "an SMC option in our SYN-ACK")
    port = next(ports)
    here = it.exchange("serve", f"--address={lab.HOST}", f"--port={port}")
    here.expect("listening")
    pair = here, guest.start("exchange", "connect", "--smc", f"--address={lab.HOST}",
                             f"--port={port}", "--hold")
    expect(seen_as_tcp(it, pair, port)["reason"], NO_SMC, "the guest's reason")


def both_sides_speak_ipv6_by_tcp(it):
    """
    SMC-Rv2 is for IPv4 in Linux, and v1 needs a RoCE version 1 GID: over IPv6 the stock kernel can
    only fall back.  The capture's helpers read IPv4, so the whole of it is searched.
    """
    guest = it.guests["a"]
    lab.ip("address", "add", f"{HOST6}/64", "dev", lab.BRIDGE, "nodad")
    guest.write("/proc/sys/net/ipv6/conf/eth0/accept_dad", 0)
    guest.run("network", "address", "eth0", f"{GUEST6}/64")
    for start, address in ((to_guest, GUEST6), (from_guest, HOST6)):
        for words, size in ((("--hold",), 500), (("--stream", "--size=65536", "--count=32"), 2097152)):
            port = next(ports)
            pair = start(it, port, *words, address=address)
            if size == 500:
                expect(seen_as_tcp(it, pair, port)["mode"], "tcp", "the guest's mode")
            else:
                expect_good_end(pair, size)
    works_by_smc_r(it, 8906)


def no_application_sees_clc(it):
    """What programs read was checked by them; the log has their words."""
    with open(os.path.join(it.directory, "host.log"), encoding="utf-8", errors="replace") as log:
        expect("wrong at" in log.read(), False, "that a program read something wrong")


if __name__ == "__main__":
    lab.main("smcr_fallback", ["a"], [
        hosts_without_a_common_eid_speak_tcp,
        smcu_without_an_rnic_offers_nothing,
        a_kernel_without_an_rnic_declines,
        a_link_of_the_kernels_server_that_roce_does_not_reach_is_declined,
        a_link_of_ours_that_roce_does_not_reach_is_declined,
        a_side_without_smc_gets_tcp,
        both_sides_speak_ipv6_by_tcp,
        no_application_sees_clc,
    ], before=start_smcu(), after=stop_smcu)
