#!/bin/bash
# SPDX-License-Identifier: MIT
# A peer that makes SMC-R connections and then sends every message wrong, early, late, twice, with bad tokens,
# cursors, keys and lengths, and writes outside of its buffer; as a client and as a server, by version 2 and 1: the
# daemon lives, it gets no more link groups than it may have, and other connections through the same adapter are exact
# meanwhile.
#
#      a: a server and a client, smcud          b: smcud 10.9.0.2, client of an honest pair
#                                               10.9.0.66: the hostile one, with a RoCE of its own
#
#   remote_hostile.sh [ROUNDS]
#
# time limit: 600
# takes: 60
. "$(dirname "$0")/hosts.sh"
need python3
hostile=$source_dir/tests/e2e/remote_hostile.py
rounds=${1:-1}

hosts_build 1500
daemon_on a
daemon_on b
on b ip address add 10.9.0.66/32 dev lo
before=$(remote_count b smcr)

start_on server a smcu_run python3 "$peer" echo 10.9.0.1 7301
wait_listens a 7301
start_on receiver a smcu_run python3 "$peer" receive 10.9.0.1 7302
wait_listens a 7302
honest() {
	while [ ! -e "$scratch/enough" ]; do
		run_on b timeout 120 python3 "$peer" send 10.9.0.1 7302 4000000
		run_on b timeout 120 python3 "$peer" short 10.9.0.1 7301 5
	done >"$scratch/honest.log" 2>&1
}
honest &
honest_one=$!

memory() { awk '/VmRSS/ {print $2}' "/proc/${daemons[a]}/status"; }

# all_was_done NAME STATUS: and what had no malice in it went well
all_was_done() {
	verdict "$1" "$2 $(grep -c '^did' "$scratch/hostile.log") $(grep -c '^proper' "$scratch/hostile.log")" \
		"0 $(sed -n 's/^things //p' "$scratch/hostile.log") 2"
	[ "$2" = 0 ] || tail -n 3 "$scratch/hostile.log"
}
hostile_client() { # VERSION ROUND
	on b timeout 300 python3 "$hostile" connect "$1" 10.9.0.66 10.9.0.1 7301 "$2" >"$scratch/hostile.log" 2>&1
	all_was_done "a_hostile_client_by_v$1_in_round_$2" $?
	verdict "half_built_groups_are_limited_by_v$1_in_round_$2" "$(grep '^accepted' "$scratch/hostile.log")" \
		"accepted 16 declined 44"
}
hostile_server() { # VERSION ROUND
	local port=$((7310 + $1)) things server
	start_on hostile b timeout 300 python3 "$hostile" serve "$1" 10.9.0.66 10.9.0.1 "$port" "$2"
	server=$pid
	wait_listens b "$port"
	things=$(sed -n 's/^things //p' "$scratch/hostile.log")
	run_on a timeout 300 python3 "$peer" short 10.9.0.66 "$port" $((things + 2)) >"$scratch/client.log" 2>&1
	wait "$server"
	all_was_done "a_hostile_server_by_v$1_in_round_$2" $?
	verdict "the_client_has_an_end_by_v$1_in_round_$2" "$(grep -c '^wrong [0-9]' "$scratch/client.log")" 1
	verdict "without_malice_it_got_its_answers_by_v$1_in_round_$2" \
		"$(grep "^connection \(0\|$((things + 1))\):" "$scratch/client.log")" ""
}

for round in $(seq "$rounds"); do
	for version in 2 1; do
		hostile_client $version "$round"
		hostile_server $version "$round"
	done
	[ "$round" != 1 ] || used=$(memory)
done
touch "$scratch/enough"
wait "$honest_one"
verdict the_daemon_lives "$(kill -0 "${daemons[a]}" && smcu_on a stats --json | jq 'has("remote")')" true
verdict its_memory_does_not_grow "$([ "$(memory)" -lt $((used + 16384)) ] && echo true || memory)" true
verdict streams_of_others_were_whole "$(grep -c '^same' "$scratch/honest.log") $(grep -c '^differs\|Error' "$scratch/honest.log")" \
	"$(grep -c '^wrong 0' "$scratch/honest.log") 0"
verdict there_were_some "$([ "$(grep -c '^same' "$scratch/honest.log")" -gt 1 ] && echo true)" true
really_remote and_they_were_smcr b 12 "$before"
# It answers no TEST LINK: what is left is the honest pair's.
groups() { smcu_on a linkgroup --json | jq length; }
one_group() { [ "$(groups)" = 1 ]; }
if [ "$rounds" -gt 1 ]; then # it takes a minute
	wait_until 90 one_group
	verdict no_group_of_it_is_left "$(groups)" 1
fi
finish
