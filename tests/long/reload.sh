#!/bin/bash
# SPDX-License-Identifier: MIT
# Servers that are reloaded forty times under load.
#
# time limit: 3600
exec "$(dirname "$0")/../e2e/reload.sh" 40
