// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! One record: the bytes, and what they say.
//!
//! From a supervisor (the only writer) to its own next boot and to the host. A record is valid when
//! its mark and its CRC fit; it may otherwise hold anything, as the dead PD could write its own
//! stack, name and log as it liked. So nothing in it is used as an index or an address without a
//! check, and its text is printed only after control characters are gone.

use core::fmt;
use core::mem::{offset_of, size_of};

use sel4_shared_memory::Crc32c;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

/// Bytes kept for a PD's name, filled up with NUL.
pub const NAME_BYTES: usize = 48;
/// Registers of a thread, in the kernel's order (`microkit_abi::tcb`).
pub const REGISTER_COUNT: usize = 36;
/// Most return addresses in a record.
pub const FRAMES_MAX: usize = 16;
/// Bytes kept of the last log lines.
pub const TEXT_BYTES: usize = 376;

/// What a supervisor fills a stack with before its PD's first life.
pub const STACK_PAINT: u8 = 0xa5;

/// "KREC".
const MARK: u32 = u32::from_le_bytes(*b"KREC");
/// First byte under the CRC.
const COVERED_FROM: usize = 8;

/// Why a life ended. Numbers are for ever; 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Kind {
    /// Read of an address that is not mapped or not readable.
    Read = 1,
    /// Write to an address that is not mapped or not writable.
    Write = 2,
    /// Instruction fetch from an address that is not mapped or not executable.
    Execute = 3,
    /// Unaligned access where the architecture forbids it.
    Alignment = 4,
    /// Instruction that the processor does not know, or not at EL0.
    IllegalInstruction = 5,
    /// `brk` instruction.
    Breakpoint = 6,
    /// System call on a capability that is not there.
    BadCapability = 7,
    /// System call with a number that the kernel does not have.
    BadSystemCall = 8,
    /// Trap of an instruction or register that EL0 may not use; `detail` is the exception class.
    Trap = 9,
    /// A message that is no fault; `detail` is its label.
    Message = 10,
    /// It is a supervisor and has given up.
    Escalation = 11,
    /// A panic: the program found its own mistake.
    Panic = 12,
    /// Runs, but does not come back to its event loop.
    BusyLoop = 32,
    /// Waits for something that never comes.
    Deadlock = 33,
    /// An interrupt is pending and not served.
    LostIrq = 34,
    /// Work waits and none is completed.
    StuckQueue = 35,
    /// A probe was answered wrongly.
    WrongAnswer = 36,
    /// No heartbeat, and no better explanation.
    Silent = 37,
    /// Did nothing wrong; was restarted together with a sibling, or by an operator.
    Together = 64,
    /// The machine is about to be reset: the last step of the ladder.
    Reset = 65,
    /// A number that this version does not know.
    Unknown = 0xffff,
}

/// In the order of their numbers, with the words used in the log.
const KINDS: [(Kind, &str); 20] = [
    (Kind::Read, "read"),
    (Kind::Write, "write"),
    (Kind::Execute, "execute"),
    (Kind::Alignment, "alignment"),
    (Kind::IllegalInstruction, "illegal_instruction"),
    (Kind::Breakpoint, "breakpoint"),
    (Kind::BadCapability, "bad_capability"),
    (Kind::BadSystemCall, "bad_system_call"),
    (Kind::Trap, "trap"),
    (Kind::Message, "message"),
    (Kind::Escalation, "escalation"),
    (Kind::Panic, "panic"),
    (Kind::BusyLoop, "busy_loop"),
    (Kind::Deadlock, "deadlock"),
    (Kind::LostIrq, "lost_irq"),
    (Kind::StuckQueue, "stuck_queue"),
    (Kind::WrongAnswer, "wrong_answer"),
    (Kind::Silent, "silent"),
    (Kind::Together, "together"),
    (Kind::Reset, "reset"),
];

impl Kind {
    /// Whether the supervisor found it, not the processor.
    #[must_use]
    pub const fn is_hang(self) -> bool {
        matches!(self as u16, 32..64)
    }

    /// The kind with this number, or [`Kind::Unknown`].
    #[must_use]
    pub fn from_number(number: u16) -> Self {
        let found = KINDS.iter().find(|(kind, _)| *kind as u16 == number);
        found.map_or(Self::Unknown, |(kind, _)| *kind)
    }

