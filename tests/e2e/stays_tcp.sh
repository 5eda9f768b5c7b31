#!/bin/bash
# SPDX-License-Identifier: MIT
# What is not for shared memory stays TCP, works, and is named by smcu: zero copy, TCP_REPAIR, TLS in the
# kernel, eBPF between sockets, io_uring, static programs.  Each with plain TCP and under smcu.
#
# takes: 20
. "$(dirname "$0")/lib.sh"

daemon_start

# reason_comes NAME BEFORE: both ends of a connection have that reason now
reason_comes() {
	local now
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		now=$(statistic "$1")
		[ $((${now:-0} - $2)) -ge 2 ] && return 0
		sleep 0.2
	done
	return 1
}

# stays NAME REASON BYTES: works as without smcu, does not move, and says why; it would after so many bytes.
# The daemon knows of a process that has offered something, which one of these may come before.
stays() {
	local before moved plain got what=${1#stays_tcp_with_}
	plain=$(timeout 30 "$programs/stays_tcp" "$what")
	if [ $? = 77 ]; then
		skip "$1" "$plain"
		return
	fi
	moved=$(statistic moved)
	for _ in 1 2 3 4 5; do
		before=$(statistic "$2")
		got=$(SMCU_MOVE_AFTER=$3 timeout 30 "$SMCU" run "$programs/stays_tcp" "$what")
		[ "$got" = "$plain" ] || break
		reason_comes "$2" "${before:-0}" && break
	done
	verdict "$1" "$got" "$plain"
	check "${1}_for_the_reason_$2" reason_comes "$2" "${before:-0}"
	verdict "${1}_at_both_ends" "$(statistic moved)" "$moved"
}

# The same program moves where nothing speaks against it.
nothing_moves() {
	local before
	before=$(statistic moved)
	verdict with_nothing_it_is_right \
		"$(SMCU_MOVE_AFTER=0 timeout 30 "$SMCU" run "$programs/stays_tcp" nothing)" \
		"$(timeout 30 "$programs/stays_tcp" nothing)"
	wait_until 3 [ "$(statistic moved)" -gt "${before:-0}" ]
	really_moved with_nothing_it_moves 2 "${before:-0}"
}

# A library that asks libc for an io_uring is told that there is none, and falls back.
a_ring_by_libc() {
	local before
	timeout 30 "$programs/stays_tcp" ring | grep -q '^no io_uring' && {
		skip a_library_does_without_io_uring "the kernel has none"
		return
	}
	before=$(statistic moved)
	verdict a_library_does_without_io_uring \
		"$(SMCU_MOVE_AFTER=0 timeout 30 "$SMCU" run "$programs/stays_tcp" ring)" \
		"no io_uring: ENOSYS
400 messages each way, 0 wrong"
	wait_until 3 [ "$(statistic moved)" -gt "${before:-0}" ]
	really_moved a_library_without_io_uring_moves 2 "${before:-0}"
}

# echo_with WAY PROGRAM: client PROGRAM of a server under WAY
echo_with() {
	local port client=("$programs/$2" connect --address=127.0.0.1)
	port=$(free_port)
	start "server-$1" "$1" "$programs/exchange" serve --address=127.0.0.1 --port="$port" --connections=1
	wait_until 10 grep -q listening "$scratch/server-$1.log"
	[ "$1" = env ] || client=("$SMCU" run "${client[@]}")
	timeout 30 "${client[@]}" --port="$port" --size=5000 --count=200 2>&1 | sed 's/[0-9]*$//'
	wait "$pid"
}

static_programs() {
	local plain moved
	[ -e "$programs/exchange_static" ] || {
		skip static_programs "no static libc"
		return
	}
	export SMCU_MOVE_AFTER=0
	plain=$(echo_with env exchange_static)
	moved=$(statistic moved)
	verdict a_static_client_says_so_and_is_tcp "$(echo_with smcu_run exchange_static)" \
		"smcu: warning: $programs/exchange_static runs as plain TCP: it is statically linked
$plain"
	verdict a_static_client_does_not_move "$(statistic moved)" "$moved"
	verdict a_static_program_is_refused_where_smcu_is_required \
		"$(timeout 10 "$SMCU" run --require "$programs/exchange_static" 2>&1; echo $?)" \
		"smcu: $programs/exchange_static would be plain TCP: it is statically linked
1"
	verdict a_static_program_is_found_by_its_name \
		"$(PATH=$programs:$PATH timeout 10 "$SMCU" run --require exchange_static 2>&1 | head -n 1)" \
		"smcu: exchange_static would be plain TCP: it is statically linked"
	verdict a_client_that_loads_libraries_is_right "$(echo_with smcu_run exchange)" "$plain"
	wait_until 3 [ "$(statistic moved)" -gt "${moved:-0}" ]
	really_moved a_client_that_loads_libraries_moves 2 "${moved:-0}"
	unset SMCU_MOVE_AFTER
}

nothing_moves
stays stays_tcp_with_zerocopy option 0
stays stays_tcp_with_flag_zerocopy option 0
stays stays_tcp_with_repair option 0
stays stays_tcp_with_ulp option 0
# Counts of bytes can only differ when there were some.
stays stays_tcp_with_sockmap second_user 1000
stays stays_tcp_with_ring_past_libc second_user 1000
a_ring_by_libc
static_programs
finish
