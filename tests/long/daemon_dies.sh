#!/bin/bash
# SPDX-License-Identifier: MIT
# smcud killed and restarted while twenty thousand connections hand over.
#
# time limit: 3600
exec "$(dirname "$0")/../e2e/daemon_dies.sh" 20000
