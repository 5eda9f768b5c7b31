#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
A peer that means ill: it makes an SMC-R connection as it should, by a RoCE of its own, and then sends what nobody
should.

  remote_hostile.py OWN ADDRESS PORT [SEED]   to one that echoes, a connection for each thing that it does

It prints "did NAME" for each, "proper" where a connection without malice got its data back, and at last how many
link groups in the making it was given at once: "accepted N declined M".
"""
import errno
import os
import random
import socket
import struct
import sys
import time
import zlib

CORPUS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../fuzz/corpus/clc")
EYECATCHER = b"\xe2\xd4\xc3\xd9"
OPTION_LEVEL, OPTION_ASK, OFFER = 0x534D4352, 1, 3  # bpf/tcp_option.h
ROCE = 4791
SEND, WRITE, READ, ACK = 0x04, 0x0A, 0x0C, 0x11
CDC, DELETE_LINK, CONFIRM_RKEY, TEST_LINK, DELETE_RKEY = 0xFE, 0x24, 0x26, 0x27, 0x29
EID = b"SMCU".ljust(32)
TOKEN, RKEY, ELEMENT = 0x5A5A01, 0x123, 0x7F0000000000
LIMIT = 20  # seconds that the other side may be silent


class Roce:
    """Packets from and to one address."""

    def __init__(self, own, other):
        self.own, self.other, self.address = socket.inet_aton(own), socket.inet_aton(other), other
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER: IP_PMTUDISC_DO, so the ID is 0
        self.socket.bind((own, ROCE))
        self.socket.settimeout(0.2)

    def send(self, opcode, pair, sequence, body=b"", pad=0, spoil=0):
        head = struct.pack(">BBHII", opcode, pad << 4, 0xFFFF, pair & 0xFFFFFF, 1 << 31 | sequence & 0xFFFFFF)
        size = 8 + len(head) + len(body) + 4
        ip = struct.pack(">BBHHHBBH", 0x45, 0xFF, 20 + size, 0, 0x4000, 0xFF, 17, 0xFFFF) + self.own + self.other
        udp = struct.pack(">HHHH", ROCE, ROCE, size, 0xFFFF)
        check = zlib.crc32(b"\xff" * 8 + ip + udp + head[:4] + b"\xff" + head[5:] + body)
        self.raw(head + body + struct.pack("<I", check ^ spoil))

    def raw(self, datagram):
        try:
            self.socket.sendto(datagram, (self.address, ROCE))
        except OSError as error:
            if error.errno not in (errno.ENOBUFS, errno.EMSGSIZE, errno.ECONNREFUSED):
                raise

    def receive(self):
        try:
            return self.socket.recv(65536)
        except (TimeoutError, ConnectionRefusedError):
            return None


class Peer:
    """One connection, in a link group of its own since it calls itself by another name each time."""

    number = 0

    def __init__(self, roce, own, address, port, dice):
        Peer.number += 1
        self.roce, self.own, self.dice, self.pair = roce, own, dice, Peer.number
        self.name = struct.pack(">H", self.pair) + bytes.fromhex("525400000042")
        self.gid = bytes(10) + b"\xff\xff" + socket.inet_aton(own)
        self.sent, self.expected, self.completed, self.count = dice.randrange(1 << 24), 0, 0, 0
        self.written, self.produced = {}, 0
        self.talk = socket.socket()
        self.talk.settimeout(LIMIT)
        self.talk.setsockopt(OPTION_LEVEL, OPTION_ASK, struct.pack("I", OFFER))
        self.talk.bind((own, 0))
        self.talk.connect((address, port))

    # --- the rendezvous ---

    def propose(self):
        with open(os.path.join(CORPUS, "kernel_v2_proposal"), "rb") as file:
            proposal = bytearray(file.read())
        proposal[8:16], proposal[0x58:0x68] = self.name, self.gid
        proposal[0x78:0x98] = EID
        self.talk.sendall(proposal)

    def clc(self):
        head = self.exactly(7)
        return head + self.exactly(struct.unpack(">H", head[5:7])[0] - 7)

    def exactly(self, length):
        got = b""
        while len(got) < length:
            part = self.talk.recv(length - len(got))
            if not part:
                raise ConnectionError("TCP ended")
            got += part
        return got

    def accepted(self):
        """Is the answer an Accept?"""
        self.accept = accept = self.clc()
        if accept[4] != 2:
            return False
        self.their_pair = int.from_bytes(accept[38:41], "big")
        self.key, self.token = struct.unpack(">I", accept[41:45])[0], accept[46:50]
        self.size = 16384 << (accept[50] >> 4)
        self.address = int.from_bytes(accept[52:60], "big") + (accept[45] - 1) * self.size
        self.expected = int.from_bytes(accept[61:64], "big")
        return True

    def confirmation(self):
        body = (self.name + self.gid + self.name[2:] + self.pair.to_bytes(3, "big") + struct.pack(">IB", RKEY, 1) +
                struct.pack(">IBBQB", TOKEN, self.accept[50], 0, ELEMENT, 0) + self.sent.to_bytes(3, "big") +
                EID + bytes(8) + self.accept[0x68:0x9C] + bytes([1, 0, 0, 0]) + self.gid)
        return EYECATCHER + struct.pack(">BHB", 3, len(body) + 12, 0x28) + body + EYECATCHER

    def answer_link(self, request):
        return (request[:3] + bytes([request[3] | 0x83]) + self.name[2:] + self.gid + self.pair.to_bytes(3, "big") +
                request[29:30] + bytes(4) + request[34:])

    def establish(self):
        self.propose()
        if not self.accepted():
            raise ConnectionError(f"declined: {self.accept.hex()}")
        self.talk.sendall(self.confirmation())
        self.link_request = self.message()
        self.message_out(self.answer_link(self.link_request))
        return self

    # --- its queue pair ---

    def acknowledge(self, syndrome=0x1F):
        self.roce.send(ACK, self.their_pair, self.expected - 1,
                       struct.pack(">I", syndrome << 24 | self.completed & 0xFFFFFF))

    def take(self, datagram):
        """A request of the other side: its message, if that is one; what it writes is kept."""
        opcode, pair = datagram[0], int.from_bytes(datagram[5:8], "big")
        sequence = int.from_bytes(datagram[9:12], "big")
        body = datagram[12:len(datagram) - 4 - (datagram[1] >> 4 & 3)]
        if pair != self.pair or opcode == ACK:
            return None
        if sequence != self.expected:
            if (self.expected - sequence) & 0xFFFFFF < 1 << 23:
                self.acknowledge()
            return None
        self.expected = (self.expected + 1) & 0xFFFFFF
        if opcode in (0x06, 0x0A):
            self.place = struct.unpack(">Q", body[:8])[0]
            body = body[16:]
        if opcode in (0x06, 0x07, 0x08, 0x0A):
            self.written[self.place] = body
            self.place += len(body)
        if opcode in (0x04, 0x08, 0x0A):
            self.completed += 1
        self.acknowledge()
        return body if opcode == SEND else None

    def message(self, seconds=5):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            datagram = self.roce.receive()
            message = self.take(datagram) if datagram else None
            if message is not None:
                return message
        raise TimeoutError("no message")

    def drain(self, seconds=0.05):
        try:
            while True:
                self.message(seconds)
        except TimeoutError:
            pass

    def request(self, opcode, body=b"", **more):
        self.roce.send(opcode, self.their_pair, self.sent, body + bytes(-len(body) % 4), pad=-len(body) % 4, **more)
        self.sent = (self.sent + 1) & 0xFFFFFF

    def message_out(self, payload):
        self.request(SEND, payload)

    def write(self, place, data, key=None, length=None):
        key, length = self.key if key is None else key, len(data) if length is None else length
        self.request(WRITE, struct.pack(">QII", place & (1 << 64) - 1, key & 0xFFFFFFFF, length) + data)

    def cursor(self, produced, consumed=(0, 0), flags=0, state=0, token=None, count=None, length=44):
        self.count = self.count + 1 & 0xFFFF if count is None else count
        message = struct.pack(">BBH", CDC, 44, self.count) + (self.token if token is None else token)
        message += struct.pack(">HHIHHIBB", 0, *produced, 0, *consumed, flags, state)
        self.message_out(message.ljust(44, b"\0")[:length].ljust(length, b"\0"))

    def close(self):
        self.drain(0.01)
        self.talk.close()


# --- what it does ---


def proper(peer):
    peer.write(peer.address, b"a proper question")
    peer.cursor((0, 17))
    end = time.monotonic() + 10
    while b"".join(peer.written[place] for place in sorted(peer.written)) != b"a proper question":
        peer.message(end - time.monotonic())
    peer.cursor((0, 17), (0, 17), state=0xC0)
    print("proper", flush=True)


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


def too_long_a_message(peer):
    peer.request(0x00, peer.dice.randbytes(1024))
    for _ in range(40):
        peer.request(0x01, peer.dice.randbytes(1024))
    peer.request(0x02, b"end")


def every_message(peer):
    for kind in range(256):
        for flags in (0x00, 0x80, 0xE0):
            peer.message_out(bytes([kind, 44, 0, flags]) + peer.dice.randbytes(40))


def many_keys(peer):
    for number in range(400):
        peer.message_out((bytes([CONFIRM_RKEY, 0, 44, 0, 0]) + struct.pack(">IQ", number, number)).ljust(44, b"\0"))


def delete_keys(peer):
    for count in (0, 1, 8, 9, 255):
        peer.message_out((bytes([DELETE_RKEY, 0, 44, 0, count]) + peer.dice.randbytes(30)).ljust(44, b"\0"))
    peer.write(peer.address, b"x" * 500)
    peer.cursor((0, 500))


def delete_own_key(peer):
    peer.message_out((bytes([DELETE_RKEY, 0, 44, 0, 1, 0, 0, 0]) + struct.pack(">I", RKEY)).ljust(44, b"\0"))
    peer.write(peer.address, b"x" * 500)
    peer.cursor((0, 500))


def delete_link_of_others(peer):
    for number in range(256):
        peer.message_out(bytes([DELETE_LINK, 0, 44, 0, number]).ljust(44, b"\0"))


def delete_all(peer):
    peer.message_out(bytes([DELETE_LINK, 0, 44, 0x40]).ljust(44, b"\0"))
    peer.cursor((0, 10))


def confirm_link_again(peer):
    for _ in range(10):
        peer.message_out(peer.answer_link(peer.link_request))
        peer.message_out(peer.link_request)


def test_storm(peer):
    for _ in range(2000):
        peer.message_out(bytes([TEST_LINK, 0, 44, 0]).ljust(44, b"\0"))


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
    peer.talk.sendall(peer.confirmation())
    peer.talk.sendall(EYECATCHER + peer.dice.randbytes(300))


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
    "rubbish_cursors": rubbish_cursors, "same_message_twice": same_message_twice, "bad_lengths": bad_lengths,
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


def before_the_confirm(peer):
    peer.propose()
    peer.accepted()
    peer.write(peer.address, b"early")
    peer.cursor((0, 5))
    peer.talk.sendall(peer.confirmation())


def before_the_link(peer):
    peer.propose()
    peer.accepted()
    peer.talk.sendall(peer.confirmation())
    request = peer.message()
    peer.cursor((0, 5))
    every_message(peer)
    peer.message_out(peer.answer_link(request))


def confirm_of_another_pair(peer):
    peer.propose()
    peer.accepted()
    peer.pair ^= 0xFFFFFF
    peer.talk.sendall(peer.confirmation())


def confirm_twice(peer):
    peer.propose()
    peer.accepted()
    peer.talk.sendall(peer.confirmation() * 2)


IN_THE_RENDEZVOUS = {"before_the_confirm": before_the_confirm, "before_the_link": before_the_link,
                     "confirm_of_another_pair": confirm_of_another_pair, "confirm_twice": confirm_twice}


def main():
    own, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    seed = int(sys.argv[4]) if len(sys.argv) > 4 else 1
    dice = random.Random(seed)
    Peer.number = seed << 8  # the other side may still know who was there before
    roce = Roce(own, address)

    def new():
        return Peer(roce, own, address, port, dice)

    proper(new().establish())
    for name, act in ON_A_CONNECTION.items():
        peer = new().establish()
        act(peer)
        peer.close()
        print("did", name, flush=True)
    for name, act in IN_THE_RENDEZVOUS.items():
        peer = new()
        act(peer)
        peer.close()
        print("did", name, flush=True)
    time.sleep(4)  # until none of those is waited for any more
    waiting = [new() for _ in range(60)]
    for peer in waiting:
        peer.propose()
    answers = [peer.accepted() for peer in waiting]
    print("accepted", answers.count(True), "declined", answers.count(False), flush=True)
    for peer in waiting:
        peer.talk.close()
    time.sleep(1)
    proper(new().establish())


if __name__ == "__main__":
    main()
