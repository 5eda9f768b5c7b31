#!/bin/bash
# SPDX-License-Identifier: MIT
# The behaviours again, with other moments of the move: in the middle of the warm-up, and where the
# configuration puts it.
#
# time limit: 3600
status=0
for bytes in 1 7 16; do
	"$(dirname "$0")/../e2e/same.sh" $bytes | sed "s/ same_/ same_after_${bytes}_/"
	[ "${PIPESTATUS[0]}" = 0 ] || status=1
done
exit $status
