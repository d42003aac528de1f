// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! From a system to an image and back: what the kernel would read, and what is refused.

mod elf;

use boot_image::spec::{
    Channel, ChannelEnd, CspaceCap, CspaceCapKind, Irq, Map, MemoryRegion, Parent, Perms,
    ProgramImage, ProtectionDomain, Setvar, Trigger,
};
use boot_image::wire::{
    CAP_ENDPOINT, CAP_IRQ_HANDLER, CAP_NOTIFICATION, CAP_REPLY, CAP_SCHED_CONTEXT, CAP_SMC,
    CAP_TCB, CAP_VSPACE, MAP_LARGE, MONITOR, USER_SLOTS,
};
use boot_image::{
    IMAGE_START, IPC_BUFFER_VADDR, Image, LayoutError, NORMAL_END, NORMAL_START, STACK_TOP,
    SystemSpec, layout,
};
use elf::{CODE, DATA, Elf, RX, Segment, program};

fn pd(name: &str, elf: &Elf) -> ProtectionDomain {
    ProtectionDomain {
        name: name.into(),
        program_image: ProgramImage {
            elf: elf.bytes(),
            elf_for_symbols: None,
        },
        ..Default::default()
    }
}

fn system(pds: Vec<ProtectionDomain>) -> SystemSpec {
    SystemSpec {
        kernel_elf: elf::kernel().bytes(),
        protection_domains: pds,
        ..Default::default()
    }
}

fn region(name: &str, size: u64) -> MemoryRegion {
    MemoryRegion {
        name: name.into(),
        size,
        ..Default::default()
    }
}

fn map(mr: &str, vaddr: u64) -> Map {
    Map {
        mr: mr.into(),
        vaddr,
        perms: Perms {
            read: true,
            write: true,
            execute: false,
        },
        cached: true,
        setvar_vaddr: None,
        setvar_size: None,
        setvar_prefill_size: None,
    }
}

fn end(pd: &str, id: u8, pp: bool) -> ChannelEnd {
    ChannelEnd {
        pd: pd.into(),
        id,
        pp,
        notify: true,
        setvar_id: None,
    }
}

/// A made image, with the kernel's part cut off.
struct Made {
    image: Vec<u8>,
    table: usize,
}

impl Made {
    #[track_caller]
    fn new(system: &SystemSpec) -> Self {
        let image = layout(system).unwrap();
        let table = boot_image::kernel_blob(&system.kernel_elf).unwrap().len();
        Self { image, table }
    }

    fn read(&self) -> Image<'_> {
        Image::parse(&self.image[self.table..]).unwrap()
    }

    /// What the PD finds at `vaddr` when it starts.
    fn memory(&self, pd: u16, vaddr: u64, length: usize) -> Vec<u8> {
        let image = self.read();
        let map = image
            .maps
            .iter()
            .find(|map| {
                let start = map.vaddr.get();
                map.pd == pd && (start..start + map.size.get()).contains(&vaddr)
            })
            .expect("mapped");
        let paddr = map.paddr.get() + vaddr - map.vaddr.get();
        let run = image
            .ram
            .iter()
            .find(|run| (run.paddr.get()..run.paddr.get() + run.size.get()).contains(&paddr))
            .expect("defined");
        let mut bytes = image.content(run).to_vec();
        bytes.resize(run.size.get() as usize, 0);
        let start = (paddr - run.paddr.get()) as usize;
        bytes[start..start + length].to_vec()
    }

    fn word(&self, pd: u16, vaddr: u64) -> u64 {
        u64::from_le_bytes(self.memory(pd, vaddr, 8).try_into().unwrap())
    }

    /// Kind, object and badge of the capability in a slot.
    fn cap(&self, pd: u16, slot: u16) -> Option<(u8, u16, u64)> {
        let image = self.read();
        let cap = image
            .caps
            .iter()
            .find(|cap| cap.pd == pd && cap.slot == slot)?;
        Some((cap.kind, cap.object.get(), cap.badge.get()))
    }
}

#[track_caller]
fn refused(system: &SystemSpec) -> String {
    layout(system).expect_err("must be refused").to_string()
}

#[test]
fn kernel_comes_first_with_its_bss() {
    let made = Made::new(&system(vec![pd("a", &program())]));
    assert_eq!(made.table, 0x3000);
    assert_eq!(made.image[..8], [1; 8]);
    assert_eq!(made.image[0x1000..0x1008], [2; 8]);
    assert_eq!(made.image[0x1008..0x3000], [0; 0x1ff8]);
}

