// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Writes small ELF files, for tests that need a program.

/// Readable and executable.
pub const RX: u32 = 5;
/// Readable and writable.
pub const RW: u32 = 6;
/// Where [`program`] starts.
pub const CODE: u64 = 0x20_0000;
/// Where its variables are.
pub const DATA: u64 = 0x20_1000;

/// The variables that the Microkit tool patches: name and size, placed one after the other.
pub const VARIABLES: [(&str, u64); 6] = [
    ("microkit_name", 64),
    ("microkit_passive", 1),
    ("microkit_irqs", 8),
    ("microkit_notifications", 8),
    ("microkit_pps", 8),
    ("microkit_ioports", 8),
];

#[derive(Clone)]
pub struct Segment {
    pub vaddr: u64,
    pub bytes: Vec<u8>,
    pub memory_size: u64,
    pub flags: u32,
}

#[derive(Clone)]
pub struct Symbol {
    pub name: String,
    pub address: u64,
    pub size: u64,
}

#[derive(Clone)]
pub struct Elf {
    pub entry: u64,
    pub segments: Vec<Segment>,
    pub symbols: Vec<Symbol>,
}

/// A program with code, variables in zeroed memory, and the six symbols.
pub fn program() -> Elf {
    let mut elf = Elf {
        entry: CODE,
        segments: vec![
            Segment {
                vaddr: CODE,
                bytes: vec![0xaa; 16],
                memory_size: 16,
                flags: RX,
            },
            Segment {
                vaddr: DATA,
                bytes: vec![0xbb; 8],
                memory_size: 0x1000,
                flags: RW,
            },
        ],
        symbols: Vec::new(),
    };
    for (name, size) in VARIABLES {
        elf.symbol(name, size);
    }
    elf
}

/// A kernel: code at its start.
pub fn kernel() -> Elf {
    let start = 0xffff_ff80_7000_0000;
    Elf {
        entry: start,
        segments: vec![
            Segment {
                vaddr: start,
                bytes: vec![1; 8],
                memory_size: 8,
                flags: RX,
            },
            Segment {
                vaddr: start + 0x1000,
                bytes: vec![2; 8],
                memory_size: 0x1800,
                flags: RW,
            },
        ],
        symbols: Vec::new(),
    }
}

impl Elf {
    /// Adds a variable behind the others.
    pub fn symbol(&mut self, name: &str, size: u64) {
        let end = self
            .symbols
            .iter()
            .map(|symbol| symbol.address + symbol.size)
            .max();
        let address = end.unwrap_or(DATA + 0x100).next_multiple_of(8);
        self.symbols.push(Symbol {
            name: name.into(),
            address,
            size,
        });
    }

    pub fn address_of(&self, name: &str) -> u64 {
        self.symbols
            .iter()
            .find(|symbol| symbol.name == name)
            .unwrap()
            .address
    }

    fn header(&self, sections_at: u64) -> Vec<u8> {
        let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        file.extend([2, 0, 183, 0, 1, 0, 0, 0]);
        for word in [
            self.entry,
            64,
            if self.symbols.is_empty() {
                0
            } else {
                sections_at
            },
        ] {
            file.extend(word.to_le_bytes());
        }
        file.extend([0; 4]);
        let (sections_count, names) = if self.symbols.is_empty() {
            (0, 0)
        } else {
            (3, 2)
        };
        for half in [
            64,
            56,
            self.segments.len() as u16,
            64,
            sections_count,
            names,
        ] {
            file.extend(half.to_le_bytes());
        }
        file
    }

    /// The file: header, program headers, segments, then symbol and string tables.
    pub fn bytes(&self) -> Vec<u8> {
        let headers = 64 + 56 * self.segments.len();
        let mut body = Vec::new();
        let mut program_headers = Vec::new();
        for segment in &self.segments {
            let offset = (headers + body.len()) as u64;
            program_headers.extend(1u32.to_le_bytes());
            program_headers.extend(segment.flags.to_le_bytes());
            let sizes = [segment.bytes.len() as u64, segment.memory_size, 1];
            for word in [offset, segment.vaddr, segment.vaddr]
                .into_iter()
                .chain(sizes)
            {
                program_headers.extend(word.to_le_bytes());
            }
            body.extend(&segment.bytes);
        }
        let mut strings = vec![0];
        let mut symbols = vec![0; 24];
        for symbol in &self.symbols {
            symbols.extend((strings.len() as u32).to_le_bytes());
            symbols.extend([0x11, 0, 1, 0]);
            symbols.extend(symbol.address.to_le_bytes());
            symbols.extend(symbol.size.to_le_bytes());
            strings.extend(symbol.name.bytes());
            strings.push(0);
        }
        let symbols_at = (headers + body.len()) as u64;
        let strings_at = symbols_at + symbols.len() as u64;
        let sections_at = strings_at + strings.len() as u64;
        let mut sections = vec![0; 64];
        for (kind, offset, size, link, info, entry) in [
            (2u32, symbols_at, symbols.len(), 2u32, 1u32, 24u64),
            (3, strings_at, strings.len(), 0, 0, 0),
        ] {
            sections.extend([0; 4]);
            sections.extend(kind.to_le_bytes());
            for word in [0, 0, offset, size as u64] {
                sections.extend(word.to_le_bytes());
            }
            sections.extend(link.to_le_bytes());
            sections.extend(info.to_le_bytes());
            sections.extend(1u64.to_le_bytes());
            sections.extend(entry.to_le_bytes());
        }
        let mut file = self.header(sections_at);
        for part in [program_headers, body, symbols, strings, sections] {
            file.extend(part);
        }
        file
    }
}
