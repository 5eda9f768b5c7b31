#!/bin/bash
# SPDX-License-Identifier: MIT
# What a program sees of a moved connection is what it sees of TCP: each behaviour of
# tests/programs/same prints results and errnos on plain TCP and under smcu, and the two must not
# differ.  They sleep most of the time: four lanes, each with its own daemon.
#
#   same.sh [BYTES]             connections move after so many bytes (0)
#   same.sh random SEED [N]     each behaviour draws when; one behaviour in N, drawn too (all)
#
# time limit: 900
# takes: 90
# not for: asan (a quarter in same_random.sh, and all of it in tests/long/sanitized.sh)
. "$(dirname "$0")/lib.sh"
LANES=4

# Connections that stay TCP, by rule: nothing to prove there but that they work.
stays_tcp=" a_sandboxed_program_goes_on a_filter_that_starts_before_the_move a_started_program_has_the_limits \
connected_to_itself standard_streams_on_a_socket a_fork_before_the_move accept_inherits_a_low_water_mark \
sigio_tells_of_data a_connection_passed_before_its_first_byte a_client_end_passed_before_its_first_byte \
an_accept_without_a_number_left files_may_not_be_large waited_for_past_libc children_of_the_clone_system_call_serve children_of_clone_serve children_of_the_plain_fork_serve "

# These are about a connection that has moved, ask the same at any moment and take long, or say when there is no
# edge, where the move makes one.
not_at_random=" an_event_has_something_to_read urgent_data_behind_much_else \
half_read_then_new_data_on_an_edge a_move_while_in_two_epolls an_edge_unread_when_an_epoll_is_shared "

# The sanitizer's runtime does not know that a cancelled thread leaves its frames, plain or under smcu.
[ "${SMCU_VARIANT:-}" = asan ] && skipped="*_cancelled|*cancelled_*|a_handler_that_jumps_out*" || skipped=

# What the number $1 draws for a behaviour: exchanges before it starts, and the bytes after which its
# connections move ("" is the built-in rule).  Both ends count for themselves, so that bytes under way
# part their moments.
draw_moment() {
	local kind=$(($1 % 4)) number=$(($1 / 4))
	export SAME_WARMUP=$((number % 16))
	number=$((number / 16))
	case $kind in
	0) unset SMCU_MOVE_AFTER ;;
	1) export SMCU_MOVE_AFTER=$((1 + number % 40)) ;;
	2) export SMCU_MOVE_AFTER=$((1 + number % 4000)) ;;
	3) export SMCU_MOVE_AFTER=$((1 + number % 1000000)) ;;
	esac
}

moment() { echo "SMCU_MOVE_AFTER=${SMCU_MOVE_AFTER:-} SAME_WARMUP=${SAME_WARMUP:-}"; }

# The daemon adds a process up when it has noticed its end.
moved_since() {
	local now
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		now=$(statistic moved)
		[ "${now:-0}" -gt "$1" ] && return 0
		sleep 0.2
	done
	return 1
}

run_under_smcu() {
	before=$(statistic moved)
	{ timeout 60 "$SMCU" run "$programs/same" "$1" >"$scratch/$1.smcu" 2>&1; } 2>/dev/null
	echo "status $?" >>"$scratch/$1.smcu"
}

# compare NAME: plain, then under smcu; ok when it is the same, and (but at random) really moved.  On a
# busy machine the daemon may come too late: then once more.
compare() {
	local name=$1 before must_move= differs=
	(unset SMCU_MOVE_AFTER && timeout 60 "$programs/same" "$name") >"$scratch/$name.tcp" 2>&1
	echo "status $?" >>"$scratch/$name.tcp"
	[ -z "$seed" ] && [[ $stays_tcp != *" $name "* ]] && must_move=1
	for _ in 1 2 3; do
		run_under_smcu "$name"
		cmp -s "$scratch/$name.tcp" "$scratch/$name.smcu" || differs=1
		[ -n "$must_move" ] && [ -z "$differs" ] || break
		moved_since "${before:-0}" && must_move= && break
	done
	if [ -n "$differs" ]; then
		not_ok "$prefix$name" "(- TCP, + smcu with $(moment))"
		diff -u "$scratch/$name.tcp" "$scratch/$name.smcu" | sed 1,2d | head -n 30
	elif [ -n "$must_move" ]; then
		not_ok "$prefix$name" "is the same, but nothing moved"
	else
		ok "$prefix$name"
	fi
}

lane_start() {
	trap clean_up EXIT
	started=()
	scratch=$(mktemp -d "$scratch/lane.XXXXXX")
	SMCU_SOCKET=$scratch/smcud.sock
	daemon_start
}

lane() {
	local name number=0 drawn
	lane_start
	for name in $("$programs/same" list); do
		if [ -n "$seed" ]; then
			drawn=$(cksum <<<"$seed $name" | cut -d ' ' -f 1)
			[ $((drawn % one_in)) = 0 ] && [[ $not_at_random != *" $name "* ]] || continue
			draw_moment $((drawn / one_in))
		fi
		# shellcheck disable=SC2053
		[[ -n "$skipped" && $name == @($skipped) ]] && continue
		number=$((number + 1))
		[ $((number % LANES)) = "$1" ] && compare "$name"
	done
	[ -z "$seed" ] || really_moved "${prefix}moved" 2 0
	exit $((failures > 0))
}

# A signal interrupts a wait of ours as well that has not come to its sleep.
lane_of_signals() {
	local name
	lane_start
	prefix=same_while_looking_
	export SMCU_WAIT_YIELDS=100000
	for name in $("$programs/same" list | grep signal); do compare "$name"; done
	exit $((failures > 0))
}

seed= one_in=1 prefix=same_
if [ "${1:-}" = random ]; then
	seed=$2 one_in=${3:-1} prefix=same_random_
	echo "seed $seed; again: SAME_SEED=$seed SAME_ONE_IN=$one_in tests/run e2e/same_random"
else
	export SMCU_MOVE_AFTER=${1:-0}
	# One has changed its user before the daemon is needed; two ask nothing of a move that comes later.
	[ "$SMCU_MOVE_AFTER" = 0 ] ||
		stays_tcp+=" a_fork_that_fails strict_mode_with_the_move_unread urgent_data_at_the_move "
fi
lanes_begun=()
for ((number = 0; number < LANES; number++)); do
	lane $number &
	lanes_begun+=($!)
done
for pid in "${lanes_begun[@]}"; do wait "$pid" || failures=1; done
[ -n "$seed" ] || (lane_of_signals) || failures=1
finish
