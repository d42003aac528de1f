// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A machine on the host: the services as they are, in lives that end between any two of their steps, on a
//! disk that a power cut tears. What is run on it is its user's business.

#![forbid(unsafe_code)]

pub mod clock;
pub mod disk;
pub mod machine;
pub mod random;
pub mod run;
pub mod supervision;

#[path = "../../../pds/fs/tests/common/image.rs"]
pub mod image;
