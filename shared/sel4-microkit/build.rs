// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Lets a PD crate that is built without `cargo xtask` find the linker script as `-Tpd.ld`.

fn main() {
    println!("cargo::rerun-if-changed=pd.ld");
    println!(
        "cargo::rustc-link-search={}",
        std::env::var("CARGO_MANIFEST_DIR").expect("set by cargo")
    );
}
