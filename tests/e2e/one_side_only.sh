#!/bin/bash
# SPDX-License-Identifier: MIT
# smcu on one side, or with no daemon, is TCP: nothing fails, nothing waits, nothing moves.
#
# time limit: 120
. "$(dirname "$0")/lib.sh"

# How a side runs, in words before the program.
plain="env"
smcu="$SMCU run"
without_daemon="env SMCU_SOCKET=$scratch/nobody LD_PRELOAD=$preload"

# pair NAME HOW_SERVER HOW_CLIENT
pair() {
	local port server options="--seed=$RANDOM --count=100 --max=100000 --time=30"
	port=$(free_port)
	# shellcheck disable=SC2086
	start server $2 "$programs/streams" server --port="$port" $options
	server=$pid
	sleep 0.3
	# shellcheck disable=SC2086
	if $3 "$programs/streams" client --port="$port" $options >"$scratch/client.log" 2>&1 &&
		wait "$server"; then
		ok "$1"
	else
		not_ok "$1" "$options"
		head -n 20 "$scratch/client.log" "$scratch/server.log"
	fi
}

pair a_client_without_daemon_is_tcp "$plain" "$without_daemon"
pair both_sides_without_daemon_are_tcp "$without_daemon" "$without_daemon"
daemon_start
before=$(statistic moved)
pair a_plain_client_with_a_smcu_server "$smcu" "$plain"
pair a_smcu_client_with_a_plain_server "$plain" "$smcu"
pair a_smcu_client_with_a_server_without_daemon "$without_daemon" "$smcu"
verdict nothing_moved_with_one_side_only "$(statistic moved)" "$before"
pair both_sides_under_smcu "$smcu" "$smcu"
# Most of these connections are over before they can move.
really_moved both_sides_really_moved 2 "$before"
finish
