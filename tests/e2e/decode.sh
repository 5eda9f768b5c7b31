#!/bin/bash
# SPDX-License-Identifier: MIT
# smcu decode over what two Linux kernels said to each other (tests/captures), against the counts of an
# independent decoder and of tshark; and over captures that no network gave us (decode_frames.py).
#
# not for: asan (unit tests and fuzzers have the same code there)
# time limit: 180
# takes: 30
. "$(dirname "$0")/lib.sh"

captures=$source_dir/tests/captures
frames=$scratch/frames
need jq python3
mkdir "$frames"
/usr/bin/python3 "$source_dir/tests/e2e/decode_frames.py" "$frames" || {
	not_ok decode "decode_frames.py failed"
	exit 1
}

status_of() {
	"$@" >"$scratch/out" 2>"$scratch/err" </dev/null
	echo $?
}
# The JSON objects of capture $1 that jq's condition $2 selects, as jq's $3.
chosen() { "$SMCU" decode --json "$1" | jq -r "select($2) | $3"; }
# How often each line of the input occurs: "LINE NUMBER, LINE NUMBER, ..."
counts() {
	sort | uniq -c | awk '{n = $1; sub(/^ *[0-9]+ /, ""); print $0 " " n ","}' | xargs | sed 's/,$//'
}
# How often each protocol and kind occurs in capture $1.
kinds() { "$SMCU" decode --json "$1" | jq -r '.protocol + " " + .kind' | counts; }

# --- The captures of two kernels ----------------------------------------------------------------

# Counted by a decoder of its own: SMC options, CLC, LLC and CDC messages, RoCE packets.
counted='
v1_bulk_4MB                             2 3  8 126 4237
v1_client_declined_by_stock_kernel      2 2  0   0    0
v1_client_kill9                         2 3  8   4   28
v1_fallback_server_plain_tcp            1 0  0   0    0
v1_first_contact_echo                   2 3  8  12   60
v1_plain_tcp_client_to_smc_server       0 0  0   0    0
v1_second_conn_same_lgr                 2 3  8   6   36
v1_server_rdma_link_del_under_traffic   2 3  4 100  252
v1_two_concurrent_conns_new_rmb         4 6 16  10   64
v1_two_rnic_addlink_failover            6 9 62 132  620
v1_two_rnic_samebridge_asym_failover    6 9 50 132  612
v1_userspace_client_to_kernel_server    2 3 13   4   29
v2_bulk_4MB                             2 3  8 126 4237
v2_client_kill9                         2 3  8   4   28
v2_client_rst_linger0                   2 3  8   3   24
v2_fallback_server_plain_tcp            1 0  0   0    0
v2_first_contact_echo                   2 3  8  12   60
v2_no_ueid_declined                     2 1  0   0    0
v2_plain_tcp_client_to_smc_server       0 0  0   0    0
v2_server_rdma_link_del_under_traffic   2 3  4 102  260
v2_two_rnic_addlink_failover            6 9 55 132  607
v2_urgent_halfclose                     2 3  8   9   44
'
every_message_is_found_and_encodes_to_the_same_bytes() {
	local name options clc llc cdc roce
	verdict every_capture_is_counted "$(find "$captures" -name '*.pcap' | wc -l)" \
		"$(grep -c . <<<"$counted")"
	while read -r name options clc llc cdc roce; do
		[ -n "$name" ] || continue
		verdict "verify $name" "$(status_of "$SMCU" decode --verify --json "$captures/$name.pcap")" 0
		verdict "count $name" "$(jq -rs 'def count(p): map(select(.protocol == p)) | length;
			[count("TCP"), count("CLC"), count("LLC"), count("CDC"), count("RoCE")] |
			map(tostring) | join(" ")' "$scratch/out")" "$options $clc $llc $cdc $roce"
		verdict "icrc $name" "$(jq -r 'select(.protocol == "RoCE") | .icrc' "$scratch/out" |
			sort | uniq -c | xargs)" "$([ "$roce" = 0 ] || echo "$roce ok")"
		verdict "well_formed $name" "$(grep -c malformed "$scratch/out")" 0
	done <<<"$counted"
}

