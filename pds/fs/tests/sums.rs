// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A wrong checksum of the file system is found before it is committed.
//!
//! Campaign on seL4 release at f4af645, seed 3, trial 2628: one wrong number in `rsext4`'s checksum of a
//! bitmap, and no life could mount the disk again.

mod common;

use std::convert::Infallible;

use common::image;
use fs_service::growth::Shape;
use fs_service::layout::Superblock;
use fs_service::sums::{Places, Written};

struct Image {
    bytes: Vec<u8>,
    superblock: Superblock,
    shape: Shape,
    places: Places,
}

fn part(image: &[u8], block: u64, to: &mut [u8]) {
    let at = block as usize * to.len();
    to.copy_from_slice(&image[at..at + to.len()]);
}

impl Image {
    fn new(arguments: &[&str]) -> Self {
        // Blocks of zeros are left out: so many extents do not fit in the inode.
        let holes: Vec<u8> = (0..160_000).map(|at| (at / 4096 % 2) as u8).collect();
        let bytes = image::fill(
            &image::make(20, arguments),
            &["/folder"],
            &[("/folder/file", b"contents"), ("/holes", &holes)],
        );
        let head = bytes[1024..2048].try_into().unwrap();
        let superblock = Superblock::parse(head, bytes.len() as u64).expect("it is one");
        let shape = Shape::parse(head).expect("we can let its files grow");
        let Ok(places) = Places::read::<Infallible>(&shape, &mut |block, to| {
            part(&bytes, block, to);
            Ok(())
        });
        Self {
            bytes,
            superblock,
            shape,
            places,
        }
    }

    /// Whether a write of `block` that makes the disk `now` is refused.
    fn refuses(&self, now: &[u8], block: u64) -> bool {
        self.wrong_of(&self.bytes, now, &[block]) == Some(block)
    }

    /// Which of `blocks` is refused.
    fn wrong_of(&self, before: &[u8], now: &[u8], blocks: &[u64]) -> Option<u64> {
        let mut written = Written::<Infallible> {
            blocks,
            now: &mut |block, to| {
                part(now, block, to);
                Ok(())
            },
            before: &mut |block, to| {
                part(before, block, to);
                Ok(())
            },
            superblock: &self.superblock,
        };
        let Ok(found) = self.places.find_wrong(&self.shape, &mut written);
        found
    }

    /// Flips each bit of `bytes`, one after the other; says how many of the changes are refused.
    fn refused(&self, bytes: std::ops::Range<usize>) -> usize {
        let mut now = self.bytes.clone();
        let mut refused = 0;
        for bit in bytes.start * 8..bytes.end * 8 {
            now[bit / 8] ^= 1 << (bit % 8);
            let block = bit / 8 / self.shape.block_size();
            refused += usize::from(self.refuses(&now, block as u64));
            now[bit / 8] ^= 1 << (bit % 8);
        }
        refused
    }

    fn word(&self, at: usize) -> usize {
        u32::from_le_bytes(self.bytes[at..at + 4].try_into().unwrap()) as usize
    }
}

/// Without and with flexible groups, 32-bit and 64-bit numbers, small and large blocks, short inodes.
const KINDS: [&[&str]; 4] = [
    &["-b", "4096"],
    &["-b", "1024"],
    &["-b", "1024", "-O", "^64bit,^flex_bg"],
    &["-b", "2048", "-I", "128"],
];

#[test]
fn every_wrong_bit_is_found() {
    if !image::have_tools() {
        return;
    }
    for kind in KINDS {
        let image = Image::new(kind);
        let size = image.shape.block_size();
        for block in 0..(image.bytes.len() / size) as u64 {
            assert!(!image.refuses(&image.bytes, block), "{kind:?}: {block}");
        }
        let (place, at, length) = image.shape.descriptor_place(0);
        let descriptor = place as usize * size + at;
        let all = image.refused(descriptor..descriptor + length);
        assert_eq!(all, length * 8, "{kind:?}");
        let block_bitmap = image.word(descriptor) * size;
        let all = image.refused(block_bitmap..block_bitmap + 300);
        assert_eq!(all, 2400, "{kind:?}");
        let inode_bitmap = image.word(descriptor + 4) * size;
        let bytes = image.shape.inodes_per_group() as usize / 8;
        let all = image.refused(inode_bitmap..inode_bitmap + bytes);
        assert_eq!(all, bytes * 8, "{kind:?}");
        let length = image.shape.inode_size();
        let root = image.word(descriptor + 8) * size + length;
        let all = image.refused(root..root + length);
        assert_eq!(all, length * 8, "{kind:?}");
    }
}

#[test]
fn what_belongs_to_a_changed_inode_is_looked_at() {
    if !image::have_tools() {
        return;
    }
    for kind in KINDS {
        let image = Image::new(kind);
        let size = image.shape.block_size();
        let inode = |number| {
            let mut read = |block, to: &mut [u8]| {
                part(&image.bytes, block, to);
                Ok::<_, Infallible>(())
            };
            let Ok(place) = image.superblock.inode_place(number, &mut read);
            let (block, at) = place.expect("there is such an inode");
            (block, block as usize * size + at)
        };
        // The folder's first block, which has no checksum in a part of its tail; a node of the file's tree.
        let (root, file) = (inode(2), inode(14));
        for ((block, at), child, unsealed) in [(root, 0x28 + 12 + 8, 8), (file, 0x28 + 12 + 4, 0)] {
            let mut before = image.bytes.clone();
            before[at + 0x10] ^= 1;
            let child = image.word(at + child);
            let blocks = [block, child as u64];
            assert_eq!(image.wrong_of(&before, &image.bytes, &blocks), None);
            let mut now = image.bytes.clone();
            let mut refused = 0;
            for bit in child * size * 8..(child + 1) * size * 8 {
                now[bit / 8] ^= 1 << (bit % 8);
                let wrong = image.wrong_of(&before, &now, &blocks);
                assert!(wrong.is_none_or(|wrong| wrong == child as u64));
                refused += usize::from(wrong.is_some());
                now[bit / 8] ^= 1 << (bit % 8);
            }
            if unsealed == 0 {
                // Head and entries; how many there are is itself among them.
                assert!(refused > (12 + 12 * 10) * 8, "{kind:?}: {refused}");
            } else {
                assert_eq!(refused, (size - unsealed) * 8, "{kind:?}");
            }
        }
    }
}

#[test]
fn what_was_wrong_before_is_nothing_new() {
    if !image::have_tools() {
        return;
    }
    let mut image = Image::new(KINDS[0]);
    let (size, length) = (image.shape.block_size(), image.shape.inode_size());
    let (place, at, _) = image.shape.descriptor_place(0);
    let table = image.word(place as usize * size + at + 8);
    let root = table * size + length;
    image.bytes[root + 0x10] ^= 1;
    assert!(!image.refuses(&image.bytes, table as u64));
    // One more, beside it.
    let mut now = image.bytes.clone();
    now[root + 10 * length + 0x10] ^= 1;
    assert!(image.refuses(&now, table as u64));
}

#[test]
fn so_is_the_wrong_checksum_of_a_right_bitmap() {
    if !image::have_tools() {
        return;
    }
    let image = Image::new(KINDS[0]);
    let size = image.shape.block_size();
    let (place, at, _) = image.shape.descriptor_place(0);
    let descriptor = place as usize * size + at;
    let mut now = image.bytes.clone();
    now[descriptor + 0x18] ^= 0x55;
    // The bitmap is what is written; its checksum is in another block.
    assert!(image.refuses(&now, image.word(descriptor) as u64));
}
