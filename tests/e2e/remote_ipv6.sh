#!/bin/bash
# SPDX-License-Identifier: MIT
# The same over IPv6, which between these hosts is SMC-Rv1: large transfers at two MTUs, connections of both hosts
# at once, daemons that are killed or stopped and come again, a network that loses packets, redis.
#
# not for: asan (the same code as over IPv4)
# time limit: 300
# takes: 60
export SMCU_FAMILY=6
here=$(dirname "$0")
"$here/remote.sh" 32 50 at_mtus a_connection_can_be_looked_at many_short_connections both_at_once \
	a_killed_daemon_is_noticed stopped_daemons_are_noticed
failed=$?
"$here/remote_loss.sh" 4 1 || failed=1
exit $failed
