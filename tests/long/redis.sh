#!/bin/bash
# SPDX-License-Identifier: MIT
# Replication of 2 GB.
#
# time limit: 3600
exec "$(dirname "$0")/../e2e/redis.sh" 2000
