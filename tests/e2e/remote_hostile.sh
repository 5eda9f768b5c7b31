#!/bin/bash
# SPDX-License-Identifier: MIT
# A peer that makes SMC-R connections and then sends every message wrong, early, late, twice, with bad tokens,
# cursors, keys and lengths, and writes outside of its buffer: the daemon lives, it gets no more link groups
# than it may have, and other connections through the same adapter are exact meanwhile.
#
#      a: server, smcud          b: smcud 10.9.0.2, client of an honest pair
#                                   10.9.0.66: the hostile one, with a RoCE of its own
#
# alone: the eBPF programs are one set a kernel
# time limit: 400
. "$(dirname "$0")/hosts.sh"
need python3
hostile=$source_dir/tests/e2e/remote_hostile.py
rounds=${1:-1}

hosts_build 1500
daemon_on a
daemon_on b
on b ip address add 10.9.0.66/32 dev lo
before=$(remote_count b smcr)

start_on server a smcu_run python3 "$peer" echo 10.9.0.1 7301
wait_listens a 7301
start_on receiver a smcu_run python3 "$peer" receive 10.9.0.1 7302
wait_listens a 7302
honest() {
	while [ ! -e "$scratch/enough" ]; do
		run_on b timeout 120 python3 "$peer" send 10.9.0.1 7302 4000000
		run_on b timeout 120 python3 "$peer" short 10.9.0.1 7301 5
	done >"$scratch/honest.log" 2>&1
}
honest &
honest_one=$!

memory() { awk '/VmRSS/ {print $2}' "/proc/${daemons[a]}/status"; }
for round in $(seq "$rounds"); do
	on b timeout 300 python3 "$hostile" 10.9.0.66 10.9.0.1 7301 "$round" >"$scratch/hostile.log" 2>&1
	verdict "all_of_round_${round}_was_done" "$? $(grep -c '^did' "$scratch/hostile.log") $(grep -c '^proper' "$scratch/hostile.log")" "0 40 2"
	tail -n 3 "$scratch/hostile.log" | grep -v '^did\|^proper\|^accepted'
	[ "$round" != 1 ] || used=$(memory)
done
touch "$scratch/enough"
wait "$honest_one"
verdict half_built_groups_are_limited "$(grep '^accepted' "$scratch/hostile.log")" "accepted 16 declined 44"
verdict the_daemon_lives "$(kill -0 "${daemons[a]}" && smcu_on a stats --json | jq 'has("remote")')" true
verdict its_memory_does_not_grow "$([ "$(memory)" -lt $((used + 16384)) ] && echo true || memory)" true
verdict streams_of_others_were_whole "$(grep -c '^same' "$scratch/honest.log") $(grep -c '^differs\|Error' "$scratch/honest.log")" \
	"$(grep -c '^wrong 0' "$scratch/honest.log") 0"
verdict there_were_some "$([ "$(grep -c '^same' "$scratch/honest.log")" -gt 1 ] && echo true)" true
really_remote and_they_were_smcr b 12 "$before"
# It answers no TEST LINK: what is left is the honest pair's.
groups() { smcu_on a linkgroup --json | jq length; }
one_group() { [ "$(groups)" = 1 ]; }
if [ "$rounds" -gt 1 ]; then # it takes a minute
	wait_until 90 one_group
	verdict no_group_of_it_is_left "$(groups)" 1
fi
finish
