// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Traps from PDs: syndrome to event, and back to whoever runs next.

use core::cell::UnsafeCell;
use core::fmt::Write;

use kernel_core::{Fault, Kernel, PDS_MAX, Registers, ThreadId};

use crate::platform::Platform;
use crate::uart::Uart;
use crate::{cpu, gic};

/// Registers of the PD that trapped, as `entry.s` saves and restores them.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct TrapFrame {
    x: [u64; 31],
    sp: u64,
    elr: u64,
    spsr: u64,
    tpidr: u64,
    tpidrro: u64,
    floating_point: FloatingPoint,
}

/// Floating point state.
#[derive(Clone, Copy)]
#[repr(C)]
struct FloatingPoint {
    control: u64,
    status: u64,
    q: [u128; 32],
}

const _: () = {
    assert!(size_of::<TrapFrame>() == 816);
    assert!(core::mem::offset_of!(TrapFrame, sp) == 248);
    assert!(core::mem::offset_of!(TrapFrame, elr) == 256);
    assert!(core::mem::offset_of!(TrapFrame, tpidr) == 272);
    assert!(core::mem::offset_of!(TrapFrame, floating_point) == 288);
    assert!(core::mem::offset_of!(FloatingPoint, q) == 16);
};

impl FloatingPoint {
    const ZERO: Self = Self {
        control: 0,
        status: 0,
        q: [0; 32],
    };
}

/// All state of the running kernel.
struct Running {
    kernel: Kernel,
    platform: Platform,
    floating_point: [FloatingPoint; PDS_MAX],
    /// Whose floating point state and address space are loaded.
    loaded: Option<ThreadId>,
}

struct Global(UnsafeCell<Running>);

// SAFETY: there is one core, and it enters the kernel with interrupts masked, so that `with_state` is
// never active twice.
unsafe impl Sync for Global {}

static STATE: Global = Global(UnsafeCell::new(Running {
    kernel: Kernel::new(),
    platform: Platform::NONE,
    floating_point: [FloatingPoint::ZERO; PDS_MAX],
    loaded: None,
}));

/// Runs `body` with the kernel's state. Only the three trap functions below call it, once each.
fn with_state<R>(body: impl FnOnce(&mut Running) -> R) -> R {
    // SAFETY: see `Sync` above: no other reference exists while this one does.
    body(unsafe { &mut *STATE.0.get() })
}

unsafe extern "C" {
    /// Loads a frame and leaves the kernel. Never returns.
    fn __enter_first(frame: *const TrapFrame) -> !;
}

/// Lets `set_up` fill the kernel, then starts the first PD.
pub fn start(platform: Platform, set_up: impl FnOnce(&mut Kernel)) -> ! {
    let mut frame = TrapFrame {
        x: [0; 31],
        sp: 0,
        elr: 0,
        spsr: 0,
        tpidr: 0,
        tpidrro: 0,
        floating_point: FloatingPoint::ZERO,
    };
    with_state(|state| {
        state.platform = platform;
        set_up(&mut state.kernel);
        state.leave(&mut frame);
    });
    // SAFETY: the frame holds a PD's registers with the processor state of EL0, and the function
    // copies it before it drops this stack.
    unsafe { __enter_first(&raw const frame) }
}

impl Running {
    /// Stores the registers of the PD that trapped. A restart repeats the instruction `step` before.
    fn enter(&mut self, frame: &TrapFrame, step: u64) {
        let Some(current) = self.kernel.current() else {
            return;
        };
        *self.kernel.registers_mut(current) = Registers {
            x: frame.x,
            sp: frame.sp,
            next_ip: frame.elr,
            spsr: frame.spsr,
            tpidr: frame.tpidr,
            tpidrro: frame.tpidrro,
            fault_ip: frame.elr - step,
        };
    }

