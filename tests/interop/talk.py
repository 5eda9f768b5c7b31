# SPDX-License-Identifier: MIT
"""
smcu on the host (it.smcu) and the kernel's SMC in guest "a": connections between the two in either
role, and what both sides, and the capture, say of them.  The scripts smcr*.py share it.
"""

import lab
from capture import (CLC_EYECATCHER, ROCE_PORT, SMC_OPTION, cdc_connection_flags, packet, records)
from lab import expect, wait_until
from smcu import Smcu

PROPOSAL, ACCEPT, CONFIRM, DECLINE = 1, 2, 3, 4
CLC_TYPE_AT, CLC_VERSION_AT, DECLINE_REASON_AT = 4, 7, 16
NO_COMMON_WAY, NO_DEVICE, NO_COMMON_NETWORK = 0x03030000, 0x03030002, 0x03070000  # of a Decline
NO_CONFIRM_LINK = 0x02010000
PEER_DECLINED = 0x05000000  # the guest's reason where the other side has declined
ABNORMAL_CLOSE = 0x20  # flag of a CDC message
NO_SMC = 0x03010000  # its reason where the other side's SYN or SYN-ACK had no SMC option


def start_smcu(*options):
    """For lab.main's before."""
    def start(it):
        it.smcu = Smcu(it, *options)
    return start


def stop_smcu(it):
    """For lab.main's after."""
    if it.smcu:
        it.smcu.stop()


# For lab.main: the guest has no EID, and can do SMC-Rv1.
VERSION_1 = {"widened": True, "eid": None}


def to_guest(it, port, *words, server=(), address=None):
    """(server, client): our client at the guest's server."""
    address = address or it.guests["a"].address
    there = it.guests["a"].start("exchange", "serve", "--smc", f"--address={address}",
                                 f"--port={port}", *server)
    there.expect("listening")
    return there, it.smcu.exchange("connect", f"--address={address}", f"--port={port}", *words)


def from_guest(it, port, *words, server=(), address=lab.HOST):
    """(server, client): the guest's client at our server."""
    here = it.smcu.exchange("serve", f"--address={address}", f"--port={port}", *server)
    here.expect("listening")
    return here, it.guests["a"].start("exchange", "connect", "--smc", f"--address={address}",
                                      f"--port={port}", *words)


ROLES = (to_guest, from_guest)
STREAM = ("--stream", "--size=50000", "--count=2000")  # longer than any case lasts


def begin(it, start, port, *words, server=()):
    """(server, client) that are held by the client, or under way as a stream."""
    pair = start(it, port, *words, server=server)
    if "--hold" in words:
        pair[1].expect("held")
    else:
        wait_until(lambda: is_active(it, port), "data passes")
    return pair


def is_active(it, port):
    seen = guest_connection(it, port)
    return bool(seen and seen["state"] == "active" and
                seen.get("sent_producer", [0, 0]) != [0, 0])


def expect_reset(program):
    """A program of ours ended by an error of its connection, not in silence or as if all were well."""
    program.wait()
    expect(any(word in program.lines[-1] for word in
               ("ECONNRESET", "EPIPE", "ETIMEDOUT", "reset by peer", "Broken pipe", "timed out")),
           True, f"an error in '{program.lines[-1]}'")


def clc(it, port):
    """The CLC messages of a connection that has ended, in order; one that TCP has sent again counts once."""
    said = {(each.source, each.sequence): each.data for each in it.capture.connection(port)
            if each.data.startswith(CLC_EYECATCHER)}
    return list(said.values())


def clc_of(frame):
    """The CLC message in a frame; None if there is none."""
    segment = packet(frame)
    return segment.data if segment and segment.data.startswith(CLC_EYECATCHER) else None


def clc_types(it, port):
    return [each[CLC_TYPE_AT] for each in clc(it, port)]


