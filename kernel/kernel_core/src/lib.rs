// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The development kernel without its machine: objects, scheduler, messages, faults.
//!
//! Speaks the ABI of seL4 16.0.0 (MCS, debug configuration) as far as a Microkit 2.3.0 system uses
//! it. Nothing is created or destroyed after boot. It is not seL4, and nothing about it is verified;
//! it exists so that a system can be built and debugged where no SDK is.
//!
//! State changes only through [`Kernel`]'s events, and everything outside is behind [`Machine`], so
//! the tests in `tests/` run whole systems on the host. What the ABI page says of seL4 is in their
//! names.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod cap;
mod fault;
mod ids;
mod invoke;
mod ipc;
mod kernel;
mod machine;
mod message;
mod monitor;
mod notification;
mod queue;
mod refill;
mod registers;
mod schedule;
mod syscall;

pub use cap::{Cap, LookupFailure};
pub use fault::Fault;
pub use ids::{EndpointId, NotificationId, PDS_MAX, ReplyId, SchedContextId, ThreadId};
pub use kernel::{FaultHandler, IRQS_MAX, Kernel, PdConfig, SetupError};
pub use machine::{CacheOperation, Machine};
pub use message::{LENGTH_MAX, MessageInfo};
pub use registers::{REGISTER_COUNT, Registers, SPSR_USER};
pub use schedule::Next;
