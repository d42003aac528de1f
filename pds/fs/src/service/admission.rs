// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What a client may ask for, before anything is done: its limits, its root folder, its handles.

use proto::fs::open_files::{AT, ENTRIES, REGION_BYTES};
use proto::fs::{Errno, Handle};
use sel4_shared_memory::SharedRef;

use super::Client;
use crate::disk::Disk;
use crate::request::Request;
use crate::seal::{Owner, Refusal, Refusals, Seals};
use crate::volume::Volume;

/// Looks whether a client may do this, and finds its root folder.
pub(super) fn admit<D: Disk>(
    volume: &mut Volume<D>,
    number: usize,
    client: &mut Client,
    request: &Request,
) -> Result<(), Errno> {
    let limits = client.limits.as_ref().ok_or(Errno::Access)?;
    if matches!(request, Request::Open { .. }) && open_count(&client.requests) >= limits.open_max {
        return Err(Errno::TooManyOpen);
    }
    let root = match client.root {
        Some(root) => root,
        None => volume.root_folder(&limits.root)?,
    };
    client.root = Some(root);
    volume.begin_request(number, root, limits)
}

/// How many files a client says to have open. One that says less has no use of it: only what is in its table
/// stays when it has no name any more.
fn open_count(requests: &SharedRef) -> usize {
    if requests.len() < REGION_BYTES {
        return 0;
    }
    requests.load_u64(AT).min(ENTRIES as u64) as usize
}

/// Checks the handle in a request and takes its seal off. `known` is the last one that was right.
pub(super) fn unsealed(
    request: &mut Request,
    seals: &Seals,
    owner: Owner,
    known: &mut Option<Handle>,
) -> Result<(), Refusal> {
    if let Some((handle, rights)) = request.handle() {
        let sealed = *handle;
        *handle = match known {
            Some(known) if *known == sealed => Seals::admit(owner, &sealed, rights)?,
            _ => seals.check(owner, &sealed, rights)?,
        };
        *known = Some(sealed);
    }
    Ok(())
}

pub(super) fn refuse(refusals: &mut Refusals, client: usize, refusal: Refusal) -> Errno {
    refusals.add(client, refusal);
    refusal.errno()
}
