// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What is there after every store, and what is found to be damaged.

use sel4_shared_memory::host::{HostRegion, Life};

use super::*;

#[test]
fn a_transaction_is_there_with_all_of_its_blocks() {
    let region = HostRegion::new(ENTRIES + 8 * ENTRY_BYTES + RECORDS * RECORD_BYTES);
    let mut index = Index::new(region.shared_mut(&Life::endless()));
    index.clear(8, |_| false);
    let blocks = [(70, 2), (9, 5), (71, 3)];
    for (block, slot) in blocks {
        let (version, contents) = (4, 1);
        index.set(
            slot as usize,
            &Entry {
                block,
                version,
                contents,
            },
        );
    }
    let intent = Intent {
        version: 4,
        seconds: 1,
        blocks: 3,
    };
    assert!(!index.has(&intent, blocks.into_iter()), "no intent");
    index.set_intent(&intent);
    assert!(index.has(&intent, blocks.into_iter()));
    assert!(!index.has(&intent, blocks[..2].iter().copied()));
    assert!(!index.has(
        &Intent {
            version: 5,
            ..intent
        },
        blocks.into_iter()
    ));
    index.free(5);
    assert!(
        !index.has(&intent, blocks.into_iter()),
        "an entry is missing"
    );
    let (block, version, contents) = (9, 3, 1);
    index.set(
        5,
        &Entry {
            block,
            version,
            contents,
        },
    );
    assert!(
        !index.has(&intent, blocks.into_iter()),
        "of another transaction"
    );
}

fn at(version: u64) -> Progress {
    Progress {
        version,
        home: version / 2,
        position: Position {
            head: version as u32 * 3,
            used: 1,
            sequence: 9,
        },
    }
}

#[test]
fn progress_is_the_old_one_or_the_new_one_after_every_store() {
    for steps in 0..=5 {
        let region = HostRegion::new(ENTRIES);
        let mut index = Index::new(region.shared_mut(&Life::endless()));
        index.set_progress(&at(1));
        index.set_progress(&at(2));
        let life = Life::of_steps(steps);
        let mut dying = Index::new(region.shared_mut(&life));
        assert_eq!(dying.progress(), Some(at(2)));
        let done = life.run(|| dying.set_progress(&at(3))).is_ok();
        let found = Index::new(region.shared_mut(&Life::endless())).progress();
        assert_eq!(found, Some(if done { at(3) } else { at(2) }), "{steps}");
        let index = Index::new(region.shared_mut(&Life::endless()));
        assert_eq!(index.has_version(at(3).version), done, "{steps}");
        assert_eq!(done, steps == 5);
    }
}

#[test]
fn a_write_to_be_carried_out_is_there_or_not_after_every_store() {
    let write = |number| DeferredWrite {
        number,
        sequence: 7,
        inode: 12,
        generation: 1 << 40,
        offset: 8192,
        length: 4096,
        client: 3,
        slot: 63,
    };
    let words = (RECORD_BYTES / 8) as u64;
    for steps in 0..=words {
        let region = HostRegion::new(ENTRIES + RECORDS * RECORD_BYTES);
        let mut index = Index::new(region.shared_mut(&Life::endless()));
        // The one in whose place the next goes has been carried out.
        index.set_deferred(&write(1));
        index.set_deferred(&write(64));
        let life = Life::of_steps(steps);
        let mut dying = Index::new(region.shared_mut(&life));
        let done = life.run(|| dying.set_deferred(&write(65))).is_ok();
        assert_eq!(done, steps == words);
        let found = index.deferred();
        let numbers: Vec<_> = found.iter().map(|write| write.number).collect();
        let whole = [vec![1, 64], vec![64, 65], vec![64]];
        assert!(whole.contains(&numbers) && (numbers.contains(&65) == done));
        assert_eq!(found.last(), Some(&write(if done { 65 } else { 64 })));
    }
}

#[test]
fn a_write_is_there_with_all_of_its_blocks() {
    let region = HostRegion::new(ENTRIES + 8 * ENTRY_BYTES + RECORDS * RECORD_BYTES);
    let mut index = Index::new(region.shared_mut(&Life::endless()));
    assert_eq!(index.slots_max(), 8);
    let write = DeferredWrite {
        number: 5,
        inode: 12,
        length: 8192,
        ..DeferredWrite::default()
    };
    let entry = |version, contents| Entry {
        block: DEFERRED | 12,
        version,
        contents,
    };
    index.set(3, &entry(40, 1));
    index.set(6, &entry(41, 2));
    let has = |index: &Index, slots| index.has_deferred(&write, 40, slots, [1, 2].into_iter());
    assert!(!has(&index, &[3, 6]), "no record");
    index.set_deferred(&write);
    assert!(has(&index, &[3, 6]));
    assert!(!has(&index, &[6, 3]), "in another order");
    index.free(6);
    assert!(!has(&index, &[3, 6]), "an entry is missing");
    index.set(6, &entry(41, 3));
    assert!(!has(&index, &[3, 6]), "other contents");
}

#[test]
fn an_entry_is_there_or_not_after_every_store() {
    let entry = Entry {
        block: 77,
        version: 0,
        contents: 0,
    };
    for steps in 0..=4 {
        let region = HostRegion::new(ENTRIES + 4 * ENTRY_BYTES);
        let life = Life::of_steps(steps);
        let mut dying = Index::new(region.shared_mut(&life));
        let _ = life.run(|| {
            dying.set(2, &entry);
            dying.free(2);
        });
        let found = Index::new(region.shared_mut(&Life::endless())).get(2);
        assert_eq!(found, Ok((steps == 3).then_some(entry)), "{steps}");
    }
}

#[test]
fn a_flipped_bit_is_found() {
    let region = HostRegion::new(ENTRIES + ENTRY_BYTES);
    let mut index = Index::new(region.shared_mut(&Life::endless()));
    let entry = Entry {
        block: 5,
        version: 6,
        contents: 7,
    };
    index.set(0, &entry);
    for byte in 0..ENTRY_BYTES {
        let old = region.bytes()[ENTRIES + byte];
        region.set_bytes(ENTRIES + byte, &[old ^ 4]);
        assert_eq!(index.get(0), Err(BadEntry), "{byte}");
        region.set_bytes(ENTRIES + byte, &[old]);
    }
    assert_eq!(index.get(0), Ok(Some(entry)));
}
