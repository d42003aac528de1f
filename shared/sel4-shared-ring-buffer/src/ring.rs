// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! One ring: one end writes descriptors, the other reads them.

use core::fmt;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicU32, Ordering};

use sel4_shared_memory::{SharedMemoryRef, map_field};
use zerocopy::{FromBytes, IntoBytes};

use crate::Descriptor;
use crate::roles::{Read, RingBufferRole, Write};

/// Descriptors in a ring. One place stays empty, so that full and empty differ.
pub const RING_BUFFER_SIZE: usize = 512;

const _: () = assert!(RING_BUFFER_SIZE.is_power_of_two(), "indices run freely");

/// A ring as it lies in memory.
#[derive(Debug)]
#[repr(C)]
pub struct RawRingBuffer<T = Descriptor> {
    /// Descriptors written, ever. Written by the writer.
    pub write_index: AtomicU32,
    /// Descriptors read, ever. Written by the reader.
    pub read_index: AtomicU32,
    /// The places.
    pub descriptors: [T; RING_BUFFER_SIZE],
}

/// The peer's index is where it cannot be.
#[derive(Debug, Copy, Clone, PartialOrd, Ord, PartialEq, Eq, Hash)]
pub struct PeerMisbehaviorError(());

impl fmt::Display for PeerMisbehaviorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the peer's ring index is impossible")
    }
}

/// How an end begins.
#[derive(Debug, Copy, Clone, PartialOrd, Ord, PartialEq, Eq, Hash, Default)]
pub enum InitializationStrategy {
    /// Goes on from the indices in memory.
    #[default]
    ReadState,
    /// Takes these indices for granted.
    UseState(InitialState),
    /// Writes these indices.
    UseAndWriteState(InitialState),
}

/// Indices to begin with.
#[derive(Debug, Copy, Clone, PartialOrd, Ord, PartialEq, Eq, Hash, Default)]
pub struct InitialState {
    write_index: u32,
    read_index: u32,
}

impl InitialState {
    /// Makes a pair of indices.
    #[must_use]
    pub const fn new(write_index: u32, read_index: u32) -> Self {
        Self {
            write_index,
            read_index,
        }
    }
}

/// One end of a ring.
pub struct RingBuffer<'a, R: RingBufferRole, T = Descriptor> {
    memory: SharedMemoryRef<'a, RawRingBuffer<T>>,
    write_index: u32,
    read_index: u32,
    _role: PhantomData<R>,
}

impl<'a, R: RingBufferRole, T: Copy> RingBuffer<'a, R, T> {
    /// Takes an end of the ring.
    pub fn new(
        mut memory: SharedMemoryRef<'a, RawRingBuffer<T>>,
        initialization_strategy: InitializationStrategy,
    ) -> Self {
        let ring = memory.as_mut_ptr();
        let state = match initialization_strategy {
            InitializationStrategy::ReadState => InitialState {
                write_index: map_field!(ring.write_index).atomic_load(Ordering::Acquire),
                read_index: map_field!(ring.read_index).atomic_load(Ordering::Acquire),
            },
            InitializationStrategy::UseState(state) => state,
            InitializationStrategy::UseAndWriteState(state) => {
                map_field!(ring.write_index).atomic_store(state.write_index, Ordering::Release);
                map_field!(ring.read_index).atomic_store(state.read_index, Ordering::Release);
                state
            }
        };
        Self {
            memory,
            write_index: state.write_index,
            read_index: state.read_index,
            _role: PhantomData,
        }
    }

