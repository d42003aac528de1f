// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Reads a fault message: what happened, where, and at which address.
//!
//! A child can send its supervisor any message on its fault endpoint, so nothing here is trusted
//! further than for the log line, and every label has a meaning.
//!
//! Sources: seL4 16.0.0 `arch/arm/arch/64/mode/api/ipc_buffer.h` for the layout of the messages;
//! Arm ARM D17.2.37 for the fields of a syndrome register (EC 31..26, WnR 6, DFSC 5..0). The upper
//! bits of a data abort's ISS differ between a stage-1 and a stage-2 abort and are not looked at.

use core::fmt;

use microkit_abi::labels;

/// Kind of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Read of an address that is not mapped or not readable.
    Read,
    /// Write to an address that is not mapped or not writable.
    Write,
    /// Instruction fetch from an address that is not mapped or not executable.
    Execute,
    /// Unaligned access where the architecture forbids it.
    Alignment,
    /// Instruction that the processor does not know, or not at EL0.
    IllegalInstruction,
    /// The instruction with which the runtime ends a life after a panic.
    Panic,
    /// `brk` instruction.
    Breakpoint,
    /// System call on a capability that is not there.
    BadCapability,
    /// System call with a number that the kernel does not have.
    BadSystemCall,
    /// Trap of an instruction or register that EL0 may not use; the payload is the exception class.
    Trap(u8),
    /// The child is a supervisor and has given up.
    Escalation,
    /// It runs and does not come back to its event loop.
    BusyLoop,
    /// It waits for something that does not come.
    Deadlock,
    /// Its interrupt does not reach it any more.
    LostIrq,
    /// It has work and finishes none.
    StuckQueue,
    /// It answered a probe wrongly.
    WrongAnswer,
    /// A message that is no fault: the child called its fault endpoint. The payload is the label.
    Message(u64),
}

impl Kind {
    /// Whether the supervisor found it, not the processor.
    #[must_use]
    pub fn is_hang(self) -> bool {
        self.number().0.is_hang()
    }

    /// Number and detail in a report.
    #[must_use]
    pub fn number(self) -> (black_box::Kind, u64) {
        let plain = match self {
            Self::Read => black_box::Kind::Read,
            Self::Write => black_box::Kind::Write,
            Self::Execute => black_box::Kind::Execute,
            Self::Alignment => black_box::Kind::Alignment,
            Self::IllegalInstruction => black_box::Kind::IllegalInstruction,
            Self::Panic => black_box::Kind::Panic,
            Self::Breakpoint => black_box::Kind::Breakpoint,
            Self::BadCapability => black_box::Kind::BadCapability,
            Self::BadSystemCall => black_box::Kind::BadSystemCall,
            Self::Escalation => black_box::Kind::Escalation,
            Self::BusyLoop => black_box::Kind::BusyLoop,
            Self::Deadlock => black_box::Kind::Deadlock,
            Self::LostIrq => black_box::Kind::LostIrq,
            Self::StuckQueue => black_box::Kind::StuckQueue,
            Self::WrongAnswer => black_box::Kind::WrongAnswer,
            Self::Trap(class) => return (black_box::Kind::Trap, u64::from(class)),
            Self::Message(label) => return (black_box::Kind::Message, label),
        };
        (plain, 0)
    }

