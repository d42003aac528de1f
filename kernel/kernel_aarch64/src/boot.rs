// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! From the first line of Rust to the first PD.

use core::fmt::Write;

use boot_image::Image;
use boot_image::wire::{
    CAP_ENDPOINT, CAP_IRQ_HANDLER, CAP_NOTIFICATION, CAP_REPLY, CAP_SCHED_CONTEXT, CAP_SMC,
    CAP_TCB, CAP_VSPACE, CapWire, NO_PARENT, PD_FPU, PdWire,
};
use kernel_core::{
    Cap, EndpointId, FaultHandler, Kernel, NotificationId, PDS_MAX, PdConfig, ReplyId,
    SchedContextId, SetupError, ThreadId,
};

use crate::platform::Platform;
use crate::uart::Uart;
use crate::{cpu, gic, memory, trap, uart};

/// Badge bit of a child's faults.
const BADGE_FAULT: u64 = 1 << 62;

/// Called by `entry.s` on the kernel's stack.
#[unsafe(no_mangle)]
extern "C" fn kernel_main() -> ! {
    uart::enable();
    let _ = writeln!(
        Uart,
        "Kintsugi development kernel: not seL4, not verified, not for deployment."
    );
    let bytes = memory::image(|header| match Image::length(header) {
        Ok(length) => length,
        Err(error) => panic!("{error}"),
    });
    let image = match Image::parse(bytes) {
        Ok(image) => image,
        Err(error) => panic!("{error}"),
    };
    for run in image.ram {
        let (paddr, content) = (run.paddr.get(), image.content(run));
        memory::fill(paddr, run.size.get(), content, bytes);
        let start = memory::address(paddr);
        cpu::maintain_data_cache(start, start + content.len() as u64, cpu::clean_line);
    }
    cpu::invalidate_instruction_cache();
    gic::enable();
    cpu::set_timer_control(0);
    cpu::set_timer_access(cpu::TIMER_ACCESS_PHYSICAL);
    cpu::set_performance_access(0);
    let platform = Platform::from_image(&image);
    trap::start(platform, |kernel| {
        if let Err(error) = set_up(kernel, &image) {
            panic!("system table: {error:?}");
        }
    })
}

fn set_up(kernel: &mut Kernel, image: &Image<'_>) -> Result<(), SetupError> {
    let ticks_per_us = cpu::counter_frequency() / 1_000_000;
    kernel.set_clock(cpu::counter(), ticks_per_us);
    for (index, pd) in image.pds.iter().enumerate() {
        let name_length = pd
            .name
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(pd.name.len());
        kernel.add_pd(&PdConfig {
            name: &pd.name[..name_length],
            priority: pd.priority,
            budget: to_ticks(pd.budget_us.get()),
            period: to_ticks(pd.period_us.get()),
            entry: pd.entry.get(),
            stack_top: pd.stack_top.get(),
            fpu: pd.flags & PD_FPU != 0,
            fault_handler: fault_handler(index, pd),
        })?;
    }
    for wire in image.caps {
        let holder = ThreadId(index(wire.pd.get())?);
        kernel.install_cap(holder, wire.slot.get().into(), cap(wire)?)?;
    }
    for irq in image.irqs {
        let pd = ThreadId(index(irq.pd.get())?);
        kernel.add_irq(
            irq.number.get(),
            pd,
            1u64.checked_shl(irq.id.into()).unwrap_or(0),
        )?;
        gic::set_edge(irq.number.get(), irq.edge != 0);
        gic::unmask(irq.number.get());
    }
    Ok(())
}

fn to_ticks(us: u64) -> u64 {
    us.saturating_mul(cpu::counter_frequency()) / 1_000_000
}

fn fault_handler(index: usize, pd: &PdWire) -> FaultHandler {
    if pd.parent == NO_PARENT {
        FaultHandler {
            endpoint: EndpointId::MONITOR,
            badge: index as u64 + 1,
        }
    } else {
        let badge = BADGE_FAULT | u64::from(pd.child_id.get());
        FaultHandler {
            endpoint: EndpointId(pd.parent),
            badge,
        }
    }
}

fn index(number: u16) -> Result<u8, SetupError> {
    if usize::from(number) < PDS_MAX {
        Ok(number as u8)
    } else {
        Err(SetupError::TooManyPds)
    }
}

fn cap(wire: &CapWire) -> Result<Cap, SetupError> {
    let object = wire.object.get();
    let badge = wire.badge.get();
    Ok(match wire.kind {
        CAP_ENDPOINT if object == boot_image::wire::MONITOR => Cap::Endpoint {
            endpoint: EndpointId::MONITOR,
            badge,
        },
        CAP_ENDPOINT => Cap::Endpoint {
            endpoint: EndpointId(index(object)?),
            badge,
        },
        CAP_NOTIFICATION => Cap::Notification {
            notification: NotificationId(index(object)?),
            badge,
        },
        CAP_REPLY => Cap::Reply(ReplyId(index(object)?)),
        CAP_VSPACE => Cap::Vspace(ThreadId(index(object)?)),
        CAP_TCB => Cap::Tcb(ThreadId(index(object)?)),
        CAP_SCHED_CONTEXT => Cap::SchedContext(SchedContextId(index(object)?)),
        CAP_IRQ_HANDLER => Cap::IrqHandler(object.into()),
        CAP_SMC => Cap::Smc,
        _ => return Err(SetupError::Slot),
    })
}
