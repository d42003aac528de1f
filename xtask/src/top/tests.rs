// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Machines made by hand: page tables as seL4 makes them, a report of the development kernel.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use black_box::{Action, Kind, RecordWire, STACK_PAINT, to_name};

use super::memory::{Cache, Physical, Space, Spaces};
use super::table::{Files, Snapshot};
use super::{dev, sel4};
use crate::board::Board;
use crate::error::Result;
use crate::symbolize::Filter;
use crate::system::{System, parse};
use crate::workspace;

/// Memory by page; what is not there is zero, as in a machine.
#[derive(Default)]
struct Memory(BTreeMap<u64, [u8; 4096]>);

impl Memory {
    fn put(&mut self, paddr: u64, bytes: &[u8]) {
        for (at, byte) in (paddr..).zip(bytes) {
            let page = self.0.entry(at / 4096).or_insert([0; 4096]);
            page[usize::try_from(at % 4096).expect("small")] = *byte;
        }
    }

    fn word(&mut self, paddr: u64, word: u64) {
        self.put(paddr, &word.to_le_bytes());
    }
}

impl Physical for Memory {
    fn read_pages(&mut self, paddr: u64, count: usize) -> Result<Vec<u8>> {
        let first = paddr / 4096;
        let pages = (first..first + count as u64).map(|page| self.0.get(&page));
        Ok(pages
            .flat_map(|page| page.copied().unwrap_or([0; 4096]))
            .collect())
    }
}

const ROOT: u64 = 0x6100_0000;
const LEVEL_2: u64 = 0x6100_2000;
const LEVEL_3: u64 = 0x6100_3000;
const SOFTWARE_PAGE: u64 = 1 << 58;

/// One page at 0x20_0000, a block of 2 MiB at 0x4000_0000, and what looks like a table at the end.
fn tables(memory: &mut Memory) {
    memory.word(ROOT, LEVEL_2 | 3);
    memory.word(LEVEL_2 + 8, LEVEL_3 | 3);
    memory.word(LEVEL_3, 0x7000_5000 | SOFTWARE_PAGE | 0x7c3);
    memory.word(ROOT + 8, LEVEL_2 | 3);
    memory.word(LEVEL_2, 0x8020_0000 | 0x7c1);
}

#[test]
fn walks_the_page_tables_of_sel4() {
    let mut memory = Memory::default();
    tables(&mut memory);
    let mut machine = Cache::new(memory);
    let mut at = |vaddr| sel4::translate(&mut machine, ROOT, vaddr).expect("memory");
    assert_eq!(at(0x20_0123), Some(0x7000_5123));
    assert_eq!(at(0x20_1000), None);
    assert_eq!(at(0x4001_2345), Some(0x8021_2345));
    assert_eq!(at(0x8000_0000), None);
    assert_eq!(at(1 << 40), None);
    assert_eq!(at(u64::MAX), None);
}

#[test]
fn reads_across_pages_that_are_apart() {
    let mut memory = Memory::default();
    tables(&mut memory);
    memory.word(LEVEL_3 + 8, 0x7000_1000 | SOFTWARE_PAGE | 0x7c3);
    memory.put(0x7000_5ffe, b"ab");
    memory.put(0x7000_1000, b"cd");
    let mut machine = Cache::new(memory);
    let space = Space::Tables(ROOT);
    let mut read = |vaddr, length| space.read(&mut machine, vaddr, length).expect("memory");
    assert_eq!(read(0x20_0ffe, 4).as_deref(), Some(&b"abcd"[..]));
    assert_eq!(read(0x20_1ffe, 4), None);
}

#[test]
fn garbage_instead_of_page_tables_ends() {
    let mut memory = Memory::default();
    // Each entry leads back to the root.
    for index in 0..1024 {
        memory.word(ROOT + index * 8, ROOT | 3);
    }
    let mut machine = Cache::new(memory);
    assert!(sel4::translate(&mut machine, ROOT, 0x1234_5678).is_ok());
}

const REPORT: &str = "# Image for the Kintsugi development kernel: 77 bytes

# Physical memory
0x0070000000..0x0070010000 image

# supervisor: priority 200, budget 1000 us of 1000 us, entry 0x10000000
0x000020000000 -> 0x0060001000     0x5000 rw- cached
0x000032000000 -> 0x0050000000    0x10000 rw- cached

# blk: priority 140, budget 1000 us of 1000 us, entry 0x200000
0x000020000000 -> 0x0060010000     0x5000 rw- cached
0x000050000000 -> 0x0060030000    0x10000 r-- cached
0x000051000000 -> 0x0060040000    0x10000 rw- cached
";

