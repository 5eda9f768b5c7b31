# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What the end-to-end tests share: a directory, a socket and a daemon of their own, programs that are
# stopped at the end, verdicts, and the question whether connections really moved.
#
#   . "$(dirname "$0")/lib.sh"
#   daemon_start
#   smcu_run PROGRAM ...             under smcu, with this daemon
#   verdict NAME "$got" "$wanted"    ok or not ok
#   finish                           status for the runner
set -u
unset SMCU_SOCKET SMCU_MOVE_AFTER SMCU_REQUIRE SMCU_VERBOSE LD_PRELOAD

source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
SMCU_BUILD=$(realpath "${SMCU_BUILD:-$source_dir/build}")
SMCU=$SMCU_BUILD/smcu
programs=$SMCU_BUILD/tests/programs
# That runtime must come first.  ThreadSanitizer's must not: its stand-ins would call ours, and our atomics
# do not count for it in there.
preload=$(ldd "$SMCU_BUILD/libsmcu-preload.so" | awk '/libasan/ {printf "%s:", $3}')$SMCU_BUILD/libsmcu-preload.so
scratch=$(mktemp -d "${TMPDIR:-/tmp}/smcu-e2e.XXXXXX")
export SMCU_SOCKET=$scratch/smcud.sock
this_test=$(basename "$0" .sh)
started=()
daemon=
failures=0

# Only what this script started, by its number; first gently.
clean_up() {
	local pid
	trap - EXIT
	for pid in "${started[@]}" $daemon; do kill "$pid" 2>/dev/null; done
	sleep 0.1
	for pid in "${started[@]}" $daemon; do kill -KILL "$pid" 2>/dev/null; done
	wait 2>/dev/null
	rm -rf "$scratch"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# How programs run: $way for start, "${smcu[@]}" before a command.
way=smcu_run smcu=("$SMCU" run) suffix=
# plainly COMMAND...: the same cases on plain TCP, with names that end in _plain
plainly() {
	local way=env smcu=(env) suffix=_plain
	"$@"
}

ok() { echo "ok $1$suffix"; }
not_ok() {
	echo "not ok $1$suffix ${2:-}"
	failures=$((failures + 1))
}
skip() { echo "skip $1$suffix ${2:-}"; }
verdict() { if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "expected '$3', got '$2'"; fi; }
finish() { exit $((failures > 0)); }

# The eBPF programs are one set a kernel.  Tests share them, as daemons do, but for one that must see them come and
# go; while that one waits for the others, no more of them begin.
share_kernel() { take_kernel --shared; }
have_kernel() { take_kernel --exclusive; }
take_kernel() {
	local turn
	exec {turn}>/run/lock/smcu-tests.turn {kernel}>/run/lock/smcu-tests.kernel
	flock "$turn"
	flock "$1" "$kernel"
	exec {turn}>&-
}

# need COMMAND...: or the whole test is skipped
need() {
	local command
	for command in "$@"; do
		command -v "$command" >/dev/null && continue
		skip "$this_test" "$command is not installed"
		exit 0
	done
}

# check NAME COMMAND...: ok if the command succeeds, else its output
check() {
	local name=$1
	shift
	if "$@" >"$scratch/check.out" 2>&1; then
		ok "$name"
	else
		not_ok "$name" "status $?"
		tail -n 20 "$scratch/check.out"
	fi
}

# The eBPF programs of the TCP option are shared by all daemons of the kernel: only those tests have them
# that are about them ($tcp_option).
tcp_option=no
daemon_start() {
	"$SMCU_BUILD/smcud" --foreground --socket "$SMCU_SOCKET" --set tcp_option.attach=$tcp_option "$@" \
		>>"$scratch/smcud.log" 2>&1 &
	daemon=$!
	wait_until 10 "$SMCU" stats --json || {
		not_ok "$this_test" "smcud does not answer"
		cat "$scratch/smcud.log"
		exit 1
	}
}
daemon_kill() {
	kill -KILL "$daemon"
	wait "$daemon" 2>/dev/null
	daemon=
}

# Programs that become another user reach the daemon, and what lies in the test's directory.
let_others_in() {
	chmod 711 "$scratch"
	[ "${TMPDIR:-/tmp}" = /tmp ] || chmod 711 "$TMPDIR"
}

smcu_run() { "$SMCU" run "$@"; }
# The same without the command, which would start a daemon if there is none.
preloaded() { LD_PRELOAD=$preload "$@"; }

# starts COMMAND...: not every program does under a sanitizer's runtime, with and without smcu (Debian's
# curl hangs in setlocale())
starts() {
	local runtime=${preload%"$SMCU_BUILD"*}
	[ -z "$runtime" ] || LD_PRELOAD=$runtime timeout 20 "$@" >/dev/null 2>&1
}

# within SECONDS env|smcu_run|preloaded COMMAND...: a time limit for a program that runs this way
within() {
	case $2 in
	smcu_run) timeout "$1" "$SMCU" run "${@:3}" ;;
	preloaded) LD_PRELOAD=$preload timeout "$1" "${@:3}" ;;
	*) timeout "$1" "${@:3}" ;;
	esac
}

# start NAME COMMAND...: in the background, output in $scratch/NAME.log, its number in $pid.  The
# number must be the program's own, not that of a shell that runs a function and leaves an orphan.
start() {
	local name=$1
	shift
	case $1 in
	smcu_run) set -- "$SMCU" run "${@:2}" ;;
	preloaded) set -- env LD_PRELOAD="$preload" "${@:2}" ;;
	esac
	: >"$scratch/$name.log" # now: who looks at it next is not to find a former one's
	"$@" >>"$scratch/$name.log" 2>&1 </dev/null &
	pid=$!
	started+=("$pid")
}
# stop PID: and wait for it
stop() {
	kill "$1" 2>/dev/null
	wait "$1" 2>/dev/null
}

# wait_until SECONDS COMMAND...: until it succeeds
wait_until() {
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.02
	done
}
port_answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1"); }
wait_port() { wait_until "${2:-20}" port_answers "$1"; }
# A port that nobody listens on, below those that connect() takes.
free_port() {
	local port
	while :; do
		port=$((10000 + RANDOM % 20000))
		port_answers "$port" 2>/dev/null || break
	done
	echo "$port"
}

# A number out of the statistics, the first of this name: connections, moved, paired ...
statistic() {
	local all
	all=$("$SMCU" stats --json)
	[[ $all =~ \"$1\":\ *([0-9]+) ]] && echo "${BASH_REMATCH[1]}"
}

# A test that passes because everything stayed TCP proves nothing.
# really_moved NAME LEAST BEFORE: at least LEAST ends moved since the count was BEFORE
really_moved() {
	local now
	[ -z "$suffix" ] || return 0 # plainly
	now=$(statistic moved)
	if [ $((${now:-0} - $3)) -ge "$2" ]; then
		ok "$1"
	else
		not_ok "$1" "$((${now:-0} - $3)) ends moved, expected $2"
		"$SMCU" stats | head -n 40
	fi
}

# room NAME: a network namespace; its holder's number in $pid; inside HOLDER: run something there
room() {
	start "$1" unshare --net sleep 1000
	wait_until 5 [ "$(readlink /proc/self/ns/net)" != "$(readlink "/proc/$pid/ns/net")" ]
	nsenter --net="/proc/$pid/ns/net" ip link set lo up
}
inside() { nsenter --net="/proc/$1/ns/net" "${@:2}"; }

for part in smcu smcud libsmcu-preload.so tests/programs/streams; do
	[ -e "$SMCU_BUILD/$part" ] || {
		skip "$this_test" "$part is not built"
		exit 0
	}
done
