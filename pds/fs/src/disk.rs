// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What the file service asks of the block service.

use sel4_shared_memory::SharedMut;

/// Why the disk did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskError {
    /// There is no disk.
    NoDevice,
    /// The disk failed, or refused.
    Io,
    /// The request lies outside of the disk.
    OutOfRange,
}

/// A disk, and the memory from and to which it moves data.
///
/// Reads wait. Writes may be under way when they return: the memory that they name must not change
/// until [`Disk::wait`] or [`Disk::flush`]. Reads and writes under way at once must not overlap on the
/// disk. All numbers are bytes, multiples of 512 where they are on the disk, of 8 in memory.
pub trait Disk {
    /// Size of the disk.
    fn bytes(&self) -> u64;

    /// Whether it refuses writes.
    fn is_read_only(&self) -> bool {
        false
    }

    /// Whether the disk has ever said that it failed. Without such a word, an error is our own.
    fn has_failed(&self) -> bool {
        true
    }

    /// The memory that requests name.
    fn memory(&mut self) -> &mut SharedMut;

    /// Reads into memory.
    ///
    /// # Errors
    ///
    /// As the device reports.
    fn read(&mut self, at: u64, memory: usize, length: usize) -> Result<(), DiskError>;

    /// Begins to write from memory.
    ///
    /// # Errors
    ///
    /// As the device reports, also for an earlier write.
    fn write(&mut self, at: u64, memory: usize, length: usize) -> Result<(), DiskError>;

    /// Lets nothing that is written from here on be durable before all that was written until here. Need not
    /// wait.
    ///
    /// # Errors
    ///
    /// As [`Disk::flush`]; what was written before may also fail later.
    fn barrier(&mut self) -> Result<(), DiskError> {
        self.flush()
    }

    /// Waits until nothing is under way.
    ///
    /// # Errors
    ///
    /// As the device reports for any write since the last wait.
    fn wait(&mut self) -> Result<(), DiskError>;

    /// Waits, then makes everything written durable.
    ///
    /// # Errors
    ///
    /// As [`Disk::wait`], and as the device reports for the flush.
    fn flush(&mut self) -> Result<(), DiskError>;
}
