// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The reply that the first receive of a life makes.
//!
//! It wakes whoever the last life left waiting: a caller, whose call must end with an error, or,
//! in a supervisor, a child whose fault was received and not dealt with. The kernel lets such a child
//! run into the same fault again when the reply is empty (section 3 of the seL4 fault protocol:
//! label 0 and no registers), so a supervisor says so here before its event loop starts.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::{labels, message::MessageInfo};

static FIRST_REPLY: AtomicU64 = AtomicU64::new(MessageInfo::new(labels::RESTARTED, 0).0);

/// Chooses the empty reply, which makes a faulted child fault again.
pub fn set_empty() {
    FIRST_REPLY.store(0, Ordering::Relaxed);
}

/// What the event loop replies first.
pub fn get() -> MessageInfo {
    MessageInfo(FIRST_REPLY.load(Ordering::Relaxed))
}