def seen_as_tcp(it, pair, port):
    """Let a connection be looked at by both sides, and end well: what the guest said."""
    pair[1].expect("held")
    seen, ours = guest_connection(it, port), our_connection(it, port)
    expect(ours["mode"] if ours else "TCP", "TCP", "our mode")
    pair[1].end_input()
    expect_good_end(pair, 500)
    return seen


def declined(it, port, types, reason):
    """The CLC messages of the connection, and the reason in the last of them, a Decline."""
    said = clc(it, port)
    expect([each[CLC_TYPE_AT] for each in said], types, "the CLC messages")
    got = int.from_bytes(said[-1][DECLINE_REASON_AT:DECLINE_REASON_AT + 4], "big")
    expect(hex(got), hex(reason), "the reason of the Decline")


def expect_rendezvous(it, port):
    for segment, name in ((it.capture.syn(port), "SYN"), (it.capture.syn_ack(port), "SYN-ACK")):
        expect(SMC_OPTION in segment.options, True,
               f"an SMC option in the {name} from {segment.source}, port {port}")
    expect(clc_types(it, port), [PROPOSAL, ACCEPT, CONFIRM], "the CLC messages")


def only_version_1_was_spoken(it):
    """A case for the end of a script: what all the Accepts and Confirms of its capture say."""
    said = [clc for clc in map(clc_of, records(it.capture.path)) if clc]
    versions = {each[CLC_VERSION_AT] >> 4 for each in said
                if each[CLC_TYPE_AT] in (ACCEPT, CONFIRM)}
    expect(versions, {1}, "the versions of all Accepts and Confirms")


def main_by_version_1(name, cases):
    """A script of @cases that others have too, with one guest and by SMC-Rv1."""
    lab.main(name, ["a"], [*cases, only_version_1_was_spoken],
             before=start_smcu(), after=stop_smcu, **VERSION_1)


def abort(it, start, port, *words):
    """
    A connection that its client aborts: the server's last word.  If we are the client the capture must show an
    abnormal close of ours.
    """
    before = len(it.capture.packets(ROCE_PORT))
    server, client = start(it, port, *words, "--abort")
    client.succeed()
    server.succeed()
    if start is to_guest:
        it.capture.await_packet(ROCE_PORT, lambda each: each.source == lab.HOST and
                                cdc_connection_flags(each) & ABNORMAL_CLOSE, "an abnormal close of ours", before)
    return server.lines[-1].split()[-1]


def expect_good_end(pair, size):
    """The client got back all that it sent, and the server saw the same and its end."""
    server, client = pair
    expect(client.succeed()[-1], f"done {size}", "the client's last line")
    expect(server.succeed()[-1], f"ended {size} eof", "the server's last line")


def guest_connection(it, port):
    """The guest's SMC socket to or from that port, for either role; None if there is none."""
    for each in it.guests["a"].smc("sockets"):
        if each["state"] != "listen" and port in (each["local_port"], each["remote_port"]):
            return each
    return None


def our_connection(it, port):
    """What smcu says of it; None if it knows none."""
    for each in it.smcu.show("ss"):
        if each["mode"] and port in (each["local"]["port"], each["peer"]["port"]):
            return each
    return None


def look(it, pair, **which):
    """What the guest says of a connection that is held, and then let go."""
    pair[1].expect("held")
    seen = it.guests["a"].connection(**which)
    pair[1].end_input()
    expect_good_end(pair, 500)
    return seen


def works_by_smc_r(it, port, roles=ROLES):
    """New connections are SMC-R and carry data."""
    for start in roles:
        pair = start(it, port, "--hold")
        pair[1].expect("held")
        expect(guest_connection(it, port)["mode"], "smcr", f"the mode in {start.__name__}")
        pair[1].end_input()
        expect_good_end(pair, 500)
        port += 1


def nothing_is_open(it):
    """No connection is left in a link group of either side."""
    wait_until(lambda: all(each["group"]["connections"] == 0
                           for each in it.guests["a"].smc("groups")),
               "the guest's link groups have no connections")
    wait_until(lambda: all(each["connections"] == 0 for each in it.smcu.show("linkgroup")),
               "our link groups have no connections")
