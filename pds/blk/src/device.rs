// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What the service needs of a disk.

use proto::blk::{Operation, RequestWire, Segment};
use sel4_shared_memory::SharedRef;

/// Most commands that a device is given at a time: one per bit of a word.
pub const TAGS: usize = 64;

/// What a disk is and can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// Size in sectors of 512 bytes.
    pub capacity_sectors: u64,
    /// The disk refuses writes.
    pub read_only: bool,
    /// The disk has a cache that a flush writes back.
    pub flushes: bool,
    /// Most sectors of one discard; 0 if there is none.
    pub discard_sectors_max: u32,
    /// Most sectors of one write of zeroes; 0 if there is none.
    pub zero_sectors_max: u32,
    /// Commands that it takes at a time: tags are below it.
    pub depth: usize,
}

/// One command. It has been checked: sectors and segments are within bounds.
#[derive(Clone, Copy, Debug)]
pub struct Command<'a> {
    /// What to do. Never [`Operation::Describe`].
    pub operation: Operation,
    /// First sector.
    pub sector: u64,
    /// Number of sectors.
    pub sector_count: u32,
    /// Pieces of memory, by offset from `data_paddr`.
    pub segments: &'a [Segment],
    /// Physical address of the data region of the command's client.
    pub data_paddr: u64,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Carried out.
    Done,
    /// Failed on the medium.
    Failed,
    /// Not a command of this device.
    NotSupported,
}

/// A disk.
pub trait Device {
    /// Says what it is.
    fn info(&self) -> Info;

    /// Prepares a command. It may start at once or with the next [`Self::kick`].
    ///
    /// `tag` is below [`Info::depth`] and belongs to no other command in progress.
    fn submit(&mut self, tag: usize, command: &Command<'_>);

    /// Whether the command that was submitted last for `tag` is what `request` asks for, as far as it can be
    /// read back from the memory that the device is going to read. (docs/decisions/0074)
    fn is_told(
        &self,
        tag: usize,
        request: &RequestWire,
        first_sector: u64,
        data_paddr: u64,
    ) -> bool;

    /// Prepares the command that was submitted last for `tag` once more, as it is. It has ended, and
    /// [`Self::next_done`] has said so.
    fn submit_again(&mut self, tag: usize);

    /// Starts what was submitted.
    fn kick(&mut self);

    /// Whether it does not know of commands that it was told of before the last [`Self::mark`]. A device of
    /// which that cannot be said does.
    fn is_untold(&self) -> bool {
        false
    }

    /// Commands that it was told of until now are what [`Self::is_untold`] is about.
    fn mark(&mut self) {}

    /// Tells it once more.
    fn kick_again(&mut self) {}

    /// Takes the tag of a command that has ended. `None` arms the interrupt for the next one.
    fn next_done(&mut self) -> Option<(usize, Outcome)>;

    /// Acknowledges the interrupt at the device. Call it before taking what is done, so that
    /// whatever comes later raises it again. Returns whether the device asks for a reset.
    fn acknowledge_interrupt(&mut self) -> bool;

    /// Resets the device and sets it up anew. All commands in progress are forgotten; it touches no
    /// memory for them afterwards. Returns false when it does not come back as it was.
    fn restart(&mut self) -> bool;

    /// Memory of the driver's own that commands can move data to, and its physical address.
    fn scratch(&self) -> (SharedRef, u64);
}
