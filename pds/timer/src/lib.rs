// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! (being written)

#![cfg_attr(not(test), no_std)]
