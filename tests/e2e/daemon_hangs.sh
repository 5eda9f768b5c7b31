#!/bin/bash
# SPDX-License-Identifier: MIT
# smcud hangs: it is stopped, and reads nothing.  No program can tell, also not what is killed: a socket in the
# daemon's queue would keep its peer waiting for the end.
#
# time limit: 300
# takes: 30
# not for: asan (programs that end by a signal are much of it, and slow there)
. "$(dirname "$0")/lib.sh"
need python3
LANES=16

# said FILE COMMAND...: what it says, without the shell's word on how it ended
said() {
	local file=$1
	shift
	{ "$@" >"$file" 2>&1; } 2>/dev/null
	echo "status $?" >>"$file"
}

compare() {
	said "$scratch/$1.tcp" timeout 60 "$programs/same" "$1"
	said "$scratch/$1.smcu" env LD_PRELOAD="$preload" SMCU_MOVE_AFTER=0 timeout 60 "$programs/same" "$1"
	if cmp -s "$scratch/$1.tcp" "$scratch/$1.smcu"; then
		ok "hung_$1"
	else
		not_ok "hung_$1" "(- TCP, + smcu)"
		diff -u "$scratch/$1.tcp" "$scratch/$1.smcu" | sed 1,2d | head -n 30
	fi
}

lane() {
	local name number=0
	trap - EXIT
	while read -r name; do
		[ $((number++ % LANES)) = "$1" ] && compare "$name"
	done < <("$programs/same" list)
	exit $((failures > 0))
}

nothing_differs() {
	local number lanes=()
	for ((number = 0; number < LANES; number++)); do
		lane $number &
		lanes+=($!)
	done
	for pid in "${lanes[@]}"; do wait "$pid" || failures=1; done
}

daemon_start
verdict ends_are_told_while_the_daemon_hangs \
	"$(timeout 60 python3 "$(dirname "$0")/hung_end.py" "$daemon" "$preload" | paste -sd ' ')" \
	"closed: end closed with bytes unread: ConnectionResetError killed: end end"
kill -STOP "$daemon"
nothing_differs
kill -CONT "$daemon"
verdict nothing_has_moved "$(statistic moved)" 0
timeout 60 env LD_PRELOAD="$preload" SMCU_MOVE_AFTER=0 python3 "$(dirname "$0")/hung_again.py" "$daemon"
verdict what_comes_after_it_hangs_moves_again "$? $(statistic moved)" "0 4"
finish