    fn from_number(number: u16, detail: u64) -> Self {
        match black_box::Kind::from_number(number) {
            black_box::Kind::Read => Self::Read,
            black_box::Kind::Write => Self::Write,
            black_box::Kind::Execute => Self::Execute,
            black_box::Kind::Alignment => Self::Alignment,
            black_box::Kind::IllegalInstruction => Self::IllegalInstruction,
            black_box::Kind::Panic => Self::Panic,
            black_box::Kind::Breakpoint => Self::Breakpoint,
            black_box::Kind::BadCapability => Self::BadCapability,
            black_box::Kind::BadSystemCall => Self::BadSystemCall,
            black_box::Kind::Escalation => Self::Escalation,
            black_box::Kind::BusyLoop => Self::BusyLoop,
            black_box::Kind::Deadlock => Self::Deadlock,
            black_box::Kind::LostIrq => Self::LostIrq,
            black_box::Kind::StuckQueue => Self::StuckQueue,
            black_box::Kind::WrongAnswer => Self::WrongAnswer,
            black_box::Kind::Trap => Self::Trap(detail as u8),
            _ => Self::Message(detail),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, _) = self.number();
        match self {
            Self::Trap(class) => write!(f, "{}_{class:#x}", number.name()),
            Self::Message(label) => write!(f, "{}_{label:#x}", number.name()),
            _ => f.write_str(number.name()),
        }
    }
}

/// A fault in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What happened.
    pub kind: Kind,
    /// Program counter, where the message has one.
    pub pc: Option<u64>,
    /// Address that was accessed, or the capability or number that was used.
    pub address: Option<u64>,
}

/// `udf #1`: how `sel4-microkit` ends a life that has panicked.
const UDF_PANIC: u32 = 1;

const EC_INSTRUCTION_ABORT: u64 = 0x20;
const EC_PC_ALIGNMENT: u64 = 0x22;
const EC_BRK: u64 = 0x3c;
const DFSC_ALIGNMENT: u64 = 0x21;

fn exception_class(syndrome: u64) -> u64 {
    syndrome >> 26 & 0x3f
}

fn vm_kind(is_fetch: bool, syndrome: u64) -> Kind {
    let write = syndrome & 1 << 6 != 0;
    match (is_fetch, syndrome & 0x3f) {
        (true, _) => Kind::Execute,
        _ if exception_class(syndrome) == EC_INSTRUCTION_ABORT => Kind::Execute,
        (_, DFSC_ALIGNMENT) => Kind::Alignment,
        _ if write => Kind::Write,
        _ => Kind::Read,
    }
}

impl Fault {
    /// A hang: the supervisor noticed it by itself.
    pub const fn hang(kind: Kind, pc: Option<u64>) -> Self {
        Self {
            kind,
            pc,
            address: None,
        }
    }

    /// The fault as words that survive a supervisor; [`Fault::from_words`] reads them.
    #[must_use]
    pub fn to_words(self) -> [u64; 3] {
        let (number, detail) = self.kind.number();
        let flags = u64::from(self.pc.is_some()) | u64::from(self.address.is_some()) << 1;
        // Only a label that nobody uses has more than 32 bits.
        let head = u64::from(number as u16) | flags << 16 | detail << 32;
        [head, self.pc.unwrap_or(0), self.address.unwrap_or(0)]
    }

    /// Reads [`Fault::to_words`].
    #[must_use]
    pub fn from_words([head, pc, address]: [u64; 3]) -> Self {
        Self {
            kind: Kind::from_number(head as u16, head >> 32),
            pc: (head & 1 << 16 != 0).then_some(pc),
            address: (head & 1 << 17 != 0).then_some(address),
        }
    }

    /// Looks at the instruction that the processor did not take.
    #[must_use]
    pub fn with_instruction(self, instruction: u32) -> Self {
        let is_panic = self.kind == Kind::IllegalInstruction && instruction == UDF_PANIC;
        let kind = if is_panic { Kind::Panic } else { self.kind };
        Self { kind, ..self }
    }

