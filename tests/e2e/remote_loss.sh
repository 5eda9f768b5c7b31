#!/bin/bash
# SPDX-License-Identifier: MIT
# A network that loses, doubles and reorders RoCE packets, at both hosts: streams both ways at once and redis
# get everything, once, and in bounded time.
#
#   remote_loss.sh [MEGABYTES REDIS_MEGABYTES RATE...]   a rate is of a million packets, for each of the three
#
# not for: asan (the fabric's own tests lose packets there)
# time limit: 600
. "$(dirname "$0")/hosts.sh"
need python3 redis-server redis-cli
megabytes=${1:-8} redis_megabytes=${2:-2}
rates=("${@:3}")
[ ${#rates[@]} -gt 0 ] || rates=(10000)
limit=1800 # seconds for one stream

hosts_build 1500
port=7400

# stream NAME SENDER RECEIVER: in the background; its verdict is in NAME.out
stream() {
	port=$((port + 1))
	start_on "$1-receiver" "$3" smcu_run python3 "$peer" receive "$(address "$3")" "$port"
	wait_listens "$3" "$port"
	start_on "$1" "$2" "$SMCU" run timeout "$limit" python3 "$peer" send "$(address "$3")" "$port" $((megabytes << 20))
}
streams() {
	local before there
	before=$(remote_count a smcr)
	stream "there" a b
	there=$pid
	stream "back" b a
	wait "$there" "$pid"
	verdict "a_stream_is_whole_at_$1" "$(tail -n 1 "$scratch/there.log")" same
	verdict "a_stream_back_is_whole_at_$1" "$(tail -n 1 "$scratch/back.log")" same
	really_remote "streams_by_smcr_at_$1" a 2 "$before"
}

redis_cli() { run_on a timeout "$limit" redis-cli -h "$(address b)" -p "$port" "$@"; }
redis_keeps() {
	local number
	for number in $(seq "$redis_megabytes"); do
		head -c 1000000 /dev/urandom >"$scratch/value"
		[ "$(redis_cli -x set "key:$number" <"$scratch/value")" = OK ] || return
		redis_cli get "key:$number" | head -c 1000000 | cmp - "$scratch/value" || return
	done
	[ "$(redis_cli dbsize)" = "$redis_megabytes" ]
}
redis() {
	local before server
	port=$((port + 1))
	start_on redis b smcu_run redis-server --port "$port" --bind "$(address b)" --save "" --appendonly no \
		--protected-mode no --dir "$scratch"
	server=$pid
	wait_listens b "$port"
	before=$(remote_count a smcr)
	check "redis_keeps_what_it_was_given_at_$1" redis_keeps
	really_remote "redis_by_smcr_at_$1" a "$redis_megabytes" "$before"
	stop "$server"
}

# Without packets that were sent again all this proves nothing.
sent_again() { smcu_on a device --json | jq '[.[].packets.repeated] | add'; }

for rate in "${rates[@]}"; do
	for host in a b; do
		[ -z "${daemons[$host]-}" ] || daemon_kill_on $host
		daemon_on $host --set "rnic.faults=loss $rate duplicate $rate reorder $rate"
	done
	streams "$rate"
	redis "$rate"
	verdict "packets_were_sent_again_at_$rate" "$([ "$(sent_again)" -gt 0 ] && echo true)" true
done
finish
