#!/bin/bash
# SPDX-License-Identifier: MIT
# Between hosts: 2 GB each way at each MTU, and twenty thousand short connections.
#
# alone: the eBPF programs are one set a kernel
# time limit: 3600
exec "$(dirname "$0")/../e2e/remote.sh" 2048 20000
