#!/bin/bash
# SPDX-License-Identifier: MIT
# The peer maps the same memory and may do anything with it.  Whatever it does, the victim's other
# connections stay exact, the victim neither crashes nor hangs nor spins, and smcud answers.
#
# time limit: 240
# takes: 50
. "$(dirname "$0")/lib.sh"

seed=${1:-$RANDOM}
export SMCU_MOVE_AFTER=0
daemon_start

# Hundredths of a second of processor that a process has used.
ticks_of() { awk '{print $14 + $15}' "/proc/$1/stat"; }
# Used per second over the next second; with nothing to do it is next to nothing.
load_of() {
	local before
	before=$(ticks_of "$1") || return 1
	sleep 1
	echo $(($(ticks_of "$1") - before))
}

# attacked_or_gone LOG PID
attacked_or_gone() { grep -q attacked "$1" || ! kill -0 "$2"; }

# suffer ATTACK VICTIM_OPTION NAME
suffer() {
	local name=$3 victim port status load attacker
	local of=${2:-threads}
	start "victim$of" smcu_run "$programs/steady" --serve $2
	victim=$pid
	wait_until 10 grep -q '^port [0-9]' "$scratch/victim$of.log"
	port=$(sed -n 's/^port //p' "$scratch/victim$of.log")
	start "honest$of" smcu_run "$programs/steady" --ask --port="$port" --connections=4 --seconds=1
	local honest=$pid
	start "attacker$of" "$programs/hostile_peer" --port="$port" --attack="$1" --seed="$seed" --linger=3
	attacker=$pid
	wait "$honest"
	status=$?
	wait_until 10 attacked_or_gone "$scratch/attacker$of.log" "$attacker"
	if ! kill -0 "$victim" 2>/dev/null; then
		not_ok "$name" "the victim is dead (seed $seed)"
		tail -n 5 "$scratch/victim$of.log"
		return
	fi
	load=$(load_of "$victim")
	if [ $status != 0 ]; then
		not_ok "$name" "another connection suffered (seed $seed)"
		tail -n 5 "$scratch/honest$of.log"
	elif grep -q wrong "$scratch/attacker$of.log"; then
		not_ok "$name" "$(grep wrong "$scratch/attacker$of.log")"
	elif ! grep -q moved "$scratch/attacker$of.log"; then
		not_ok "$name" "there was no attack: $(tail -n 1 "$scratch/attacker$of.log")"
	elif [ "$load" -gt 60 ]; then
		not_ok "$name" "the victim spins: $load % of a processor with nothing to do (seed $seed)"
	elif ! timeout 10 "$SMCU" stats >/dev/null; then
		not_ok "$name" "smcud does not answer"
	elif ! timeout 20 "$SMCU" run "$programs/steady" --ask --port="$port" --connections=2 \
		--seconds=1 >"$scratch/after$of.log" 2>&1; then
		not_ok "$name" "the victim serves nobody any more (seed $seed)"
		tail -n 5 "$scratch/after$of.log"
	else
		ok "$name"
	fi
	[ -z "${SMCU_TEST_VERBOSE:-}" ] || cat "$scratch/smcud.log" "$scratch/attacker$of.log"
	kill -KILL "$attacker" 2>/dev/null
	stop "$victim"
	wait "$attacker"
} 2>/dev/null

for attack in $("$programs/hostile_peer" --attack=list); do
	suffer "$attack" "" "hostile_peer_${attack}_against_threads" &
	threads=$!
	suffer "$attack" --epoll "hostile_peer_${attack}_against_epoll"
	wait "$threads"
done
finish