#[test]
fn program_stack_and_ipc_buffer_are_where_microkit_puts_them() {
    let made = Made::new(&system(vec![pd("a", &program())]));
    assert_eq!(made.memory(0, CODE, 16), [0xaa; 16]);
    assert_eq!(
        made.memory(0, DATA, 9),
        [0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0]
    );
    assert_eq!(made.memory(0, STACK_TOP - 0x2000, 0x2000), [0; 0x2000]);
    assert_eq!(made.memory(0, IPC_BUFFER_VADDR, 1024), [0; 1024]);
    let image = made.read();
    assert_eq!(
        (image.pds[0].entry.get(), image.pds[0].stack_top.get()),
        (CODE, STACK_TOP)
    );
    let guard = STACK_TOP..IPC_BUFFER_VADDR;
    assert!(
        image
            .maps
            .iter()
            .all(|map| !guard.contains(&map.vaddr.get()))
    );
}

#[test]
fn memory_is_disjoint_normal_and_outside_the_image() {
    let mut spec = system(vec![pd("a", &program()), pd("b", &program())]);
    spec.memory_regions = vec![region("big", 0x0c00_0000), region("more", 0x0c00_0000)];
    spec.protection_domains[0].maps = vec![map("big", 0x4000_0000), map("more", 0x8000_0000)];
    let made = Made::new(&spec);
    let mut runs: Vec<_> = made
        .read()
        .ram
        .iter()
        .map(|run| run.paddr.get()..run.paddr.get() + run.size.get())
        .collect();
    runs.push(IMAGE_START..IMAGE_START + made.image.len() as u64);
    runs.sort_by_key(|run| run.start);
    assert!(runs.first().unwrap().start >= NORMAL_START);
    assert!(runs.last().unwrap().end <= NORMAL_END);
    for pair in runs.windows(2) {
        assert!(pair[0].end <= pair[1].start, "{pair:x?}");
    }
}

#[test]
fn the_six_variables_are_patched() {
    let mut a = pd("client", &program());
    a.irqs.push(Irq {
        irq: 48,
        id: 7,
        trigger: Trigger::Edge,
        setvar_id: None,
    });
    let mut b = pd("server", &program());
    b.passive = true;
    let mut spec = system(vec![a, b]);
    let silent = ChannelEnd {
        notify: false,
        ..end("client", 2, false)
    };
    spec.channels = vec![
        Channel {
            ends: [end("client", 1, true), end("server", 5, false)],
        },
        Channel {
            ends: [silent, end("server", 6, false)],
        },
    ];
    let made = Made::new(&spec);
    let at = |name| program().address_of(name);
    assert_eq!(made.memory(0, at("microkit_name"), 7), b"client\0");
    assert_eq!(made.memory(1, at("microkit_passive"), 1), [1]);
    assert_eq!(made.word(0, at("microkit_irqs")), 1 << 7);
    assert_eq!(made.word(0, at("microkit_notifications")), 1 << 1);
    assert_eq!(made.word(0, at("microkit_pps")), 1 << 1);
    assert_eq!(made.word(1, at("microkit_notifications")), 1 << 5 | 1 << 6);
    assert_eq!(made.word(1, at("microkit_pps")), 0);
}

#[test]
fn a_long_name_is_cut_at_64_bytes() {
    let made = Made::new(&system(vec![pd(&"n".repeat(80), &program())]));
    let at = program().address_of("microkit_name");
    assert_eq!(made.memory(0, at, 64), [b'n'; 64]);
}

