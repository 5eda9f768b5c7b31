#!/bin/bash
# SPDX-License-Identifier: MIT
# Processes of a server and a client fork, exec, pass descriptors, are stopped, continued and killed at
# random while their streams run, and smcud is killed and started anew: every stream arrives exactly,
# or ends as TCP would end it.  The seed is printed; `chaos run --seed=S` rolls the same dice.
#
# time limit: 240
# takes: 55
. "$(dirname "$0")/lib.sh"

seconds=${1:-15} seed=${2:-$RANDOM}

# chaos NAME COMMAND...: exact, or what was wrong
chaos() {
	local name=$1 status
	shift
	timeout $((seconds * 2 + 100)) "$@" >"$scratch/out" 2>&1
	status=$?
	if [ $status = 0 ]; then
		ok "$name"
		sed 's/^/    /' "$scratch/out"
	else
		not_ok "$name" "status $status, seed $seed"
		cut -c 1-700 "$scratch/out" | head -n 40
	fi
}

# Faults that the program makes itself must be seen, or nothing above would mean anything.
fault() {
	if timeout 100 "$programs/chaos" run --seed="$seed" --seconds=30 --patience=3 --fault="$1" \
		>"$scratch/out" 2>&1; then
		not_ok "$2" "seed $seed"
	elif grep -q "^wrong: connection .*$3" "$scratch/out"; then
		ok "$2"
	else
		not_ok "$2" "seed $seed: something else was wrong"
		cut -c 1-700 "$scratch/out" | head -n 20
	fi
}

kill_and_restart_while() {
	local load=$1
	kills=0
	while kill -0 "$load" 2>/dev/null; do
		sleep "$((RANDOM % 3)).$((RANDOM % 10))"
		daemon_kill
		[ $((RANDOM % 3)) = 0 ] && sleep "0.$((RANDOM % 10))"
		"$SMCU_BUILD/smcud" --foreground --socket "$SMCU_SOCKET" >>"$scratch/smcud.log" 2>&1 &
		daemon=$!
		kills=$((kills + 1))
	done
}

chaos chaos_is_exact_on_plain_tcp "$programs/chaos" run --seed="$seed" --seconds=2
fault 1 a_changed_byte_is_seen "wrong bytes"
# (near the end of a stream too few bytes follow to say which it was)
fault 2 a_lost_byte_is_seen "\(lost 1 bytes\|foreign bytes\)"
fault 3 a_repeated_byte_is_seen "\(repeats 1 bytes\|foreign bytes\)"
fault 4 an_end_out_of_the_blue_is_seen "but its peer"
fault 5 an_end_of_file_before_the_end_is_seen "saw the end after"
fault 6 a_stream_that_stands_still_is_seen "stands still"

daemon_start
before=$(statistic moved)
chaos streams_of_chaotic_processes_are_exact \
	"$SMCU" run "$programs/chaos" run --seed="$seed" --seconds="$seconds"
really_moved chaotic_streams_really_moved 50 "$before"

# not by smcu run, which would start a daemon of its own if it came while there is none
start load preloaded "$programs/chaos" run --seed=$((seed + 1)) --seconds="$seconds"
kill_and_restart_while "$pid"
if wait "$pid"; then
	ok "streams_of_chaotic_processes_are_exact_while_smcud_is_killed ($kills times)"
	sed 's/^/    /' "$scratch/load.log"
else
	not_ok streams_of_chaotic_processes_are_exact_while_smcud_is_killed "seed $((seed + 1))"
	cut -c 1-700 "$scratch/load.log" | head -n 40
fi
finish
