#!/bin/bash
# SPDX-License-Identifier: MIT
# Programs under smcu on two hosts, whose connections go by SMC-R: echo in both roles, at two MTUs, over IPv4 and
# IPv6; half close; a large transfer; many short connections; and what the survivor sees when a program
# or a daemon is killed or stopped, or the path is lost.
#
#   remote.sh [MEGABYTES CONNECTIONS [CASE...]]   of a large transfer, short ones; in the family of hosts.sh
#
# time limit: 600
# not for: asan (tests/long/sanitized.sh; the other tests between hosts are)
# takes: 94
. "$(dirname "$0")/hosts.sh"
need python3 nft
exchange=$programs/exchange
megabytes=${1:-256} short=${2:-200}
[ "${SMCU_VARIANT:-release}" = release ] || [ "$megabytes" -lt 32 ] || megabytes=32
version=2 eid=SMCU families="4 6"
[ "$family" = 4 ] || version=1 eid="" families=6

hosts_build 1500
port=7000
next_port() { port=$((port + 1)); }

# echoes NAME SERVER CLIENT FAMILY OPTION...: exchange, checked by both ends
echoes() {
	local name=$1 server=$2 client=$3 where before
	where=$(address "$2" "$4")
	shift 4
	next_port
	before=$(remote_count "$client" smcr)
	start_on server "$server" smcu_run "$exchange" serve --address="$where" --port="$port"
	local served=$pid
	wait_listens "$server" "$port"
	check "$name" run_on "$client" timeout 60 "$exchange" connect --address="$where" --port="$port" "$@"
	wait "$served"
	verdict "${name}_and_the_server_is_content" "$(grep -c '^ended [0-9]* eof' "$scratch/server.log")" 1
	really_remote "${name}_by_smcr" "$client" 1 "$before"
}

# What is asked of a connection while it is there.
a_connection_can_be_looked_at() {
	next_port
	start_on server b smcu_run python3 "$peer" echo "$(address b)" "$port"
	local server=$pid
	wait_listens b "$port"
	start_on client a smcu_run python3 "$peer" wait "$(address b)" "$port"
	wait_until 30 grep -q waiting "$scratch/client.log"
	mode_becomes a_client_says_smcr a "$port" SMCR
	mode_becomes a_server_says_smcr b "$port" SMCR
	smcu_on a ss --json | jq '.[] | select(.smcr) | .smcr' >"$scratch/a.json"
	smcu_on b ss --json | jq '.[] | select(.smcr) | .smcr' >"$scratch/b.json"
	verdict each_end_has_the_others_token "$(jq -r '.token + " " + .peer_token' "$scratch/a.json")" \
		"$(jq -r '.peer_token + " " + .token' "$scratch/b.json")"
	verdict what_was_sent_was_received "$(jq .sending.sent "$scratch/a.json") $(jq .receiving.produced "$scratch/a.json")" \
		"$(jq .receiving.produced "$scratch/b.json") $(jq .sending.sent "$scratch/b.json")"
	verdict the_roles_and_the_state "$(jq -r '.role + " " + .state' "$scratch/a.json" "$scratch/b.json" | xargs)" \
		"CLNT ACTIVE SERV ACTIVE"
	verdict the_peers_adapter_is_named "$(jq -r .peer_gid "$scratch/a.json" "$scratch/b.json" | xargs)" \
		"$(address b) $(address a)"
	verdict details_are_for_people_too "$(smcu_on a ss --details | grep -c '^    ACTIVE  role CLNT  lg-id ')" 1
	verdict there_is_a_link_group "$(smcu_on a linkgroup --json |
		jq -r --argjson version $version '.[] | select(.role == "CLNT" and .version == $version) |
			[.type, .state, .device, .eid // ""] | join(" ")')" "SINGLE ACTIVE v0 $eid"
	verdict its_link_is_seen_alike "$(smcu_on a link --json | jq -r '.[] | select(.connections > 0) | .qp + " " + .peer_qp + " " + .gid')" \
		"$(smcu_on b link --json | jq -r '.[] | select(.connections > 0) | .peer_qp + " " + .qp + " " + .peer_gid')"
	verdict the_adapter_has_a_connection "$(smcu_on a device --json |
		jq '.[] | .device == "v0" and .active and .connections == 1 and .packets.sent > 0')" true
	stop "$pid"
	stop "$server"
}

