#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
Everything of interop/smcr.py and of smcr_streams.py by SMC-Rv1: streams, wraps, urgent bytes, readers that
sleep, aborts, a daemon that is stopped.
The guest's modules have one condition widened (tests/interop/widen.py).
"""
# time limit: 2400
# alone: the eBPF programs are one set a kernel, and guests are slow

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop"))

import smcr
import smcr_streams
from talk import main_by_version_1

if __name__ == "__main__":
    main_by_version_1("smcr_v1_streams", [*smcr.CASES, *smcr_streams.CASES])
