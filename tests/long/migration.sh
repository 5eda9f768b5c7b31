#!/bin/bash
# SPDX-License-Identifier: MIT
# Twenty thousand streams and five thousand killed writers.
#
# time limit: 3600
exec "$(dirname "$0")/../e2e/migration.sh" 20000 5000
