#!/bin/bash
# SPDX-License-Identifier: MIT
# redis, unmodified: what is stored is what is read, by single commands, pipelines, scripts, publish and
# subscribe, beside a save in the background, and replication of 200 MB between two servers.  With plain TCP
# (and less), and through shared memory.
#
# time limit: 180
# takes: 33
# not for: asan (tests/long/sanitized.sh)
. "$(dirname "$0")/lib.sh"
need redis-server redis-cli

daemon_start

# redis NAME PORT OPTION...: a server; its number in $pid
redis() {
	start "$1" "$way" redis-server --port "$2" --bind 127.0.0.1 --save "" --appendonly no \
		--dir "$scratch" --dbfilename "$1.rdb" --enable-debug-command yes "${@:3}"
}
# cli PORT COMMAND...: under smcu; plain_cli: without
cli() { timeout 60 "${smcu[@]}" redis-cli -p "$@" 2>&1; }
plain_cli() { timeout 60 redis-cli -p "$@" 2>&1; }
answers() { [ "$(plain_cli "$1" ping)" = PONG ]; }

a_pipeline_of_commands() {
	local before
	before=$(statistic moved)
	for number in $(seq 20000); do
		echo "SET key:$number value-$number-$((number * 7919))"
	done >"$scratch/commands"
	cli "$first" <"$scratch/commands" | sort | uniq -c | tr -s ' ' >"$scratch/answers"
	verdict redis_accepts_a_stream_of_commands "$(cat "$scratch/answers")" " 20000 OK"
	sed 's/\r$//; s/$/\r/' "$scratch/commands" >"$scratch/crlf"
	verdict redis_accepts_a_pipeline \
		"$(cli "$first" --pipe <"$scratch/crlf" | tail -n 1)" "errors: 0, replies: 20000"
	seq 20000 | sed 's/^/GET key:/' >"$scratch/gets"
	cli "$first" <"$scratch/gets" >"$scratch/got"
	seq 20000 | awk '{printf "value-%d-%d\n", $1, $1 * 7919}' >"$scratch/wanted"
	if cmp -s "$scratch/got" "$scratch/wanted"; then
		ok redis_gives_back_what_was_stored
	else
		not_ok redis_gives_back_what_was_stored "$(diff "$scratch/got" "$scratch/wanted" | head -n 3)"
	fi
	verdict redis_and_a_plain_client "$(plain_cli "$first" get key:123)" "value-123-$((123 * 7919))"
	really_moved redis_connections_really_moved 4 "$before"
}

a_subscriber_hears_every_message() {
	local number wanted
	start subscriber "$way" redis-cli -p "$first" subscribe news
	wait_until 10 grep -q subscribe "$scratch/subscriber.log"
	# Debian's redis-server is a link to another name.
	[ "$way" = env ] || check redis_is_listed_under_its_name grep -q /redis-server <("$SMCU" ss)
	seq 1000 | sed 's/^/PUBLISH news message-/' >"$scratch/publish"
	cli "$first" <"$scratch/publish" >"$scratch/receivers"
	wait_until 10 grep -q '^message-1000$' "$scratch/subscriber.log"
	wanted=$(seq 1000 | sed 's/^/message-/' | sha256sum)
	number=$(grep '^message-' "$scratch/subscriber.log" | sha256sum)
	verdict redis_subscriber_hears_every_message "$number" "$wanted"
	stop "$pid"
}

in_step() {
	plain_cli "$second" info replication | grep -q 'master_link_status:up' &&
		[ "$(plain_cli "$second" debug digest)" = "$(plain_cli "$first" debug digest)" ]
}

replication_of_megabytes() {
	local before
	before=$(statistic moved)
	plain_cli "$first" debug populate "$((megabytes * 10))" big 100000 >/dev/null
	redis second "$second" --replicaof 127.0.0.1 "$first" --repl-diskless-sync yes \
		--repl-diskless-sync-delay 0
	pid_of_second=$pid
	wait_until 60 in_step
	verdict redis_replicates_to_a_second_server \
		"$(plain_cli "$second" debug digest)" "$(plain_cli "$first" debug digest)"
	# and what is written while the replica follows
	seq 5000 | sed 's/.*/SET late:& &-&-&/' >"$scratch/late"
	cli "$first" <"$scratch/late" >/dev/null
	wait_until 30 in_step
	verdict redis_replica_follows "$(plain_cli "$second" debug digest)" "$(plain_cli "$first" debug digest)"
	verdict redis_replica_has_the_last_key "$(cli "$second" get late:5000)" "5000-5000-5000"
	really_moved redis_replication_really_moved 2 "$before"
}

a_crowd_of_clients() {
	local before
	before=$(statistic moved)
	check redis_serves_a_crowd timeout 60 "${smcu[@]}" redis-benchmark -p "$first" -q -n 20000 -c 50 \
		-t set,get,lpush,lrange_100 -P 4
	really_moved redis_crowd_really_moved 50 "$before"
	verdict redis_is_still_well "$(plain_cli "$first" get key:77)" "value-77-$((77 * 7919))"
}

# BGSAVE forks with all connections open; a script's answers are nested and large.
a_save_in_the_background_and_scripts() {
	local saved sum='local sum = 0 for i = 1, 20000 do sum = sum + #redis.call("GET", "key:" .. i) end return sum'
	saved_since() { [ "$(plain_cli "$first" lastsave)" -gt "$saved" ]; }
	saved=$(plain_cli "$first" lastsave)
	sleep 1.1
	start crowd "$way" redis-benchmark -p "$first" -q -n 100000 -c 20 -t set,get
	verdict redis_saves_in_the_background "$(cli "$first" bgsave)" "Background saving started"
	check redis_has_saved wait_until 30 saved_since
	verdict redis_save_went_well "$(cli "$first" info persistence | tr -d '\r' | grep rdb_last_bgsave_status)" \
		rdb_last_bgsave_status:ok
	wait "$pid"
	verdict redis_crowd_ends_well_beside_a_save $? 0
	verdict redis_runs_a_script "$(cli "$first" eval "$sum" 0)" \
		"$(awk 'BEGIN {for (i = 1; i <= 20000; i++) n += length(sprintf("value-%d-%d", i, i * 7919)); print n}')"
	verdict redis_gives_a_large_answer_of_a_script \
		"$(cli "$first" eval 'return string.rep("0123456789", 500000)' 0 | md5sum)" \
		"$(printf '0123456789%.0s' $(seq 500000) | sed 's/$/\n/' | md5sum)"
}

# all MEGABYTES: servers of their own, and all of it
all() {
	local server megabytes=$1
	first=$(free_port) second=$(free_port)
	redis first "$first"
	server=$pid
	wait_until 20 answers "$first" || {
		not_ok redis_starts
		cat "$scratch/first.log"
		return
	}
	a_pipeline_of_commands
	a_save_in_the_background_and_scripts
	a_subscriber_hears_every_message
	replication_of_megabytes
	a_crowd_of_clients
	stop "$pid_of_second"
	stop "$server"
}

plainly all 20
all "${1:-200}"
finish
