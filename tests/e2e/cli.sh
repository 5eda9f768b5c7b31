#!/bin/bash
# SPDX-License-Identifier: MIT
# The smcu command as people and scripts meet it: exit statuses, messages, JSON, and the daemon that
# starts and ends by itself.
#
#   smcu run PROGRAM --+-- first $SMCU_SOCKET, /run/smcu/, $XDG_RUNTIME_DIR/smcu/, /tmp/smcu-UID/
#                      +-- nobody answers: smcud --per-user, which ends after its last user
#
# time limit: 180
# takes: 32
set -u
unset SMCU_SOCKET SMCU_MOVE_AFTER SMCU_REQUIRE SMCU_VERBOSE LD_PRELOAD

SMCU=$SMCU_BUILD/smcu
scratch=$(mktemp -d)
export XDG_RUNTIME_DIR=$scratch
user_socket=$scratch/smcu/smcud.sock
started=()
clean_up() {
	[ ${#started[@]} -eq 0 ] || kill "${started[@]}" 2>/dev/null
	rm -rf "$scratch"
}
trap clean_up EXIT

failures=0
ok() { echo "ok $1"; }
not_ok() { echo "not ok $1: $2"; failures=$((failures + 1)); }
verdict() { if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "expected '$3', got '$2'"; fi; }

# The status of a command, and in $scratch/out and $scratch/err what it said.
status_of() {
	"$@" >"$scratch/out" 2>"$scratch/err" </dev/null
	echo $?
}
lines_of() { wc -l <"$1"; }

for part in smcu smcud libsmcu-preload.so; do
	[ -e "$SMCU_BUILD/$part" ] || { echo "skip cli $part is not built"; exit 0; }
done
if [ -S /run/smcu/smcud.sock ]; then
	echo "skip cli the host has a daemon: the search order would find it"
	exit 0
fi

# --- The command line -------------------------------------------------------------------------

a_wrong_command_line_is_status_2() {
	local case_
	for case_ in "" "nonsense" "--nonsense" "run" "run --nonsense true" "run --move-after" \
		"run --move-after 12x true" "run --move-after -1 true" "run --socket" \
		"ss --nonsense" "ss extra" "ss -x" "stats --nonsense" "stats extra" "version extra" \
		"stats --details" "link --nonsense" "linkgroup extra" "device --json=yes" \
		"decode" "decode --nonsense x" "decode one two"; do
		# shellcheck disable=SC2086
		verdict "wrong_command_line_is_status_2 'smcu $case_'" "$(status_of "$SMCU" $case_)" 2
		[ -z "$case_" ] || [ "$(lines_of "$scratch/err")" = 1 ] ||
			not_ok "one_clear_line 'smcu $case_'" "$(cat "$scratch/err")"
	done
	verdict unknown_option_is_named \
		"$("$SMCU" ss --nonsense 2>&1)" "smcu: unknown option '--nonsense' (try 'smcu help')"
}

help_and_version() {
	local way
	for way in help --help -h version --version; do
		verdict "$way" "$(status_of "$SMCU" $way)" 0
		[ -s "$scratch/out" ] || not_ok "$way" "it prints nothing"
	done
	verdict full_disk_is_noticed "$("$SMCU" version 2>/dev/null >/dev/full; echo $?)" 1
}

# smcud_says WANTED STATUS OPTION...
smcud_says() {
	verdict "smcud ${*:3}" "$("$SMCU_BUILD/smcud" --foreground --socket "$scratch/never.sock" "${@:3}" 2>&1; echo $?)" \
		"smcud: $1
$2"
}
a_wrong_setting_of_the_daemon_is_named() {
	smcud_says "rnic.interface: 'a/b' is no name of an interface" 1 --rnic a/b
	smcud_says "rnic.interface: 'a' is named twice" 1 --rnic a --rnic a=NET1
	smcud_says "rnic.interface: 'N.1', the PNETID of a, is not 1 to 16 letters and digits" 1 --rnic a=N.1
	smcud_says "smcr.eid: 'one' is no EID: 1 to 32 of A-Z, 0-9, '.' and '-', a letter or digit in front" 1 --eid one
	smcud_says "smcr.element_bytes: 8388608 is more than ring.bytes, 4194304" 1 --set smcr.element_bytes=8M
	smcud_says "smcr.max_connections: 8 is not between 16 and 255" 1 --set smcr.max_connections=8
	smcud_says "option needs a value: --rnic (try 'smcud --help')" 2 --rnic
}

# with_empty DIRECTORY COMMAND...: nobody else sees what is put there
with_empty() { unshare --mount bash -c 'mount -t tmpfs none "$0" && exec "$@"' "$@"; }
may_mount() {
	[ "$(id -u)" = 0 ] && with_empty /etc true 2>/dev/null && return
	echo "skip $1 it takes a mount namespace of one's own"
	return 1
}

# with_adapters OPTION...: smcud where the system's file names an adapter that is not there
with_adapters() {
	# shellcheck disable=SC2016
	with_empty /etc bash -c 'mkdir /etc/smcu && echo "[rnic]
interface = nonesuch0" >/etc/smcu/smcu.conf && exec "$@"' bash \
		timeout 2 "$SMCU_BUILD/smcud" --foreground --socket "$scratch/adapters.sock" \
		"$@" >"$scratch/adapters" 2>&1
}
the_systems_adapters_are_not_a_users() {
	may_mount the_systems_adapters_are_not_a_users || return
	with_adapters --per-user
	verdict the_systems_adapters_are_not_a_users \
		"$(grep -c "left to the system's smcud" "$scratch/adapters")" 1
	verdict nor_are_they_settings "$(grep -c nonesuch0 "$scratch/adapters")" 0
	with_adapters --per-user --rnic nonesuch1
	verdict those_of_the_command_line_are "$(grep -c "RNIC nonesuch1: No such" "$scratch/adapters")" 1
	with_adapters
	verdict the_system_uses_its_adapters "$(grep -c "RNIC nonesuch0: No such" "$scratch/adapters")" 1
}

without_a_daemon() {
	local command
	for command in ss stats "ss --json" "stats --json" linkgroup link "device --details"; do
		# shellcheck disable=SC2086
		verdict "without_a_daemon $command" "$("$SMCU" $command 2>&1; echo $?)" \
			"smcu: no smcud answers at $user_socket
1"
	done
	verdict without_the_chosen_daemon "$(SMCU_SOCKET=/nonexistent/s "$SMCU" ss 2>&1)" \
		"smcu: no smcud answers at /nonexistent/s"
	verdict the_option_beats_the_environment \
		"$(SMCU_SOCKET=/nonexistent/s "$SMCU" ss --socket /nonexistent/t 2>&1)" \
		"smcu: no smcud answers at /nonexistent/t"
	verdict a_path_too_long_for_a_socket \
		"$(status_of "$SMCU" ss --socket "/$(printf 'x%.0s' {1..200})")" 1
}

# A daemon of another version, or what seems to be one, at the system's place.
stranger='
import os, signal, socket, subprocess, sys
os.mkdir("/run/smcu")
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.bind("/run/smcu/smcud.sock"); s.listen()
child = os.fork()
while not child:
    c, _ = s.accept(); c.recv(4096)
    c.send((2).to_bytes(2, "little") + (999).to_bytes(2, "little") + (16).to_bytes(4, "little") + bytes(8))
status = subprocess.run(sys.argv[1:]).returncode
os.kill(child, signal.SIGKILL)
sys.exit(status)
'
with_stranger() { with_empty /run /usr/bin/python3 -c "$stranger" "$@"; }
a_system_daemon_of_another_version_is_named() {
	local what="/run/smcu/smcud.sock: smcud is of another version"
	may_mount a_system_daemon_of_another_version_is_named || return
	verdict a_system_daemon_of_another_version_is_named \
		"$(with_stranger "$SMCU" ss 2>&1; echo $?)" "smcu: no smcud answers at $what
1"
	verdict run_warns_of_it_and_starts_one \
		"$(with_stranger "$SMCU" run --require sh -c 'echo "$SMCU_SOCKET"' 2>&1)" \
		"smcu: warning: $what; trying a daemon of your own
$user_socket"
}

# --- smcu run ---------------------------------------------------------------------------------

the_status_is_the_programs() {
	verdict status_0 "$(status_of "$SMCU" run true)" 0
	verdict status_42 "$(status_of "$SMCU" run sh -c 'exit 42')" 42
	verdict killed_is_killed "$(status_of "$SMCU" run sh -c 'kill -TERM $$')" 143
	verdict missing_program_is_127 "$(status_of "$SMCU" run no-such-program-here)" 127
	verdict missing_program_is_one_line "$(lines_of "$scratch/err")" 1
	verdict missing_path_is_127 "$(status_of "$SMCU" run /nonexistent/program)" 127
	echo 'no program' >"$scratch/data"
	verdict not_executable_is_126 "$(status_of "$SMCU" run "$scratch/data")" 126
	verdict not_executable_is_one_line "$(lines_of "$scratch/err")" 1
	verdict a_directory_is_126 "$(status_of "$SMCU" run /tmp)" 126
}

the_arguments_are_the_programs() {
	verdict arguments_pass_unchanged \
		"$("$SMCU" run --require -- printf '<%s>' a 'b c' --verbose -- '*')" \
		'<a><b c><--verbose><--><*>'
	verdict input_and_output_pass "$(echo through | "$SMCU" run cat)" through
	verdict nothing_on_standard_error "$("$SMCU" run true 2>&1)" ""
}

the_environment_is_set() {
	local seen
	# (smcu itself gets libm first here, at which a sanitizer's runtime would balk)
	seen=$(ASAN_OPTIONS=${ASAN_OPTIONS-}:verify_asan_link_order=0 LD_PRELOAD=libm.so.6 \
		"$SMCU" run --require --verbose --move-after 64k sh -c \
		'echo "$LD_PRELOAD|$SMCU_SOCKET|$SMCU_REQUIRE|$SMCU_VERBOSE|$SMCU_MOVE_AFTER"' 2>/dev/null)
	case $seen in
	*"$SMCU_BUILD/libsmcu-preload.so:libm.so.6|$user_socket|1|1|65536") ok environment_is_set ;;
	*) not_ok environment_is_set "$seen" ;;
	esac
	seen=$("$SMCU" run "$SMCU" run sh -c 'echo "$LD_PRELOAD"' | grep -o libsmcu-preload.so | wc -l)
	verdict run_within_run_preloads_once "$seen" 1
}

