#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Write captures that no network gave us, for decode.sh.

  decode_frames.py DIRECTORY

Each is a situation that the captures of two kernels do not have: segments of one byte, out of order,
IPv6, VLANs, other link types, damaged packets.  The checksums are made with zlib, which smcu does not
use.
"""

import os
import random
import struct
import sys
import zlib

SMCR = bytes.fromhex("e2d4c3d9")
OPTION = bytes.fromhex("0101fe06e2d4c3d9")
CLIENT4, SERVER4 = bytes([10, 1, 0, 1]), bytes([10, 1, 0, 2])
CLIENT6 = bytes.fromhex("20010db8000000000000000000000001")
SERVER6 = bytes.fromhex("20010db8000000000000000000000002")
SYN, SYN_ACK, ACK, FIN, RST = 0x02, 0x12, 0x10, 0x01, 0x04


def clc(kind, flags, content):
    return SMCR + struct.pack(">BHB", kind, len(content) + 12, flags) + content + SMCR


def peer(last):
    return (bytes.fromhex("1234020000000a") + bytes([last]) + bytes(10) + b"\xff\xff\x0a\x01\x00" +
            bytes([last]) + bytes.fromhex("020000000a") + bytes([last]))


def link(last):
    return peer(last) + bytes.fromhex("000123 0000abcd 01 00000007 23 00 00007f0000200000 00 5a5a01")


PROPOSAL = clc(1, 0x10, peer(1) + bytes(2) + bytes([10, 1, 0, 0, 16, 0, 0, 0]))
ACCEPT, CONFIRM = clc(2, 0x18, link(2)), clc(3, 0x18, link(1))
DECLINE = clc(4, 0x10, peer(1)[:8] + bytes.fromhex("0303000000000000"))


class Capture:
    """A pcap or pcapng file in the making."""

    def __init__(self, link_type=1, snaplen=65535):
        self.link_type, self.snaplen, self.frames = link_type, snaplen, []

    def add(self, frame, length=None):
        self.frames.append((frame[:self.snaplen], length or len(frame)))

    def pcap(self):
        out = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, self.snaplen, self.link_type)
        for number, (frame, length) in enumerate(self.frames):
            out += struct.pack("<IIII", 1000 + number, 500000, len(frame), length) + frame
        return out

    def pcapng(self):
        def block(kind, body):
            size = len(body) + 12
            return struct.pack("<II", kind, size) + body + struct.pack("<I", size)
        out = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
        out += block(1, struct.pack("<HHI", self.link_type, 0, self.snaplen))
        for number, (frame, length) in enumerate(self.frames):
            time = (1000 + number) * 1000000
            out += block(6, struct.pack("<IIIII", 0, time >> 32, time & 0xFFFFFFFF, len(frame), length) +
                         frame + bytes(-len(frame) % 4))
        return out


def ip(source, destination, protocol, content, options=b""):
    if len(source) == 16:
        return struct.pack(">IHBB", 0x60000000, len(content), protocol, 64) + source + destination + content
    size = 20 + len(options)
    return (struct.pack(">BBHHHBBH", 0x40 | size // 4, 0, size + len(content), 0x1234, 0x4000, 64, protocol, 0) +
            source + destination + options + content)


def ethernet(packet, vlans=()):
    tags = b"".join(struct.pack(">HH", 0x88A8 if number else 0x8100, vlan) for number, vlan in enumerate(vlans))
    return bytes(12) + tags + (b"\x86\xdd" if packet[0] >> 4 == 6 else b"\x08\x00") + packet


class Connection:
    """A TCP connection, both of whose ends send what a test wants."""

    def __init__(self, six=False, frame=ethernet, port=40000):
        self.ends = ((CLIENT6, port), (SERVER6, 5000)) if six else ((CLIENT4, port), (SERVER4, 5000))
        self.frame, self.start = frame, [0xFFFFFFF0, 7]

    def segment(self, end, offset, flags, content=b"", options=b""):
        (source, port), (destination, other) = self.ends[end], self.ends[1 - end]
        header = struct.pack(">HHIIBBHHH", port, other, (self.start[end] + offset) & 0xFFFFFFFF, 0,
                             (20 + len(options)) << 2, flags, 1000, 0, 0)
        return self.frame(ip(source, destination, 6, header + options + content))

    def begin(self, capture, client=OPTION, server=OPTION):
        capture.add(self.segment(0, 0, SYN, options=client))
        capture.add(self.segment(1, 0, SYN_ACK, options=server))
        capture.add(self.segment(0, 1, ACK))

    def data(self, end, offset, content):
        return self.segment(end, 1 + offset, ACK, content)


def masked(packet):
    """What the ICRC covers, the fields that change on the way as ones."""
    data = bytearray(packet)
    if data[0] >> 4 == 4:
        size = 20
        data[1] = data[8] = data[10] = data[11] = 0xFF
    else:
        size = 40
        data[0] |= 0x0F
        data[1] = data[2] = data[3] = data[7] = 0xFF
    data[size + 6] = data[size + 7] = 0xFF
    data[size + 12] = 0xFF
    return bytes(8 * [0xFF]) + bytes(data)


def roce(opcode, psn, content=b"", extension=b"", damage=False, source=CLIENT4, destination=SERVER4, options=b""):
    pad = -len(content) % 4
    body = struct.pack(">BBHII", opcode, 0x80 | pad << 4, 0xFFFF, 0x12, 0x80000000 | psn)
    body += extension + content + bytes(pad)
    udp = struct.pack(">HHHH", 0xC121, 4791, 8 + len(body) + 4, 0)
    packet = ip(source, destination, 17, udp + body + bytes(4), options)
    icrc = zlib.crc32(masked(packet[:-4])) ^ damage
    return packet[:-4] + struct.pack("<I", icrc)


def cdc(sequence):
    return bytes.fromhex("fe2c") + struct.pack(">HI", sequence, 7) + bytes(36)


def add_link(keys):
    """ADD LINK v2, as long as you like, both numbers big endian."""
    message = struct.pack(">BHB", 0x22, 72 + 16 * keys, 0) + bytes(66) + struct.pack(">H", keys)
    return message + b"".join(struct.pack(">IIQ", key, key + 1000, key << 12) for key in range(keys))


def shuffled(pieces, seed):
    random.Random(seed).shuffle(pieces)
    return pieces


def pieces_of(connection, end, message, size):
    return [connection.data(end, at, message[at:at + size]) for at in range(0, len(message), size)]


def spanning():
    """Every message in pieces, backwards or shuffled, some twice; the applications' bytes behind."""
    capture, connection = Capture(), Connection(six=True, frame=lambda packet: ethernet(packet, (7, 9)))
    connection.begin(capture)
    for frame in pieces_of(connection, 0, PROPOSAL, 1):
        capture.add(frame)
    for frame in reversed(pieces_of(connection, 1, ACCEPT + b"application's own", 7)):
        capture.add(frame)
        capture.add(frame)
    for frame in shuffled(pieces_of(connection, 0, PROPOSAL + CONFIRM, 11), 5):
        capture.add(frame)
    return capture


