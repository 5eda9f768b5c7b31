#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
Everything of smcr_restart.py by SMC-Rv1: smcud or the guest starts again under traffic.
The guest's modules have one condition widened (tests/interop/widen.py).
"""
# time limit: 1200
# alone: the eBPF programs are one set a kernel, and guests are slow

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop"))

import smcr_restart
from talk import main_by_version_1

if __name__ == "__main__":
    main_by_version_1("smcr_v1_restart", smcr_restart.CASES)
