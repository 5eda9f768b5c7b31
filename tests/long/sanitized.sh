#!/bin/bash
# SPDX-License-Identifier: MIT
# The end-to-end tests that take longest, with the programs, the library and the daemon sanitized; the others are
# part of "make check".
#
# time limit: 5400
top=$(cd "$(dirname "$0")/../.." && pwd)
export SMCU_BUILD=$top/build-asan SMCU_VARIANT=asan
export ASAN_OPTIONS=halt_on_error=1:abort_on_error=1:handle_abort=0:detect_leaks=0
export UBSAN_OPTIONS=halt_on_error=1:abort_on_error=1:print_stacktrace=1
[ -f "$SMCU_BUILD/build.ninja" ] || "$top/scripts/configure" "$SMCU_BUILD"
ninja -C "$SMCU_BUILD" --quiet || exit
status=0
for name in same remote remote_programs redis programs tunnels proxies files languages; do
	"$top/tests/e2e/$name.sh" || status=1
done
exit $status
