#!/bin/bash
# SPDX-License-Identifier: MIT
# smcud may be killed at any instruction: connections that moved go on, those in the middle of the
# hand-over agree on one of the two ways, new ones are TCP, and a new smcud is picked up.
#
# time limit: 180
# takes: 45
. "$(dirname "$0")/lib.sh"

streams=${1:-1500} seed=${2:-$RANDOM}

kill_and_restart_while() {
	local load=$1 rounds=0
	while kill -0 "$load" 2>/dev/null; do
		sleep "0.0$((RANDOM % 10))$((RANDOM % 10))"
		daemon_kill
		[ $((RANDOM % 3)) = 0 ] && sleep "0.0$((RANDOM % 10))"
		# on a dead daemon's socket nobody answers; the new one takes the path over
		"$SMCU_BUILD/smcud" --foreground --socket "$SMCU_SOCKET" >>"$scratch/smcud.log" 2>&1 &
		daemon=$!
		rounds=$((rounds + 1))
	done
	echo "$rounds" >"$scratch/rounds"
}

killed_at_each_step_of_a_hand_over() {
	daemon_start
	# not by smcu run, which would start a daemon of its own if it came while there is none
	start load preloaded "$programs/streams" run --seed="$seed" --keep-going --time=50 \
		--count="$streams" --move-after=0 --parallel=48
	kill_and_restart_while "$pid"
	if wait "$pid"; then
		ok "streams_are_exact_while_smcud_is_killed ($(cat "$scratch/rounds") times)"
	else
		not_ok streams_are_exact_while_smcud_is_killed \
			"seed $seed, $(cat "$scratch/rounds") kills"
		head -n 30 "$scratch/load.log"
	fi
	stop "$daemon"
	daemon=
}

# The load moves first; the daemon is gone for the rest of it.
running_connections_go_on_without_a_daemon() {
	daemon_start
	start steady smcu_run "$programs/steady" --connections=20 --seconds=4
	wait_until 10 moved_at_least 20
	really_moved steady_connections_moved 20 0
	daemon_kill
	check new_connections_without_a_daemon_are_tcp \
		preloaded "$programs/streams" run --count=50 --time=30
	if wait "$pid"; then
		ok running_connections_go_on_without_a_daemon
	else
		not_ok running_connections_go_on_without_a_daemon
		tail -n 20 "$scratch/steady.log"
	fi
}

moved_at_least() { [ "$(statistic moved)" -ge "$1" ]; }

# One process lives through all of it: no daemon, a first one, none, a second one.
a_process_finds_the_new_daemon() {
	rm -f "$SMCU_SOCKET"
	start lasting preloaded "$programs/steady" --connections=4 --seconds=12 --lifetime=1
	sleep 2
	daemon_start
	wait_until 10 moved_at_least 2
	really_moved a_daemon_started_later_is_found 2 0
	daemon_kill
	sleep 1
	daemon_start
	wait_until 10 moved_at_least 2
	really_moved a_new_daemon_is_found 2 0
	if wait "$pid"; then
		ok a_process_lives_through_two_daemons
	else
		not_ok a_process_lives_through_two_daemons
		tail -n 20 "$scratch/lasting.log"
	fi
}

killed_at_each_step_of_a_hand_over
running_connections_go_on_without_a_daemon
a_process_finds_the_new_daemon
finish