# Somebody else's directory, or one that others may enter, may hold somebody else's socket.
an_open_directory_is_refused() {
	local open=$scratch/open
	mkdir -p "$open/smcu"
	chmod 755 "$open/smcu"
	verdict refused_directory_means_plain_tcp \
		"$(XDG_RUNTIME_DIR=$open "$SMCU" run echo ran 2>"$scratch/err")" ran
	verdict refused_directory_is_one_warning "$(grep -c '^smcu: warning: no daemon' "$scratch/err")" 1
	verdict refused_directory_under_require \
		"$(XDG_RUNTIME_DIR=$open "$SMCU" run --require echo ran 2>/dev/null; echo $?)" 1
	[ ! -S "$open/smcu/smcud.sock" ] || not_ok refused_directory "a daemon was started there"
}

# few_descriptors N COMMAND...: and root may not raise the limit
few_descriptors() {
	local limited=(prlimit "--nofile=$1")
	[ "$(id -u)" != 0 ] ||
		limited+=(setpriv --bounding-set=-sys_resource --inh-caps=-sys_resource)
	"${limited[@]}" "${@:2}"
}
too_few_descriptors_mean_plain_tcp() {
	local begin=$SECONDS chosen=(--socket "$scratch/few.sock")
	verdict too_few_descriptors_mean_plain_tcp \
		"$(few_descriptors 570 "$SMCU" run "${chosen[@]}" echo ran 2>&1)" \
		"smcu: warning: no daemon (smcud: only 570 descriptors allowed, 634 are needed): echo runs as plain TCP
ran"
	[ $((SECONDS - begin)) -le 3 ] || not_ok too_few_descriptors "it took $((SECONDS - begin)) s"
	verdict just_enough_descriptors_serve \
		"$(few_descriptors 634 "$SMCU" run --require "${chosen[@]}" \
			"$SMCU" run --require "${chosen[@]}" echo ran 2>&1)" ran
}

