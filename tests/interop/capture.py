# SPDX-License-Identifier: MIT
"""What went over the bridge: a capture that runs, and how to read it."""

import collections
import signal
import socket
import struct
import subprocess
import time

from program import PATIENCE, Failure

SMC_OPTION = bytes.fromhex("fe06e2d4c3d9")
CLC_EYECATCHER = bytes.fromhex("e2d4c3d9")
ROCE_PORT = 4791
FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10

Segment = collections.namedtuple(
    "Segment", "source source_port target target_port sequence flags options data")
Datagram = collections.namedtuple("Datagram", "source source_port target target_port data")


def records(path):
    """The frames of a capture file, up to the last that is whole."""
    with open(path, "rb") as file:
        data = file.read()
    at = 24
    while at + 16 <= len(data):
        length, = struct.unpack_from("<I", data, at + 8)
        if at + 16 + length > len(data):
            return
        yield data[at + 16:at + 16 + length]
        at += 16 + length


def packet(frame):
    """The TCP segment or UDP datagram in a frame, over IPv4; None if there is none."""
    if frame[12:14] != b"\x08\x00":
        return None
    header, total = (frame[14] & 15) * 4, int.from_bytes(frame[16:18], "big")
    source, target = socket.inet_ntoa(frame[26:30]), socket.inet_ntoa(frame[30:34])
    body = frame[14 + header:14 + total]
    if frame[23] not in (socket.IPPROTO_TCP, socket.IPPROTO_UDP):
        return None
    ports = struct.unpack_from(">HH", body)
    if frame[23] == socket.IPPROTO_UDP:
        return Datagram(source, ports[0], target, ports[1], body[8:])
    offset = (body[12] >> 4) * 4
    return Segment(source, ports[0], target, ports[1], body[4:8], body[13], body[20:offset], body[offset:])


def sent_message(datagram):
    """The message that a RoCEv2 packet carries (LLC or CDC), empty if it carries none."""
    SEND_ONLY, HEADER, CHECKSUM = 4, 12, 4
    if datagram.data[0] != SEND_ONLY:
        return b""
    pad = (datagram.data[1] >> 4) & 3
    return datagram.data[HEADER:len(datagram.data) - CHECKSUM - pad]


def cdc_connection_flags(datagram):
    """The connection state flags of a CDC message; 0 if the packet carries none."""
    CDC, FLAGS_AT = 0xFE, 25
    message = sent_message(datagram)
    return message[FLAGS_AT] if message[:1] == bytes([CDC]) else 0


class Capture:
    """tcpdump on an interface, into a file."""

    def __init__(self, interface, path):
        self.path = path
        # Root stays root: the file is in a directory of root's.  In immediate mode each packet has
        # a place of this length in the buffer; longer ones are TCP's own and need no end.
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "tcpdump", "-i", interface, "-Z", "root", "-n", "-U",
             "--immediate-mode", "-s", "1900", "-B", "65536", "-w", path], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if b"listening on" not in (line := self._process.stderr.readline()):
            raise Failure(f"tcpdump: {line.decode().strip()}")

    def packets(self, port):
        """What it has so far to or from a port."""
        found = (packet(frame) for frame in records(self.path))
        return [each for each in found if each and port in (each.source_port, each.target_port)]

    def await_packet(self, port, wanted, what, after=0):
        """The first packet that is wanted behind so many; it may take a moment to get into the file."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for each in self.packets(port)[after:]:
                if wanted(each):
                    return each
            time.sleep(0.1)
        raise Failure(f"{what} was not captured")

    def connection(self, port):
        """All of a connection to a port, which has ended or is about to: awaits its two FINs."""
        for to_server in (True, False):
            self.await_packet(port, lambda each, to_server=to_server: each.flags & (FIN | RST) and
                              (each.target_port == port) == to_server, "the end of a connection")
        return self.packets(port)

    def syn(self, port):
        """The SYN of the connection to a port."""
        return self.await_packet(port, lambda each: each.flags & (SYN | ACK) == SYN, "a SYN")

    def syn_ack(self, port):
        return self.await_packet(port, lambda each: each.flags & (SYN | ACK) == SYN | ACK,
                                 "a SYN-ACK")

    def stop(self):
        self._process.send_signal(signal.SIGINT)
        said = self._process.communicate()[1].decode()
        if "\n0 packets dropped" not in said:
            print(f"the capture is not whole: {said}")