# bulk NAME SENDER RECEIVER
bulk() {
	local before
	before=$(remote_count "$2" smcr)
	next_port
	start_on receiver "$3" smcu_run python3 "$peer" receive "$(address "$3")" "$port"
	local receiver=$pid
	wait_listens "$3" "$port"
	verdict "$1" "$(run_on "$2" timeout 300 python3 "$peer" send "$(address "$3")" "$port" $((megabytes << 20)) 2>&1)" same
	stop "$receiver"
	really_remote "$1_by_smcr" "$2" 1 "$before"
}

many_short_connections() {
	local before
	before=$(remote_count a smcr)
	next_port
	start_on server b smcu_run python3 "$peer" echo "$(address b)" "$port"
	local server=$pid
	wait_listens b "$port"
	verdict many_short_connections "$(run_on a timeout 300 python3 "$peer" short "$(address b)" "$port" "$short" 2>&1)" "wrong 0"
	verdict and_the_server_saw_each_end "$(wait_until 10 ended_so_often "$short"; grep -c '^ended eof' "$scratch/server.log")" "$short"
	really_remote which_were_smcr a "$short" "$before"
	stop "$server"
}
ended_so_often() { [ "$(grep -c '^ended' "$scratch/server.log")" -ge "$1" ]; }

# What a process keeps of its connections serves the next ones, but is nothing to another daemon.
connections_before_and_after_a_new_daemon() {
	local before client server count=200
	before=$(remote_count a smcr)
	next_port
	start_on server b smcu_run python3 "$peer" echo "$(address b)" "$port"
	server=$pid
	wait_listens b "$port"
	start_on client a smcu_run python3 "$peer" again "$(address b)" "$port" $count
	client=$pid
	wait_until 60 grep -q waiting "$scratch/client.log"
	really_remote one_after_the_other_are_smcr a $count "$before"
	daemon_kill_on a
	daemon_on a
	kill -USR1 "$client"
	wait "$client"
	verdict connections_before_and_after_a_new_daemon "$(tail -n 1 "$scratch/client.log")" "wrong 0"
	stop "$server"
}

# Each host asks the other while it answers.
both_at_once() {
	local ends=() host other before
	before=$(($(remote_count a smcr) + $(remote_count b smcr)))
	next_port
	for host in a b; do
		start_on "server-$host" "$host" smcu_run "$exchange" serve --address="$(address $host)" --port="$port" --connections=4
		ends+=("$pid")
	done
	wait_listens a "$port"
	wait_listens b "$port"
	for host in a b a b a b a b; do
		other=$([ $host = a ] && echo b || echo a)
		start_on "client-$host-${#ends[@]}" "$host" smcu_run timeout 60 "$exchange" connect \
			--address="$(address $other)" --port="$port" --stream --size=20000 --count=200 --half-close
		ends+=("$pid")
	done
	local wrong=0
	for pid in "${ends[@]}"; do wait "$pid" || wrong=$((wrong + 1)); done
	verdict both_hosts_ask_and_answer_at_once $wrong 0
	verdict "and_all_of_it_was_smcr" $(($(remote_count a smcr) + $(remote_count b smcr) - before)) 16
}

# waiting: a client on a waits for a server on b; their numbers in $client and $server
waiting() {
	next_port
	start_on server b smcu_run python3 "$peer" echo "$(address b)" "$port"
	server=$pid
	wait_listens b "$port"
	start_on client a smcu_run python3 "$peer" wait "$(address b)" "$port"
	client=$pid
	wait_until 30 grep -q waiting "$scratch/client.log"
	mode_becomes "before_$1" a "$port" SMCR
}
says() { wait_until "$3" grep -q "^ended" "$scratch/$2.log"; verdict "$1" "$(grep ^ended "$scratch/$2.log")" "$4"; }

