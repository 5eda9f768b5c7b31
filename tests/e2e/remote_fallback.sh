#!/bin/bash
# SPDX-License-Identifier: MIT
# SMC-R that does not come about: the peer has no smcu, or offers it and then says nothing, half of it, or
# rubbish; its Decline, with each code, at each step, and one that crosses ours.  Data arrives as it is, by
# TCP, or there is a clean error, soon; and no byte of a CLC message reaches an application.  With --require it is
# always the error.
#
# not for: asan (the protocol's part of it is in unit tests there; timeouts of seconds are most of this)
# time limit: 600
# takes: 124
. "$(dirname "$0")/hosts.sh"
need python3
rogue=$source_dir/tests/e2e/remote_rogue.py
exchange=$programs/exchange

hosts_build 1500
daemon_on b
# A new daemon on a each time: it remembers whom it offered SMC-R in vain.
fresh_daemon() {
	[ -z "${daemons[a]-}" ] || daemon_kill_on a
	daemon_on a --eid SMCPROBE.EID.0001 --eid SMCU
}
fresh_daemon
port=7000
next_port() { port=$((port + 1)); }

# The sides that may be mistaken for the kernel's: what a program saw is data, to the last byte.
intact() { [ "$1" = 0 ] && grep -q "^done" "$scratch/client.log"; }
clean_error() {
	[ "$1" != 0 ] && [ "$1" != 124 ] && [ "$1" != 137 ] && ! grep -q "^wrong at" "$scratch/client.log"
}

# client NAME WANTED: exchange on a, under smcu; WANTED: intact, or either
client() {
	local status
	run_on a timeout 60 "$exchange" connect --address=10.9.0.2 --port="$port" --size=3000 --count=20 \
		>"$scratch/client.log" 2>&1
	status=$?
	if intact $status || { [ "$2" = either ] && clean_error $status; }; then
		ok "$1"
	else
		not_ok "$1" "status $status: $(tail -n 1 "$scratch/client.log")"
	fi
}

no_link=02010000 # CONFIRM LINK, or its response, did not come

# rogue_server HOW WANTED PROPOSALS: how many of them it gets
rogue_server() {
	next_port
	fresh_daemon
	start_on rogue b python3 "$rogue" serve "$1" 10.9.0.2 "$port"
	local server=$pid
	wait_listens b "$port"
	client "a_client_of_one_that_is_$1" "$2"
	verdict "one_that_is_$1_was_asked" "$(grep -c '^message 1' "$scratch/rogue.log")" "$3"
	verdict "nothing_by_smcr_to_one_that_is_$1" "$(remote_count a smcr)" 0
	stop "$server"
}

# reached CODE: with this one was declined, so the rendezvous came as far as was meant
reached() { smcu_on a stats --json | jq "[.remote.declines[] | select(.diagnosis == \"$1\") | .count] | add // 0"; }

# rogue_client HOW WANTED: words that may come out; the server on a is under smcu
rogue_client() {
	local got
	next_port
	start_on server a smcu_run python3 "$peer" echo 10.9.0.1 "$port"
	local server=$pid
	wait_listens a "$port"
	got=$(on b timeout 60 python3 "$rogue" connect "$1" 10.9.0.1 "$port")
	if [[ " $2 " == *" ${got%% *} "* ]]; then
		ok "a_server_of_one_that_is_$1"
	else
		not_ok "a_server_of_one_that_is_$1" "'$got', wanted $2"
	fi
	verdict "no_clc_reaches_the_server_of_one_that_is_$1" "$(grep -c CLC "$scratch/server.log")" 0
	stop "$server"
}

# --- The peer has no smcu -------------------------------------------------------------------------

next_port
start_on server b "$exchange" serve --address=10.9.0.2 --port="$port"
wait_listens b "$port"
client a_plain_server intact
next_port
start_on server a smcu_run "$exchange" serve --address=10.9.0.1 --port="$port"
wait_listens a "$port"
check a_plain_client on b timeout 60 "$exchange" connect --address=10.9.0.1 --port="$port" --size=3000 --count=20

# --- The peer offers it, and then: ----------------------------------------------------------------

rogue_server plain intact 0
rogue_server silent intact 1
rogue_server decline intact 1
rogue_server accept either 1
verdict one_that_only_accepts_was_waited_for "$(reached $no_link)" 1
rogue_server rubbish either 1
rogue_server half either 1
rogue_server close either 1
rogue_server cross intact 1
rogue_server cross-accept intact 1

rogue_client plain intact
rogue_client data intact
rogue_client late intact
rogue_client decline intact
rogue_client proposal "intact error"
waited=$(reached $no_link)
rogue_client confirm "intact error"
verdict one_that_only_confirms_was_waited_for "$(($(reached $no_link) - waited))" 1
rogue_client rubbish "intact error"
rogue_client half "intact error"
rogue_client close intact
rogue_client cross intact
verdict none_of_these_was_smcr "$(remote_count a smcr)" 0

