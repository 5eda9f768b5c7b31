#!/bin/bash
# SPDX-License-Identifier: MIT
# The hostile peer between hosts twenty times, each with other dice.
#
# alone: the eBPF programs are one set a kernel
# time limit: 7200
exec "$(dirname "$0")/../e2e/remote_hostile.sh" 20