a_killed_program_is_noticed() {
	waiting the_server_is_killed
	kill -KILL "$server"
	says a_client_whose_server_is_killed_sees_the_end client 20 "ended eof"
	wait "$server" "$client" 2>/dev/null
	waiting the_client_is_killed
	kill -KILL "$client"
	says a_server_whose_client_is_killed_sees_the_end server 20 "ended eof"
	wait "$client" 2>/dev/null
	stop "$server"
}

ended_by_error() { grep -q "^ended E" "$scratch/$1.log"; }

# TCP would get through; the link is what is lost, and TEST LINK finds that out.
a_lost_path_is_noticed() {
	waiting the_path_is_lost
	on b nft -f - <<-END
		table inet hole {
			chain in { type filter hook input priority 0; udp dport 4791 drop; }
			chain out { type filter hook output priority 0; udp dport 4791 drop; }
		}
	END
	check a_client_whose_path_is_lost_gets_an_error wait_until 90 ended_by_error client
	check a_server_whose_path_is_lost_gets_an_error wait_until 90 ended_by_error server
	on b nft delete table inet hole
	stop "$server"
	echoes after_the_path_came_back b a "$family"
}

# The data is in the daemon's hands: without it there is an error, not silence.
a_killed_daemon_is_noticed() {
	waiting the_daemon_is_killed
	daemon_kill_on a
	says a_program_whose_daemon_is_killed_gets_a_reset client 10 "ended ECONNRESET"
	says and_so_does_its_peer_on_the_other_host server 60 "ended ECONNRESET"
	stop "$server"
	daemon_on a
	echoes after_a_new_daemon_came b a "$family"
}

# In order, and so that nobody waits: not the programs, and not the daemon for its peer's answer.
a_stopped_daemon_is_noticed() {
	local host=$1 start
	waiting "the_daemon_of_${host}_is_stopped"
	start=$(date +%s%3N)
	kill -TERM "${daemons[$host]}"
	wait "${daemons[$host]}"
	verdict "the_daemon_of_${host}_ends_well" $? 0
	# (a sanitizer looks for leaks at the end)
	[ "${SMCU_VARIANT:-release}" != release ] ||
		verdict "and_waits_for_nobody_on_$host" $(($(date +%s%3N) - start < 1900)) 1
	says "a_client_is_told_when_the_daemon_of_${host}_is_stopped" client 5 "ended ECONNRESET"
	says "a_server_is_told_when_the_daemon_of_${host}_is_stopped" server 5 "ended ECONNRESET"
	stop "$server"
	daemon_on "$host"
	echoes "after_a_new_daemon_came_to_$host" b a "$family"
}

at_mtu() {
	local mtu=$1 links=$2 each
	new_daemons "$mtu"
	for each in $families; do
		echoes "echo_over_ipv${each}_at_mtu_$mtu" b a "$each"
		echoes "echo_the_other_way_over_ipv${each}_at_mtu_$mtu" a b "$each"
	done
	echoes "half_close_at_mtu_$mtu" b a "$family" --half-close --size=100000 --count=3
	echoes "a_stream_both_ways_at_mtu_$mtu" b a "$family" --stream --size=65536 --count=320 --half-close
	bulk "a_large_transfer_at_mtu_$mtu" a b
	bulk "a_large_transfer_the_other_way_at_mtu_$mtu" b a
	verdict "links_have_packets_that_fit_mtu_$mtu" "$(link_mtus)" "$links"
}
at_mtus() {
	at_mtu 1500 1024
	at_mtu 9000 4096
}
stopped_daemons_are_noticed() {
	a_stopped_daemon_is_noticed a
	a_stopped_daemon_is_noticed b
}

cases=("${@:3}")
[ $# -gt 2 ] || cases=(at_mtus a_connection_can_be_looked_at many_short_connections
	connections_before_and_after_a_new_daemon both_at_once a_killed_program_is_noticed a_lost_path_is_noticed
	a_killed_daemon_is_noticed stopped_daemons_are_noticed)
[ "${cases[0]}" = at_mtus ] || new_daemons 1500
for case in "${cases[@]}"; do $case; done
finish
