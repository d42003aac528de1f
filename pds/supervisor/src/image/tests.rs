// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A small ELF file made by hand, whole and broken.

use recovery::DATA_BASE;
use sel4_shared_memory::host::{HostRegion, Life as Steps};
use topology::SavedElf;

use super::*;

const CODE: &[u8] = b"code";
const CODE_AT: usize = 0x200;
const DATA_AT: usize = 0x300;
const FILE_BYTES: usize = 0x400;

fn parts() -> Parts {
    let window = |vaddr_in_child, size| Window {
        vaddr: 0,
        vaddr_in_child,
        size,
    };
    Parts {
        code: window(CODE_BASE, 0x1000),
        data: window(DATA_BASE, 0x3000),
        elf: SavedElf {
            vaddr: 0,
            size: 0x1000,
            file_len: FILE_BYTES as u64,
        },
    }
}

fn program_header(file: usize, vaddr: u64, file_bytes: u64, memory_bytes: u64) -> [u8; 56] {
    let mut header = [0; 56];
    header[0] = 1;
    header[4] = if vaddr < DATA_BASE { 5 } else { 6 };
    for (offset, value) in [
        (8, file as u64),
        (16, vaddr),
        (24, vaddr),
        (32, file_bytes),
        (40, memory_bytes),
    ] {
        header[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
    }
    header
}

/// Boot, code, stack, data with bss: as `pd.ld` makes it.
fn file() -> Vec<u8> {
    let mut file = vec![0; FILE_BYTES];
    file[..6].copy_from_slice(b"\x7fELF\x02\x01");
    file[24..32].copy_from_slice(&CODE_BASE.to_le_bytes());
    file[32..40].copy_from_slice(&64u64.to_le_bytes());
    file[56] = 4;
    let headers = [
        program_header(0, 0x20_0000, 16, 16),
        program_header(CODE_AT, CODE_BASE, CODE.len() as u64, CODE.len() as u64),
        program_header(0, DATA_BASE, 0, 0x1000),
        program_header(DATA_AT, DATA_BASE + 0x1000, 80, 0x100),
    ];
    for (index, header) in headers.iter().enumerate() {
        file[64 + index * 56..][..56].copy_from_slice(header);
    }
    file[CODE_AT..][..CODE.len()].copy_from_slice(CODE);
    file[DATA_AT..][..8].copy_from_slice(b"KINTSTRT");
    file[DATA_AT + 8] = 2;
    file[DATA_AT + 64..][..16].fill(0xdd);
    file
}

fn region(bytes: &[u8]) -> HostRegion {
    let region = HostRegion::new(bytes.len());
    region.set_bytes(0, bytes);
    region
}

fn parse(file: &[u8]) -> Result<Image, ImageError> {
    Image::parse(&region(file).shared_ref(), &parts())
}

#[test]
fn every_life_starts_from_the_same_bytes() {
    let elf = region(&file());
    let image = Image::parse(&elf.shared_ref(), &parts()).expect("valid");
    let (code, data) = (HostRegion::new(0x1000), HostRegion::new(0x3000));
    for epoch in 0..3 {
        // What the last life left behind.
        code.set_bytes(0, &[0xee; 0x1000]);
        data.set_bytes(0, &[0xee; 0x3000]);
        let life = Life {
            epoch,
            fault_ticks: 5,
            ipc_buffer: 0xff_ffff_f000,
        };
        let steps = Steps::endless();
        let (mut code_mut, mut data_mut) = (code.shared_mut(&steps), data.shared_mut(&steps));
        let elf = elf.shared_ref();
        let written = image.load(&elf, &mut code_mut, &mut data_mut, life, Extent::All);

        assert_eq!((&code.bytes()[..4], written), (CODE, 0..4));
        let bytes = data.bytes();
        assert!(
            bytes[..0x1000].iter().all(|&byte| byte == 0xee),
            "the stack is scratch"
        );
        let info = StartInfo::parse(&bytes[0x1000..]).expect("valid");
        assert_eq!((info.epoch.get(), info.fault_ticks.get()), (epoch, 5));
        assert!(
            bytes[0x1040..0x1050].iter().all(|&byte| byte == 0xdd),
            "data"
        );
        assert!(bytes[0x1050..0x1100].iter().all(|&byte| byte == 0), "bss");
        assert!(
            bytes[0x1100..].iter().all(|&byte| byte == 0xee),
            "beyond the segment"
        );
    }
}

#[test]
fn code_is_restored_as_far_as_asked() {
    let elf = region(&file()).shared_ref();
    let image = Image::parse(&elf, &parts()).expect("valid");
    let (code, data) = (HostRegion::new(0x1000), HostRegion::new(0x3000));
    let steps = Steps::endless();
    let (mut code_mut, mut data_mut) = (code.shared_mut(&steps), data.shared_mut(&steps));
    let life = Life {
        epoch: 1,
        fault_ticks: 5,
        ipc_buffer: 0xff_ffff_f000,
    };
    let offset = image.code_offset(CODE_BASE).expect("code");
    assert!(!image.is_intact(&elf, &code_mut, offset));
    let mut load =
        |code: &mut SharedMut, extent| image.load(&elf, code, &mut data_mut, life, extent);
    assert_eq!(load(&mut code_mut, Extent::Data), 0..0);
    assert_eq!(code.bytes()[..4], [0; 4]);
    assert_eq!(load(&mut code_mut, Extent::Page(offset)), 0..4);
    assert_eq!(&code.bytes()[..5], b"code\0");
    assert!(image.is_intact(&elf, &code_mut, offset));
    assert_eq!(load(&mut code_mut, Extent::Page(0x800)), 0..0);
    assert_eq!(image.code_offset(CODE_BASE + 2), None);
    let region_offset = |pc| image.region_offset(pc, &code_mut);
    assert_eq!(region_offset(CODE_BASE + 0xffc), Some(0xffc));
    assert_eq!(
        (region_offset(CODE_BASE + 0x1000), region_offset(0)),
        (None, None)
    );
    assert_eq!(image.code_offset(CODE_BASE + 4), None);
}

#[test]
fn a_finding_outside_of_the_data_region_is_none() {
    let (mut bytes, data) = (file(), HostRegion::new(0x3000));
    for (address, expected) in [
        (DATA_BASE + 0x2000, Some(0x2000)),
        (DATA_BASE + 0x2004, None),
        (DATA_BASE + 0x2f00, None),
        (u64::MAX - 7, None),
        (0, None),
    ] {
        bytes[DATA_AT + 48..][..8].copy_from_slice(&address.to_le_bytes());
        let image = parse(&bytes).expect("valid");
        assert_eq!(image.last_life_offset(&data.shared_ref()), expected);
    }
}

#[test]
fn wrong_files_are_refused_with_the_cause() {
    let broken = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut file = file();
        change(&mut file);
        parse(&file).unwrap_err()
    };
    assert_eq!(broken(&|file| file[0] = 0), ImageError::NotElf);
    assert_eq!(broken(&|file| file.truncate(32)), ImageError::NotElf);
    assert_eq!(broken(&|file| file.truncate(0x120)), ImageError::CutOff);
    assert_eq!(broken(&|file| file.truncate(DATA_AT)), ImageError::CutOff);
    assert_eq!(
        broken(&|file| file[24] = 4),
        ImageError::Entry(CODE_BASE + 4)
    );
    assert_eq!(broken(&|file| file[DATA_AT] = 0), ImageError::NoStartInfo);
    // The code segment moved out of its region.
    let outside = CODE_BASE + 0x1000;
    let moved = broken(&|file| file[64 + 56 + 16 + 1] = 0x10);
    assert_eq!(moved, ImageError::Outside(outside));
}

#[test]
fn no_bytes_make_the_reader_panic() {
    let good = file();
    for index in 0..64 + 4 * 56 {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut file = good.clone();
            file[index] = value;
            let _ = parse(&file);
        }
    }
}
