#!/bin/bash
# SPDX-License-Identifier: MIT
# A TCP load balancer between client and server: TCP goes through it, the data does not, and smcu ss shows
# where it goes.  A firewall that refuses the port refuses SMC-R, too, since that begins as TCP.
#
#   host a             host b             the balancer
#   v0 10.9.0.1        v0 10.9.0.2        v0 10.9.0.3, port 7000 -> 10.9.0.2:6000
#        +------- a bridge, in a room of its own ------+
#
# time limit: 120
. "$(dirname "$0")/hosts.sh"
need python3 nft

address4[balancer]=10.9.0.3 address6[balancer]=fd09::3

build() {
	local host
	host_room switch
	on switch ip link add bridge type bridge || return 1
	on switch ip link set bridge up
	for host in a b balancer; do
		host_room $host
		ip link add v0 netns "${holder[$host]}" type veth peer name "to-$host" netns "${holder[switch]}" || return 1
		on switch ip link set "to-$host" master bridge up
		give_addresses $host
	done
	on balancer sysctl -qw net.ipv4.ip_forward=1
	on balancer nft -f - <<-END
		table ip way {
			counter roce {}
			chain in { type nat hook prerouting priority -100; tcp dport 7000 dnat to 10.9.0.2:6000; }
			chain out { type nat hook postrouting priority 100; tcp dport 6000 ct status dnat masquerade; }
			chain seen { type filter hook prerouting priority -300; udp dport 4791 counter name roce; }
		}
	END
}
build >"$scratch/build.out" 2>&1 || {
	skip "$this_test" "no namespaces: $(tail -n 1 "$scratch/build.out")"
	exit 0
}
daemon_on a
daemon_on b

start_on server b smcu_run python3 "$peer" echo 10.9.0.2 6000
server=$pid
wait_listens b 6000
before=$(remote_count a smcr)
start_on client a smcu_run python3 "$peer" wait 10.9.0.3 7000
client=$pid
check data_arrives_through_a_balancer wait_until 30 grep -q waiting "$scratch/client.log"
really_remote and_by_smcr a 1 "$before"
mode_becomes the_client_says_so a 7000 SMCR
mode_becomes the_server_says_so b 6000 SMCR
verdict the_client_thinks_that_it_talks_with_the_balancer "$(smcu_on a ss --json |
	jq -r '.[] | select(.mode == "SMCR") | .peer.address')" 10.9.0.3
verdict ss_shows_the_true_peer "$(smcu_on a ss --json | jq -r '.[] | select(.mode == "SMCR") | .smcr.peer_gid')" 10.9.0.2
verdict and_at_the_server "$(smcu_on b ss --json | jq -r '.[] | select(.mode == "SMCR") | .smcr.peer_gid')" 10.9.0.1
verdict no_roce_went_through_the_balancer \
	"$(on balancer nft -j list counter ip way roce | jq '.nftables[] | select(.counter) | .counter.packets')" 0
stop "$client"

# From host b to itself: the Proposal comes back to who sent it.  What is declined moves within the host.
before=$(remote_count b fallbacks)
start_on client b smcu_run python3 "$peer" wait 10.9.0.3 7000 2000
client=$pid
check data_arrives_where_the_balancer_sends_it_back wait_until 30 grep -q waiting "$scratch/client.log"
verdict it_was_negotiated_and_declined_at_both_ends "$(($(remote_count b fallbacks) - before))" 2
mode_becomes the_client_of_its_own_host_moves b 7000 SHM
mode_becomes the_server_of_its_own_host_moves b 6000 SHM
stop "$client"
verdict a_transfer_from_a_host_to_itself "$(run_on b timeout 60 python3 "$peer" short 10.9.0.3 7000 20 2>&1)" "wrong 0"

verdict a_transfer_through_the_balancer "$(run_on a timeout 60 python3 "$peer" short 10.9.0.3 7000 20 2>&1)" "wrong 0"
stop "$server"

# refused NAME RULE: no connection, and no packet of RoCE for it
refused() {
	local sent
	start_on server b smcu_run python3 "$peer" echo 10.9.0.2 6001
	local listening=$pid
	wait_listens b 6001
	on b nft -f - <<-END
		table inet wall { chain in { type filter hook input priority 0; tcp dport 6001 $2; }; }
	END
	before=$(remote_count a smcr)
	verdict "$1" "$(run_on a timeout 60 python3 "$peer" short 10.9.0.2 6001 1 2>&1 | cut -d: -f2 | xargs)" \
		"ConnectionRefusedError wrong 1"
	verdict "$1_and_nothing_goes_by_smcr" "$(remote_count a smcr)" "$before"
	on b nft delete table inet wall
	stop "$listening"
}
refused a_port_that_a_firewall_refuses_is_refused "reject with tcp reset"
finish
