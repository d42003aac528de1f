// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Compiles the program.

fn main() {
    if let Some(mut c) = c_build::for_pd() {
        c.file("src/program.c").compile("program");
    }
}
