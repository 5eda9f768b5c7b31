# SPDX-License-Identifier: MIT
# A thin layer over meson and ninja.  `make help` says what there is.

export PATH := /usr/bin:/usr/sbin:$(PATH) # Debian's meson needs Debian's python3
BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=

SETUP_CHECK = scripts/setup check || { echo '0 passed, 1 failed, 0 skipped'; exit 1; }
SETUP_INTEROP = scripts/setup interop || echo 'The tests with guests will be skipped.'

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD) --quiet

$(BUILD)/build.ninja:
	@scripts/setup --check build
	@scripts/configure $(BUILD) --prefix=$(PREFIX)

# Shows on this machine what smcu does, and draws it.
demo:
	@scripts/setup demo
	@$(MAKE) --no-print-directory all
	@SMCU_BUILD=$(abspath $(BUILD)) bench/demo

# Builds every variant and runs every test; the last line counts them.
check:
	@$(SETUP_CHECK)
	@$(SETUP_INTEROP)
	@tests/run

check-long:
	@$(SETUP_CHECK)
	@$(SETUP_INTEROP)
	@tests/run --long

# The tests with the kernel's own SMC in guests: docs/interop.md.
interop:
	@$(SETUP_INTEROP)
	@tests/run interop

bench:
	@scripts/setup bench
	@$(MAKE) --no-print-directory all
	@SMCU_BUILD=$(abspath $(BUILD)) bench/run

install: all
	@meson configure $(BUILD) -Dprefix=$(abspath $(PREFIX))
	@ninja -C $(BUILD) --quiet >/dev/null
	@DESTDIR=$(DESTDIR) meson install -C $(BUILD) --no-rebuild --quiet

format:
	@git ls-files '*.c' '*.h' | xargs clang-format -i

clean:
	@rm -rf build build-asan build-tsan build-clang

help:
	@echo 'make             build into $(BUILD)/'
	@echo 'make demo        show what smcu does on this machine'
	@echo 'make check       build every variant, run every test (10 to 20 minutes)'
	@echo 'make check-long  and the long tests'
	@echo 'make interop     test with the SMC of the kernel in QEMU guests'
	@echo 'make bench       measure'
	@echo 'make install     PREFIX=$(PREFIX) DESTDIR=$(DESTDIR)'
	@echo 'make format      clang-format what is tracked'
	@echo 'make clean       remove the build directories'

.PHONY: all demo check check-long interop bench install format clean help
