#!/bin/bash
# SPDX-License-Identifier: MIT
# Connections move from TCP to shared memory while bytes are in flight, and not one byte is lost,
# doubled or swapped: thousands of streams of random sizes and styles of I/O, both ways at once, with
# another SMCU_MOVE_AFTER for each process, some client ends killed right after their last write or
# at any moment.  A failure prints the line that replays it.
#
# time limit: 240
# takes: 90
. "$(dirname "$0")/lib.sh"

[ "${SMCU_VARIANT:-release}" = release ] && few=1 || few=3
streams=${1:-$((3000 / few))} writers=${2:-$((1000 / few))} seed=${3:-$RANDOM}
daemon_start

# exact NAME OPTION...: all streams exact, or what was wrong and how to do it again
exact() {
	local name=$1 status
	shift
	smcu_run "$programs/streams" run --seed="$seed" --keep-going --time=40 "$@" >"$scratch/out" 2>&1
	status=$?
	if [ $status = 0 ]; then
		ok "$name"
	else
		not_ok "$name" "status $status; replay: streams run --seed=$seed $*"
		head -n 40 "$scratch/out"
	fi
}

# Without a move there is nothing to see: the same program is right on TCP.
check streams_are_exact_on_plain_tcp "$programs/streams" run --seed="$seed" --count=200 --time=60

before=$(statistic moved)
exact streams_are_exact_wherever_they_switch --count="$streams" --parallel=24
# a sixth of the ends at least; many streams are over before they are worth a move, or never wait anywhere
really_moved streams_really_moved $((streams / 3)) "$before"

before=$(statistic moved)
exact bytes_accepted_from_a_killed_writer_arrive --count="$writers" --kill=100 --max=20000 --move-after=0
really_moved killed_writers_really_moved $((writers / 10)) "$before"

before=$(statistic moved)
exact streams_are_exact_when_all_move_at_once --count=200 --batch=200 --parallel=200 --kill=0 --move-after=0
# with all at once the daemon is late for most: from forty to two hundred ends move
really_moved all_at_once_really_moved 10 "$before"
finish
