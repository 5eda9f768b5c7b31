#!/bin/bash
# SPDX-License-Identifier: MIT
# Urgent data between two hosts is under smcu, by SMC-R, what it is by plain TCP: reads stop at the mark, the
# byte is taken beside the stream or read in line, waits and signals tell of it, a newer one replaces it.
#
# time limit: 180
# takes: 35
. "$(dirname "$0")/hosts.sh"
urgent=$programs/urgent
exchange=$programs/exchange

hosts_build 1500
daemon_on a
daemon_on b
port=7000

# observe RESULT LISTENER CLIENT ROLE OTHER [smcu_run]: the listener has this role, the client the other
observe() {
	local result=$1 role=$4 other=$5 ends=()
	port=$((port + 1))
	start_on "$role" "$2" ${6-} timeout 100 "$urgent" "$role" --listen --address="$(address "$2")" --port="$port"
	ends+=("$pid")
	wait_listens "$2" "$port"
	start_on "$other" "$3" ${6-} timeout 100 "$urgent" "$other" --address="$(address "$2")" --port="$port"
	ends+=("$pid")
	wait "${ends[@]}"
	cp "$scratch/observe.log" "$scratch/$result"
}

# same NAME LISTENER CLIENT ROLE OTHER
same() {
	local before
	before=$(remote_count "$3" smcr)
	observe plain "${@:2}"
	check "$1_has_an_end_by_tcp" grep -q '^done' "$scratch/plain"
	observe smcu "${@:2}" smcu_run
	if cmp -s "$scratch/plain" "$scratch/smcu"; then
		ok "$1"
	else
		not_ok "$1" "(- TCP, + smcu)"
		diff -U 100 "$scratch/plain" "$scratch/smcu" | sed 1,2d
	fi
	really_remote "$1_by_smcr" "$3" "$(grep -c '^[a-z]' "$scratch/plain" | xargs -I{} expr {} - 1)" "$before"
}

# Before what waits for so long: a first contact by IPv6 may take seconds.
port=$((port + 1))
before=$(remote_count a smcr)
start_on server b smcu_run "$exchange" serve --address="$(address b)" --port="$port"
server=$pid
wait_listens b "$port"
check an_urgent_byte_there_and_back \
	run_on a timeout 30 "$exchange" connect --address="$(address b)" --port="$port" --urgent --count=5
wait "$server"
verdict both_ends_have_taken_it "$(cat "$scratch"/server.log | grep -c '^urgent 85')" 1
really_remote which_was_smcr a 1 "$before"

same urgent_data_is_the_same_for_a_server b a observe send
same urgent_data_is_the_same_for_a_client b a send observe
finish
