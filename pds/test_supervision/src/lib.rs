// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What the test of supervision does to its victims.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod stub;
