#!/bin/bash
# SPDX-License-Identifier: MIT
# time limit: 7200
#
# Each fuzzer for ten minutes, under ASan and UBSan, from another seed than the unit tests' (FUZZ_SEED: that one).
# Two at once, with what processor time other tests leave.  FUZZ_SECONDS: for that long instead.
. "$(dirname "$0")/../e2e/lib.sh"
fuzzers=()
for fuzzer in "$SMCU_BUILD"/tests/fuzz/fuzz-*; do
	case $fuzzer in *-replay | *.p) continue ;; esac
	[ ! -x "$fuzzer" ] || fuzzers+=("${fuzzer##*/fuzz-}")
done
[ ${#fuzzers[@]} -gt 0 ] || {
	skip "$this_test" "the fuzzers are not built: they need clang and its runtime"
	exit 0
}
export FUZZ_SEED=${FUZZ_SEED:-$((RANDOM + 2))}
echo "seed $FUZZ_SEED"
printf '%s\n' "${fuzzers[@]}" | xargs -P 2 -I '{}' nice -n 19 "$source_dir/tests/fuzz/run" "${FUZZ_SECONDS:-600}" \
	"$SMCU_BUILD/tests/fuzz/fuzz-{}" "$source_dir/tests/fuzz/corpus/{}" >"$scratch/out" 2>&1 || failures=1
cat "$scratch/out"
finish
