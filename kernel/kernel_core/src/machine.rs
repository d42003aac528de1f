// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What the portable kernel asks of the machine. `kernel_aarch64` answers with real memory and
//! devices, the tests with a fake.

use core::fmt::Arguments;

use crate::ids::ThreadId;

/// Which cache maintenance a PD asked for through its VSpace capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheOperation {
    /// Write dirty lines back.
    Clean,
    /// Forget lines.
    Invalidate,
    /// Write back, then forget.
    CleanInvalidate,
    /// Make instructions that were written as data visible to fetches.
    Unify,
}

/// The hardware edge. Everything is performed at once and cannot fail.
pub trait Machine {
    /// Word `word` (of 128) of a thread's IPC buffer.
    fn ipc_word(&self, thread: ThreadId, word: usize) -> u64;
    /// Sets a word of a thread's IPC buffer.
    fn set_ipc_word(&mut self, thread: ThreadId, word: usize, value: u64);
    /// Keeps an interrupt line from interrupting.
    fn mask_irq(&mut self, irq: u32);
    /// Lets an interrupt line interrupt again.
    fn unmask_irq(&mut self, irq: u32);
    /// Size of the page that `owner` has mapped at `vaddr`, if any.
    fn page_size(&self, owner: ThreadId, vaddr: u64) -> Option<u64>;
    /// Maintains caches for `start..end` in the address space of `owner`; the range is mapped.
    fn maintain_caches(&mut self, operation: CacheOperation, owner: ThreadId, start: u64, end: u64);
    /// Forwards a secure monitor call; returns x0 to x7.
    fn secure_monitor_call(&mut self, arguments: [u64; 8]) -> [u64; 8];
    /// Writes one byte to the debug console.
    fn put_char(&mut self, byte: u8);
    /// Writes to the debug console.
    fn print(&mut self, text: Arguments<'_>);
    /// Stops everything, after saying why. For what this kernel does not implement.
    fn stop(&mut self, why: Arguments<'_>) -> !;
}