#[test]
fn setvars_are_set() {
    let mut elf = program();
    for name in ["vaddr", "size", "prefill", "irq", "end", "paddr", "child"] {
        elf.symbol(name, 8);
    }
    let some = |name: &str| Some(name.to_string());
    let mut parent = pd("parent", &elf);
    parent.maps.push(Map {
        setvar_vaddr: some("vaddr"),
        setvar_size: some("size"),
        setvar_prefill_size: some("prefill"),
        ..map("mr", 0x300_0000)
    });
    parent.irqs.push(Irq {
        irq: 33,
        id: 9,
        trigger: Trigger::Level,
        setvar_id: some("irq"),
    });
    parent.setvars.push(Setvar {
        symbol: "paddr".into(),
        region_paddr: "mr".into(),
    });
    let mut child = pd("child", &program());
    child.parent = Some(Parent {
        index: 0,
        id: 4,
        setvar_id: some("child"),
    });
    let mut spec = system(vec![parent, child]);
    let mut mr = region("mr", 0x2000);
    mr.prefill = Some(vec![5; 0x1801]);
    spec.memory_regions.push(mr);
    let named = ChannelEnd {
        setvar_id: some("end"),
        ..end("parent", 3, false)
    };
    spec.channels.push(Channel {
        ends: [named, end("child", 0, false)],
    });
    let made = Made::new(&spec);
    let value = |name| made.word(0, elf.address_of(name));
    assert_eq!(
        (value("vaddr"), value("size"), value("prefill")),
        (0x300_0000, 0x2000, 0x1801)
    );
    assert_eq!((value("irq"), value("end"), value("child")), (9, 3, 4));
    let image = made.read();
    let map = image
        .maps
        .iter()
        .find(|map| map.vaddr.get() == 0x300_0000)
        .unwrap();
    assert_eq!(value("paddr"), map.paddr.get());
    assert_eq!(made.memory(0, 0x300_1800, 2), [5, 0]);
}

#[test]
fn capabilities_are_in_microkits_slots() {
    let mut boss = pd("boss", &program());
    boss.smc = true;
    boss.irqs.push(Irq {
        irq: 48,
        id: 2,
        trigger: Trigger::Level,
        setvar_id: None,
    });
    boss.cspace = vec![
        CspaceCap {
            kind: CspaceCapKind::SchedContext,
            slot: 1,
            pd: "child".into(),
        },
        CspaceCap {
            kind: CspaceCapKind::Tcb,
            slot: 63,
            pd: "boss".into(),
        },
    ];
    let mut child = pd("child", &program());
    child.parent = Some(Parent {
        index: 0,
        id: 7,
        setvar_id: None,
    });
    child.passive = true;
    let mut spec = system(vec![boss, child]);
    spec.channels.push(Channel {
        ends: [end("child", 3, true), end("boss", 4, false)],
    });
    let made = Made::new(&spec);
    assert_eq!(made.cap(0, 1), Some((CAP_ENDPOINT, 0, 0)));
    assert_eq!(made.cap(1, 1), Some((CAP_NOTIFICATION, 1, 0)));
    assert_eq!(made.cap(0, 2), Some((CAP_ENDPOINT, MONITOR, 1)));
    assert_eq!(made.cap(1, 2), Some((CAP_ENDPOINT, 0, 1 << 62 | 7)));
    assert_eq!(made.cap(1, 3), Some((CAP_VSPACE, 1, 0)));
    assert_eq!(made.cap(1, 4), Some((CAP_REPLY, 1, 0)));
    assert_eq!(made.cap(0, 5), None);
    assert_eq!(made.cap(1, 5), Some((CAP_ENDPOINT, MONITOR, 2)));
    assert_eq!(made.cap(0, 6), None);
    assert_eq!(made.cap(0, 7), Some((CAP_SMC, 0, 0)));
    assert_eq!(made.cap(1, 7), None);
    assert_eq!(made.cap(1, 10 + 3), Some((CAP_NOTIFICATION, 0, 1 << 4)));
    assert_eq!(made.cap(0, 10 + 4), Some((CAP_NOTIFICATION, 1, 1 << 3)));
    assert_eq!(made.cap(1, 74 + 3), Some((CAP_ENDPOINT, 0, 1 << 63 | 4)));
    assert_eq!(made.cap(0, 74 + 4), None);
    assert_eq!(made.cap(0, 138 + 2), Some((CAP_IRQ_HANDLER, 48, 0)));
    assert_eq!(made.cap(0, 202 + 7), Some((CAP_TCB, 1, 0)));
    assert_eq!(made.cap(0, USER_SLOTS + 1), Some((CAP_SCHED_CONTEXT, 1, 0)));
    assert_eq!(made.cap(0, USER_SLOTS + 63), Some((CAP_TCB, 0, 0)));
}

#[test]
fn regions_below_normal_memory_are_never_defined() {
    let mut spec = system(vec![pd("a", &program())]);
    let low = MemoryRegion {
        phys_addr: Some(0x5000_0000),
        ..region("black_box", 0x1000)
    };
    let high = MemoryRegion {
        phys_addr: Some(0x9000_0000),
        ..region("dma", 0x1000)
    };
    spec.memory_regions = vec![low, high];
    spec.protection_domains[0].maps = vec![map("black_box", 0x300_0000), map("dma", 0x301_0000)];
    let made = Made::new(&spec);
    let defined: Vec<_> = made.read().ram.iter().map(|run| run.paddr.get()).collect();
    assert!(!defined.contains(&0x5000_0000));
    assert!(defined.contains(&0x9000_0000));
}