def late():
    """The capture begins when the SYN has passed; another connection never spoke SMC."""
    capture, connection, plain = Capture(), Connection(), Connection(port=40001)
    capture.add(plain.data(0, 0, b"GET / HTTP/1.1\r\n"))
    capture.add(connection.data(0, 0, PROPOSAL))
    capture.add(plain.data(0, 16, b"not at the start: " + PROPOSAL))
    capture.add(connection.data(1, 0, ACCEPT[:20]))
    capture.add(connection.data(1, 20, ACCEPT[20:]))
    capture.add(connection.data(0, len(PROPOSAL), CONFIRM))
    return capture


def declined():
    """A Decline with the application's data behind it, which may look like anything."""
    capture, connection = Capture(), Connection()
    connection.begin(capture)
    capture.add(connection.data(0, 0, DECLINE + PROPOSAL))
    capture.add(connection.data(1, 0, b"220 mail ready\r\n"))
    return capture


def garbage():
    """Agreed on SMC, and then no CLC message."""
    capture, connection = Capture(), Connection()
    connection.begin(capture)
    capture.add(connection.data(0, 0, b"GET / HTTP/1.1\r\n"))
    return capture


def not_agreed():
    """The server did not answer the option: what follows is the applications', whatever it is."""
    capture, connection = Capture(), Connection()
    connection.begin(capture, server=b"")
    capture.add(connection.data(0, 0, b"GET / HTTP/1.1\r\n"))
    return capture


