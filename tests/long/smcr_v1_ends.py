#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
Everything of smcr_ends.py by SMC-Rv1: how connections and link groups begin and end.
The guest's modules have one condition widened (tests/interop/widen.py).
"""
# time limit: 1800
# alone: the eBPF programs are one set a kernel, and guests are slow

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop"))

import smcr_ends
from talk import main_by_version_1

if __name__ == "__main__":
    main_by_version_1("smcr_v1_ends", smcr_ends.CASES)
