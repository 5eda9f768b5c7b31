#!/bin/bash
# SPDX-License-Identifier: MIT
# The TCP option's kernel side: who offers it and to whom, the numbers that both ends share, and that
# daemons share one instance, which is gone with the last of them.
#
# time limit: 400
# takes: 999 (it waits for all that have a daemon with these programs: so it goes first)
# not for: asan (what a daemon does for it is in the other tests, too)
. "$(dirname "$0")/lib.sh"

probe() { "$programs/tcp_option" "$@" 2>&1 | paste -sd '|'; }
have_kernel
nothing_attached() { [[ $(probe trace none) == *ENOPROTOOPT* ]]; }

if ! nothing_attached; then
	skip "$this_test" "another daemon of this kernel has attached it"
	exit 0
fi
verdict without_a_daemon_it_cannot_be_asked "$(probe trace none | cut -d'|' -f1)" "ask: ENOPROTOOPT"

tcp_option=auto
daemon_start
if nothing_attached; then
	skip "$this_test" "$(grep 'TCP option' "$scratch/smcud.log")"
	exit 0
fi

# Options of others go to the kernel whole, however long.
verdict a_long_option_of_others_is_as_without "$(/usr/bin/python3 -c '
import socket
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, (70000).to_bytes(4, "little") + bytes(4996))
print(s.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF))' 2>&1)" 140000

for family in "" --ipv6; do
	name=${family:+_over_ipv6}
	verdict "both_offer_and_agree$name" "$(probe offer offer $family)" \
		"client: traced offers established active agreed|server: traced offers established agreed|numbers match"
	verdict "only_the_client_offers$name" "$(probe offer none $family)" \
		"client: traced offers established active|server:"
	verdict "only_the_server_offers$name" "$(probe none offer $family)" \
		"client:|server: traced offers established"
	verdict "traced_only$name" "$(probe trace trace $family)" \
		"client: traced established active|server: traced established|numbers match"
	verdict "one_offers_and_one_is_traced$name" "$(probe offer trace $family)" \
		"client: traced offers established active|server: traced established|numbers match"
	verdict "the_verdict_is_told_by_errno$name" "$(probe offer offer $family --verdict)" \
		"before: EINPROGRESS|client: EALREADY|server: EALREADY"
	verdict "an_end_that_did_not_offer_is_tcp$name" "$(probe trace offer $family --verdict)" \
		"before: TCP|client: TCP|server: TCP"
	verdict "a_withdrawn_listener_is_tcp$name" "$(probe offer offer $family --verdict --withdraw)" \
		"before: EINPROGRESS|client: TCP|server: TCP"
	verdict "its_port_is_free_for_the_next$name" "$(probe offer offer $family --verdict --withdraw --again)" \
		"before: EINPROGRESS|client: EALREADY|server: EALREADY"
	# Whichever of the two the kernel chooses: both ends must say the same.
	verdict "one_beside_it_is_tcp_as_well$name" \
		"$(for _ in 1 2 3 4 5 6; do probe offer offer $family --verdict --withdraw --beside; done | sort -u)" \
		"before: EINPROGRESS|client: TCP|server: TCP"
	verdict "two_that_offer_at_one_port_agree$name" "$(probe offer offer $family --verdict --beside)" \
		"before: EINPROGRESS|client: EALREADY|server: EALREADY"
done

# A listener that is older than the programs: nothing is known of it, so it must not answer.
mkfifo "$scratch/go"
"$programs/tcp_option" offer offer --verdict --pause <"$scratch/go" >"$scratch/older" 2>&1 &
older=$!
exec 3>"$scratch/go"
wait_until 10 grep -q listening "$scratch/older"
daemon_kill
check nothing_is_attached_in_between wait_until 5 nothing_attached
daemon_start
echo >&3
exec 3>&-
wait "$older"
verdict an_older_listener_is_tcp_to_both_ends "$(paste -sd '|' "$scratch/older")" \
	"listening|before: EINPROGRESS|client: TCP|server: TCP"

# The instance is shared, and stays for as long as there is a daemon.
first=$daemon first_socket=$SMCU_SOCKET
export SMCU_SOCKET=$scratch/other.sock
daemon_start
check the_second_daemon_shares_it grep -q "TCP option: shared" "$scratch/smcud.log"
second=$daemon
kill "$first"
wait "$first" 2>/dev/null
verdict it_stays_when_the_first_daemon_ends "$(probe trace trace | cut -d'|' -f3)" "numbers match"
kill -KILL "$second"
wait "$second" 2>/dev/null
daemon=
check it_is_gone_with_the_last_one wait_until 5 nothing_attached

SMCU_SOCKET=$first_socket
# Anybody can lock the directory of a cgroup.
flock "$(findmnt -n -o TARGET -t cgroup2 | head -n 1)" sleep 5 &
sleep 0.2
daemon_start
check a_lock_on_the_cgroup_holds_nobody_up grep -q "is locked by somebody: later" "$scratch/smcud.log"
daemon_kill 2>/dev/null

tcp_option=no
daemon_start
check it_is_not_attached_where_it_is_not_wanted nothing_attached
daemon_kill 2>/dev/null
"$SMCU_BUILD/smcud" --foreground --socket "$SMCU_SOCKET" --set tcp_option.attach=somewhere 2>"$scratch/error"
verdict a_bad_place_is_named "$(cat "$scratch/error")" \
	"smcud: tcp_option.attach: 'somewhere' is neither auto, no, nor the directory of a cgroup"

finish
