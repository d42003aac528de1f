// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The file service's logic; the program around it (`main.rs`) only maps regions and waits.
//!
//! From the bottom up: [`disk`] is what we ask of the
//! block service ([`blk_disk`] asks it), [`raw`] copies runs of blocks past
//! the cache, [`store`] has the cache and makes transactions with crate `jbd2`, `block_io` shows that to
//! `rsext4`, [`volume`], [`path`] and [`operations`] are the file system (`append` and `growth` let files
//! grow past `rsext4`), [`results`] remembers what
//! operations returned, [`request`] checks what clients ask for, [`service`] takes it from their tables.
//! [`seal`] says which handles are ours, [`entropy`] where its key comes from.
//!
//! Invariant: what a client has been told is in the journal on the disk, and so is what it was told; or, of a
//! write that is to be carried out (module `deferred`), in memory that outlives us.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod append;
pub mod blk_disk;
mod block_io;
pub mod clock;
mod deferred;
pub mod disk;
mod doubt;
pub mod entropy;
mod errors;
pub mod file_map;
pub mod growth;
pub mod index;
pub mod layout;
pub mod limits;
mod listing;
pub mod mount;
mod names;
pub mod operations;
pub mod path;
pub mod raw;
mod reads;
pub mod request;
pub mod results;
mod results_file;
pub mod seal;
pub mod service;
pub mod source;
pub mod state;
pub mod store;
pub mod sums;
pub mod unlinked;
pub mod volume;
pub mod whole;
mod writes;