a_daemon_is_started_at_the_chosen_path() {
	verdict started_at_the_chosen_path \
		"$(SMCU_SOCKET=$scratch/chosen.sock "$SMCU" run --require sh -c 'echo "$SMCU_SOCKET"')" \
		"$scratch/chosen.sock"
	verdict chosen_daemon_answers "$(status_of "$SMCU" stats --socket "$scratch/chosen.sock")" 0
	verdict a_path_that_cannot_be \
		"$(status_of "$SMCU" run --require --socket /proc/nonexistent/s true)" 1
}

daemon_pid() { "$SMCU" stats --json --socket "$1" | jq .daemon.pid; }

# All but one daemon of this race find the lock taken; every program must get its daemon.
five_at_once_share_one_daemon() {
	local i pids=() sockets
	for i in 1 2 3 4 5; do
		SMCU_SOCKET=$scratch/race.sock "$SMCU" run --require sh -c \
			'echo "$SMCU_SOCKET"; sleep 1' >"$scratch/race.$i" 2>"$scratch/race.$i.err" &
		pids+=($!)
	done
	for i in "${pids[@]}"; do
		wait "$i" || not_ok five_at_once "one ended with status $?"
	done
	sockets=$(cat "$scratch"/race.[1-5] | sort | uniq -c | awk '{print $1, $2}')
	verdict five_at_once_share_one_daemon "$sockets" "5 $scratch/race.sock"
	verdict five_at_once_say_nothing "$(cat "$scratch"/race.*.err)" ""
}