    /// Waits until there is a PD to run and loads its registers into the frame.
    fn leave(&mut self, frame: &mut TrapFrame) {
        let thread = loop {
            let next = self.kernel.schedule();
            match next.deadline {
                Some(deadline) => {
                    cpu::set_timer_deadline(deadline);
                    cpu::set_timer_control(1);
                }
                None => cpu::set_timer_control(0),
            }
            if let Some(thread) = next.thread {
                break thread;
            }
            cpu::wait_for_interrupt();
            self.interrupt();
        };
        if self.loaded != Some(thread) {
            if let Some(before) = self.loaded {
                self.floating_point[before.index()] = frame.floating_point;
            }
            frame.floating_point = self.floating_point[thread.index()];
            let asid = u64::from(thread.0) + 1;
            cpu::set_address_space(self.platform.root_tables[thread.index()], asid);
            self.loaded = Some(thread);
        }
        cpu::allow_fpu(self.kernel.may_use_fpu(thread));
        let registers = self.kernel.registers(thread);
        frame.x = registers.x;
        frame.sp = registers.sp;
        frame.elr = registers.next_ip;
        frame.spsr = registers.spsr;
        frame.tpidr = registers.tpidr;
        frame.tpidrro = registers.tpidrro;
    }

    /// Handles the interrupt that waits, if any.
    fn interrupt(&mut self) {
        let Some(irq) = gic::acknowledge() else {
            return;
        };
        let now = cpu::counter();
        if irq == gic::TIMER {
            self.kernel.tick(now);
        } else {
            self.kernel.interrupt(&mut self.platform, now, irq);
        }
        // The timer's line is a level: off until `leave` sets the next deadline.
        if irq == gic::TIMER {
            cpu::set_timer_control(0);
        }
        gic::end(irq);
    }
}

/// Length of an instruction.
const INSTRUCTION: u64 = 4;
/// Exception classes (bits 31 to 26 of the syndrome).
const CLASS_UNKNOWN: u64 = 0x00;
const CLASS_SVC: u64 = 0x15;
const CLASS_INSTRUCTION_ABORT: u64 = 0x20;
const CLASS_DATA_ABORT: u64 = 0x24;
const CLASS_BRK: u64 = 0x3c;
/// Fault status code in the syndrome of an abort.
const STATUS_CODE: u64 = 0x3f;
/// Addresses from here on cannot be mapped.
const USER_END: u64 = 1 << boot_image::wire::VADDR_BITS;

fn classify(syndrome: u64, address: u64) -> Fault {
    match syndrome >> 26 & 0x3f {
        CLASS_UNKNOWN => Fault::UserException { number: syndrome },
        class @ (CLASS_INSTRUCTION_ABORT | CLASS_DATA_ABORT) => {
            // Whatever the kernel has mapped there: like seL4, "address size fault, level 0".
            let status = if address >= USER_END {
                syndrome & !STATUS_CODE
            } else {
                syndrome
            };
            Fault::Vm {
                address,
                instruction: class == CLASS_INSTRUCTION_ABORT,
                status,
            }
        }
        CLASS_BRK => Fault::Breakpoint,
        _ => Fault::Vcpu { status: syndrome },
    }
}

/// Called by `entry.s`: the PD made a system call or did something wrong.
#[unsafe(no_mangle)]
extern "C" fn trap_synchronous(frame: &mut TrapFrame) {
    let syndrome = cpu::exception_syndrome();
    let address = cpu::fault_address();
    with_state(|state| {
        let now = cpu::counter();
        if syndrome >> 26 & 0x3f == CLASS_SVC {
            state.enter(frame, INSTRUCTION);
            state.kernel.syscall(&mut state.platform, now, frame.x[7]);
        } else {
            state.enter(frame, 0);
            state
                .kernel
                .fault(&mut state.platform, now, classify(syndrome, address));
        }
        state.leave(frame);
    });
}

/// Called by `entry.s`: an interrupt arrived while a PD ran.
#[unsafe(no_mangle)]
extern "C" fn trap_interrupt(frame: &mut TrapFrame) {
    with_state(|state| {
        state.enter(frame, 0);
        state.interrupt();
        state.leave(frame);
    });
}

/// Called by the vectors that never should be: a bug of the kernel, or a system error.
#[unsafe(no_mangle)]
extern "C" fn trap_unexpected(vector: u64) -> ! {
    let (syndrome, address) = (cpu::exception_syndrome(), cpu::fault_address());
    let ip = cpu::exception_link();
    let _ = writeln!(
        Uart,
        "\nKERNEL|PANIC: exception {vector} at {ip:#x}: syndrome {syndrome:#x}, address {address:#x}"
    );
    cpu::halt()
}
