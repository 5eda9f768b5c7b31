#!/bin/bash
# SPDX-License-Identifier: MIT
# SMC-R that the network does not let through, over IPv4 and IPv6: RoCE that does not get in, the option taken out
# of the SYN or of the SYN-ACK.  Data arrives as it is, by TCP, and it is SMC-R when all is well again.
#
# not for: asan (the protocol's part of it is in unit tests there)
# time limit: 240
. "$(dirname "$0")/hosts.sh"
need nft
exchange=$programs/exchange

hosts_build 1500
port=7000

# served NAME: under smcu on both hosts
served() {
	local where server
	port=$((port + 1))
	where=$(address b)
	start_on server b smcu_run "$exchange" serve --address="$where" --port="$port"
	server=$pid
	wait_listens b "$port"
	check "$1" run_on a timeout 60 "$exchange" connect --address="$where" --port="$port" --size=3000 --count=20
	wait "$server"
	verdict "$1_also_at_the_server" "$(grep -c '^ended 60000 eof' "$scratch/server.log")" 1
}
no_smcr() { verdict "$1" "$(remote_count a smcr)" 0; }
# What was in vain is remembered, so the next one has new daemons.
by_smcr_again() {
	on b nft delete table inet wall
	new_daemons 1500
	served "$1"
	really_remote "$1_by_smcr" a 1 0
}

roce_is_blocked() {
	new_daemons 1500
	on b nft -f - <<-END
		table inet wall { chain in { type filter hook input priority 0; udp dport 4791 drop; }; }
	END
	served "data_arrives_where_roce_does_not_get_in_over_ipv$family"
	no_smcr "and_it_was_not_smcr_over_ipv$family"
	verdict "the_statistics_say_why_over_ipv$family" "$(smcu_on a stats --json |
		jq '[.remote.declines[].diagnosis] | any(. == "02010000" or . == "05000000")')" true
	by_smcr_again "roce_gets_in_again_over_ipv$family"
}

# strip HOOK: the option, on b, of what comes in (the SYN) or goes out (the SYN-ACK), and count how often
strip() {
	on b nft -f - <<-END 2>"$scratch/nft.log"
		table inet wall {
			counter stripped {}
			chain way {
				type filter hook $1 priority 0;
				tcp flags syn tcp option 254 exists counter name stripped reset tcp option 254;
			}
		}
	END
}
option_is_stripped() {
	local name
	for way in input output; do
		name=stripped_at_${way}_over_ipv$family
		new_daemons 1500
		if ! strip $way; then
			skip "data_arrives_where_the_option_is_$name" "$(head -n 1 "$scratch/nft.log")"
			continue
		fi
		served "data_arrives_where_the_option_is_$name"
		verdict "it_was_$name" "$(on b nft -j list counter inet wall stripped |
			jq '.nftables[] | select(.counter) | .counter.packets > 0')" true
		no_smcr "nothing_by_smcr_where_it_is_$name"
		by_smcr_again "it_is_no_longer_$name"
	done
}

for family in 4 6; do
	roce_is_blocked
	option_is_stripped
done
finish