#[test]
fn a_region_gets_large_pages_where_the_tool_would_give_them() {
    let mut spec = system(vec![pd("a", &program())]);
    spec.memory_regions = vec![region("large", 0x20_0000), region("odd", 0x20_0000)];
    spec.protection_domains[0].maps = vec![map("large", 0x4000_0000), map("odd", 0x5000_1000)];
    let made = Made::new(&spec);
    let flags = |vaddr| {
        let image = made.read();
        image
            .maps
            .iter()
            .find(|map| map.vaddr.get() == vaddr)
            .unwrap()
            .flags
            .get()
    };
    assert_ne!(flags(0x4000_0000) & MAP_LARGE, 0);
    assert_eq!(flags(0x5000_1000) & MAP_LARGE, 0);
}

#[test]
fn symbols_may_come_from_another_file() {
    let full = program();
    let stripped = Elf {
        symbols: Vec::new(),
        ..full.clone()
    };
    let mut a = pd("a", &stripped);
    assert_eq!(
        refused(&system(vec![a.clone()])),
        "a: program image: unable to find symbol table section"
    );
    a.program_image.elf_for_symbols = Some(full.bytes());
    let made = Made::new(&system(vec![a]));
    assert_eq!(made.memory(0, full.address_of("microkit_name"), 2), b"a\0");
}

#[test]
fn a_missing_symbol_is_refused() {
    for (index, (name, _)) in elf::VARIABLES.iter().enumerate() {
        let mut elf = program();
        elf.symbols.remove(index);
        let error = refused(&system(vec![pd("a", &elf)]));
        assert_eq!(error, format!("a: no symbol named '{name}'"));
    }
}

#[test]
fn a_symbol_of_the_wrong_size_is_refused() {
    let mut elf = program();
    elf.symbols[2].size = 0;
    assert_eq!(
        refused(&system(vec![pd("a", &elf)])),
        "a: symbol 'microkit_irqs' has 0 bytes, 8 are needed"
    );
}

#[test]
fn a_symbol_outside_of_the_program_is_refused() {
    let mut elf = program();
    elf.symbols[0].address = DATA + 0xff0;
    assert_eq!(
        refused(&system(vec![pd(&"long name ".repeat(3), &elf)])),
        format!(
            "{}: symbol 'microkit_name' lies in no loaded segment of the program",
            "long name ".repeat(3)
        )
    );
}

#[test]
fn a_symbol_named_twice_is_refused() {
    let mut elf = program();
    elf.symbol("microkit_pps", 8);
    assert_eq!(
        refused(&system(vec![pd("a", &elf)])),
        "a: more than one symbol is named 'microkit_pps'"
    );
}

#[test]
fn a_variable_set_twice_is_refused() {
    let mut elf = program();
    elf.symbol("x", 8);
    let mut a = pd("a", &elf);
    for vaddr in [0x300_0000, 0x301_0000] {
        a.maps.push(Map {
            setvar_vaddr: Some("x".into()),
            ..map("mr", vaddr)
        });
    }
    let mut spec = system(vec![a]);
    spec.memory_regions.push(region("mr", 0x1000));
    assert_eq!(refused(&spec), "a: symbol 'x' is set twice");
}

#[test]
fn a_cut_off_elf_is_refused() {
    let mut a = pd("a", &program());
    for length in [0, 10, 63, 100, 180] {
        a.program_image.elf = program().bytes()[..length].to_vec();
        let error = refused(&system(vec![a.clone()]));
        assert!(error.starts_with("a: program image: "), "{length}: {error}");
    }
}

#[test]
fn no_cut_of_an_elf_panics() {
    let bytes = program().bytes();
    let mut a = pd("a", &program());
    for length in 0..bytes.len() {
        a.program_image.elf = bytes[..length].to_vec();
        let _ = layout(&system(vec![a.clone()]));
    }
}

#[test]
fn two_segments_in_one_page_are_refused() {
    let mut elf = program();
    let second = Segment {
        vaddr: CODE + 0x800,
        bytes: vec![0],
        memory_size: 1,
        flags: RX,
    };
    elf.segments.push(second);
    assert!(refused(&system(vec![pd("a", &elf)])).contains("both need the page at 0x200000"));
}

