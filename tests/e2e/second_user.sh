#!/bin/bash
# SPDX-License-Identifier: MIT
# A raw system call, or another process, that reads or writes the socket past the shim: the byte counts
# of shim and kernel differ, so that direction stays TCP and nothing is lost.
. "$(dirname "$0")/lib.sh"

seed=${1:-$RANDOM}
check second_user_program_is_right_on_plain_tcp timeout 60 "$programs/second_user" --rounds=20
daemon_start
# how far: before the first hand-over; raw calls start in the first half of it
for bytes in 4000 1001 20000; do
	SMCU_MOVE_AFTER=$bytes check "raw_calls_before_${bytes}_bytes_lose_nothing" \
		timeout 100 "$SMCU" run "$programs/second_user" --rounds=30 --seed="$seed" --before=$bytes
done
finish