def reused():
    """The same two ports, twice."""
    capture = Capture()
    for start in (1, 1000000):
        connection = Connection()
        connection.start[0] = start
        connection.begin(capture)
        capture.add(connection.data(0, 0, PROPOSAL))
    return capture


def ended():
    """What comes behind a reset, or behind the FINs of both ends, belongs to no connection."""
    capture, finished = Capture(), Connection(port=40001)
    reset = Connection()
    reset.begin(capture)
    capture.add(reset.segment(1, 1, RST))
    capture.add(reset.data(0, 0, PROPOSAL))
    finished.begin(capture)
    capture.add(finished.segment(0, 1, ACK | FIN, PROPOSAL))
    capture.add(finished.segment(1, 1, ACK | FIN))
    capture.add(finished.data(1, 0, ACCEPT))
    return capture


def malformed():
    """A Proposal whose offset leads out of it, an LLC message of no known type, and too short a packet."""
    capture, connection = Capture(), Connection()
    connection.begin(capture)
    capture.add(connection.data(0, 0, PROPOSAL[:38] + b"\xff\xff" + PROPOSAL[40:]))
    capture.add(ethernet(roce(0x04, 1, b"\x0a\x2c" + bytes(42))))
    capture.add(ethernet(roce(0x0A, 2)))
    return capture


def long_send():
    """A v2 message of three packets; one whose second packet is missing; one that comes twice."""
    capture, message = Capture(), add_link(150)
    first, middle, last = message[:1024], message[1024:2048], message[2048:]
    capture.add(ethernet(roce(0x00, 0xFFFFFF, first)))
    capture.add(ethernet(roce(0x01, 0, middle)))
    capture.add(ethernet(roce(0x02, 1, last)))
    capture.add(ethernet(roce(0x00, 2, first)))
    capture.add(ethernet(roce(0x02, 4, last)))
    capture.add(ethernet(roce(0x02, 5, last)))
    capture.add(ethernet(roce(0x00, 6, first)))
    for psn in range(7, 20):
        capture.add(ethernet(roce(0x01, psn, middle)))
    return capture


def sends(link_type=1, frame=ethernet, **how):
    capture = Capture(link_type)
    capture.add(frame(roce(0x04, 1, cdc(1), **how)))
    return capture


def cooked(packet):
    return bytes(14) + (b"\x86\xdd" if packet[0] >> 4 == 6 else b"\x08\x00") + packet


def cut():
    capture = Capture(snaplen=70)
    capture.add(ethernet(roce(0x04, 1, cdc(1))))
    return capture


def padded():
    """Ethernet fills short frames up; UDP ends where it says."""
    return sends(frame=lambda packet: ethernet(packet) + bytes(30))


def opcodes():
    """What is not SMC's, but RoCE."""
    capture = Capture()
    capture.add(ethernet(roce(0x81, 0, bytes(16))))
    capture.add(ethernet(roce(0x24, 0, bytes(16))))
    capture.add(ethernet(roce(0x11, 9, extension=bytes.fromhex("60000003"))))
    capture.add(ethernet(roce(0x0B, 9, b"hello", bytes(8) + bytes.fromhex("000000070000000500001234"))))
    return capture


CAPTURES = {
    "spanning": spanning(), "late": late(), "declined": declined(), "garbage": garbage(),
    "not_agreed": not_agreed(), "reused": reused(), "ended": ended(), "malformed": malformed(),
    "long_send": long_send(),
    "damaged": sends(damage=True), "cut": cut(), "padded": padded(), "opcodes": opcodes(),
    "ipv6": sends(source=CLIENT6, destination=SERVER6), "ip_options": sends(options=bytes(4)),
    "cooked": sends(113, cooked), "raw": sends(101, lambda packet: packet),
    "cooked2": sends(276, lambda packet: b"\x08\x00" + bytes(18) + packet),
    "loopback": sends(0, lambda packet: struct.pack("<I", 2) + packet),
    "unknown_link": sends(147),
}


def main(directory):
    for name, capture in CAPTURES.items():
        with open(os.path.join(directory, name + ".pcap"), "wb") as file:
            file.write(capture.pcap())
        with open(os.path.join(directory, name + ".pcapng"), "wb") as file:
            file.write(capture.pcapng())


main(sys.argv[1])