    /// The word used in the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        let found = KINDS.iter().find(|(kind, _)| *kind == self);
        found.map_or("unknown", |(_, name)| name)
    }
}

/// What was done about it. Numbers are for ever; 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Action {
    /// Loaded and run again.
    Restart = 1,
    /// Left where it is.
    Stop = 2,
    /// Handed to the supervisor's own supervisor.
    Escalate = 3,
    /// Loaded and run again, from the fallback image.
    Fallback = 4,
    /// The machine was reset.
    Reset = 5,
    /// Run again later, after a pause.
    Backoff = 6,
    /// A number that this version does not know.
    Unknown = 0xff,
}

const ACTIONS: [(Action, &str); 6] = [
    (Action::Restart, "restart"),
    (Action::Stop, "stop"),
    (Action::Escalate, "escalate"),
    (Action::Fallback, "fallback"),
    (Action::Reset, "reset"),
    (Action::Backoff, "backoff"),
];

impl Action {
    /// The action with this number, or [`Action::Unknown`].
    #[must_use]
    pub fn from_number(number: u8) -> Self {
        let found = ACTIONS.iter().find(|(action, _)| *action as u8 == number);
        found.map_or(Self::Unknown, |(action, _)| *action)
    }

    /// The word used in the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        let found = ACTIONS.iter().find(|(action, _)| *action == self);
        found.map_or("unknown", |(_, name)| name)
    }
}

/// What every record and every event begins with.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Head {
    /// "KREC".
    pub mark: u32,
    /// CRC-32C of everything behind it.
    pub crc: u32,
    /// Records since the black box was formatted.
    pub sequence: u64,
    /// Boots since the black box was formatted, this one included.
    pub boot: u32,
    /// Epoch of the life that ended.
    pub epoch: u32,
    /// Counter when the supervisor received the fault.
    pub fault_ticks: u64,
    /// Counts per second of the counter.
    pub ticks_per_second: u64,
    /// Address that was accessed, or the capability or number that was used; else 0.
    pub address: u64,
    /// Program counter.
    pub pc: u64,
    /// See [`Kind`].
    pub detail: u64,
    /// Lowest address of the stack.
    pub stack_bottom: u64,
    /// Address above the stack.
    pub stack_top: u64,
    /// Lowest address that any life since boot is known to have used; 0 is unknown.
    pub stack_low: u64,
    /// [`Kind`].
    pub kind: u16,
    /// [`Action`].
    pub action: u8,
    /// Return addresses in the backtrace.
    pub frame_count: u8,
    /// Bytes of text.
    pub text_bytes: u16,
    /// Zero.
    pub reserved: u16,
    /// The PD.
    pub name: [u8; NAME_BYTES],
}

/// What the PD showed its supervisor last, in the order of its vitals page (crate `vitals`). All zero: it has
/// no such page, or nobody knew any more.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Shown {
    /// Answers to the supervisor.
    pub beats: u64,
    /// Counter at the latest.
    pub beat_ticks: u64,
    /// Counter when the event began that was being handled; 0: it waited for one.
    pub busy_since: u64,
    /// Signs of life.
    pub progress: u64,
    /// Channels that it waited for in the middle of an event, as bits.
    pub waiting: u64,
    /// Work accepted and not finished.
    pub outstanding: u64,
    /// Work finished.
    pub done: u64,
    /// Of a supervisor: priority that is occupied below it, and one more.
    pub occupied: u64,
    /// Questions in a row that found interrupts missing.
    pub late_interrupts: u64,
    /// Questions in a row that found others not told.
    pub late_work: u64,
    /// Work that waited for nobody else.
    pub own: u64,
}

impl Shown {
    /// From the words of the page.
    #[must_use]
    pub fn from_words(words: &[u64; 11]) -> Self {
        zerocopy::transmute!(*words)
    }
}

/// A record as it lies in the black box.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct RecordWire {
    /// Who, what, when, where.
    pub head: Head,
    /// All registers, in the kernel's order.
    pub registers: [u64; REGISTER_COUNT],
    /// Return addresses, innermost first.
    pub frames: [u64; FRAMES_MAX],
    /// Its vitals.
    pub shown: Shown,
    /// The end of the PD's log, UTF-8 with `\n` between lines.
    pub text: [u8; TEXT_BYTES],
}

