#!/bin/bash
# SPDX-License-Identifier: MIT
# What smcu says to another host, seen by tshark: it recognises every CLC, LLC and CDC message, finds none
# malformed, and counts as many as smcu decode does.
#
# alone: the eBPF programs are one set a kernel
# not for: asan (a capture of the same messages)
# time limit: 120
. "$(dirname "$0")/hosts.sh"
need tshark dumpcap python3
exchange=$programs/exchange

hosts_build 1500
daemon_on a
daemon_on b

# counts: how often each line of the input occurs: "LINE NUMBER, ..."
counts() { sort | uniq -c | awk '{n = $1; sub(/^ *[0-9]+ /, ""); print $0 " " n ","}' | xargs | sed 's/,$//'; }

# talk PORT OPTION...
talk() {
	local port=$1
	shift
	start_on server b smcu_run "$exchange" serve --address=10.9.0.2 --port="$port"
	local server=$pid
	wait_listens b "$port"
	check "the_programs_are_content_at_port_$port" \
		run_on a timeout 60 "$exchange" connect --address=10.9.0.2 --port="$port" "$@"
	wait "$server"
}

before=$(remote_count a smcr)
capture_start a echo
talk 7001 --size=100 --count=5
talk 7002 --size=3000 --count=20 --half-close
talk 7003 --size=40000 --count=20 --stream
capture_stop
really_remote they_were_smcr a 3 "$before"
file=$scratch/echo.pcap
verdict the_capture_is_whole "$(tail -n 1 "$scratch/capture-echo.log" | grep -c '/0 (pcap:0/dumpcap:0/')" 1

"$SMCU" decode --json "$file" >"$scratch/decoded"
"$SMCU" decode --verify "$file" >/dev/null 2>"$scratch/verify"
verdict every_message_encodes_to_the_same_bytes "$? $(cat "$scratch/verify")" "0 "
verdict none_is_malformed "$(grep -c malformed "$scratch/decoded")" 0
verdict every_packet_has_its_checksum "$(jq -r 'select(.protocol == "RoCE") | .icrc' "$scratch/decoded" | sort -u)" ok
verdict both_ends_offer_each_connection "$(jq -r 'select(.protocol == "TCP") | .kind' "$scratch/decoded" | counts)" \
	"SMC option 6"
verdict a_rendezvous_each "$(jq -r 'select(.protocol == "CLC") | .kind' "$scratch/decoded" | counts)" \
	"Accept 3, Confirm 3, Proposal 3"

tshark -r "$file" --disable-protocol rpcordma -T fields -e smc.clc_msg -e smc.llc_msg \
	-e infiniband.bth.opcode >"$scratch/tshark" 2>"$scratch/tshark.err"
verdict tshark_finds_nothing_malformed "$(tshark -r "$file" --disable-protocol rpcordma -Y _ws.malformed 2>/dev/null | wc -l)" 0

# column NUMBER: of what tshark said, value by value
column() { cut -f "$1" "$scratch/tshark" | tr , '\n' | grep . | counts; }

verdict tshark_counts_the_same_clc "$(column 1)" "$(jq -r 'select(.protocol == "CLC") |
	{Proposal: 1, Accept: 2, Confirm: 3, Decline: 4}[.kind]' "$scratch/decoded" | counts)"
# The types of version 2 have the same second digit as those of version 1.
verdict tshark_counts_the_same_llc_and_cdc "$(column 2)" "$(jq -r '
	if .protocol == "CDC" then "0xfe"
	elif .protocol == "LLC" then (if .version == 1 then "0x0" else "0x2" end) +
		{"CONFIRM LINK": "1", "ADD LINK": "2", "ADD LINK CONTINUATION": "3", "DELETE LINK": "4",
		"CONFIRM RKEY": "6", "TEST LINK": "7", "DELETE RKEY": "9"}[.kind]
	else empty end' "$scratch/decoded" | counts)"
verdict tshark_counts_the_same_packets "$(column 3)" "$(jq -r 'select(.protocol == "RoCE") |
	{"SEND First": 0, "SEND Middle": 1, "SEND Last": 2, "SEND Only": 4, "RDMA WRITE First": 6,
	"RDMA WRITE Middle": 7, "RDMA WRITE Last": 8, "RDMA WRITE Only": 10, "Acknowledge": 17}[.kind]' \
	"$scratch/decoded" | counts)"
verdict there_was_something_to_count "$(jq -rs 'map(select(.protocol == "CDC")) | length > 20' "$scratch/decoded")" true
verdict and_llc_too "$(jq -rs 'any(.[]; .protocol == "LLC" and .kind == "CONFIRM LINK")' "$scratch/decoded")" true
finish
