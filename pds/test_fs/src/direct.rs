// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Reads of cached pages without the service, while it is down for good: its supervisor has given it up,
//! and a request of ours stays without an answer.

use alloc::format;
use alloc::string::ToString;
use alloc::vec;

use chaos_service::killer::Killer;
use fs_client::File;
use fs_client::events::Requests;
use topology::Topology;

use crate::{Test, Wrong};

const PAGE: usize = 4096;
const PAGES: usize = 64;
/// Here every request comes along.
const POINT: &str = "fs.after_take";
/// So many ticks of 16 ns without an answer: the service is down.
const TICKS: u64 = 5_000_000;

impl Test {
    /// See the head of this file.
    pub(crate) fn direct(&mut self, topology: &Topology<'static>) -> Result<(), Wrong> {
        self.begin()?;
        let path = format!("{}pages", self.prefix);
        let contents: alloc::vec::Vec<u8> = (0..PAGE * PAGES)
            .map(|index| (index / 100) as u8 ^ (index / PAGE) as u8)
            .collect();
        let wrong = |error: fs_client::Error| error.to_string();
        self.fs.write(&path, &contents).map_err(wrong)?;
        let mut killer = Killer::new(topology, "fs");
        // One restart is granted; the pages are learnt from the life after it.
        killer.plant(POINT);
        let file = File::open(&self.fs, &path).map_err(wrong)?;
        if killer.life().0 == 0 {
            return Err("the service has not died".to_string());
        }
        let mut page = vec![0; PAGE];
        for (number, expected) in contents.chunks(PAGE).enumerate() {
            let read = file.read_at((number * PAGE) as u64, &mut page);
            if read != Ok(PAGE) || page != expected {
                return Err(format!("page {number} through the service: {read:?}"));
            }
        }
        // Some were read ahead.
        let before = self.fs.direct_reads();
        killer.plant(POINT);
        let mut asked = pd_clients::file_requests(topology, 1);
        asked.sync().map_err(|error| format!("{error:?}"))?;
        pd_clients::files_channel(topology).notify();
        silent(&mut asked)?;
        // Each page, and then pieces that are not pages.
        for (number, expected) in contents.chunks(PAGE).enumerate() {
            let read = file.read_at((number * PAGE) as u64, &mut page);
            if read != Ok(PAGE) || page != expected {
                return Err(format!("page {number} without the service: {read:?}"));
            }
        }
        let mut piece = vec![0; 3 * PAGE];
        for _ in 0..100 {
            let at = self.random.below((contents.len() - piece.len()) as u64) as usize;
            let read = file.read_at(at as u64, &mut piece);
            if read != Ok(piece.len()) || piece != contents[at..at + piece.len()] {
                return Err(format!("{at}: {read:?}"));
            }
        }
        silent(&mut asked)?;
        let direct = self.fs.direct_reads() - before;
        log::info!("DIRECT reads={direct} while fs is down, {before} before");
        match direct {
            164 => Ok(()),
            other => Err(format!("{other} reads were direct")),
        }
    }
}

/// Nobody answers.
fn silent(asked: &mut Requests) -> Result<(), Wrong> {
    let start = recovery::ticks();
    while recovery::ticks() - start < TICKS {
        if asked.next_answer().is_some() {
            return Err("the service is not down".to_string());
        }
    }
    Ok(())
}