#[test]
fn reads_the_report_of_the_development_kernel() {
    assert!(dev::spaces("# Initial Task (CapDL Initialiser) Details\n").is_none());
    let spaces = dev::spaces(REPORT).expect("its title");
    let mut machine = Cache::new(Memory::default());
    let mut at = |pd: &str, vaddr| {
        let space = &spaces.of[pd];
        space.translate(&mut machine, vaddr).expect("memory")
    };
    assert_eq!(at("supervisor", 0x2000_4fff), Some(0x6000_5fff));
    assert_eq!(at("supervisor", 0x2000_5000), None);
    assert_eq!(at("blk", 0x2000_0008), Some(0x6001_0008));
    assert_eq!(spaces.of.len(), 2);
}

const SYSTEM: &str = r#"<system>
    <memory_region name="supervisor_black_box" size="0x10000" phys_addr="0x50000000" />
    <memory_region name="fs_to_blk_requests" size="0x10000" />
    <memory_region name="blk_to_fs_completions" size="0x10000" />
    <protection_domain name="supervisor" priority="200">
        <program_image path="supervisor.elf" />
        <map mr="supervisor_black_box" vaddr="0x32000000" perms="rw" />
        <protection_domain name="blk" id="1" priority="140">
            <program_image path="blk.elf" />
            <map mr="fs_to_blk_requests" vaddr="0x50000000" perms="r" />
            <map mr="blk_to_fs_completions" vaddr="0x51000000" perms="rw" />
        </protection_domain>
    </protection_domain>
</system>"#;

fn system() -> System {
    let board = Board::load(&workspace::root(), "qemu_virt_aarch64").expect("the board");
    parse::parse(SYSTEM, &board).expect("a system")
}

fn start_info(epoch: u32, bottom: u64, top: u64) -> Vec<u8> {
    let mut bytes = b"KINTSTRT".to_vec();
    bytes.extend(2_u32.to_le_bytes());
    bytes.extend(epoch.to_le_bytes());
    bytes.extend(0_u64.to_le_bytes());
    bytes.extend(bottom.to_le_bytes());
    bytes.extend(top.to_le_bytes());
    bytes.resize(64, 0);
    bytes
}

/// A black box as `black_box::BlackBox` leaves it, made without its help: this is what must not
/// change unnoticed.
fn black_box() -> Vec<u8> {
    use sel4_shared_memory::host::{HostRegion, Life};
    let region = HostRegion::new(0x10000);
    let (mut writer, _) =
        black_box::BlackBox::attach(region.shared_mut(&Life::endless()), 0).expect("large enough");
    let mut wire = RecordWire::empty();
    wire.head.name = to_name("blk");
    wire.head.kind = Kind::Write as u16;
    wire.head.pc = 0x1000_0040;
    wire.head.fault_ticks = 125;
    wire.head.ticks_per_second = 100;
    for action in [Action::Restart, Action::Restart, Action::Stop] {
        wire.head.action = action as u8;
        writer.push(&mut wire);
    }
    region.bytes()
}

#[test]
fn makes_a_table_of_what_is_in_memory() {
    let mut memory = Memory::default();
    memory.put(0x6000_5000, &start_info(0, 0x2000_0000, 0x2000_4000));
    memory.put(0x6001_4000, &start_info(2, 0x2000_0000, 0x2000_4000));
    memory.put(0x6001_0000, &[STACK_PAINT; 0x3000]);
    memory.put(0x5000_0000, &black_box());
    let mut files = Files::default();
    files.add("supervisor", 0x1000, Some(0x2000_4000));
    files.add("blk", 0x1000, Some(0x2000_4000));
    let spaces = dev::spaces(REPORT).expect("its title");
    let mut machine = Cache::new(memory);
    let snapshot = Snapshot::take(&mut machine, &spaces, &system(), &files).expect("memory");
    let mut symbols = Filter::new(Path::new("/nonexistent"));
    assert_eq!(
        snapshot.render(&mut symbols),
        "development kernel, boot 1 since power-on\n\
         PD               PRIO STATE       EPOCH RESTARTS QUEUE         STACK  BEAT LAST FAULT\n\
         supervisor        200 running         0        0     -             -     -\n\
         \u{20}blk              140 stopped         2        2     0    4096/16384     - \
         write at 1.250 s in pc 0x10000040\n"
    );
}

#[test]
fn an_empty_machine_has_an_empty_table() {
    let spaces = Spaces {
        kernel: "none".to_owned(),
        of: HashMap::new(),
    };
    let mut machine = Cache::new(Memory::default());
    let snapshot =
        Snapshot::take(&mut machine, &spaces, &system(), &Files::default()).expect("memory");
    let text = snapshot.render(&mut Filter::new(Path::new("/nonexistent")));
    assert!(text.starts_with("none\nPD "), "{text}");
    assert_eq!(text.matches("not started").count(), 2);
}
