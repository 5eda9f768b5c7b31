#!/bin/bash
# SPDX-License-Identifier: MIT
# What a program sees of a moved connection is what it sees of TCP: each behaviour of
# tests/programs/same prints results and errnos on plain TCP and under smcu, and the two must not
# differ.  Two lanes, each with its own daemon.
#
# time limit: 300
. "$(dirname "$0")/lib.sh"

# Connections that stay TCP, by rule: nothing to prove there but that they work.
stays_tcp=" a_sandboxed_program_goes_on a_filter_that_starts_before_the_move a_started_program_has_the_limits \
connected_to_itself standard_streams_on_a_socket a_fork_before_the_move "

same_compare() {
	local name=$1 before now
	timeout 60 "$programs/same" "$name" >"$scratch/$name.tcp" 2>&1
	echo "status $?" >>"$scratch/$name.tcp"
	before=$(statistic moved)
	{ SMCU_MOVE_AFTER=$2 timeout 60 "$SMCU" run "$programs/same" "$name" >"$scratch/$name.smcu" 2>&1; } 2>/dev/null
	echo "status $?" >>"$scratch/$name.smcu"
	if ! cmp -s "$scratch/$name.tcp" "$scratch/$name.smcu"; then
		not_ok "same_$name" "(- TCP, + smcu with SMCU_MOVE_AFTER=$2)"
		diff -u "$scratch/$name.tcp" "$scratch/$name.smcu" | sed 1,2d | head -n 30
		return
	fi
	# The daemon adds a process up when it has noticed its end.
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		now=$(statistic moved)
		[ "${now:-0}" -gt "${before:-0}" ] && break
		sleep 0.2
	done
	case $stays_tcp in
	*" $name "*) ;;
	*)
		if [ "${now:-0}" -le "${before:-0}" ]; then
			not_ok "same_$name" "is the same, but nothing moved"
			return
		fi
		;;
	esac
	ok "same_$name"
}

lane() {
	local name number=0 pid
	trap clean_up EXIT
	started=()
	scratch=$(mktemp -d "$scratch/lane.XXXXXX")
	SMCU_SOCKET=$scratch/smcud.sock
	daemon_start
	for name in $("$programs/same" list); do
		number=$((number + 1))
		[ $((number % 2)) = "$1" ] && same_compare "$name" "$2"
	done
	exit $((failures > 0))
}

move_after=${1:-0}
lane 0 "$move_after" &
first=$!
lane 1 "$move_after" &
second=$!
wait $first || failures=1
wait $second || failures=1
finish
