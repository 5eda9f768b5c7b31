#!/bin/bash
# SPDX-License-Identifier: MIT
# No data race in the shim while threads share connections and epolls: programs and shim are built with
# ThreadSanitizer, whose reports the runner finds.
#
# only for: tsan
# time limit: 120
. "$(dirname "$0")/lib.sh"

daemon_start
before=$(statistic moved)

# Behaviours with several threads, and those where one thread waits while another acts.  The sanitizer's
# runtime does not live in a sandbox, makes a fork of a vfork, knows no jump out of a handler, and reports a close beside a read as such.
for name in $("$programs/same" list | grep -E \
	'thread|sixty|crowd|speed|woken|wakes|sleeps|cancel|move_while|megabyte|epoll|edge|fork|child' |
	grep -vE 'sandbox|strict|filter|one_descriptor|another_thread_|closed_while|who_closed|asynchronously|vfork_child_sets|jumps_out'); do
	timeout 60 "$programs/same" "$name" >"$scratch/tcp" 2>&1
	echo "status $?" >>"$scratch/tcp"
	SMCU_MOVE_AFTER=0 timeout 60 "$SMCU" run "$programs/same" "$name" >"$scratch/smcu" 2>&1
	echo "status $?" >>"$scratch/smcu"
	check "races_$name" diff "$scratch/tcp" "$scratch/smcu"
done
check races_streams "$SMCU" run "$programs/streams" run --seed=$RANDOM --count=150 --kill=10 --max=100000 --time=60
check races_chaos "$SMCU" run "$programs/chaos" run --seed=$RANDOM --seconds=5
really_moved threads_really_moved 100 "$before"
finish
