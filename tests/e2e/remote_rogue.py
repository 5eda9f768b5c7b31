#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
A peer that offers SMC-R in its handshake and then does not keep to it.

  remote_rogue.py serve   HOW ADDRESS PORT   one connection: it echoes, whatever it did before
  remote_rogue.py connect HOW ADDRESS PORT   to one that echoes: "intact", "error NAME" or "wrong WHY"
  remote_rogue.py codes                      how many connections "codes" takes

HOW a server behaves: plain (does not offer), echo (offers, knows no SMC: drops nothing), silent, decline,
rubbish, half (of an Accept), accept (and then nothing), close, cross (a Decline when ours is on its way already),
cross-accept (an Accept likewise), codes (many connections: a Decline with each code, in each form, at each step).
HOW a client does: plain, data (at once, no Proposal), late (the same, 8 seconds later), rubbish (that starts
like a message), half (of a Proposal), proposal (and then nothing), decline (after the Accept), confirm (and
then nothing), close, cross (as above, after the Confirm), codes (as above).

Messages are those that a kernel said once (tests/fuzz/corpus/clc), so the other side needs their EID,
SMCPROBE.EID.0001.  What a peer says of SMC is dropped until its data comes, as the TCP of such a peer does
not know it; after a Decline both go on by TCP.
"""
import errno
import os
import random
import re
import select
import socket
import struct
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
CORPUS = os.path.join(HERE, "../fuzz/corpus/clc")
CODES = os.path.join(HERE, "../../src/wire/clc.h")
EYECATCHER = b"\xe2\xd4\xc3\xd9"
OPTION_LEVEL, OPTION_ASK, OFFER = 0x534D4352, 1, 3  # bpf/tcp_option.h
PROPOSAL, ACCEPT, CONFIRM, DECLINE = 1, 2, 3, 4
LIMIT = 40  # seconds that the other side may be silent
FORMS = ((1, 28), (2, 44))  # of a Decline: version, length
SERVER_STEPS = ("instead of the Accept", "behind the Accept", "after the Confirm")
CLIENT_STEPS = ("instead of the Proposal", "instead of the Confirm", "after the Confirm")


def message(name):
    """One of the corpus, as this host (10.9.0.2) would say it, which has one link: else that would be declined."""
    two_links, one_link = bytes.fromhex("ff020001"), bytes.fromhex("ff010001")
    with open(os.path.join(CORPUS, name), "rb") as file:
        said = file.read().replace(bytes.fromhex("ffff0a090001"), bytes.fromhex("ffff0a090002"))
    return said.replace(two_links, one_link)


def offer(talk):
    talk.setsockopt(OPTION_LEVEL, OPTION_ASK, struct.pack("I", OFFER))


def decline(code, version, length):
    head = EYECATCHER + bytes([DECLINE]) + struct.pack(">HB", length, version << 4)
    return (head + b"rogue..." + struct.pack(">I", code)).ljust(length - 4, b"\0") + EYECATCHER


def declines(steps):
    """(step, message): each code that is known, and one that is not, in each form, at each step."""
    with open(CODES, encoding="utf-8") as file:
        codes = [int(each, 16) for each in re.findall(r"CLC_\w+ = (0x[0-9a-f]{8})", file.read())]
    return [(step, decline(code, *form)) for code in codes + [0x03aabbcc] for form in FORMS for step in steps]


class Stream:
    """What comes, with the messages of SMC in front of it."""

    def __init__(self, talk):
        self.talk, self.bytes = talk, b""

    def fill(self, length):
        """Have so many bytes here; False: they differ from a message's start, or the stream ended."""
        while len(self.bytes) < length:
            part = self.talk.recv(65536)
            if not part:
                return False
            self.bytes += part
            known = min(len(self.bytes), len(EYECATCHER))
            if self.bytes[:known] != EYECATCHER[:known]:
                return False
        return True

    def message(self):
        """The type of the message that is next, which is taken; None: there is none."""
        if not self.fill(7) or self.bytes[:4] != EYECATCHER:
            return None
        kind, length = self.bytes[4], struct.unpack(">H", self.bytes[5:7])[0]
        while len(self.bytes) < length:
            part = self.talk.recv(65536)
            if not part:
                return None
            self.bytes += part
        self.bytes = self.bytes[length:]
        return kind

    def read(self, length):
        while len(self.bytes) < length:
            part = self.talk.recv(65536)
            if not part:
                raise ConnectionError("the stream ended")
            self.bytes += part
        taken, self.bytes = self.bytes[:length], self.bytes[length:]
        return taken


def await_decline(talk):
    """Until the other side's Decline is here, which is not looked at: it crosses what we send now."""
    select.select([talk], [], [], LIMIT)


def echo_rest(stream):
    while stream.message() is not None:
        pass
    part = stream.bytes
    while part:
        stream.talk.sendall(part)
        part = stream.talk.recv(65536)


