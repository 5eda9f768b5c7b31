#!/bin/bash
# SPDX-License-Identifier: MIT
# Everything that does not need IPv4 of what is tested between hosts, over IPv6: 512 MB each way at each MTU and
# two thousand short connections, loss of 1 % and 5 % of the packets, urgent data, programs.
#
# alone: the eBPF programs are one set a kernel
# time limit: 3600
export SMCU_FAMILY=6
here=$(dirname "$0")/../e2e
failed=0
"$here/remote.sh" 512 2000 || failed=1
"$here/remote_loss.sh" 16 5 10000 50000 || failed=1
"$here/remote_urgent.sh" || failed=1
"$here/remote_programs.sh" || failed=1
exit $failed
