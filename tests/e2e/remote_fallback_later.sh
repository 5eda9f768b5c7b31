#!/bin/bash
# SPDX-License-Identifier: MIT
# A later contact, on a link group that is there, with a peer that falls silent in it: from RoCE nothing comes any
# more, the response to CONFIRM RKEY first of all.  Data arrives as it is, and who had a connection there before is
# not left hanging.
#
# time limit: 120
. "$(dirname "$0")/hosts.sh"
need python3 nft
exchange=$programs/exchange

hosts_build 1500
daemon_on b
port=7800

# silence HOST WHAT: that it does not get
silence() {
	on "$1" nft -f - <<-END
		table inet silence { chain in { type filter hook input priority 0; $2 counter drop; }; }
	END
}
was_silent() { on "$1" nft list table inet silence | grep -q "counter packets [1-9]"; }

connects() {
	run_on a timeout 60 "$exchange" connect --address=10.9.0.2 --port="$port" --size=3000 --count=20 \
		>"$scratch/client.log" 2>&1
}
# later NAME HOST WHAT: a later contact while that host does not get this
later() {
	local status began
	port=$((port + 1))
	daemon_on a
	start_on server b smcu_run python3 "$peer" echo 10.9.0.2 "$port"
	local server=$pid
	wait_listens b "$port"
	start_on first a smcu_run python3 "$peer" wait 10.9.0.2 "$port"
	local first=$pid
	wait_until 30 grep -q waiting "$scratch/first.log"
	mode_becomes "there_is_a_connection_before_$1" a "$port" SMCR
	silence "$2" "$3"
	began=$SECONDS
	connects
	status=$?
	verdict "data_arrives_after_$1" "$status $(tail -n 1 "$scratch/client.log")" "0 done 60000"
	check "and_$1_it_was" was_silent "$2"
	# The link is lost: the message could not be delivered.  (By its retries, or, where nothing is sent, by a test.)
	first_has_ended() { grep -q "^ended" "$scratch/first.log"; }
	check "who_was_there_is_told_of_$1" wait_until 20 first_has_ended
	verdict "of_$1_by_an_error" "$(grep -c "^ended ECONNRESET" "$scratch/first.log")" 1
	on "$2" nft delete table inet silence
	verdict "no_clc_reaches_the_server_at_$1" "$(grep -c CLC "$scratch/server.log")" 0
	check "data_arrives_when_$1_is_over" connects
	stop "$first"
	stop "$server"
	echo "    $1: $((SECONDS - began)) s"
}

later silence_of_all_roce b "udp dport 4791"
finish
