// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Both ends in one program.

#![expect(unsafe_code, reason = "both ends of a ring in one program")]

use core::ptr::NonNull;
use core::sync::atomic::Ordering;
use std::boxed::Box;

use sel4_shared_memory::{SharedMemoryRef, map_field};
use zerocopy::FromZeros;

use crate::roles::{Provide, Read, Use, Write};
use crate::{
    Descriptor, InitialState, InitializationStrategy, RING_BUFFER_SIZE, RawRingBuffer, RingBuffer,
    RingBuffers,
};

/// Memory that two ends can have at a time. Never freed: it is a test.
fn shared() -> NonNull<RawRingBuffer> {
    NonNull::from(Box::leak(Box::new(RawRingBuffer {
        write_index: 0.into(),
        read_index: 0.into(),
        descriptors: [Descriptor::new_zeroed(); RING_BUFFER_SIZE],
    })))
}

fn end(memory: NonNull<RawRingBuffer>) -> SharedMemoryRef<'static, RawRingBuffer> {
    // SAFETY: leaked memory, used through this crate only.
    unsafe { SharedMemoryRef::new(memory) }
}

fn ends(
    strategy: InitializationStrategy,
) -> (RingBuffer<'static, Write>, RingBuffer<'static, Read>) {
    let memory = shared();
    (
        RingBuffer::new(end(memory), strategy),
        RingBuffer::new(end(memory), strategy),
    )
}

fn descriptor(number: usize) -> Descriptor {
    Descriptor::new(number * 64, 64, number)
}

#[test]
fn what_goes_in_comes_out_in_order_while_indices_wrap_around() {
    let start = u32::MAX - 700;
    let state = InitialState::new(start, start);
    let (mut writer, mut reader) = ends(InitializationStrategy::UseAndWriteState(state));
    let (mut written, mut read) = (0, 0);
    while read < 2000 {
        for _ in 0..(written * 7 + read * 3) % 600 {
            match writer.enqueue_and_commit(descriptor(written)).unwrap() {
                Ok(()) => written += 1,
                Err(desc) => assert_eq!(desc, descriptor(written)),
            }
        }
        assert!(writer.num_filled_slots().unwrap() <= writer.capacity());
        while let Some(desc) = reader.dequeue().unwrap() {
            assert_eq!(desc, descriptor(read));
            read += 1;
        }
        assert!(writer.is_empty().unwrap());
        // So that it goes on when the formula above says 0.
        writer
            .enqueue_and_commit(descriptor(written))
            .unwrap()
            .unwrap();
        written += 1;
    }
}

#[test]
fn full_is_one_less_than_the_size() {
    let (mut writer, mut reader) = ends(InitializationStrategy::ReadState);
    for number in 0..writer.capacity() {
        writer
            .enqueue_and_commit(descriptor(number))
            .unwrap()
            .unwrap();
    }
    assert!(writer.is_full().unwrap());
    assert_eq!(
        writer.enqueue_and_commit(descriptor(9)).unwrap(),
        Err(descriptor(9))
    );
    assert_eq!(reader.num_filled_slots().unwrap(), RING_BUFFER_SIZE - 1);
}

#[test]
fn nothing_is_seen_before_it_is_committed() {
    let (mut writer, mut reader) = ends(InitializationStrategy::ReadState);
    writer
        .enqueue_without_committing(descriptor(1))
        .unwrap()
        .unwrap();
    assert_eq!(reader.dequeue().unwrap(), None);
    writer.commit();
    assert_eq!(reader.dequeue().unwrap(), Some(descriptor(1)));
}

#[test]
fn impossible_indices_are_errors() {
    let memory = shared();
    let mut writer = RingBuffer::<Write>::new(end(memory), InitializationStrategy::ReadState);
    let mut reader = RingBuffer::<Read>::new(end(memory), InitializationStrategy::ReadState);
    for number in 0..5 {
        writer
            .enqueue_and_commit(descriptor(number))
            .unwrap()
            .unwrap();
    }
    assert_eq!(reader.num_filled_slots(), Ok(5));
    let mut hostile = end(memory);
    let ring = hostile.as_mut_ptr();
    // The writer takes back what it has shown; the reader reads what was never written.
    map_field!(ring.write_index).atomic_store(3, Ordering::Release);
    map_field!(ring.read_index).atomic_store(6, Ordering::Release);
    assert!(reader.dequeue().is_err());
    assert!(writer.enqueue_and_commit(descriptor(5)).is_err());
    assert_eq!(
        writer.is_full().unwrap_err().to_string(),
        "the peer's ring index is impossible"
    );
}

#[test]
fn descriptors_go_there_and_back() {
    let (free, used) = (shared(), shared());
    let mut provider =
        RingBuffers::<Provide, _>::from_ptrs_using_default_initialization_strategy_for_role(
            end(free),
            end(used),
            || 1,
        );
    let mut user = RingBuffers::<Use, _>::from_ptrs_using_default_initialization_strategy_for_role(
        end(free),
        end(used),
        || 2,
    );
    provider
        .free_mut()
        .enqueue_and_commit(descriptor(4))
        .unwrap()
        .unwrap();
    let mut desc = user.free_mut().dequeue().unwrap().unwrap();
    desc.set_len(12);
    user.used_mut().enqueue_and_commit(desc).unwrap().unwrap();
    let back = provider.used_mut().dequeue().unwrap().unwrap();
    assert_eq!((back.encoded_addr_range(), back.cookie()), (256..268, 4));
    assert_eq!((provider.notify(), user.notify_mut()), (1, 2));
    assert_eq!(
        Descriptor::new(usize::MAX, 2, 0).checked_encoded_addr_range(),
        None
    );
}
