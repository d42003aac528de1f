// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A journal on a disk in memory: golden bytes, and a replay after a cut at every write.

use std::collections::BTreeMap;

use crate::format::{MAGIC, SUPERBLOCK_BYTES, Superblock, put_u32};
use crate::{BlockDevice, Extent, Journal, JournalError, JournalMap, ReplayReport};

const SIZE: usize = 1024;
/// First block of the journal on the disk.
const JOURNAL: u64 = 100;

/// A disk in memory that fails after a number of writes. A flush does nothing.
#[derive(Clone)]
struct Disk {
    blocks: BTreeMap<u64, Vec<u8>>,
    writes_left: usize,
}

impl BlockDevice for Disk {
    type Error = ();

    fn block_size(&self) -> usize {
        SIZE
    }

    fn read(&mut self, block: u64, bytes: &mut [u8]) -> Result<(), ()> {
        for (index, chunk) in bytes.chunks_exact_mut(SIZE).enumerate() {
            match self.blocks.get(&(block + index as u64)) {
                Some(found) => chunk.copy_from_slice(found),
                None => chunk.fill(0),
            }
        }
        Ok(())
    }

    fn write(&mut self, block: u64, bytes: &[u8]) -> Result<(), ()> {
        for (index, chunk) in bytes.chunks_exact(SIZE).enumerate() {
            self.writes_left = self.writes_left.checked_sub(1).ok_or(())?;
            self.blocks.insert(block + index as u64, chunk.to_vec());
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ()> {
        Ok(())
    }
}

fn map(blocks: u32) -> JournalMap {
    // Two pieces, so that writes are split.
    let first = Extent {
        logical: 0,
        physical: JOURNAL,
        length: 5,
    };
    let second = Extent {
        logical: 5,
        physical: JOURNAL + 50,
        length: blocks - 5,
    };
    JournalMap::new(vec![first, second]).unwrap()
}

/// A disk whose journal is as mke2fs leaves it.
fn formatted(blocks: u32) -> Disk {
    let mut block = vec![0; SIZE];
    let fields = [
        (0, MAGIC),
        (4, 4),
        (0x0c, SIZE as u32),
        (0x10, blocks),
        (0x14, 1),
        (0x18, 1),
    ];
    for (offset, value) in fields {
        put_u32(&mut block, offset, value);
    }
    block[0x30..0x40].copy_from_slice(b"kintsugi-journal");
    put_u32(&mut block, 0x40, 1);
    Disk {
        blocks: BTreeMap::from([(JOURNAL, block)]),
        writes_left: usize::MAX,
    }
}

fn started(disk: &mut Disk, blocks: u32) -> Journal {
    let mut journal = Journal::open(disk, map(blocks), false).unwrap();
    journal.start(disk).unwrap();
    journal
}

/// Commits blocks that all have the value `value`.
fn commit(
    journal: &mut Journal,
    disk: &mut Disk,
    homes: &[u64],
    value: u8,
) -> Result<(), JournalError<()>> {
    let mut content = |_: &mut Disk, _: usize, block: &mut [u8]| {
        block.fill(value);
        Ok(())
    };
    journal.commit(disk, homes, &mut content, 7)
}

fn replayed(disk: &mut Disk, blocks: u32) -> ReplayReport {
    let mut journal = Journal::open(disk, map(blocks), false).unwrap();
    let report = journal.replay(disk).unwrap();
    journal.start(disk).unwrap();
    report
}

#[test]
fn golden_bytes_of_a_transaction() {
    let mut disk = formatted(32);
    let mut journal = started(&mut disk, 32);
    commit(&mut journal, &mut disk, &[0x1122, 7], 0x5a).unwrap();
    let descriptor = &disk.blocks[&(JOURNAL + 1)];
    assert_eq!(
        descriptor[..12],
        [0xc0, 0x3b, 0x39, 0x98, 0, 0, 0, 1, 0, 0, 0, 1]
    );
    assert_eq!(
        descriptor[12..24],
        [0, 0, 0x11, 0x22, 0, 0, 0, 0, 0, 0, 0, 0]
    );
    assert_eq!(&descriptor[28..44], b"kintsugi-journal");
    assert_eq!(descriptor[44..56], [0, 0, 0, 7, 0, 0, 0, 10, 0, 0, 0, 0]);
    assert!(descriptor[60..SIZE - 4].iter().all(|byte| *byte == 0));
    let block = &disk.blocks[&(JOURNAL + 2)];
    assert!(block.iter().all(|byte| *byte == 0x5a));
    let commit = &disk.blocks[&(JOURNAL + 4)];
    assert_eq!(
        commit[..12],
        [0xc0, 0x3b, 0x39, 0x98, 0, 0, 0, 2, 0, 0, 0, 1]
    );
    assert_eq!(commit[48..56], [0, 0, 0, 0, 0, 0, 0, 7]);
    let superblock = &disk.blocks[&JOURNAL];
    assert_eq!(superblock[0x18..0x20], [0, 0, 0, 1, 0, 0, 0, 1]);
    assert_eq!(superblock[0x28..0x2c], [0, 0, 0, 0x10]);
    assert_eq!(superblock[0x50], 4);
}

#[test]
fn replay_restores_blocks_that_look_like_the_journal() {
    let mut disk = formatted(32);
    let mut journal = started(&mut disk, 32);
    let mut content = |_: &mut Disk, _: usize, block: &mut [u8]| {
        block.fill(1);
        put_u32(block, 0, MAGIC);
        Ok(())
    };
    journal.commit(&mut disk, &[9], &mut content, 0).unwrap();
    assert_eq!(disk.blocks[&(JOURNAL + 2)][..5], [0, 0, 0, 0, 1]);
    assert_eq!(
        replayed(&mut disk, 32),
        ReplayReport {
            transactions: 1,
            blocks: 1
        }
    );
    assert_eq!(disk.blocks[&9][..5], [0xc0, 0x3b, 0x39, 0x98, 1]);
    assert_eq!(replayed(&mut disk, 32), ReplayReport::default());
}

#[test]
fn full_log_asks_for_a_checkpoint_and_wraps() {
    let mut disk = formatted(16);
    let mut journal = started(&mut disk, 16);
    let mut committed = 0;
    for round in 0..40u8 {
        match commit(&mut journal, &mut disk, &[1, 2, 3], round) {
            Ok(()) => committed += 1,
            Err(JournalError::Full) => {
                for home in 1..4 {
                    disk.blocks.insert(home, vec![round - 1; SIZE]);
                }
                journal.checkpointed(&mut disk).unwrap();
                commit(&mut journal, &mut disk, &[1, 2, 3], round).unwrap();
                committed += 1;
            }
            Err(error) => panic!("{error:?}"),
        }
        let mut copy = disk.clone();
        replayed(&mut copy, 16);
        assert_eq!(copy.blocks[&2][0], round);
    }
    assert_eq!(committed, 40);
    assert_eq!(
        commit(&mut journal, &mut disk, &[0; 12], 0),
        Err(JournalError::TooLarge)
    );
}

/// Every prefix of the writes of a run: what was acknowledged is there, and nothing by half.
#[test]
fn cut_at_every_write_and_again_in_replay() {
    const LOG: u32 = 20;
    for cut in 0..120 {
        let mut disk = formatted(LOG);
        let mut journal = started(&mut disk, LOG);
        disk.writes_left = cut;
        let mut acknowledged = 0;
        for value in 1..=20 {
            if matches!(
                commit(&mut journal, &mut disk, &[4, 5], value),
                Err(JournalError::Full)
            ) {
                let home = disk.write(4, &vec![value - 1; 2 * SIZE]);
                if home.is_err() || journal.checkpointed(&mut disk).is_err() {
                    break;
                }
                if commit(&mut journal, &mut disk, &[4, 5], value).is_err() {
                    break;
                }
            } else if disk.writes_left == 0 {
                // The failed commit may have become whole with its last write.
                break;
            }
            acknowledged = value;
        }
        for second_cut in [0, 1, 2, 3, usize::MAX] {
            let mut copy = disk.clone();
            copy.writes_left = second_cut;
            if let Ok(mut journal) = Journal::open(&mut copy, map(LOG), false) {
                let _ = journal.replay(&mut copy);
            }
            copy.writes_left = usize::MAX;
            replayed(&mut copy, LOG);
            let mut blocks = vec![0; 2 * SIZE];
            copy.read(4, &mut blocks).unwrap();
            assert!(
                blocks.iter().all(|byte| *byte == blocks[0]),
                "half at {cut}"
            );
            assert!(
                blocks[0] == acknowledged || blocks[0] == acknowledged + 1,
                "cut {cut}: acknowledged {acknowledged}, found {}",
                blocks[0]
            );
        }
    }
}

#[test]
fn a_damaged_block_of_a_committed_transaction_is_reported() {
    let mut disk = formatted(32);
    let mut journal = started(&mut disk, 32);
    commit(&mut journal, &mut disk, &[1, 2], 3).unwrap();
    disk.blocks.get_mut(&(JOURNAL + 3)).unwrap()[10] ^= 1;
    let mut journal = Journal::open(&mut disk, map(32), false).unwrap();
    let error = journal.replay(&mut disk).unwrap_err();
    assert_eq!(error, JournalError::DamagedTransaction { journal_block: 3 });
}

#[test]
fn strange_superblocks_are_refused() {
    let mut disk = formatted(32);
    let journal = |disk: &mut Disk| Journal::open(disk, map(32), false).map(|_| ());
    put_u32(disk.blocks.get_mut(&JOURNAL).unwrap(), 0x28, 0x40);
    assert_eq!(journal(&mut disk), Err(JournalError::UnknownFeatures(0x40)));
    put_u32(disk.blocks.get_mut(&JOURNAL).unwrap(), 0x28, 0x10);
    assert_eq!(journal(&mut disk), Err(JournalError::BadChecksum));
    put_u32(disk.blocks.get_mut(&JOURNAL).unwrap(), 0x10, 33);
    assert_eq!(journal(&mut disk), Err(JournalError::NotAJournal));
    disk.blocks.clear();
    assert_eq!(journal(&mut disk), Err(JournalError::NotAJournal));
    let bytes = [0; SUPERBLOCK_BYTES];
    assert!(!Superblock::from_bytes(bytes).is_plausible(SIZE, 32));
}

/// Killed at every write, the next life goes on where the last one was, again and again.
#[test]
fn resume_after_a_kill_at_every_write() {
    const LOG: u32 = 24;
    for cut in 5..60 {
        let mut disk = formatted(LOG);
        let mut home = BTreeMap::new();
        let mut journal = started(&mut disk, LOG);
        let mut acknowledged = 0;
        for life in 0..6 {
            disk.writes_left = cut + life;
            for value in 1..=200u8 {
                let value = value.wrapping_add(life as u8 * 31);
                let homes = &[4, 5, 6, 7][..1 + usize::from(value) % 4];
                match commit(&mut journal, &mut disk, homes, value) {
                    Ok(()) => {
                        acknowledged = value;
                        home.extend(homes.iter().map(|block| (*block, value)));
                    }
                    Err(JournalError::Full) => {
                        // A checkpoint of the cache, then the same again.
                        let mut written = true;
                        for (block, value) in &home {
                            written &= disk.write(*block, &vec![*value; SIZE]).is_ok();
                        }
                        if !written || journal.checkpointed(&mut disk).is_err() {
                            break;
                        }
                    }
                    Err(_) => break,
                }
            }
            disk.writes_left = usize::MAX;
            journal = Journal::open(&mut disk, map(LOG), false).unwrap();
            assert!(journal.can_resume());
            let survey = journal.survey(&mut disk).unwrap();
            let mut found = BTreeMap::new();
            let mut take = |_: &mut Disk, home: u64, block: &[u8]| {
                assert!(block.iter().all(|byte| *byte == block[0]));
                found.insert(home, block[0]);
                Ok(())
            };
            journal.read_copies(&mut disk, &survey, &mut take).unwrap();
            journal.resume(&survey);
            // What the log has not, is at home.
            for block in 4..8 {
                let mut bytes = vec![0; SIZE];
                disk.read(block, &mut bytes).unwrap();
                found.entry(block).or_insert(bytes[0]);
            }
            let last = found[&4];
            if last != acknowledged {
                // The commit that was cut had become whole with its last write.
                let homes = &[4, 5, 6, 7][..1 + usize::from(last) % 4];
                home.extend(homes.iter().map(|block| (*block, last)));
                acknowledged = last;
            }
            found.retain(|block, _| home.contains_key(block));
            assert_eq!(found, home, "cut {cut} life {life}");
        }
    }
}
