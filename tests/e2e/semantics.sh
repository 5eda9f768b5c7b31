#!/bin/sh
# SPDX-License-Identifier: MIT
# docs/semantics.md says what each call does, and names the tests that show it.
exec /usr/bin/python3 "$(dirname "$0")/../semantics.py"
