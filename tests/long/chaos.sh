#!/bin/bash
# SPDX-License-Identifier: MIT
# Ten minutes of chaos: half of them with one smcud, half while it is killed and started anew.
#
# time limit: 1800
exec "$(dirname "$0")/../e2e/chaos.sh" 300