// Plain integers, not byte arrays, because a supervisor fills these in while a child waits, and the
// target promises strict alignment. Machine and host are both little-endian.
const _: () = assert!(cfg!(target_endian = "little"));
const _: () = assert!(size_of::<Head>() == 144);
const _: () = assert!(size_of::<RecordWire>() == 1024);
const _: () = assert!(offset_of!(RecordWire, text) == 648);

impl RecordWire {
    /// Index of the link register in the kernel's order.
    const LR: usize = 16;

    /// All zeros: not valid before it is sealed.
    #[must_use]
    pub fn empty() -> Self {
        Self::new_zeroed()
    }

    /// Sets mark and CRC.
    pub fn seal(&mut self) {
        self.head.mark = MARK;
        self.head.crc = self.checksum();
    }

    /// Says whether mark and CRC fit.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.head.mark == MARK
            && usize::from(self.head.frame_count) <= FRAMES_MAX
            && usize::from(self.head.text_bytes) <= TEXT_BYTES
            && self.head.crc == self.checksum()
    }

    /// Only what is used is under the CRC, so that a short text costs little.
    fn checksum(&self) -> u32 {
        let text_bytes = usize::from(self.head.text_bytes).min(TEXT_BYTES);
        let end = offset_of!(Self, text) + text_bytes;
        Crc32c::new()
            .bytes(&self.as_bytes()[COVERED_FROM..end])
            .finish()
    }

    /// The link register.
    #[must_use]
    pub fn lr(&self) -> u64 {
        self.registers[Self::LR]
    }

    /// What the record says.
    #[must_use]
    pub fn record(&self) -> Record<'_> {
        Record { wire: self }
    }
}

/// What a valid record says.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    wire: &'a RecordWire,
}

impl<'a> Record<'a> {
    /// The fields that are numbers.
    #[must_use]
    pub fn head(&self) -> &'a Head {
        &self.wire.head
    }

    /// The PD.
    #[must_use]
    pub fn name(&self) -> &'a str {
        name_of(&self.wire.head.name)
    }

    /// All registers, in the kernel's order.
    #[must_use]
    pub fn registers(&self) -> [u64; REGISTER_COUNT] {
        self.wire.registers
    }

    /// Return addresses, innermost first.
    pub fn frames(&self) -> impl Iterator<Item = u64> + use<'a> {
        let count = usize::from(self.wire.head.frame_count).min(FRAMES_MAX);
        self.wire.frames[..count].iter().copied()
    }

    /// The end of the PD's log; what is no UTF-8 is left out.
    #[must_use]
    pub fn text(&self) -> &'a str {
        let length = usize::from(self.wire.head.text_bytes).min(TEXT_BYTES);
        let bytes = &self.wire.text[..length];
        match core::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => core::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
        }
    }
}

impl Head {
    /// Why the life ended.
    #[must_use]
    pub fn kind(&self) -> Kind {
        Kind::from_number(self.kind)
    }

    /// What was done.
    #[must_use]
    pub fn action(&self) -> Action {
        Action::from_number(self.action)
    }

    /// Deepest use of the stack in bytes, when it is known.
    #[must_use]
    pub fn stack_used(&self) -> Option<u64> {
        let (bottom, top) = (self.stack_bottom, self.stack_top);
        let low = self.stack_low;
        (bottom <= low && low <= top && low != 0).then(|| top - low)
    }
}

/// The kind with its detail, as in `trap_0x18`.
impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind().name())?;
        match self.kind() {
            Kind::Trap | Kind::Message => write!(f, "_{:#x}", self.detail),
            Kind::Unknown => write!(f, "_{}", self.kind),
            _ => Ok(()),
        }
    }
}

/// A name as the wire has it; a longer one is cut off.
#[must_use]
pub fn to_name(name: &str) -> [u8; NAME_BYTES] {
    let mut wire = [0; NAME_BYTES];
    let length = name.len().min(NAME_BYTES);
    wire[..length].copy_from_slice(&name.as_bytes()[..length]);
    wire
}

/// The name in the wire; `?` when it is no name.
#[must_use]
pub fn name_of(wire: &[u8; NAME_BYTES]) -> &str {
    let length = wire
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(NAME_BYTES);
    match core::str::from_utf8(&wire[..length]) {
        Ok(name) if !name.is_empty() && !name.contains(char::is_control) => name,
        _ => "?",
    }
}
