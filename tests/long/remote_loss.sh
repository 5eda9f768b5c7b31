#!/bin/bash
# SPDX-License-Identifier: MIT
# Between hosts: 64 MB each way and 20 MB of redis where 1 %, 5 % and 20 % of the packets are lost, come twice
# and are overtaken.
#
# alone: the eBPF programs are one set a kernel
# time limit: 7200
exec "$(dirname "$0")/../e2e/remote_loss.sh" 64 20 10000 50000 200000