    /// Returns how many descriptors fit.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        RING_BUFFER_SIZE - 1
    }

    const fn filled(&self) -> usize {
        place(self.write_index.wrapping_sub(self.read_index))
    }

    /// Takes the peer's index over, if it can be where it is.
    fn look(&mut self) -> Result<(), PeerMisbehaviorError> {
        let before = self.filled();
        let ring = self.memory.as_mut_ptr();
        if R::ROLE.is_read() {
            let observed = map_field!(ring.write_index).atomic_load(Ordering::Acquire);
            if place(observed.wrapping_sub(self.read_index)) < before {
                return Err(PeerMisbehaviorError(()));
            }
            self.write_index = observed;
        } else {
            let observed = map_field!(ring.read_index).atomic_load(Ordering::Acquire);
            if place(self.write_index.wrapping_sub(observed)) > before {
                return Err(PeerMisbehaviorError(()));
            }
            self.read_index = observed;
        }
        Ok(())
    }

    /// Returns how many descriptors are in the ring.
    ///
    /// # Errors
    ///
    /// When the peer's index is impossible; as all other methods that look at it.
    pub fn num_filled_slots(&mut self) -> Result<usize, PeerMisbehaviorError> {
        self.look()?;
        Ok(self.filled())
    }

    /// Returns how many descriptors still fit.
    ///
    /// # Errors
    ///
    /// When the peer's index is impossible.
    pub fn num_empty_slots(&mut self) -> Result<usize, PeerMisbehaviorError> {
        Ok(self.capacity() - self.num_filled_slots()?)
    }

    /// Says whether there is no descriptor.
    ///
    /// # Errors
    ///
    /// When the peer's index is impossible.
    pub fn is_empty(&mut self) -> Result<bool, PeerMisbehaviorError> {
        Ok(self.num_filled_slots()? == 0)
    }

    /// Says whether no descriptor fits any more.
    ///
    /// # Errors
    ///
    /// When the peer's index is impossible.
    pub fn is_full(&mut self) -> Result<bool, PeerMisbehaviorError> {
        Ok(self.num_empty_slots()? == 0)
    }
}

/// Returns the place of an index, or the number of places that a difference of indices means.
const fn place(index: u32) -> usize {
    index as usize % RING_BUFFER_SIZE
}

impl<T: Copy + FromBytes + IntoBytes> RingBuffer<'_, Write, T> {
    /// Writes a descriptor and shows it to the peer. Gives it back when the ring is full.
    ///
    /// # Errors
    ///
    /// When the peer's index is impossible.
    pub fn enqueue_and_commit(&mut self, desc: T) -> Result<Result<(), T>, PeerMisbehaviorError> {
        self.enqueue(desc, true)
    }

    /// Writes a descriptor that the peer sees with the next [`Self::commit`].
    ///
    /// # Errors
    ///
    /// When the peer's index is impossible.
    pub fn enqueue_without_committing(
        &mut self,
        desc: T,
    ) -> Result<Result<(), T>, PeerMisbehaviorError> {
        self.enqueue(desc, false)
    }

    /// Writes a descriptor. Gives it back when the ring is full.
    ///
    /// # Errors
    ///
    /// When the peer's index is impossible.
    pub fn enqueue(
        &mut self,
        desc: T,
        commit: bool,
    ) -> Result<Result<(), T>, PeerMisbehaviorError> {
        if self.is_full()? {
            return Ok(Err(desc));
        }
        self.force_enqueue(desc, commit);
        Ok(Ok(()))
    }

    /// Writes a descriptor without looking for room.
    pub fn force_enqueue(&mut self, desc: T, commit: bool) {
        let at = place(self.write_index);
        let ring = self.memory.as_mut_ptr();
        map_field!(ring.descriptors)
            .as_slice()
            .index(at)
            .write(desc);
        self.write_index = self.write_index.wrapping_add(1);
        if commit {
            self.commit();
        }
    }

    /// Shows the peer everything written so far.
    pub fn commit(&mut self) {
        let index = self.write_index;
        let ring = self.memory.as_mut_ptr();
        map_field!(ring.write_index).atomic_store(index, Ordering::Release);
    }
}

impl<T: Copy + FromBytes + IntoBytes> RingBuffer<'_, Read, T> {
    /// Reads the next descriptor, if there is one.
    ///
    /// # Errors
    ///
    /// When the peer's index is impossible.
    pub fn dequeue(&mut self) -> Result<Option<T>, PeerMisbehaviorError> {
        if self.is_empty()? {
            return Ok(None);
        }
        Ok(Some(self.force_dequeue()))
    }

    /// Reads a descriptor without looking whether there is one.
    pub fn force_dequeue(&mut self) -> T {
        let at = place(self.read_index);
        let ring = self.memory.as_mut_ptr();
        let desc = map_field!(ring.descriptors).as_slice().index(at).read();
        self.read_index = self.read_index.wrapping_add(1);
        let index = self.read_index;
        map_field!(ring.read_index).atomic_store(index, Ordering::Release);
        desc
    }
}
