// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Clients that show handles they were not given: refused, counted, reported, and nobody else notices.

mod common;

use std::rc::Rc;

use common::{SharedWorld, World, image};
use proto::fs::{
    CompletionWire, Errno, Handle, OPEN_CREATE, OPEN_READ, OPEN_WRITE, Operation, Place,
    RequestWire, VERSION,
};
use request_table::Client;
use sel4_shared_memory::host::Life;
use zerocopy::IntoBytes;

/// A client below the library, which would not do what it does here.
struct Hostile {
    table: Client<RequestWire, CompletionWire>,
    world: SharedWorld,
    number: usize,
}

impl Hostile {
    /// Each is another life of that client.
    fn new(world: &SharedWorld, number: usize) -> Self {
        let link = world.borrow().links[number].clone();
        let requests = link.requests.shared_mut(&Life::endless());
        let (requests, _) = requests.split_at(proto::fs::open_files::AT);
        Self {
            table: Client::attach(requests, link.completions.shared_ref()).unwrap(),
            world: Rc::clone(world),
            number,
        }
    }

    fn run(&mut self, request: RequestWire) -> CompletionWire {
        self.table.submit(&request).unwrap();
        loop {
            self.world.borrow_mut().run();
            if let Some((_, _, completion)) = self.table.next_completion() {
                return completion;
            }
        }
    }

    fn open(&mut self, path: &str, flags: u32) -> Handle {
        let link = self.world.borrow().links[self.number].clone();
        let mut data = link.to_service.shared_mut(&Life::endless());
        data.write_bytes(0, path.as_bytes());
        let completion = self.run(RequestWire {
            flags: flags.into(),
            input: place(path.len()),
            ..request(Operation::Open, Handle::default())
        });
        assert_eq!(completion.status.get(), 0, "{path}");
        completion.handle
    }

    /// What reading and writing through a handle says.
    fn try_it(&mut self, handle: Handle) -> [u32; 3] {
        let read = RequestWire {
            output: place(16),
            ..request(Operation::Read, handle)
        };
        let write = RequestWire {
            input: place(3),
            ..request(Operation::Write, handle)
        };
        let truncate = request(Operation::Truncate, handle);
        [read, write, truncate].map(|request| u32::from(self.run(request).status.get()))
    }
}

fn place(length: usize) -> Place {
    Place {
        offset: 0.into(),
        length: (length as u32).into(),
    }
}

fn request(operation: Operation, handle: Handle) -> RequestWire {
    RequestWire {
        version: VERSION.into(),
        operation: (operation as u16).into(),
        handle,
        ..RequestWire::default()
    }
}

const REFUSED: u32 = Errno::BadHandle as u32;
const STALE: u32 = Errno::Stale as u32;

#[test]
fn only_the_client_that_was_given_a_handle_can_use_it_and_only_as_it_is() {
    if !image::have_tools() {
        return;
    }
    let world = World::new(image::make(32, &[]), 2);
    let honest = common::client(&world, 0);
    honest.write("/mine", b"untouched").unwrap();
    let file = fs_client::File::open(&honest, "/mine").unwrap();
    let mut hostile = Hostile::new(&world, 1);
    let refused = |world: &SharedWorld| world.borrow_mut().service().refusals().count(1);

    let own = hostile.open("/own", OPEN_READ | OPEN_WRITE | OPEN_CREATE);
    assert_eq!(hostile.try_it(own), [0; 3]);
    assert_eq!(refused(&world), 0);
    assert_eq!(
        hostile.try_it(file.handle()),
        [REFUSED; 3],
        "another client's"
    );
    assert_eq!(hostile.try_it(Handle::default()), [REFUSED; 3]);
    assert_eq!(refused(&world), 6);
    for bit in 0..size_of::<Handle>() * 8 {
        let mut edited = own;
        edited.as_mut_bytes()[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(hostile.try_it(edited), [REFUSED; 3], "bit {bit}");
    }
    let reads = hostile.open("/own", OPEN_READ);
    assert_eq!(hostile.try_it(reads), [0, REFUSED, REFUSED]);
    let reports = world.borrow_mut().service().refusals().take_reports();
    assert!(reports.iter().all(|report| report.client == 1));
    assert!((8..12).contains(&reports.len()), "{reports:?}");

    // The service's next life knows the good ones, and the same bad ones not.
    world.borrow_mut().kill();
    assert_eq!(hostile.try_it(own), [0; 3]);
    assert_eq!(hostile.try_it(file.handle()), [REFUSED; 3]);
    let mut bytes = [0; 16];
    assert_eq!(file.read_at(0, &mut bytes).unwrap(), 9);
    assert_eq!(&bytes[..9], b"untouched");
    assert_eq!(world.borrow_mut().service().refusals().count(0), 0);

    // The hostile client's next life does not.
    let mut reborn = Hostile::new(&world, 1);
    assert_eq!(reborn.try_it(own), [STALE; 3]);
    let own = reborn.open("/own", OPEN_READ | OPEN_WRITE);
    assert_eq!(reborn.try_it(own), [0; 3]);
}
