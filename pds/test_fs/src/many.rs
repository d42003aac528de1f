// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Many requests under way at once, reads and writes of the pieces of one file, several pieces in one block.
//! No two of them are for one piece, because the order of requests that are under way is not promised: a read
//! that is made again after a death of the service may see a later write. So it is known what each must find.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use fs_client::OpenOptions;
use fs_client::events::{Answer, Opened, Requests, Token};
use test_fs_service::model::Node;
use test_fs_service::settings::Settings;
use topology::Topology;

use crate::{STEPS_MAX, Test, Wrong};

/// Requests under way.
const DEPTH: usize = 48;
/// Pieces of the file, and bytes of each.
const PIECES: usize = 160;
const PIECE_BYTES: usize = 777;

/// What an answer must be, and for which piece.
enum Expected {
    Read(usize, Vec<u8>),
    Written(usize, usize),
    Done,
}

impl Test {
    /// See the head of this file.
    pub(crate) fn many(
        &mut self,
        settings: &Settings,
        topology: &Topology<'static>,
    ) -> Result<(), Wrong> {
        let path = format!("{}many", self.prefix);
        let channel = pd_clients::files_channel(topology);
        let mut requests = pd_clients::file_requests(topology, DEPTH);
        let options = OpenOptions::new().read(true).write(true).create(true);
        let refused = |error| format!("open: {error:?}");
        requests.open(&path, &options).map_err(refused)?;
        channel.notify();
        let file = loop {
            match requests.next_answer() {
                Some((_, Ok(Answer::Opened(file)))) => break file,
                Some((_, other)) => return Err(format!("open: {other:?}")),
                None => microkit_wait::wait_for(channel),
            }
        };
        let mut contents = vec![0; PIECES * PIECE_BYTES];
        let mut busy = [false; PIECES];
        let mut expected = BTreeMap::new();
        let size = contents.len() as u64;
        let made = requests.set_len(&file, size).map_err(refused)?;
        expected.insert(made, Expected::Done);
        let mut deepest = 0;
        let more = |test: &Self| {
            let enough = test.steps >= settings.steps && test.restarts() >= settings.restarts;
            !enough && test.steps < STEPS_MAX
        };
        while more(self) || requests.under_way() != 0 {
            while more(self) && requests.under_way() < DEPTH {
                let (token, answer) = self.one(&mut requests, &file, &mut contents, &mut busy)?;
                expected.insert(token, answer);
                self.steps += 1;
            }
            deepest = deepest.max(requests.under_way());
            channel.notify();
            let mut answered = false;
            while let Some((token, answer)) = requests.next_answer() {
                answered = true;
                let wanted = expected.remove(&token).ok_or("an answer to nothing")?;
                check(&wanted, &answer).map_err(|what| format!("step {}: {what}", self.steps))?;
                if let Expected::Read(piece, _) | Expected::Written(piece, _) = wanted {
                    busy[piece] = false;
                }
            }
            if !answered {
                microkit_wait::wait_for(channel);
            }
        }
        requests.close(file);
        drop(requests);
        self.fs = pd_clients::files(topology);
        self.model.insert(path, Node::file(contents));
        log::info!("MANY under_way={deepest} restarts={}", self.restarts());
        self.look()
    }

    fn one(
        &mut self,
        requests: &mut Requests,
        file: &Opened,
        contents: &mut [u8],
        busy: &mut [bool; PIECES],
    ) -> Result<(Token, Expected), Wrong> {
        let random = &mut self.random;
        if random.below(16) == 0 {
            let token = requests.sync();
            let made = token.map(|token| (token, Expected::Done));
            return made.map_err(|error| format!("step {}: {error:?}", self.steps));
        }
        let mut piece = random.below(PIECES as u64) as usize;
        while busy[piece] {
            piece = (piece + 1) % PIECES;
        }
        busy[piece] = true;
        let from = piece * PIECE_BYTES;
        let place = &mut contents[from..from + PIECE_BYTES];
        let made = if random.below(2) == 0 {
            let length = 1 + random.below(PIECE_BYTES as u64) as usize;
            place[..length].fill(random.next() as u8);
            let token = requests.write(file, from as u64, &place[..length]);
            token.map(|token| (token, Expected::Written(piece, length)))
        } else {
            let token = requests.read(file, from as u64, PIECE_BYTES);
            token.map(|token| (token, Expected::Read(piece, place.to_vec())))
        };
        made.map_err(|error| format!("step {}: {error:?}", self.steps))
    }
}

fn check(wanted: &Expected, found: &Result<Answer, fs_client::Error>) -> Result<(), Wrong> {
    match (wanted, found) {
        (Expected::Read(_, wanted), Ok(Answer::Read(found))) if wanted == found => Ok(()),
        (Expected::Read(piece, wanted), Ok(Answer::Read(found))) => Err(format!(
            "wrong data in piece {piece}: {} bytes, {} wanted",
            found.len(),
            wanted.len()
        )),
        (Expected::Written(_, wanted), Ok(Answer::Written(found, _))) if wanted == found => Ok(()),
        (Expected::Done, Ok(Answer::Done)) => Ok(()),
        (_, other) => Err(format!("{other:?}")),
    }
}
