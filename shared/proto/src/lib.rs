// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Bytes that two protection domains agree on: one file per protocol.

#![no_std]
#![forbid(unsafe_code)]

pub mod blk;
pub mod fs;
pub mod log;
pub mod timer;
