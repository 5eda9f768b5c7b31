# SPDX-License-Identifier: MIT
"""
An end of SMC-R connections with a RoCE of its own, in plain Python, which says what it is told to: remote_hostile.py
is what tells it.  Version 1 or 2, client or server; a link group of its own for each connection, since it calls
itself by another name each time.

    peer = Client(own, address, port)      own: a Self; Server(own, TCP socket) likewise
    peer.establish()                       the whole rendezvous; or step by step
    peer.write(...), cursor(...), llc(...) what it says then
"""
import errno
import os
import socket
import struct
import time
import zlib

CORPUS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../fuzz/corpus/clc")
EYECATCHER = b"\xe2\xd4\xc3\xd9"
OPTION_LEVEL, OPTION_ASK, OFFER = 0x534D4352, 1, 3  # bpf/tcp_option.h
ROCE = 4791
ACCEPT, CONFIRM = 2, 3
SEND, WRITE, READ, ACK = 0x04, 0x0A, 0x0C, 0x11
CDC = 0xFE
CONFIRM_LINK, ADD_LINK, ADD_LINK_MORE, DELETE_LINK, REQUEST_ADD_LINK, CONFIRM_RKEY, TEST_LINK, CONFIRM_RKEY_MORE, \
    DELETE_RKEY = range(1, 10)
RESPONSE, NO_EYECATCHER = 0x80, 0x03  # flags of LLC
EID = b"SMCU".ljust(32)
TOKEN, RKEY, ELEMENT = 0x5A5A01, 0x123, 0x7F0000000000
LINK = 1  # number of the one link, as a server calls it
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


class Self:
    """
    What all connections of one hostile host share.  number: tells their names and queue pairs apart, counted up;
    version: 1 or 2.
    """

    def __init__(self, address, other, version, number, dice):
        self.address, self.version, self.number, self.dice = address, version, number, dice
        self.roce = Roce(address, other)


class Peer:
    """What both roles have.  After take(): their_pair, key, token, size and address are the other side's."""

    def __init__(self, own, talk):
        own.number += 1
        self.own, self.roce, self.dice, self.version, self.pair = own, own.roce, own.dice, own.version, own.number
        self.name = struct.pack(">H", self.pair) + bytes.fromhex("525400000042")
        self.gid = bytes(10) + b"\xff\xff" + socket.inet_aton(own.address)
        self.sent, self.expected, self.completed, self.count = self.dice.randrange(1 << 24), 0, 0, 0
        self.written, self.produced, self.place = {}, 0, 0
        self.talk = talk
        self.talk.settimeout(LIMIT)

    # --- the rendezvous ---

    def clc(self):
        """The next message."""
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

    def takes(self, message, kind):
        """Is it this, an Accept or a Confirm?  Then what it says of the other side counts."""
        if message[4] != kind:
            return False
        self.their_pair = int.from_bytes(message[38:41], "big")
        self.key, self.token = struct.unpack(">I", message[41:45])[0], message[46:50]
        self.size = 16384 << (message[50] >> 4)
        self.address = int.from_bytes(message[52:60], "big") + (message[45] - 1) * self.size
        self.expected = int.from_bytes(message[61:64], "big")
        return True

    def side_of(self, kind, size_and_mtu, more=b""):
        """An Accept or Confirm of first contact; more: what version 2 has behind it."""
        body = (self.name + self.gid + self.name[2:] + self.pair.to_bytes(3, "big") + struct.pack(">IB", RKEY, 1) +
                struct.pack(">IBBQB", TOKEN, size_and_mtu, 0, ELEMENT, 0) + self.sent.to_bytes(3, "big"))
        body += more if self.version == 2 else b""
        return EYECATCHER + struct.pack(">BHB", kind, len(body) + 12, self.version << 4 | 8) + body + EYECATCHER

    def link_message(self, flags, link, rest):
        """CONFIRM LINK."""
        head = bytes([CONFIRM_LINK, 44, 0, flags]) if self.version == 1 else bytes([0x21, 0, 44, flags])
        return (head + self.name[2:] + self.gid + self.pair.to_bytes(3, "big") + bytes([link]) + bytes(4) +
                rest).ljust(44, b"\0")

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

    def llc(self, kind, body=b"", flags=0, length=44):
        """A message of the link layer, in the form of the version; cut or filled to the length."""
        head = bytes([kind, 44, 0, flags]) if self.version == 1 else bytes([0x20 | kind, 0, 44, flags])
        self.message_out((head + body)[:length].ljust(length, b"\0"))

    def close(self):
        self.drain(0.01)
        self.talk.close()


