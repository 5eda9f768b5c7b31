#!/bin/bash
# SPDX-License-Identifier: MIT
# The system call tests of the Linux Test Project, bare and under smcu: what they say must be the same.
# They need a tree of LTP that was configured and built: LTP=/path/to/ltp tests/run long/ltp
#
#   git clone https://github.com/linux-test-project/ltp && cd ltp && make autotools && ./configure &&
#   make -C lib && make -C libs && make -C testcases/kernel/syscalls
#
# LTP_ONLY="accept01 poll02": only those; LTP_SECONDS: what takes longer is skipped (40).
#
# time limit: 3600
. "$(dirname "$0")/../e2e/lib.sh"

calls="accept accept4 bind close close_range connect dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_pwait
epoll_wait fcntl getpeername getsockname getsockopt listen poll ppoll preadv2 pselect pwritev2 read readv recv recvfrom
recvmmsg recvmsg select send sendfile sendmmsg sendmsg sendto setsockopt shutdown socket socketpair splice tee write
writev"

tests_dir=${LTP:-}/testcases/kernel/syscalls
if [ -z "${LTP:-}" ] || [ ! -x "$tests_dir/accept/accept01" ]; then
	skip ltp "\$LTP names no built tree of the Linux Test Project"
	exit 0
fi

# What a test says, without numbers and addresses, which change from run to run, and without io_uring: libraries
# are told that there is none, so that they use calls that the shim sees.
verdicts() {
	sed 's/\x1b\[[0-9;]*m//g' "$1" | grep -oE '(TPASS|TFAIL|TBROK|TCONF) *: .*' |
		sed -E '/io uring/d; s/0x[0-9a-f]+/X/g; s/[0-9]+/N/g' | sort
}

# MSG_MORE holds nothing back in a ring (see docs/semantics.md).
by_rule=" send02 "

# one OUTPUT COMMAND...: in a directory of its own
one() {
	local output=$1 status
	shift
	rm -rf "$scratch/work" && mkdir "$scratch/work"
	(cd "$scratch/work" && TMPDIR=$scratch/work LTP_COLORIZE_OUTPUT=n PATH=$(dirname "$program"):$PATH \
		timeout "${LTP_SECONDS:-40}" "$@") >"$output" 2>&1 </dev/null
	status=$?
	echo "status $status" >>"$output"
	[ $status != 124 ]
}

same() { cmp -s <(verdicts "$scratch/bare") <(verdicts "$scratch/smcu"); }

# Both runs of one test agree; one that does not agree at once is asked again.
compare() {
	local name=$1 bytes=$2 attempt
	for attempt in 1 2 3; do
		[ $attempt = 1 ] || one "$scratch/bare" "$program" "${arguments[@]}"
		one "$scratch/smcu" env SMCU_MOVE_AFTER="$bytes" "$SMCU" run "$program" "${arguments[@]}"
		same && break
	done
	if same; then
		ok "ltp_${name}_after_$bytes"
	elif [[ $by_rule == *" $name "* ]]; then
		ok "ltp_${name}_after_$bytes differs by rule"
	else
		not_ok "ltp_${name}_after_$bytes" "(< bare, > smcu)"
		diff <(verdicts "$scratch/bare") <(verdicts "$scratch/smcu") | head -n 12
	fi
}

daemon_start
total=0
for name in $(awk '{print $1}' "$LTP/runtest/syscalls"); do
	line=$(awk -v name="$name" '$1 == name' "$LTP/runtest/syscalls" | head -n 1)
	read -r _ program rest <<<"$line"
	read -r -a arguments <<<"$rest"
	program=$(find "$tests_dir" -maxdepth 2 -name "$program" -perm -u+x -type f | head -n 1)
	[ -n "$program" ] || continue
	[[ " $(echo $calls) " == *" $(basename "$(dirname "$program")") "* ]] || continue
	[ -z "${LTP_ONLY:-}" ] || [[ " $LTP_ONLY " == *" $name "* ]] || continue
	total=$((total + 1))
	one "$scratch/bare" "$program" "${arguments[@]}" || {
		skip "ltp_$name" "takes too long"
		continue
	}
	compare "$name" 0
	compare "$name" 16384
done
echo "$total tests, $(statistic connections) connections, $(statistic moved) moved"
[ $total -gt 0 ] || not_ok ltp "no test was found"
finish
