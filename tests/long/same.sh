#!/bin/bash
# SPDX-License-Identifier: MIT
# The behaviours again, with other moments of the move: in the middle of the warm-up, and at random
# (SAME_SEED: the first seed).
#
# time limit: 3600
status=0
for bytes in 1 7 16; do
	"$(dirname "$0")/../e2e/same.sh" $bytes | sed "s/ same_/ same_after_${bytes}_/"
	[ "${PIPESTATUS[0]}" = 0 ] || status=1
done
seed=${SAME_SEED:-$RANDOM}
for n in 0 1 2 3; do
	"$(dirname "$0")/../e2e/same.sh" random $((seed + n)) | sed "s/ same_random/&_$((seed + n))/"
	[ "${PIPESTATUS[0]}" = 0 ] || status=1
done
exit $status