def serve_codes(listener):
    for step, message_of_it in declines(SERVER_STEPS):
        talk, _ = listener.accept()
        stream = Stream(talk)
        print("message", stream.message(), flush=True)
        if step != SERVER_STEPS[0]:
            talk.sendall(message("kernel_v2_accept_first"))
        if step == SERVER_STEPS[2]:
            print("then", stream.message(), flush=True)
        talk.sendall(message_of_it)
        echo_rest(stream)


def serve(how, address, port):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if how != "plain":
        offer(listener)
    listener.bind((address, port))
    listener.listen()
    print("listening", flush=True)
    if how == "codes":
        serve_codes(listener)
        return
    talk, _ = listener.accept()
    stream = Stream(talk)
    answers = {
        "decline": message("kernel_v1_decline"),
        "rubbish": random.Random(7).randbytes(100),
        "half": message("kernel_v2_accept_first")[:60],
        "accept": message("kernel_v2_accept_first"),
        "cross": message("kernel_v1_decline"),
        "cross-accept": message("kernel_v2_accept_first"),
    }
    if how not in ("plain", "echo"):
        said = stream.message()
        print("message", said, flush=True)
        if how == "close":
            return
        if how.startswith("cross"):
            await_decline(talk)
        if said is not None:
            talk.sendall(answers.get(how, b""))
    if how == "echo":
        while part := talk.recv(65536):
            talk.sendall(part)
    else:
        echo_rest(stream)


def judge(stream):
    """Exchange data, and see that nothing but that comes back."""
    sizes = random.Random(3)
    for number in range(20):
        question = sizes.randbytes(sizes.randrange(1, 3000)).replace(EYECATCHER, b"....")
        stream.talk.sendall(question)
        if stream.read(len(question)) != question:
            return f"wrong answer {number}"
    stream.talk.shutdown(socket.SHUT_WR)
    return "wrong: more than was sent" if stream.bytes or stream.talk.recv(1) else "intact"


def until_declined(stream):
    """Wait for the other side's Decline; whatever else it says is not for us."""
    while (said := stream.message()) not in (DECLINE, None):
        if said in (PROPOSAL, CONFIRM):
            return "wrong: a message was sent back, an application had it"
    return None if said == DECLINE else "error EOF"


def behave(how, talk):
    stream = Stream(talk)
    if how == "late":
        time.sleep(8)
    if how in ("plain", "data", "late"):
        return judge(stream)
    if how == "rubbish":
        talk.sendall(EYECATCHER + random.Random(9).randbytes(200))
        return until_declined(stream) or judge(stream)
    if how == "half":
        talk.sendall(message("kernel_v2_proposal")[:80])
        return until_declined(stream) or judge(stream)
    talk.sendall(message("kernel_v2_proposal"))
    if how == "close":
        return "intact"
    if how == "proposal":
        return until_declined(stream) or judge(stream)
    said = stream.message()
    if said != ACCEPT:
        return f"wrong: no Accept but {said}"
    if how == "decline":
        talk.sendall(message("kernel_v1_decline"))
        return judge(stream)
    talk.sendall(message("kernel_v2_confirm_first"))
    if how == "cross":
        await_decline(talk)
        talk.sendall(message("kernel_v1_decline"))
    return until_declined(stream) or judge(stream)


def decline_at(step, said, talk):
    stream = Stream(talk)
    if step != CLIENT_STEPS[0]:
        talk.sendall(message("kernel_v2_proposal"))
        if (answer := stream.message()) != ACCEPT:
            return f"wrong: no Accept but {answer}"
    if step == CLIENT_STEPS[2]:
        talk.sendall(message("kernel_v2_confirm_first"))
    talk.sendall(said)
    return judge(stream)


def try_once(how, address, port, behaviour):
    """What becomes of one connection."""
    with socket.socket() as talk:
        talk.settimeout(LIMIT)
        if how != "plain":
            offer(talk)
        try:
            talk.connect((address, port))
            return behaviour(talk)
        except TimeoutError:
            return "wrong: silence"
        except OSError as error:
            return f"error {errno.errorcode.get(error.errno, 'EOF')}"


def connect(how, address, port):
    if how != "codes":
        print(try_once(how, address, port, lambda talk: behave(how, talk)), flush=True)
        return
    for step, said in declines(CLIENT_STEPS):
        result = try_once(how, address, port, lambda talk, step=step, said=said: decline_at(step, said, talk))
        if result != "intact":
            print(f"{result}: {said[16:20].hex()} {step}", flush=True)
            return
    print("intact", flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "codes":
        print(len(declines(SERVER_STEPS)))
    else:
        {"serve": serve, "connect": connect}[sys.argv[1]](sys.argv[2], sys.argv[3], int(sys.argv[4]))