# --- What is reported ---------------------------------------------------------------------------

# A connection that lives: ten questions and answers, and then the ends wait for the file "over".
server='
import socket, sys, os, time
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen()
open(sys.argv[1] + ".new", "w").write(str(s.getsockname()[1])); os.rename(sys.argv[1] + ".new", sys.argv[1])
c, _ = s.accept()
while (b := c.recv(100)): c.sendall(b)
'
client='
import socket, sys, os, time
c = socket.create_connection(("127.0.0.1", int(open(sys.argv[1]).read())))
for i in range(10):
    c.sendall(b"question")
    assert c.recv(8, socket.MSG_WAITALL) == b"question"
    time.sleep(0.02)
open(sys.argv[1] + ".done", "w").close()
while not os.path.exists(sys.argv[1] + ".over"): time.sleep(0.05)
'
await_file() {
	local i
	for ((i = 0; i < 100; i++)); do
		[ ! -e "$1" ] || return 0
		sleep 0.1
	done
	not_ok live_connection "$1 did not appear"
	return 1
}

# jq filter $2 must give "true" for the JSON on file $1
holds() {
	local given
	given=$(jq "$2" "$scratch/$1" 2>&1)
	if [ "$given" = true ]; then ok "$3"; else not_ok "$3" "$given"; jq -c . "$scratch/$1"; fi
}

reports_of_a_live_connection() {
	local port=$scratch/port
	export SMCU_SOCKET=$scratch/report.sock
	"$SMCU" run --require --move-after 0 /usr/bin/python3 -c "$server" "$port" &
	started+=($!)
	await_file "$port" || return
	"$SMCU" run --require --move-after 0 /usr/bin/python3 -c "$client" "$port" &
	started+=($!)
	await_file "$port.done" || return
	"$SMCU" ss --json >"$scratch/ss.json"
	"$SMCU" stats --json >"$scratch/stats.json"
	"$SMCU" ss >"$scratch/ss.txt"
	"$SMCU" stats >"$scratch/stats.txt"
	check_listings_without_adapters
	touch "$port.over"
	wait "${started[@]}"
	unset SMCU_SOCKET
	check_ss "$(cat "$port")"
	check_stats
}

check_listings_without_adapters() {
	local command
	for command in linkgroup link device; do
		verdict "${command}_json_is_an_empty_array" "$("$SMCU" $command --json | jq -c .)" "[]"
		verdict "${command}_text_is_its_titles" "$("$SMCU" $command --details | wc -l)" 1
	done
	verdict linkgroup_text_has_a_title "$("$SMCU" linkgroup | tr -s ' ')" \
		"LG-ID LG-Role LG-Type VLAN #Conns PNET-ID Net-Dev Version State"
	verdict link_text_has_a_title "$("$SMCU" link | tr -s ' ')" \
		"LG-ID Link-UID Net-Dev Link-State #Conns QP Peer-QP GID Peer-GID"
	verdict device_text_has_a_title "$("$SMCU" device | tr -s ' ')" \
		"Net-Dev Type State PNET-ID MTU #LGs #Links #Conns GIDs"
}

check_ss() {
	holds ss.json 'type == "array"' ss_json_is_an_array
	holds ss.json "[.[] | select(.state == \"ESTAB\")] | length == 2" ss_json_has_both_ends
	holds ss.json "any(.[]; .state == \"ESTAB\" and .local.port == $1 and
		.local.address == \"127.0.0.1\")" ss_json_has_the_address
	holds ss.json 'all(.[] | select(.state == "ESTAB"); .mode == "SHM" and .reason == null and
		.sent.shm > 0 and .received.shm > 0)' ss_json_says_shm
	holds ss.json 'all(.[]; has("smcr") and .smcr == null)' ss_json_has_no_smcr_within_the_host
	holds ss.json 'all(.[]; (.program | startswith("python3")) and .pid > 0 and .uid >= 0 and
		has("user") and has("fd") and has("peer") and has("reason_text"))' ss_json_names_the_process
	verdict ss_text_has_a_title "$(head -n 1 "$scratch/ss.txt" | tr -s ' ')" \
		"State User Process Local-Address Peer-Address Sent Received Calls Mode"
	verdict ss_text_says_shm "$(grep -c "^ESTAB.*127\.0\.0\.1:$1 .* SHM$" "$scratch/ss.txt")" 2
	verdict ss_text_is_sorted "$(awk 'NR > 1 {print $1}' "$scratch/ss.txt" | sort -r | paste -sd' ')" \
		"$(awk 'NR > 1 {print $1}' "$scratch/ss.txt" | paste -sd' ')"
}