#[test]
fn a_map_over_program_or_stack_is_refused() {
    let mut spec = system(vec![pd("a", &program())]);
    spec.memory_regions.push(region("mr", 0x2000));
    spec.protection_domains[0].maps = vec![map("mr", CODE - 0x1000)];
    assert!(refused(&spec).contains("memory region 'mr' and the program's segment at 0x200000"));
    spec.protection_domains[0].maps = vec![map("mr", STACK_TOP - 0x3000)];
    assert_eq!(
        refused(&spec),
        "a: memory region 'mr' cannot be mapped at 0xffffffb000"
    );
    spec.protection_domains[0].maps = vec![map("mr", STACK_TOP - 0x4000)];
    Made::new(&spec);
}

#[test]
fn physical_overlaps_are_refused() {
    let mut spec = system(vec![pd("a", &program())]);
    let at = |name: &str, paddr| MemoryRegion {
        phys_addr: Some(paddr),
        ..region(name, 0x2000)
    };
    spec.memory_regions = vec![at("one", 0x9000_0000), at("two", 0x9000_1000)];
    assert_eq!(
        refused(&spec),
        "memory region 'two' overlaps memory region 'one' in physical memory"
    );
    spec.memory_regions = vec![at("one", IMAGE_START)];
    assert_eq!(
        refused(&spec),
        "memory region 'one' overlaps the kernel and its image in physical memory"
    );
    spec.memory_regions = vec![at("one", 0x800_0000)];
    assert_eq!(
        refused(&spec),
        "memory region 'one' overlaps the interrupt controller in physical memory"
    );
}

#[test]
fn too_much_memory_is_refused() {
    let mut spec = system(vec![pd("a", &program())]);
    spec.memory_regions = vec![region("huge", 0x6000_0000)];
    assert_eq!(
        refused(&spec),
        "no room in physical memory for memory region 'huge' (0x60000000 bytes)"
    );
}

#[test]
fn a_prefill_longer_than_its_region_is_refused() {
    let mut spec = system(vec![pd("a", &program())]);
    spec.memory_regions = vec![MemoryRegion {
        prefill: Some(vec![0; 0x1001]),
        ..region("mr", 0x1000)
    }];
    assert_eq!(
        refused(&spec),
        "memory region 'mr': prefill file is longer than the region"
    );
}

#[test]
fn interrupts_of_the_kernel_are_refused() {
    for irq in [0, 15, 25, 26, 27, 160] {
        let mut a = pd("a", &program());
        a.irqs.push(Irq {
            irq,
            id: 0,
            trigger: Trigger::Level,
            setvar_id: None,
        });
        assert_eq!(
            refused(&system(vec![a])),
            format!("a: interrupt {irq} does not exist or belongs to the kernel")
        );
    }
}

#[test]
fn two_capabilities_in_one_slot_are_refused() {
    let mut spec = system(vec![pd("a", &program()), pd("b", &program())]);
    let channel = Channel {
        ends: [end("a", 1, false), end("b", 1, false)],
    };
    spec.channels = vec![channel.clone(), channel];
    assert_eq!(
        refused(&spec),
        "a: capability slot 11 is taken or does not exist"
    );
}

#[test]
fn budgets_that_sel4_would_abort_on_are_refused() {
    for (budget_us, period_us) in [(19, 1000), (19, 19), (2000, 1000)] {
        let a = ProtectionDomain {
            budget_us,
            period_us,
            ..pd("a", &program())
        };
        assert!(matches!(
            layout(&system(vec![a])),
            Err(LayoutError::BadBudget { .. })
        ));
    }
}

#[test]
fn more_than_63_pds_are_refused() {
    let pds: Vec<_> = (0..64)
        .map(|index| pd(&format!("pd{index}"), &program()))
        .collect();
    Made::new(&system(pds[..63].to_vec()));
    assert_eq!(
        refused(&system(pds)),
        "64 protection domains; 63 is the most"
    );
}

#[test]
fn a_damaged_image_is_refused_by_the_reader() {
    let made = Made::new(&system(vec![pd("a", &program())]));
    let table = &made.image[made.table..];
    for at in [0, 9, 20, 200, table.len() - 1] {
        let mut damaged = table.to_vec();
        damaged[at] ^= 0x10;
        assert!(Image::parse(&damaged).is_err(), "byte {at}");
    }
    for length in [0, 8, 47, table.len() - 1] {
        assert!(Image::parse(&table[..length]).is_err(), "length {length}");
    }
}
