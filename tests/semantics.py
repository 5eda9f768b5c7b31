#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
docs/semantics.md is complete and true to its names: each row that says "as TCP" names a test, each test
that it names exists, and each behaviour of the program `same` and each function that the preload library
exports is in it.
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
    """All words of the scripts: a case that is named there somewhere is there."""
    directory = os.path.join(TOP, "tests", "e2e")
    words = set()
    for name in os.listdir(directory):
        words |= set(re.findall(r"\w+", text_of("tests", "e2e", name)))
    return words


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
sys.exit(failures > 0)