# --- Each code of a Decline, in each form, at each step -------------------------------------------------

codes=$(python3 "$rogue" codes)
peer_declined=05000000

clients_of_one_that_declines() {
	local number wrong=""
	next_port
	fresh_daemon
	start_on rogue b python3 "$rogue" serve codes 10.9.0.2 "$port"
	local server=$pid
	wait_listens b "$port"
	for number in $(seq "$codes"); do
		run_on a timeout 60 "$exchange" connect --address=10.9.0.2 --port="$port" --size=100 --count=3 \
			>"$scratch/client.log" 2>&1 && grep -q "^done 300" "$scratch/client.log" || wrong="$wrong $number"
	done
	verdict a_client_goes_on_by_tcp_whatever_code_it_is_declined_with "$wrong" ""
	verdict it_had_asked_each_time "$(grep -c '^message 1' "$scratch/rogue.log") $(grep -c '^then 3' "$scratch/rogue.log")" \
		"$codes $((codes / 3))"
	verdict and_counts_each_decline "$(reached $peer_declined)" "$codes"
	stop "$server"
}
clients_of_one_that_declines
declines=$(reached $peer_declined)
rogue_client codes intact
verdict a_server_counts_each_decline "$(($(reached $peer_declined) - declines))" "$codes"
verdict nothing_that_was_declined_was_smcr "$(remote_count a smcr)" 0
no_group() { [ "$(smcu_on a linkgroup --json | jq length)" = 0 ]; }
wait_until 10 no_group
verdict nor_is_a_link_group_left "$(smcu_on a linkgroup --json | jq length)" 0

# What has no SMC gets the Proposal as data, and sends it back: the client's program does not see it,
# and the next connection to that peer does not offer it again.
rogue_server echo either 0
next_port
start_on rogue b python3 "$rogue" serve echo 10.9.0.2 "$port"
wait_listens b "$port"
client one_that_echoes_the_option_is_remembered intact
stop "$pid"

# --- The program insists --------------------------------------------------------------------------

# requires NAME STATUS SECONDS: no data by TCP, but an error, and soon
requires() {
	if clean_error "$2" && ! grep -q ^done "$scratch/client.log" && [ "$3" -lt 15 ]; then
		ok "$1"
	else
		not_ok "$1" "status $2 after $3 s: $(tail -n 1 "$scratch/client.log")"
	fi
}
client_that_requires() {
	local began=$SECONDS
	next_port
	fresh_daemon
	start_on rogue b python3 "$rogue" serve "$1" 10.9.0.2 "$port"
	local server=$pid
	wait_listens b "$port"
	on a "$SMCU" run --require timeout 60 "$exchange" connect --address=10.9.0.2 --port="$port" --size=3000 \
		--count=20 --delay=300 >"$scratch/client.log" 2>&1
	requires "with_require_a_client_of_one_that_is_$1_gets_an_error" $? $((SECONDS - began))
	stop "$server"
}
for how in plain echo silent decline rubbish half accept close cross cross-accept; do
	client_that_requires "$how"
done

# The server that requires is one for all of them, and serves who is able to.
next_port
fresh_daemon
start_on server a "$SMCU" run --require python3 "$peer" echo 10.9.0.1 "$port"
server=$pid
wait_listens a "$port"
for how in data decline proposal confirm rubbish half close cross; do
	got=$(on b timeout 60 python3 "$rogue" connect "$how" 10.9.0.1 "$port")
	case $how:$got in
	*:"error "* | close:intact) ok "with_require_a_server_of_one_that_is_${how}_ends_it" ;;
	*) not_ok "with_require_a_server_of_one_that_is_${how}_ends_it" "'$got'" ;;
	esac
done
verdict no_clc_reaches_the_server_that_requires "$(grep -c CLC "$scratch/server.log")" 0
check and_it_serves_who_speaks_smcr run_on b timeout 60 "$exchange" connect --address=10.9.0.1 --port="$port"
really_remote which_was_smcr a 1 0
stop "$server"

# One that accepts late, but before the client's host declines, is waited for.
next_port
smcr=$(remote_count a smcr)
start_on server b smcu_run python3 -c '
import socket, sys, time
listener = socket.create_server(("10.9.0.2", int(sys.argv[1])))
time.sleep(3)
talk, _ = listener.accept()
while part := talk.recv(100000):
    talk.sendall(part)
' "$port"
server=$pid
wait_listens b "$port"
check with_require_a_server_that_accepts_late_is_waited_for \
	on a "$SMCU" run --require timeout 60 "$exchange" connect --address=10.9.0.2 --port="$port"
really_remote and_is_smcr a 1 "$smcr"
stop "$server"

finish
