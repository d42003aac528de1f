// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Counts what waits in a table whose bytes were copied out of a machine, for tools on the host.

use crate::layout::{Role, Shape};

/// Requests without a completion, from the bytes of both regions; `None` when they are no table.
///
/// The bytes may have been copied while both sides were working, so the number may be off by what
/// they did meanwhile. Bodies and their checksums are not looked at.
#[must_use]
pub fn unfinished(requests: &[u8], completions: &[u8]) -> Option<usize> {
    let theirs = Shape::read(Role::Requests, requests)?;
    // A server that has not attached yet has completed nothing.
    let ours = Shape::read(Role::Completions, completions);
    let waiting = (0..theirs.slots()).filter(|slot| {
        let stamp = theirs.stamp(requests, *slot);
        let completed = ours
            .as_ref()
            .and_then(|shape| shape.stamp(completions, *slot));
        stamp.is_some_and(|stamp| stamp & 1 == 1) && stamp != completed
    });
    Some(waiting.count())
}

#[cfg(test)]
mod tests {
    use sel4_shared_memory::host::{HostRegion, Life};

    use super::*;
    use crate::{Client, Server};

    type Body = [u8; 48];

    #[test]
    fn counts_what_is_submitted_and_not_completed() {
        let (requests, completions) = (HostRegion::new(0x4000), HostRegion::new(0x4000));
        let count = || unfinished(&requests.bytes(), &completions.bytes());
        assert_eq!(count(), None);
        let life = Life::endless();
        let mut client: Client<Body, Body> =
            Client::attach(requests.shared_mut(&life), completions.shared_ref()).expect("fits");
        client.submit(&[1; 48]).expect("room");
        client.submit(&[2; 48]).expect("room");
        assert_eq!(count(), Some(2));
        let mut server: Server<Body, Body> =
            Server::attach(requests.shared_ref(), completions.shared_mut(&life), 0).expect("fits");
        let (ticket, _) = server.next_request().expect("there are two");
        assert_eq!(count(), Some(2));
        server.complete(ticket, &[3; 48]);
        assert_eq!(count(), Some(1));
        client.next_completion().expect("one");
        assert_eq!(count(), Some(1));
    }

    #[test]
    fn any_bytes_are_read_without_trouble() {
        let mut bytes = vec![0xff; 0x4000];
        assert_eq!(unfinished(&bytes, &bytes), None);
        bytes[..8].copy_from_slice(b"KtgReqst");
        bytes[8..32].fill(0xff);
        assert_eq!(unfinished(&bytes, &[]), None);
        assert_eq!(unfinished(&bytes[..40], &[]), None);
    }
}