class Client(Peer):
    """Connects."""

    def __init__(self, own, address, port):
        talk = socket.socket()
        super().__init__(own, talk)
        talk.setsockopt(OPTION_LEVEL, OPTION_ASK, struct.pack("I", OFFER))
        talk.bind((own.address, 0))
        talk.connect((address, port))

    def proposal(self):
        if self.version == 1:
            network = socket.inet_aton(self.own.address)[:3] + bytes([0, 24])
            body = self.name + self.gid + self.name[2:] + bytes(2) + network + bytes(3)
            return EYECATCHER + struct.pack(">BHB", 1, len(body) + 12, 0x10) + body + EYECATCHER
        with open(os.path.join(CORPUS, "kernel_v2_proposal"), "rb") as file:
            said = bytearray(file.read())
        said[8:16], said[0x58:0x68] = self.name, self.gid
        said[0x78:0x98] = EID
        return bytes(said)

    def propose(self):
        self.talk.sendall(self.proposal())

    def accepted(self):
        """Is the answer an Accept?"""
        self.accept = self.clc()
        return self.takes(self.accept, ACCEPT)

    def begin(self):
        """Until it is this end that speaks."""
        self.propose()
        if not self.accepted():
            raise ConnectionError(f"declined: {self.accept.hex()}")

    def side(self):
        accept = self.accept
        return self.side_of(CONFIRM, accept[50], EID + bytes(8) + accept[0x68:0x9C] + bytes([1, 0, 0, 0]) + self.gid)

    def link_messages(self):
        """What was said of the link, by both."""
        return [self.answer_link(self.link_request), self.link_request]

    def answer_link(self, request):
        return self.link_message(RESPONSE | NO_EYECATCHER, request[29], request[34:])

    def establish(self):
        self.begin()
        self.talk.sendall(self.side())
        self.link_request = self.message()
        self.message_out(self.answer_link(self.link_request))
        return self


class Server(Peer):
    """Has accepted.  Its TCP ends by a reset, so that who connects next need not wait for that."""

    def __init__(self, own, talk):
        super().__init__(own, talk)
        talk.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def begin(self):
        """Until it is this end that speaks."""
        self.proposal = self.clc()

    def side(self):
        with open(os.path.join(CORPUS, "kernel_v2_accept_first"), "rb") as file:
            limits = file.read()[0x68:0x9C].replace(bytes.fromhex("ff020001"), bytes.fromhex("ff010001"))
        return self.side_of(ACCEPT, 0x33, EID + bytes(8) + limits)

    def link_request(self):
        return self.link_message(NO_EYECATCHER, LINK, bytes([1, 255] if self.version == 2 else [1]))

    def link_messages(self):
        return [self.link_request(), self.link_answer]

    def accept(self, said=None):
        """Accept in these words, and take the Confirm; False: it was declined."""
        self.talk.sendall(said or self.side())
        self.confirm = self.clc()
        return self.takes(self.confirm, CONFIRM)

    def confirm_link(self):
        self.message_out(self.link_request())
        self.link_answer = self.message()

    def establish(self):
        self.begin()
        if not self.accept():
            raise ConnectionError(f"declined: {self.confirm.hex()}")
        self.confirm_link()
        return self
