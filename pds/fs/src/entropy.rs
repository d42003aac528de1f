// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Where the key of a boot comes from: property `/chosen/rng-seed` of the device tree, which QEMU (and a
//! good firmware) fills with random bytes at every boot and reset. Without it the key is made of what is
//! at hand, which can be guessed; [`Source`] says so. docs/decisions/0052 has the rest.
//!
//! The tree is read as the Devicetree Specification v0.4, chapter 5, lays it out; nothing else of it is
//! looked at. Whatever bytes are there, nothing but "no seed" comes of it.

use siphasher::sip::SipHasher24;

use crate::seal::Key;

const MAGIC: u32 = 0xd00d_feed;
const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const NOP: u32 = 4;
/// Fewer random bytes are no seed.
const SEED_BYTES_MIN: usize = 16;

/// How good a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Made of random bytes of the firmware.
    Seed,
    /// Made of clocks: a client can guess it.
    Clocks,
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_be_bytes(*bytes))
}

fn text(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let rest = bytes.get(at..)?;
    let length = rest.iter().position(|byte| *byte == 0)?;
    Some(&rest[..length])
}

/// Finds the property in the first bytes of a device tree.
pub fn rng_seed(tree: &[u8]) -> Option<&[u8]> {
    if word(tree, 0)? != MAGIC {
        return None;
    }
    let mut at = word(tree, 8)? as usize;
    let strings = word(tree, 12)? as usize;
    let (mut depth, mut chosen) = (0_u32, false);
    loop {
        let token = word(tree, at)?;
        at += 4;
        match token {
            BEGIN_NODE => {
                let name = text(tree, at)?;
                at = (at + name.len() + 1).next_multiple_of(4);
                depth += 1;
                chosen = depth == 2 && name == b"chosen";
            }
            END_NODE => {
                depth = depth.checked_sub(1)?;
                chosen = false;
            }
            PROPERTY => {
                let length = word(tree, at)? as usize;
                let name = strings.checked_add(word(tree, at + 4)? as usize)?;
                let value = tree.get(at + 8..(at + 8).checked_add(length)?)?;
                if chosen && text(tree, name)? == b"rng-seed" {
                    return (length >= SEED_BYTES_MIN).then_some(value);
                }
                at = (at + 8 + length).next_multiple_of(4);
            }
            NOP => {}
            _ => return None,
        }
    }
}

/// Makes the key of a boot. `clocks`: readings that differ from boot to boot.
pub fn key(tree: &[u8], clocks: [u64; 2]) -> (Key, Source) {
    let seed = rng_seed(tree);
    let word = |number: u64| {
        // Not the seed itself: others may be given it for other purposes.
        let mut hash = [number; 2];
        for part in seed.unwrap_or_default().chunks(16) {
            let mut bytes = [0; 16];
            bytes[..part.len()].copy_from_slice(part);
            let (low, high) = bytes.split_at(8);
            let number = |bytes: &[u8]| bytes.iter().fold(0, |sum, b| sum << 8 | u64::from(*b));
            let hasher = SipHasher24::new_with_keys(number(low), number(high));
            let [one, two] = hash;
            hash = [
                hasher.hash(&one.to_le_bytes()),
                hasher.hash(&two.to_be_bytes()),
            ];
        }
        let hasher = SipHasher24::new_with_keys(hash[0], hash[1]);
        hasher.hash(&[clocks[0].to_le_bytes(), clocks[1].to_le_bytes()].concat())
    };
    let source = seed.map_or(Source::Clocks, |_| Source::Seed);
    (Key([word(1), word(2)]), source)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree with a root, `/chosen` with the properties, and a node that hides another seed.
    fn tree(properties: &[(&str, &[u8])]) -> Vec<u8> {
        let mut strings = b"other\0".to_vec();
        let mut body = Vec::new();
        let push = |body: &mut Vec<u8>, word: u32| body.extend(word.to_be_bytes());
        let name = |body: &mut Vec<u8>, name: &str| {
            body.extend(name.as_bytes());
            body.push(0);
            body.resize(body.len().next_multiple_of(4), 0);
        };
        push(&mut body, BEGIN_NODE);
        name(&mut body, "");
        for node in ["cpus", "chosen"] {
            push(&mut body, NOP);
            push(&mut body, BEGIN_NODE);
            name(&mut body, node);
            for (property, value) in properties {
                push(&mut body, PROPERTY);
                push(&mut body, value.len() as u32);
                push(&mut body, strings.len() as u32);
                strings.extend(property.as_bytes());
                strings.push(0);
                let value: Vec<u8> = value.iter().map(|b| b ^ u8::from(node == "cpus")).collect();
                body.extend(&value);
                body.resize(body.len().next_multiple_of(4), 0);
            }
            push(&mut body, END_NODE);
        }
        push(&mut body, END_NODE);
        push(&mut body, 9);
        let mut tree = vec![0; 40];
        tree[..4].copy_from_slice(&MAGIC.to_be_bytes());
        tree[8..12].copy_from_slice(&40_u32.to_be_bytes());
        tree[12..16].copy_from_slice(&(40 + body.len() as u32).to_be_bytes());
        tree.extend(body);
        tree.extend(strings);
        tree
    }

    #[test]
    fn the_seed_is_found_where_it_belongs() {
        let seed = [7; 32];
        let found = tree(&[("a", &[1; 5]), ("rng-seed", &seed), ("z", &[])]);
        assert_eq!(rng_seed(&found), Some(&seed[..]));
        assert_eq!(rng_seed(&tree(&[("kaslr-seed", &seed)])), None);
        assert_eq!(rng_seed(&tree(&[("rng-seed", &[1; 8])])), None);
    }

    #[test]
    fn any_bytes_are_read_without_trouble() {
        let whole = tree(&[("rng-seed", &[7; 32])]);
        for length in 0..whole.len() {
            let _ = rng_seed(&whole[..length]);
        }
        for at in 0..whole.len() {
            for byte in [0, 1, 0x7f, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] = byte;
                let _ = rng_seed(&damaged);
            }
        }
        assert_eq!(rng_seed(&[0; 64]), None);
    }

    #[test]
    fn keys_depend_on_every_byte_of_the_seed_and_on_the_clocks() {
        let seeded = |seed: &[u8]| key(&tree(&[("rng-seed", seed)]), [1, 2]);
        let (first, source) = seeded(&[7; 32]);
        assert_eq!(source, Source::Seed);
        assert_eq!(seeded(&[7; 32]).0, first);
        for at in 0..32 {
            let mut other = [7; 32];
            other[at] = 8;
            assert!(seeded(&other).0 != first, "byte {at}");
        }
        let (clocks, source) = key(&[], [1, 2]);
        assert_eq!(source, Source::Clocks);
        assert!(clocks.0[0] != clocks.0[1] && key(&[], [1, 3]).0 != clocks);
    }
}
