// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Random operations and their model, shared with the test PD `test_fs`.

#[allow(unused_imports, reason = "each test uses its part")]
pub use test_fs_service::model::{Node, Step, Tree, apply, contents, difference, draw};
#[allow(unused_imports, reason = "each test uses its part")]
pub use test_fs_service::run::{read_tree, run};