    /// Decodes a fault message with its message registers; missing ones count as absent.
    pub fn decode(label: u64, registers: &[u64]) -> Self {
        let register = |index: usize| registers.get(index).copied();
        let (kind, pc, address) = match label {
            labels::FAULT_VM => {
                let fetch = register(2) == Some(1);
                (
                    vm_kind(fetch, register(3).unwrap_or(0)),
                    register(0),
                    register(1),
                )
            }
            labels::FAULT_CAP => (Kind::BadCapability, register(0), register(1)),
            labels::FAULT_UNKNOWN_SYSCALL => (Kind::BadSystemCall, register(8), register(12)),
            labels::FAULT_USER_EXCEPTION => (Kind::IllegalInstruction, register(0), None),
            labels::FAULT_DEBUG_EXCEPTION => (Kind::Breakpoint, register(0), None),
            labels::FAULT_VCPU => {
                let kind = match exception_class(register(0).unwrap_or(0)) {
                    EC_BRK => Kind::Breakpoint,
                    EC_PC_ALIGNMENT => Kind::Alignment,
                    class => Kind::Trap(class as u8),
                };
                (kind, None, None)
            }
            labels::ESCALATED => (Kind::Escalation, None, None),
            other => (Kind::Message(other), None, None),
        };
        Self { kind, pc, address }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(label: u64, registers: &[u64]) -> Kind {
        Fault::decode(label, registers).kind
    }

    #[test]
    fn syndromes_of_both_kernels_read_the_same() {
        // Stage 2 (seL4 at EL2) and stage 1 (development kernel) report other upper bits.
        for (stage_2, stage_1, expected) in [
            (0x9381_0046, 0x9200_0046, Kind::Write),
            (0x93d7_8006, 0x9200_0006, Kind::Read),
            (0x93d9_804f, 0x9200_004f, Kind::Write),
            (0x9200_0021, 0x9200_0021, Kind::Alignment),
        ] {
            assert_eq!(kind(labels::FAULT_VM, &[1, 2, 0, stage_2]), expected);
            assert_eq!(kind(labels::FAULT_VM, &[1, 2, 0, stage_1]), expected);
        }
        assert_eq!(
            kind(labels::FAULT_VM, &[1, 2, 1, 0x8200_0006]),
            Kind::Execute
        );
    }

    #[test]
    fn a_breakpoint_is_one_in_every_configuration() {
        assert_eq!(
            kind(labels::FAULT_DEBUG_EXCEPTION, &[4, 3]),
            Kind::Breakpoint
        );
        assert_eq!(kind(labels::FAULT_VCPU, &[0xf200_0001]), Kind::Breakpoint);
    }

    #[test]
    fn a_fault_survives_as_words() {
        let fault = |kind, pc, address| Fault { kind, pc, address };
        for fault in [
            fault(Kind::Read, Some(4), Some(0)),
            fault(Kind::Trap(0x18), None, None),
            fault(Kind::Message(99), None, None),
            fault(Kind::Panic, Some(8), None),
        ] {
            assert_eq!(Fault::from_words(fault.to_words()), fault);
        }
        assert_eq!(Kind::Message(0x13).to_string(), "message_0x13");
    }

    #[test]
    fn a_panic_is_told_from_an_illegal_instruction() {
        let fault = Fault::decode(labels::FAULT_USER_EXCEPTION, &[4]);
        assert_eq!(fault.with_instruction(1).kind, Kind::Panic);
        assert_eq!(fault.with_instruction(0).kind, Kind::IllegalInstruction);
        let other = Fault::decode(labels::FAULT_DEBUG_EXCEPTION, &[4]);
        assert_eq!(other.with_instruction(1).kind, Kind::Breakpoint);
    }

    #[test]
    fn a_null_pointer_has_its_address() {
        let fault = Fault::decode(labels::FAULT_VM, &[0x1000_0040, 0, 0, 0x9200_0046]);
        assert_eq!((fault.pc, fault.address), (Some(0x1000_0040), Some(0)));
    }

    #[test]
    fn forged_and_short_messages_are_no_trouble() {
        for label in 0..20 {
            for length in 0..14 {
                let _ = Fault::decode(label, &[u64::MAX; 14][..length]);
            }
        }
        assert_eq!(kind(0, &[]), Kind::Message(0));
    }
}