check_stats() {
	holds stats.json '.connections >= 2 and .moved >= 2 and .moved <= .connections' \
		stats_json_counts_connections
	holds stats.json '.sent.shm > 0 and .received.shm > 0 and .calls.sending >= 20' \
		stats_json_counts_bytes_and_calls
	holds stats.json '.daemon | .pid > 0 and .paired >= 1 and .offers >= 2 and .uptime_ms >= 0' \
		stats_json_has_the_daemon
	holds stats.json '(.reasons | has("waiting") and has("young")) and (.daemon.refused | has("rule"))' \
		stats_json_has_every_reason
	holds stats.json '.remote == {smcr: 0, fallbacks: 0, failed: 0, declines: []}' \
		stats_json_has_the_other_hosts
	# 20 writes of 8 bytes, of which each end may have made one in two parts to switch
	holds stats.json '([.sizes[].count] | add) >= 20 and ([.sizes[] | select(.from == 8)][0].count) >= 18' \
		stats_json_has_the_sizes
	verdict stats_text_counts_moved \
		"$(grep -c '^connections .* moved to shared memory' "$scratch/stats.txt")" 1
}

# A peer without smcu: the connection is TCP, and ss says why in words.
a_lone_end_says_why() {
	local port=$scratch/lone
	export SMCU_SOCKET=$scratch/report.sock
	/usr/bin/python3 -c "$server" "$port" &
	started+=($!)
	await_file "$port" || return
	"$SMCU" run --move-after 0 /usr/bin/python3 -c "$client" "$port" &
	started+=($!)
	await_file "$port.done" || return
	"$SMCU" ss --json >"$scratch/lone.json"
	"$SMCU" ss >"$scratch/lone.txt"
	touch "$port.over"
	unset SMCU_SOCKET
	holds lone.json '[.[] | select(.state == "ESTAB")] | length == 1 and .[0].mode == "TCP" and
		.[0].reason == "waiting" and .[0].sent.tcp == 80 and .[0].sent.shm == 0' lone_end_json
	verdict lone_end_says_why \
		"$(grep -c '^ESTAB.* TCP: the peer has not offered its end' "$scratch/lone.txt")" 1
}

# --- The daemon that comes and goes -------------------------------------------------------------

# smcu run waits for nothing while its program runs, yet the program's daemon must not end before
# the program has made its first connection: a shell may sit for an hour.
the_daemon_stays_while_used_and_then_ends() {
	local pid waited=0
	"$SMCU" run --require sleep 14 &
	started+=($!)
	sleep 1
	verdict user_directory_is_private "$(stat -c %a "$scratch/smcu")" 700
	pid=$(daemon_pid "$user_socket")
	sleep 12
	verdict daemon_stays_while_the_program_runs "$(daemon_pid "$user_socket")" "$pid"
	wait "${started[-1]}"
	while [ -d "/proc/$pid" ] && [ $waited -lt 40 ]; do
		sleep 1
		waited=$((waited + 1))
	done
	if [ -d "/proc/$pid" ]; then
		not_ok daemon_ends_after_its_last_user "it is there after 40 s"
	else
		ok daemon_ends_after_its_last_user
	fi
	verdict a_new_one_starts "$(status_of "$SMCU" run --require true)" 0
}

a_wrong_command_line_is_status_2
help_and_version
a_wrong_setting_of_the_daemon_is_named
the_systems_adapters_are_not_a_users
without_a_daemon
a_system_daemon_of_another_version_is_named
the_status_is_the_programs
the_arguments_are_the_programs
the_environment_is_set
an_open_directory_is_refused
too_few_descriptors_mean_plain_tcp
a_daemon_is_started_at_the_chosen_path
five_at_once_share_one_daemon
reports_of_a_live_connection
a_lone_end_says_why
the_daemon_stays_while_used_and_then_ends
[ $failures -eq 0 ]
