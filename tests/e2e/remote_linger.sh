#!/bin/bash
# SPDX-License-Identifier: MIT
# A link group that has had no connection for as long as it may linger ends in order, by a message of the side
# whose time is over first, and at both hosts; the next connection makes a new one.
#
# time limit: 120
. "$(dirname "$0")/hosts.sh"
need python3 dumpcap

hosts_build 1500
port=7700

links() { smcu_on "$1" link --json | jq -r '[.[].qp] | sort | join(" ")'; }
has_none() { [ "$(smcu_on "$1" linkgroup --json | jq length)" = 0 ]; }
is_idle() { [ "$(smcu_on "$1" linkgroup --json | jq '[.[].connections] | add')" = 0 ]; }
one_connection() { [ "$(run_on a timeout 60 python3 "$peer" short 10.9.0.2 "$port" 1)" = "wrong 0" ]; }

# deletes NAME FROM TO RESPONSE: one has said DELETE LINK for all links, in order, and the other one has answered: a
# client by a response, a server by a request of its own, as the RFC has it (a packet may be sent again)
deletes() {
	"$SMCU" decode --json "$scratch/$1.pcap" >"$scratch/$1.json"
	verdict "$1_is_said_in_order_and_answered" "$(jq -r 'select(.kind == "DELETE LINK") |
		[.source.address, .response, .all, .orderly] | map(tostring) | join(" ")' "$scratch/$1.json" | uniq |
		paste -sd '|')" \
		"$2 false true true|$3 $4 true true"
}

# ends NAME HOST-THAT-ENDS-IT OTHER SECONDS-OF-A SECONDS-OF-B: which of the two it is the seconds say
ends() {
	local first second
	port=$((port + 1))
	daemon_on a --set smcr.linger="$4"
	daemon_on b --set smcr.linger="$5"
	start_on server b smcu_run python3 "$peer" echo 10.9.0.2 "$port"
	local server=$pid
	wait_listens b "$port"
	capture_start a "$1"
	check "${1}_follows_a_connection" one_connection
	first=$(links a)
	check "${1}_comes_when_it_is_idle" wait_until 10 is_idle a
	check "${1}_is_at_one_host" wait_until 30 has_none "$2"
	check "${1}_is_at_the_other_too" wait_until 10 has_none "$3"
	capture_stop
	deletes "$1" "${address4[$2]}" "${address4[$3]}" "$([ "$2" = b ] && echo true || echo false)"
	check "after_${1}_there_are_connections" one_connection
	really_remote "after_${1}_they_are_smcr" a 2 0
	second=$(links a)
	verdict "after_${1}_there_is_a_new_group" \
		"$([ -n "$first" ] && [ -n "$second" ] && [ "$first" != "$second" ] && echo yes)" yes
	stop "$server"
	daemon_kill_on a
	daemon_kill_on b
}
ends the_end_by_the_server b a 1 1
ends the_end_by_the_client a b 1 600
finish
