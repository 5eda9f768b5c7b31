#!/bin/bash
# SPDX-License-Identifier: MIT
# What smcu says to another host, seen by tshark: it recognises every CLC, LLC and CDC message, finds none
# malformed, and counts as many as smcu decode does.  By SMC-Rv2 (IPv4) and v1 (IPv6): echoes, half closes, streams,
# urgent bytes, aborts, several connections in a link group and its end; and rendezvous that are declined.
#
# not for: asan (a capture of the same messages)
# time limit: 240
. "$(dirname "$0")/hosts.sh"
need tshark dumpcap python3 nft
exchange=$programs/exchange

hosts_build 1500
daemon_on a
daemon_on b
port=7000

# counts: how often each line of the input occurs: "LINE NUMBER, ..."
counts() { sort | uniq -c | awk '{n = $1; sub(/^ *[0-9]+ /, ""); print $0 " " n ","}' | xargs | sed 's/,$//'; }

# messages FILTER: what smcu decode found in the capture under judgement, in the words of jq
messages() { jq -r "$1" "$scratch/decoded"; }
# of PROTOCOL: the kinds of its messages, and how many
of() { messages "select(.protocol == \"$1\") | .kind" | counts; }
# is_there NAME FILTER: such a message
is_there() { verdict "$1" "$(jq -rs "any(.[]; $2)" "$scratch/decoded")" true; }

# column NUMBER: of what tshark said, value by value
column() { cut -f "$1" "$scratch/tshark" | tr , '\n' | grep . | counts; }

# judge CAPTURE: everything in it, by us and by tshark
judge() {
	local file=$scratch/$1.pcap
	verdict "the_capture_is_whole_$1" "$(tail -n 1 "$scratch/capture-$1.log" | grep -c '/0 (pcap:0/dumpcap:0/')" 1
	"$SMCU" decode --json "$file" >"$scratch/decoded"
	"$SMCU" decode --verify "$file" >/dev/null 2>"$scratch/verify"
	verdict "every_message_encodes_to_the_same_bytes_$1" "$? $(cat "$scratch/verify")" "0 "
	verdict "none_is_malformed_$1" "$(grep -c malformed "$scratch/decoded")" 0
	verdict "every_packet_has_its_checksum_$1" "$(messages 'select(.protocol == "RoCE") | .icrc' | sort -u)" ok
	tshark -r "$file" --disable-protocol rpcordma -T fields -e smc.clc_msg -e smc.llc_msg \
		-e infiniband.bth.opcode >"$scratch/tshark" 2>"$scratch/tshark.err"
	verdict "tshark_finds_nothing_malformed_$1" \
		"$(tshark -r "$file" --disable-protocol rpcordma -Y _ws.malformed 2>/dev/null | wc -l)" 0
	verdict "tshark_counts_the_same_clc_$1" "$(column 1)" \
		"$(messages 'select(.protocol == "CLC") | {Proposal: 1, Accept: 2, Confirm: 3, Decline: 4}[.kind]' | counts)"
	# The types of version 2 have the same second digit as those of version 1.
	verdict "tshark_counts_the_same_llc_and_cdc_$1" "$(column 2)" "$(messages '
		if .protocol == "CDC" then "0xfe"
		elif .protocol == "LLC" then (if .version == 1 then "0x0" else "0x2" end) +
			{"CONFIRM LINK": "1", "ADD LINK": "2", "ADD LINK CONTINUATION": "3", "DELETE LINK": "4",
			"CONFIRM RKEY": "6", "TEST LINK": "7", "DELETE RKEY": "9"}[.kind]
		else empty end' | counts)"
	verdict "tshark_counts_the_same_packets_$1" "$(column 3)" "$(messages 'select(.protocol == "RoCE") |
		{"SEND First": 0, "SEND Middle": 1, "SEND Last": 2, "SEND Only": 4, "RDMA WRITE First": 6,
		"RDMA WRITE Middle": 7, "RDMA WRITE Last": 8, "RDMA WRITE Only": 10, "Acknowledge": 17}[.kind]' | counts)"
}

# talk NAME OPTION...: a server on b, a client on a with these options, in the family of the moment
talk() {
	local name=$1 where
	shift
	port=$((port + 1))
	where=$(address b)
	start_on server b smcu_run "$exchange" serve --address="$where" --port="$port"
	local server=$pid
	wait_listens b "$port"
	check "$name" run_on a timeout 60 "$exchange" connect --address="$where" --port="$port" "$@"
	wait "$server"
}

# held: a connection that stays; its client's number in $client
held() {
	port=$((port + 1))
	start_on "server-$port" b smcu_run python3 "$peer" echo "$(address b)" "$port"
	servers+=("$pid")
	wait_listens b "$port"
	start_on "client-$port" a smcu_run python3 "$peer" wait "$(address b)" "$port"
	client=$pid
	wait_until 30 grep -q waiting "$scratch/client-$port.log"
}

# conversations VERSION: of all kinds, from the first contact to the end of the link group
conversations() {
	local name=v$1 before servers=() client kind
	before=$(remote_count a smcr)
	capture_start a "$name"
	talk "echoes_$name" --size=100 --count=5
	talk "a_half_close_$name" --size=3000 --count=20 --half-close
	talk "a_stream_$name" --size=40000 --count=20 --stream
	talk "an_urgent_byte_$name" --size=1000 --urgent
	talk "an_abort_$name" --size=20000 --abort
	held
	held
	held
	really_remote "they_were_smcr_$name" a 8 "$before"
	kill -KILL "$client"
	wait "$client" 2>/dev/null
	kill -TERM "${daemons[a]}"
	wait "${daemons[a]}"
	capture_stop
	for server in "${servers[@]}"; do stop "$server"; done
	judge "$name"
	verdict "both_ends_offer_each_connection_$name" "$(of TCP)" "SMC option 16"
	verdict "a_rendezvous_each_$name" "$(of CLC)" "Accept 8, Confirm 8, Proposal 8"
	verdict "all_in_this_version_$name" "$(messages 'select(.protocol == "LLC" or .kind == "Accept" or
		.kind == "Confirm") | .version' | sort -u)" "$1"
	verdict "there_was_something_to_count_$name" \
		"$(jq -rs 'map(select(.protocol == "CDC")) | length > 20' "$scratch/decoded")" true
	for kind in "CONFIRM LINK" "CONFIRM RKEY" "DELETE LINK"; do
		is_there "there_was_a_${kind// /_}_$name" ".protocol == \"LLC\" and .kind == \"$kind\""
	done
	for kind in urgent_present sending_done closed abnormal_close; do
		is_there "a_cdc_message_said_${kind}_$name" ".protocol == \"CDC\" and .$kind"
	done
	daemon_on a
}

# Where RoCE does not get through, the link is not confirmed.
declined() {
	local name=declined_ipv$1
	on b nft -f - <<-END
		table inet wall { chain in { type filter hook input priority 0; udp dport 4791 drop; }; }
	END
	capture_start a "$name"
	talk "data_arrives_by_tcp_$name" --size=100 --count=5
	capture_stop
	on b nft delete table inet wall
	judge "$name"
	is_there "there_was_a_decline_$name" '.protocol == "CLC" and .kind == "Decline"'
}

conversations 2
family=6 conversations 1
declined 4
family=6 declined 6
finish
