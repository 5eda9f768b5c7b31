#!/bin/bash
# SPDX-License-Identifier: MIT
# The TCP connection behind SMC-R is kept alive, whatever the program thinks of SO_KEEPALIVE, and when nothing
# comes through there any more the link decides: while RoCE goes on the connection lives and data flows; when
# that is cut as well there is an error, soon.
#
# time limit: 120
. "$(dirname "$0")/hosts.sh"
need python3 nft
keepalive=$source_dir/tests/e2e/remote_keepalive.py

hosts_build 1500
daemon_on a
daemon_on b
start_on echo b smcu_run python3 "$peer" echo 10.9.0.2 7600
wait_listens b 7600

says() { grep -q "^$1" "$scratch/client.log"; }
# client HOW: in the background, and its program's process
client() {
	start_on client a smcu_run python3 "$keepalive" "$1" 10.9.0.2 7600
	client=$pid
}
timers() { on a ss -Htno "dport = :7600"; }
has_timer() { timers | grep -q "timer:(keepalive"; }
# (while the Confirm is not acknowledged no probe is sent)
is_idle() { [ "$(on a ss -Htn state established "dport = :7600" | awk '{print $2}')" = 0 ]; }
no_tcp() { [ -z "$(on a ss -Htn state established "dport = :7600")" ]; }

# --- What the program is told ---------------------------------------------------------------------------

client options
wait_until 20 says "built in"
check the_kernel_keeps_tcp_alive wait_until 20 has_timer
kill -USR1 "$client"
wait_until 20 says "taken back"
check and_goes_on_when_the_program_has_taken_it_back has_timer
kill -USR1 "$client"
wait "$client"
verdict the_program_is_told_what_it_said "$(paste -sd '|' "$scratch/client.log")" \
	"built in 0|later 0|one byte of it 0|set 1|in a child 1|taken back by the child 0|ended well"
really_remote it_was_smcr a 1 0

# --- TCP is cut -------------------------------------------------------------------------------------------

# cut WHAT: so that nobody learns of it
cut() {
	on b nft -f - <<-END
		table inet wall { chain in { type filter hook input priority 0; $1 drop; }
			chain out { type filter hook output priority 0; $1 drop; }; }
	END
}

client idle
wait_until 20 says waiting
wait_until 20 is_idle
cut "tcp dport 7600 drop; tcp sport 7600"
check tcp_has_timed_out wait_until 30 no_tcp
sleep 1 # for what must not happen
kill -USR1 "$client"
check data_flows_without_tcp wait_until 20 says exchanged
mode_becomes and_it_is_smcr_still b 7600 SMCR
verdict nothing_has_ended "$(grep -c ended "$scratch/client.log")" 0

cut "udp dport 4791"
kill -USR1 "$client"
ended() { says ended; }
check without_roce_it_ends wait_until 30 ended
verdict by_an_error "$(grep -cE "^ended (ECONNRESET|ETIMEDOUT)" "$scratch/client.log")" 1
stop "$client"
on b nft delete table inet wall

# Both at once, and nothing under way: who has no data to send learns it by the keep-alive alone.
client idle
wait_until 20 says waiting
wait_until 20 is_idle
cut "tcp dport 7600 drop; tcp sport 7600 drop; udp dport 4791"
check an_idle_connection_that_is_cut_off_ends wait_until 25 ended
verdict by_an_error_too "$(grep -cE "^ended (ECONNRESET|ETIMEDOUT)" "$scratch/client.log")" 1
stop "$client"
on b nft delete table inet wall
finish
