# Copyright 2026, The Kintsugi authors
# SPDX-License-Identifier: BSD-2-Clause
#
# The front door that Microkit users expect. All the work is in `cargo xtask`, which reads MICROKIT_SDK,
# MICROKIT_BOARD, MICROKIT_CONFIG and BUILD_DIR from the environment; `make qemu DISK=my.img` attaches a disk.

export MICROKIT_SDK MICROKIT_BOARD MICROKIT_CONFIG BUILD_DIR
ARGS :=
DISK :=

.PHONY: all qemu test clean

all:
	cargo xtask image $(ARGS)

qemu:
	cargo xtask run $(if $(DISK),--disk $(DISK)) $(ARGS)

test:
	scripts/test

clean:
	cargo xtask clean
