#!/bin/bash
# SPDX-License-Identifier: MIT
# A quarter of the behaviours of same.sh, with connections that move at a moment drawn for each: in the
# middle of its exchanges, of a long write, or not at all.  SAME_SEED repeats a run.
#
# time limit: 400
# takes: 20
exec "$(dirname "$0")/same.sh" random "${SAME_SEED:-$RANDOM}" "${SAME_ONE_IN:-4}"
