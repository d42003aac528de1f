// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The kinds of fault.

/// Declares the enum with the names that people use and what each one is.
macro_rules! classes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal),+ $(,)?) => {
        /// A kind of fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Class { $($(#[$doc])* $variant),+ }

        impl Class {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Its name on the command line and in reports.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
    };
}

classes! {
    /// `udf` over an instruction.
    IllegalInstruction = "illegal_instruction",
    /// One bit of an instruction is another one.
    CodeBit = "code_bit",
    /// A random word over an instruction.
    CodeWord = "code_word",
    /// `nop` over an instruction.
    SkippedInstruction = "skipped_instruction",
    /// An instruction reads another register.
    SourceRegister = "source_register",
    /// An instruction writes another register.
    DestinationRegister = "destination_register",
    /// `b .` over an instruction.
    EndlessLoop = "endless_loop",
    /// One bit of a register of the stopped victim.
    RegisterBit = "register_bit",
    /// The base register of the next load or store is 0.
    NullPointer = "null_pointer",
    /// The base register of the next load or store is anything.
    WildPointer = "wild_pointer",
    /// The program counter is anything.
    WildJump = "wild_jump",
    /// The stack pointer is at the end of the stack.
    StackOverflow = "stack_overflow",
    /// A system call names a capability that is not there.
    BadCapability = "bad_capability",
    /// Bits that nobody has signalled.
    SpuriousNotification = "spurious_notification",
    /// A bit that was signalled is not heard.
    LostNotification = "lost_notification",
    /// One bit of the victim's data, bss or heap.
    DataBit = "data_bit",
    /// A random word in the victim's data, bss or heap.
    DataWord = "data_word",
    /// A random word in the used part of the stack.
    StackWord = "stack_word",
    /// The victim blocks for ever.
    Deadlock = "deadlock",
    /// An interrupt is not acknowledged, and stays masked.
    MaskedInterrupt = "masked_interrupt",
    /// A word of the header of a shared region: magic, version, checksum, epoch, index.
    SharedHeader = "shared_header",
    /// A word of a shared region behind its header: slots, entries.
    SharedSlot = "shared_slot",
    /// A completion is taken back before its client sees it.
    DroppedCompletion = "dropped_completion",
    /// A completion says something else, and its slot's checksum is made right. The checksum that the answer
    /// itself carries (docs/decisions/0073) is not: who forges that one too cannot be told from the
    /// service, and is not injected.
    WrongCompletion = "wrong_completion",
    /// An older completion once more.
    RepeatedCompletion = "repeated_completion",
    /// Two victims die at once.
    TwoAtOnce = "two_at_once",
    /// The supervisor dies at a step of the victim's restart.
    InRecovery = "in_recovery",
    /// The victim dies again at once after its restart.
    AfterRecovery = "after_recovery",
    /// The disk becomes slow for a while.
    SlowDevice = "slow_device",
    /// The disk finishes next to nothing for a while.
    StoppedDevice = "stopped_device",
    /// The disk reports an error for one command that it has carried out; the next time it does not.
    DeviceError = "device_error",
}

impl Class {
    /// What PD `injector` can do: all but how fast the disk is.
    pub fn is_inside(self) -> bool {
        !matches!(self, Self::SlowDevice | Self::StoppedDevice)
    }

    /// What can be done by stopping the machine from outside.
    pub fn is_outside(self) -> bool {
        use Class::{
            BadCapability, CodeBit, CodeWord, DataBit, DataWord, DestinationRegister, EndlessLoop,
            IllegalInstruction, NullPointer, RegisterBit, SkippedInstruction, SlowDevice,
            SourceRegister, StackOverflow, StackWord, StoppedDevice, WildJump, WildPointer,
        };
        matches!(
            self,
            IllegalInstruction
                | CodeBit
                | CodeWord
                | SkippedInstruction
                | SourceRegister
                | DestinationRegister
                | EndlessLoop
                | RegisterBit
                | NullPointer
                | WildPointer
                | WildJump
                | StackOverflow
                | BadCapability
                | DataBit
                | DataWord
                | StackWord
                | SlowDevice
                | StoppedDevice
        )
    }

    /// Whether its victim can deal with it alive, and without anybody being told.
    pub fn needs_no_restart(self) -> bool {
        self == Self::DeviceError
    }

    /// Whether it came when there were trials on record already: see [`crate::plan`].
    pub fn is_late(self) -> bool {
        self == Self::DeviceError
    }

    /// The class with this number.
    pub fn from_number(number: u64) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }

    /// The class with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|class| class.name() == name)
    }

    /// Its bit in a mask.
    pub const fn bit(self) -> u64 {
        1 << self as u8
    }

    /// Whether a victim called `pd` can have this fault.
    pub fn fits(self, pd: &str) -> bool {
        match self {
            Self::MaskedInterrupt => matches!(pd, "timer" | "blk"),
            Self::SlowDevice | Self::StoppedDevice | Self::DeviceError => pd == "blk",
            Self::DroppedCompletion | Self::WrongCompletion | Self::RepeatedCompletion => {
                matches!(pd, "fs" | "blk")
            }
            // Its parent is the root, which is nobody's victim.
            Self::InRecovery => pd != "supervisor",
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_names_and_bits_are_one_to_one() {
        let mut mask = 0;
        for (number, class) in Class::ALL.iter().enumerate() {
            assert_eq!(Class::from_number(number as u64), Some(*class));
            assert_eq!(Class::from_name(class.name()), Some(*class));
            assert_eq!(mask & class.bit(), 0);
            mask |= class.bit();
        }
        assert_eq!(Class::from_number(Class::ALL.len() as u64), None);
    }
}
