// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Devices that interrupt at a given time, one file each. The Arm generic timer, which needs no registers
//! in memory, stands in `main.rs`.

pub mod ttc;
