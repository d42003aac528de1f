// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Signs of life while it computes. On a machine that has other things to do, hashing 64 KiB may take longer
//! than an answer to the supervisor's question should.

use sha2::{Digest, Sha256};

/// So many bytes are looked at between two signs of life.
pub const STEP_BYTES: usize = 4096;

/// Says that a long computation goes on, where there is somebody to say it to.
pub fn pulse() {
    #[cfg(all(feature = "pd", target_os = "none"))]
    pd_setup::pulse();
}

/// Adds `bytes` to a hash.
pub fn update(hash: &mut Sha256, bytes: &[u8]) {
    for step in bytes.chunks(STEP_BYTES) {
        hash.update(step);
        pulse();
    }
}
