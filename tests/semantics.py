#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
docs/semantics.md is complete and true to its names: each row that says "as TCP" names a test, each test
that it names exists, and each behaviour of the program `same`, each function that the preload library
exports and each option of sockets and of TCP in the system's headers is in it.
"""

import os
import re
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("SMCU_BUILD", os.path.join(TOP, "build"))
failures = 0


def text_of(*path):
    with open(os.path.join(TOP, *path), encoding="utf-8") as file:
        return file.read()


def rows():
    """(what, how, tests) of each table row of the page, without the heads."""
    for line in text_of("docs", "semantics.md").splitlines():
        if line.startswith("|") and line.count("|") == 4 and not line.startswith("|---"):
            what, how, tests = (cell.strip() for cell in line.strip("|").split("|"))
            if tests != "tests":
                yield what, how, tests.split()


def behaviours():
    program = os.path.join(BUILD, "tests", "programs", "same")
    return set(subprocess.run([program, "list"], stdout=subprocess.PIPE, check=True,
                              encoding="ascii").stdout.split())


def exported():
    names = re.search(r"global:(.*)local:", text_of("src", "shim", "smcu.map"), re.DOTALL)
    return {name.strip() for name in names.group(1).split(";") if name.strip()}


def cases():
    """
    The names of the scripts' cases, as they are given to what prints a verdict.  A name that is made up while
    the script runs counts up to there: "raw_calls_before_${bytes}_bytes" is "raw_calls_before_".
    """
    directory = os.path.join(TOP, "tests", "e2e")
    verdicts = re.compile(r'(?:^|[\s;&|(])(?:ok|not_ok|skip|verdict|check|really_moved|stays) "?([a-z]\w*)')
    names = set()
    for name in os.listdir(directory):
        if name.endswith(".sh"):
            names |= set(verdicts.findall(text_of("tests", "e2e", name)))
    return names


def options():
    """What the system's headers have for setsockopt(2) on a TCP socket, by name."""
    names = set()
    for header, pattern, end in (("asm-generic/socket.h", r"(SO_\w+)[ \t]+\w+", None),
                                 ("linux/tcp.h", r"(TCP_\w+)[ \t]+\d+(?!\w)", "TCP_REPAIR_ON")):
        try:
            with open(os.path.join("/usr/include", header), encoding="utf-8") as file:
                text = file.read()
        except FileNotFoundError:
            continue
        text = text[:text.index(end)] if end else text
        names |= set(re.findall(r"^#\s*define[ \t]+" + pattern, text, re.MULTILINE))
    return {re.sub(r"_(OLD|NEW)$", "", name) for name in names}


def verdict(name, wrong):
    global failures
    if not wrong:
        print(f"ok {name}")
        return
    print(f"not ok {name} {' '.join(sorted(wrong))}")
    failures += 1


page = list(rows())
named = {test for _, _, tests in page for test in tests}
calls = {call for what, _, _ in page for call in re.findall(r"`(\w+)`", what)}
same = behaviours()

verdict("semantics_has_rows", set() if len(page) > 50 else {f"only {len(page)}"})
verdict("semantics_as_tcp_is_tested", {what for what, how, tests in page
                                       if how.startswith("as TCP") and not tests})
verdict("semantics_names_tests_that_exist", named - same - cases())
verdict("semantics_has_every_behaviour", same - named)
verdict("semantics_has_every_function", exported() - calls)
verdict("semantics_has_every_option", options() - calls)
sys.exit(failures > 0)