# The same by tshark: types of CLC, types of LLC (it does not know those of v2), opcodes of RoCE.
tshark_counts_the_same() {
	local file name column
	command -v tshark >/dev/null || { skip tshark_counts_the_same "tshark is not installed"; return; }
	for file in "$captures"/*.pcap; do
		name=$(basename "$file" .pcap)
		tshark -r "$file" --disable-protocol rpcordma -T fields -e smc.clc_msg -e smc.llc_msg \
			-e infiniband.bth.opcode >"$scratch/tshark" 2>/dev/null
		"$SMCU" decode --json "$file" | jq -r '
			if .protocol == "CLC" then
				"clc \({Proposal: 1, Accept: 2, Confirm: 3, Decline: 4}[.kind])"
			elif .protocol == "CDC" then "llc 0xfe"
			elif .protocol == "LLC" and .version == 1 then
				"llc " + {"CONFIRM LINK": "0x01", "ADD LINK": "0x02",
				"ADD LINK CONTINUATION": "0x03", "DELETE LINK": "0x04",
				"CONFIRM RKEY": "0x06", "TEST LINK": "0x07", "DELETE RKEY": "0x09"}[.kind]
			elif .protocol == "RoCE" then
				"roce \({"SEND Only": 4, "RDMA WRITE First": 6, "RDMA WRITE Middle": 7,
				"RDMA WRITE Last": 8, "RDMA WRITE Only": 10, "Acknowledge": 17}[.kind])"
			else empty end' >"$scratch/ours"
		for column in clc:1 llc:2 roce:3; do
			verdict "tshark_${column%:*} $name" \
				"$(sed -n "s/^${column%:*} //p" "$scratch/ours" | counts)" \
				"$(cut -f "${column#*:}" "$scratch/tshark" | tr , '\n' | grep . | counts)"
		done
	done
}

# What the captures are known to show, as far as one line tells it.
the_captures_show_what_they_were_made_for() {
	verdict five_echoes_of_100_bytes \
		"$(chosen "$captures/v2_first_contact_echo.pcap" '.kind == "RDMA WRITE Only"' .payload | xargs)" \
		"100 100 100 100 100 100 100 100 100 100"
	verdict a_bulk_of_4_MB_wraps_61_times \
		"$(chosen "$captures/v1_bulk_4MB.pcap" '.protocol == "CDC"' .producer | tail -n 1)" 61:2304
	verdict urgent_data_is_marked "$(chosen "$captures/v2_urgent_halfclose.pcap" .urgent_present \
		'.urgent_pending')" true
	verdict a_killed_client_closes_abnormally \
		"$(chosen "$captures/v1_client_kill9.pcap" .abnormal_close .kind | wc -l)" 2
	verdict a_decline_says_why "$(chosen "$captures/v2_no_ueid_declined.pcap" '.kind == "Decline"' \
		'.diagnosis + " " + .meaning')" "0x03030000 no SMC device"
	verdict the_asymmetric_link_goes_for_its_reason \
		"$(chosen "$captures/v1_two_rnic_samebridge_asym_failover.pcap" '.kind == "DELETE LINK"' \
		.meaning | sort -u | paste -sd,)" \
		"asymmetric link no longer needed,lost path,null,unknown link"
	verdict v2_brings_two_keys_with_a_link \
		"$(chosen "$captures/v2_two_rnic_addlink_failover.pcap" '.length == 104' '.rkeys | length' |
		sort -u)" 2
	verdict a_host_names_itself "$(chosen "$captures/v2_first_contact_echo.pcap" '.kind == "Accept"' \
		'[.host, .eid, .release] | join(" ")')" "vmB SMCPROBE.EID.0001 1"
}

# People get the same in one line a message.
text_has_the_same_lines() {
	"$SMCU" decode "$captures/v2_first_contact_echo.pcap" >"$scratch/text"
	verdict text_has_as_many_lines "$(wc -l <"$scratch/text")" \
		"$("$SMCU" decode --json "$captures/v2_first_contact_echo.pcap" | wc -l)"
	verdict text_of_a_packet "$(grep '^ *16 ' "$scratch/text")" "    16    0.995518  10.9.0.1:49441 > \
10.9.0.2:4791  RoCE Acknowledge  qp=0x000011 psn=9212189 answer=ACK syndrome=0x1f msn=1 icrc=ok"
	verdict text_of_a_flag "$(grep -c 'CLC Accept .* first_contact .* os=Linux .* host=vmB ' "$scratch/text")" 1
}

# --- What no network gave us ----------------------------------------------------------------------

the_same() { verdict "$1" "$(kinds "$frames/$1.pcap")" "$2"; }

streams_are_followed() {
	the_same spanning "CLC Accept 1, CLC Confirm 1, CLC Proposal 1, TCP SMC option 2"
	verdict spanning_is_whole "$(status_of "$SMCU" decode --verify "$frames/spanning.pcap")" 0
	the_same late "CLC Accept 1, CLC Confirm 1, CLC Proposal 1"
	the_same declined "CLC Decline 1, TCP SMC option 2"
	the_same garbage "CLC malformed 1, TCP SMC option 2"
	the_same not_agreed "TCP SMC option 1"
	the_same reused "CLC Proposal 2, TCP SMC option 4"
	the_same ended "CLC Proposal 1, TCP SMC option 4"
}

packets_are_judged() {
	local name
	the_same long_send "LLC ADD LINK 1, RoCE SEND First 3, RoCE SEND Last 3, RoCE SEND Middle 14"
	verdict a_long_send_is_whole \
		"$(chosen "$frames/long_send.pcap" '.protocol == "LLC"' '[.length, (.rkeys | length)] | join(" ")')" \
		"2472 150"
	verdict long_send_verifies "$(status_of "$SMCU" decode --verify "$frames/long_send.pcap")" 0
	verdict a_damaged_packet_is_told "$(chosen "$frames/damaged.pcap" .icrc .icrc)" wrong
	verdict a_damaged_packet_does_not_verify \
		"$("$SMCU" decode --verify "$frames/damaged.pcap" 2>&1 >/dev/null; echo $?)" \
		"smcu: frame 1: RoCE SEND Only: byte 0 was 0x22, encoded 0x23
1"
	the_same cut "RoCE cut 1"
	the_same opcodes "RoCE Acknowledge 1, RoCE CNP 1, RoCE RDMA WRITE Only with Immediate 1, RoCE opcode 0x24 1"
	verdict opcodes_icrc "$(chosen "$frames/opcodes.pcap" true .icrc | xargs)" "ok ok ok ok"
	for name in ipv6 padded cooked cooked2 raw loopback; do
		the_same "$name" "CDC update 1, RoCE SEND Only 1"
		verdict "icrc_$name" "$(chosen "$frames/$name.pcap" .icrc .icrc)" ok
	done
	verdict options_of_ip_cannot_be_judged "$(chosen "$frames/ip_options.pcap" .icrc .icrc)" unknown
}

what_is_malformed_is_named() {
	verdict the_wrong_field_is_named \
		"$(chosen "$frames/malformed.pcap" '.kind == "malformed"' '.protocol + " " + .wrong' | paste -sd,)" \
		"CLC IP area offset,LLC type,RoCE length"
	verdict malformed_is_status_0 "$(status_of "$SMCU" decode "$frames/malformed.pcap")" 0
	verdict malformed_does_not_verify "$(status_of "$SMCU" decode --verify "$frames/malformed.pcap")" 1
	verdict and_says_which "$(cat "$scratch/err")" \
		"smcu: frame 4: CLC message cannot be decoded: IP area offset"
}

pcapng_is_the_same() {
	local file
	for file in "$frames"/*.pcap; do
		[ "$(basename "$file")" != unknown_link.pcap ] || continue
		cmp -s <("$SMCU" decode --json "$file" | jq -c 'del(.time)') \
			<("$SMCU" decode --json "${file}ng" | jq -c 'del(.time)') ||
			not_ok pcapng_is_the_same "$(basename "$file")"
	done
	ok pcapng_is_the_same
}

# --- Bad captures ---------------------------------------------------------------------------------

one_line() { verdict "$1" "$(status_of "${@:2}") $(wc -l <"$scratch/err")" "1 1"; }

a_bad_capture_is_one_line_and_status_1() {
	local whole=$captures/v1_first_contact_echo.pcap size
	one_line no_such_file "$SMCU" decode "$frames/nonexistent"
	verdict no_such_file_is_named "$(cat "$scratch/err")" \
		"smcu: $frames/nonexistent: No such file or directory"
	one_line a_directory "$SMCU" decode "$frames"
	: >"$frames/empty"
	one_line an_empty_file "$SMCU" decode "$frames/empty"
	one_line no_capture "$SMCU" decode "$0"
	one_line unknown_link_type "$SMCU" decode "$frames/unknown_link.pcap"
	for size in 10 30 100 5000; do
		head -c "$size" "$whole" >"$frames/truncated"
		one_line "truncated_at_$size" "$SMCU" decode "$frames/truncated"
	done
	verdict what_is_there_is_decoded "$(grep -c 'CLC Confirm' "$scratch/out")" 1
	verdict standard_input_is_read "$("$SMCU" decode - <"$whole" | wc -l)" \
		"$("$SMCU" decode "$whole" | wc -l)"
	verdict a_full_disk_is_noticed "$("$SMCU" decode "$whole" 2>/dev/null >/dev/full; echo $?)" 1
}

# Whatever is in a capture, the decoder ends by itself (sanitizers report to the runner).
damaged_captures_do_no_harm() {
	verdict damaged_captures_do_no_harm "$(/usr/bin/python3 -c '
import random, subprocess, sys
chance, bad = random.Random(11), set()
for name in sys.argv[2:]:
    whole = open(name, "rb").read()[:40000]
    for n in range(8):
        data = bytearray(whole)
        for _ in range(len(data) // 200 + 1):
            data[chance.randrange(24, len(data))] = chance.choice((0, 1, 8, 44, 255, chance.randrange(256)))
        end = subprocess.run([sys.argv[1], "decode", "-"], input=data, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
        if end.returncode not in (0, 1):
            bad.add("%s %d" % (name, end.returncode))
print(" ".join(sorted(bad)))
' "$SMCU" "$captures"/*.pcap "$frames"/*.pcap)" ""
}

every_message_is_found_and_encodes_to_the_same_bytes
tshark_counts_the_same
the_captures_show_what_they_were_made_for
text_has_the_same_lines
streams_are_followed
packets_are_judged
what_is_malformed_is_named
pcapng_is_the_same
a_bad_capture_is_one_line_and_status_1
damaged_captures_do_no_harm
finish
