#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
A peer that means ill: it makes an SMC-R connection as it should, by a RoCE of its own, and then sends what nobody
should.

  remote_hostile.py connect VERSION OWN ADDRESS PORT [SEED]   to one that echoes, a connection for each thing that
                                                        it does
  remote_hostile.py serve   VERSION OWN ADDRESS PORT [SEED]   for one there that connects again and again
                                                        (remote_peer.py short)

It prints "things N" and "did NAME" for each of them, "proper" where a connection without malice got its data
over, and as a client how many link groups in the making it was given at once: "accepted N declined M".
"""
import random
import socket
import struct
import sys
import time

from hostile_end import (ACK, ADD_LINK, ADD_LINK_MORE, CDC, CONFIRM_RKEY, CONFIRM_RKEY_MORE, DELETE_LINK,
                         DELETE_RKEY, EYECATCHER, NO_EYECATCHER, OFFER, OPTION_ASK, OPTION_LEVEL, READ,
                         REQUEST_ADD_LINK, RESPONSE, RKEY, SEND, TEST_LINK, WRITE, Client, Self, Server)

AT_ONCE = 60  # connections in the making
PATIENCE = 90  # seconds until a client comes


# --- what it does ---


def got(peer, length):
    """What was written to us: so many bytes of it, when it is there."""
    end = time.monotonic() + 10
    while len(whole := b"".join(peer.written[place] for place in sorted(peer.written))) < length:
        peer.message(end - time.monotonic())
    return whole


def proper_client(peer):
    """Its echo."""
    peer.write(peer.address, b"a proper question")
    peer.cursor((0, 17))
    if got(peer, 17) != b"a proper question":
        raise ValueError("another answer")
    peer.cursor((0, 17), (0, 17), state=0xC0)


def proper_server(peer):
    """As remote_peer.py short asks."""
    length = len(b"connection %6d " % 0 * 4)
    question = got(peer, length)
    peer.write(peer.address, question)
    peer.cursor((0, length), (0, length))
    peer.drain(0.5)
    peer.cursor((0, length), (0, length), state=0xC0)
    peer.drain(0.5)


def bad_tokens(peer):
    for token in (bytes(4), b"\xff" * 4, *(peer.dice.randbytes(4) for _ in range(50))):
        peer.cursor((0, 100), token=token)


def bad_cursors(peer):
    size = peer.size
    for produced, consumed in (((0, size + 1), (0, 0)), ((0, 0xFFFFFFFF), (0, 0)), ((0xFFFF, 5), (0, 0)),
                               ((2, 0), (0, 0)), ((0, 10), (0, 11)), ((0, 5), (0xFFFF, 0xFFFFFFFF)),
                               ((0, 3), (7, 7))):
        peer.cursor(produced, consumed)


def cursors_back(peer):
    peer.cursor((0, 4000))
    peer.cursor((0, 3000))
    peer.cursor((0, 0))


def rubbish_cursors(peer):
    for _ in range(200):
        peer.message_out(bytes([CDC, 44]) + peer.dice.randbytes(2) + peer.token + peer.dice.randbytes(36))


def same_message_twice(peer):
    for _ in range(50):
        peer.cursor((0, 10), count=1)


def bad_lengths(peer):
    for length in (0, 1, 4, 43, 45, 100, 1000):
        peer.cursor((0, 10), length=length)
    for kind in range(256):
        peer.message_out(bytes([kind, peer.dice.randrange(256)]))
    for kind in range(1, 10):
        for length in (4, 5, 43, 45, 46, 500, 1000):
            peer.llc(kind, peer.dice.randbytes(40), length=length)


def too_long_a_message(peer):
    peer.request(0x00, peer.dice.randbytes(1024))
    for _ in range(40):
        peer.request(0x01, peer.dice.randbytes(1024))
    peer.request(0x02, b"end")


def every_message(peer):
    for kind in range(256):
        for flags in (0x00, 0x80, 0xE0):
            peer.message_out(bytes([kind, 44, 0, flags]) + peer.dice.randbytes(40))
            peer.message_out(bytes([kind, 0, 44, flags]) + peer.dice.randbytes(40))


def many_keys(peer):
    for number in range(400):
        peer.llc(CONFIRM_RKEY, struct.pack(">BIQ", 0, number, number))


def keys_of_other_links(peer):
    for count in (1, 2, 3, 255):
        peer.llc(CONFIRM_RKEY, struct.pack(">BIQ", count, 5, 5) + peer.dice.randbytes(26))
        peer.llc(CONFIRM_RKEY_MORE, bytes([count]) + peer.dice.randbytes(39))


def links_added(peer):
    """Of those that a server may ask for, and answers that nobody has asked for."""
    end = peer.name[2:] + bytes(2) + peer.gid + peer.pair.to_bytes(3, "big")
    for flags in (0, RESPONSE, RESPONSE | 0x40):
        for link in (0, 1, 2, 255):
            peer.llc(ADD_LINK, end + bytes([link, 3]) + peer.dice.randbytes(3), flags)
            peer.llc(ADD_LINK_MORE, bytes([link, 255]) + peer.dice.randbytes(38), flags)
            peer.llc(REQUEST_ADD_LINK, bytes(20) + bytes([link]), flags)


def delete_keys(peer):
    for count in (0, 1, 8, 9, 255):
        peer.llc(DELETE_RKEY, bytes([count]) + peer.dice.randbytes(30))
    peer.write(peer.address, b"x" * 500)
    peer.cursor((0, 500))


def delete_own_key(peer):
    peer.llc(DELETE_RKEY, bytes([1, 0, 0, 0]) + struct.pack(">I", RKEY))
    peer.write(peer.address, b"x" * 500)
    peer.cursor((0, 500))


def delete_link_of_others(peer):
    for number in range(256):
        peer.llc(DELETE_LINK, bytes([number]))


def delete_all(peer):
    peer.llc(DELETE_LINK, flags=0x40)
    peer.cursor((0, 10))


def confirm_link_again(peer):
    for _ in range(10):
        for message in peer.link_messages():
            peer.message_out(message)


def test_storm(peer):
    for _ in range(2000):
        peer.llc(TEST_LINK)


def wrong_write(place=0, key=0, length=None, data=b"!" * 512):
    """Outside, or with a key of somebody else: each on a connection of its own, as it is the end of it."""
    def act(peer):
        where = {"end": peer.address + peer.size - 8, "before": peer.address - 8, "after": peer.address + peer.size,
                 "far": peer.address + (1 << 40), "top": (1 << 64) - 16, "zero": 0}.get(place, peer.address)
        peer.write(where, data, peer.key + key, length)
    return act


def guessed_keys(peer):
    for number in range(256):
        peer.write(peer.address, b"!" * 64, key=peer.key - peer.key % 256 + number if number % 2 else number << 8)
        peer.sent = peer.sent - 1 & 0xFFFFFF


def every_opcode(peer):
    for opcode in range(256):
        peer.roce.send(opcode, peer.their_pair, peer.sent, struct.pack(">QII", peer.address, peer.key, 64) + bytes(64))


def read_and_atomics(peer):
    for opcode in (READ, 0x13, 0x14, 0x17, 0x1C, 0x1D):
        peer.roce.send(opcode, peer.their_pair, peer.sent, struct.pack(">QII", peer.address, peer.key, 64) + bytes(12))


def wrong_sequences(peer):
    for distance in (-1, -2, -1000, 1, 2, 1000, 1 << 23, (1 << 23) - 1):
        peer.roce.send(SEND, peer.their_pair, peer.sent + distance, bytes(44))
        peer.roce.send(WRITE, peer.their_pair, peer.sent + distance,
                       struct.pack(">QII", peer.address, peer.key, 8) + b"!" * 8)


def wrong_acknowledgements(peer):
    peer.write(peer.address, b"q" * 8000)
    peer.cursor((0, 8000))
    for _ in range(300):
        peer.roce.send(ACK, peer.their_pair, peer.dice.randrange(1 << 24),
                       struct.pack(">I", 0x1F << 24 | peer.dice.randrange(1 << 24)))


def every_syndrome(peer):
    for syndrome in range(256):
        peer.roce.send(ACK, peer.their_pair, peer.expected + peer.dice.randrange(4),
                       struct.pack(">I", syndrome << 24))


def broken_packets(peer):
    for _ in range(300):
        peer.roce.raw(peer.dice.randbytes(peer.dice.randrange(0, 200)))
        peer.roce.send(peer.dice.randrange(0x12), peer.their_pair, peer.sent,
                       peer.dice.randbytes(4 * peer.dice.randrange(0, 30)), pad=peer.dice.randrange(4),
                       spoil=peer.dice.randrange(2))


def wrong_pairs(peer):
    for _ in range(500):
        peer.roce.send(SEND, peer.their_pair + peer.dice.randrange(-50, 50), peer.dice.randrange(1 << 24), bytes(44))


def clc_in_the_middle(peer):
    # (at once: the other side may have had enough after the first)
    peer.talk.sendall(peer.side() + EYECATCHER + peer.dice.randbytes(300))


def data_after_the_end(peer):
    peer.cursor((0, 0), state=0xE0)
    for number in range(50):
        peer.write(peer.address, b"late")
        peer.cursor((0, 4 + number), state=number)


def data_after_tcp(peer):
    peer.talk.close()
    for number in range(50):
        peer.write(peer.address, b"late")
        peer.cursor((0, 4 + number))


ON_A_CONNECTION = {
    "bad_tokens": bad_tokens, "bad_cursors": bad_cursors, "cursors_back": cursors_back,
    "rubbish_cursors": rubbish_cursors, "keys_of_other_links": keys_of_other_links, "links_added": links_added,
    "same_message_twice": same_message_twice, "bad_lengths": bad_lengths,
    "too_long_a_message": too_long_a_message, "every_message": every_message, "many_keys": many_keys,
    "delete_keys": delete_keys, "delete_own_key": delete_own_key, "delete_link_of_others": delete_link_of_others,
    "delete_all": delete_all, "confirm_link_again": confirm_link_again, "test_storm": test_storm,
    "write_over_the_end": wrong_write("end"), "write_before": wrong_write("before"),
    "write_after": wrong_write("after"), "write_far": wrong_write("far"), "write_at_the_top": wrong_write("top"),
    "write_at_zero": wrong_write("zero"), "write_with_a_wrong_key": wrong_write(key=1),
    "write_too_long": wrong_write(length=1 << 31), "write_too_short": wrong_write(length=8),
    "write_of_nothing": wrong_write(key=7, length=0, data=b""), "guessed_keys": guessed_keys,
    "every_opcode": every_opcode, "read_and_atomics": read_and_atomics, "wrong_sequences": wrong_sequences,
    "wrong_acknowledgements": wrong_acknowledgements, "every_syndrome": every_syndrome,
    "broken_packets": broken_packets, "wrong_pairs": wrong_pairs, "clc_in_the_middle": clc_in_the_middle,
    "data_after_the_end": data_after_the_end, "data_after_tcp": data_after_tcp,
}


def implausible(place, what):
    """In the Accept or Confirm: a link group that cannot be."""
    def act(peer):
        peer.begin()
        side = bytearray(peer.side())
        side[place:place + len(what)] = what
        peer.talk.sendall(side)
        peer.drain(0.2)
    return act


IMPLAUSIBLE = {
    "no_pair": implausible(38, bytes(3)), "no_element": implausible(45, b"\0"),
    "the_last_element": implausible(45, b"\xff"),
    "no_token": implausible(46, bytes(4)), "no_mtu": implausible(50, b"\x30"),
    "a_mtu_too_large": implausible(50, b"\x3f"),
    "the_largest_element": implausible(50, b"\xf3"), "an_address_at_the_top": implausible(52, b"\xff" * 8),
    "no_gid": implausible(16, bytes(16)), "a_gid_of_many": implausible(16, b"\xff" + bytes(15)),
}
# A server that gives no answer at all is not asked again: remote_rogue.py
UNINTELLIGIBLE = {"another_kind": implausible(4, b"\7"), "another_version": implausible(7, b"\x38"),
                  "no_end": implausible(6, b"\xff")}


# --- a client, in the rendezvous ---


def before_the_confirm(peer):
    peer.begin()
    peer.write(peer.address, b"early")
    peer.cursor((0, 5))
    peer.talk.sendall(peer.side())


def before_the_link(peer):
    peer.begin()
    peer.talk.sendall(peer.side())
    request = peer.message()
    peer.cursor((0, 5))
    every_message(peer)
    peer.message_out(peer.answer_link(request))


def confirm_of_another_pair(peer):
    peer.begin()
    peer.pair ^= 0xFFFFFF
    peer.talk.sendall(peer.side())


def confirm_twice(peer):
    peer.begin()
    peer.talk.sendall(peer.side() * 2)


OF_A_CLIENT = {"before_the_confirm": before_the_confirm, "before_the_link": before_the_link,
               "confirm_of_another_pair": confirm_of_another_pair, "confirm_twice": confirm_twice}


# --- a server, in the rendezvous ---


def accept_twice(peer):
    peer.begin()
    if peer.accept(peer.side() * 2):
        peer.confirm_link()


def before_the_link_request(peer):
    peer.begin()
    if not peer.accept():
        return
    peer.write(peer.address, b"early")
    peer.cursor((0, 5))
    every_message(peer)
    peer.message_out(peer.link_request())


def link_answered_unasked(peer):
    peer.begin()
    if not peer.accept():
        return
    peer.message_out(peer.link_message(RESPONSE | NO_EYECATCHER, 1, bytes([1])))


def link_of(**what):
    """The link that is to be confirmed is not the one of the Accept."""
    def act(peer):
        peer.begin()
        if not peer.accept():
            return
        for name, value in what.items():
            setattr(peer, name, value)
        peer.message_out(peer.link_request())
    return act


def link_without_a_number(peer):
    peer.begin()
    if not peer.accept():
        return
    peer.message_out(peer.link_message(NO_EYECATCHER, 0, bytes([1])))


def link_asked_for_again_and_again(peer):
    peer.begin()
    if not peer.accept():
        return
    for _ in range(20):
        peer.message_out(peer.link_request())


def decline_behind_the_accept(peer):
    peer.begin()
    said = EYECATCHER + struct.pack(">BHB", 4, 28, 0x10) + peer.name + bytes.fromhex("0999000000000000") + EYECATCHER
    peer.talk.sendall(peer.side() + said)


OF_A_SERVER = {"accept_twice": accept_twice, "before_the_link_request": before_the_link_request,
               "link_answered_unasked": link_answered_unasked, "link_of_another_pair": link_of(pair=77),
               "link_of_another_gid": link_of(gid=b"\xfe" * 16), "link_of_another_adapter": link_of(name=b"\2" * 8),
               "link_without_a_number": link_without_a_number,
               "link_asked_for_again_and_again": link_asked_for_again_and_again,
               "decline_behind_the_accept": decline_behind_the_accept}


def many_at_once(new):
    """Of a client: none goes beyond its Proposal."""
    time.sleep(4)  # until none of those is waited for any more
    waiting = [new() for _ in range(AT_ONCE)]
    for peer in waiting:
        peer.propose()
    answers = [peer.accepted() for peer in waiting]
    print("accepted", answers.count(True), "declined", answers.count(False), flush=True)
    for peer in waiting:
        peer.talk.close()
    time.sleep(1)


def do_all(new, proper, things):
    """new: begins a connection; proper: what is done on the first of them; things: by name."""
    proper(new().establish())
    print("proper", flush=True)
    for name, act in things.items():
        peer = new()
        try:
            if name in ON_A_CONNECTION:
                peer.establish()
            act(peer)
            print("did", name, flush=True)
        except (ConnectionError, TimeoutError) as error:  # the other side has had enough
            if name in ON_A_CONNECTION:
                raise
            print("did", name, "until", type(error).__name__, flush=True)
        peer.close()


def serve(own, port, things):
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(OPTION_LEVEL, OPTION_ASK, struct.pack("I", OFFER))
        listener.bind((own.address, port))
        listener.listen()
        listener.settimeout(PATIENCE)
        do_all(lambda: Server(own, listener.accept()[0]), proper_server, things)
        proper_server(Server(own, listener.accept()[0]).establish())


def connect(own, address, port, things):
    def new():
        return Client(own, address, port)

    do_all(new, proper_client, things)
    many_at_once(new)
    proper_client(new().establish())


def main():
    role, version, address, other, port = sys.argv[1:6]
    seed = int(sys.argv[6]) if len(sys.argv) > 6 else 1
    # Their number: the other side may still know who was there before
    own = Self(address, other, int(version), seed << 10 | (role == "serve") << 9 | (int(version) - 1) << 8,
               random.Random(seed))
    things = ON_A_CONNECTION | IMPLAUSIBLE | (OF_A_SERVER if role == "serve" else OF_A_CLIENT | UNINTELLIGIBLE)
    print("things", len(things), flush=True)
    if role == "serve":
        serve(own, int(port), things)
    else:
        connect(own, other, int(port), things)
    print("proper", flush=True)


if __name__ == "__main__":
    main()
