#!/bin/bash
# SPDX-License-Identifier: MIT
# time limit: 3600
#
# Random work over random networks, many thousands of times, with other seeds than the unit test's.
. "$(dirname "$0")/../e2e/lib.sh"
schedules=$SMCU_BUILD/tests/fabric/test-fabric-schedules
[ -x "$schedules" ] || {
	skip "$this_test" "the schedules are not built"
	exit 0
}
check forty_thousand_random_schedules_keep_every_guarantee "$schedules" 10000 1000000
finish
