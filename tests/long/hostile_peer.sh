#!/bin/bash
# SPDX-License-Identifier: MIT
# The hostile neighbour with ten seeds.
#
# time limit: 3600
status=0
for seed in 1 2 3 4 5 6 7 8 9 10; do
	"$(dirname "$0")/../e2e/hostile_peer.sh" $seed | sed "s/ hostile_/ seed_${seed}_hostile_/"
	[ "${PIPESTATUS[0]}" = 0 ] || status=1
done
exit $status
