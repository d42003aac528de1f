// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! [`Machine`] for this machine: where the kernel's decisions become register and memory accesses.

use core::fmt::{Arguments, Write};

use boot_image::Image;
use boot_image::wire::{MAP_LARGE, MAP_READ, MapWire};
use kernel_core::{CacheOperation, Machine, PDS_MAX, ThreadId};

use crate::memory::{IpcBuffer, address};
use crate::{cpu, gic, uart};

/// What the machine part has to know of each PD, by index.
pub struct Platform {
    /// Every mapping of every PD.
    pub maps: &'static [MapWire],
    /// Physical addresses of root page tables.
    pub root_tables: [u64; PDS_MAX],
    /// IPC buffers.
    pub ipc_buffers: [IpcBuffer; PDS_MAX],
}

impl Platform {
    pub const NONE: Self = Self {
        maps: &[],
        root_tables: [0; PDS_MAX],
        ipc_buffers: [IpcBuffer::NONE; PDS_MAX],
    };

    pub fn from_image(image: &Image<'static>) -> Self {
        let mut platform = Self {
            maps: image.maps,
            ..Self::NONE
        };
        for (index, pd) in image.pds.iter().enumerate() {
            platform.root_tables[index] = pd.root_table_paddr.get();
            platform.ipc_buffers[index] = IpcBuffer::new(pd.ipc_buffer_paddr.get());
        }
        platform
    }

    fn map_at(&self, owner: ThreadId, vaddr: u64) -> Option<&'static MapWire> {
        self.maps.iter().find(|map| {
            let start = map.vaddr.get();
            usize::from(map.pd.get()) == owner.index()
                && map.flags.get() & MAP_READ != 0
                && (start..start + map.size.get()).contains(&vaddr)
        })
    }
}

impl Machine for Platform {
    fn ipc_word(&self, thread: ThreadId, word: usize) -> u64 {
        self.ipc_buffers[thread.index()].read(word)
    }

    fn set_ipc_word(&mut self, thread: ThreadId, word: usize, value: u64) {
        self.ipc_buffers[thread.index()].write(word, value);
    }

    fn mask_irq(&mut self, irq: u32) {
        gic::mask(irq);
    }

    fn unmask_irq(&mut self, irq: u32) {
        gic::unmask(irq);
    }

    fn page_size(&self, owner: ThreadId, vaddr: u64) -> Option<u64> {
        let map = self.map_at(owner, vaddr)?;
        Some(if map.flags.get() & MAP_LARGE != 0 {
            0x20_0000
        } else {
            0x1000
        })
    }

    fn maintain_caches(
        &mut self,
        operation: CacheOperation,
        owner: ThreadId,
        start: u64,
        end: u64,
    ) {
        let Some(map) = self.map_at(owner, start) else {
            return;
        };
        let paddr = map.paddr.get() + (start - map.vaddr.get());
        let kernel_start = address(paddr);
        let kernel_end = kernel_start + (end - start);
        // Invalidating without writing back would let a PD undo the kernel's clearing of memory.
        let line = match operation {
            CacheOperation::Clean | CacheOperation::Unify => cpu::clean_line,
            CacheOperation::Invalidate | CacheOperation::CleanInvalidate => {
                cpu::clean_invalidate_line
            }
        };
        cpu::maintain_data_cache(kernel_start, kernel_end, line);
        if operation == CacheOperation::Unify {
            cpu::invalidate_instruction_cache();
        }
    }

    fn secure_monitor_call(&mut self, arguments: [u64; 8]) -> [u64; 8] {
        cpu::secure_monitor_call(arguments)
    }

    fn put_char(&mut self, byte: u8) {
        uart::put(byte);
    }

    fn print(&mut self, text: Arguments<'_>) {
        let _ = uart::Uart.write_fmt(text);
    }

    fn stop(&mut self, why: Arguments<'_>) -> ! {
        let _ = writeln!(uart::Uart, "\nKERNEL|STOP: {why}. The machine is halted.");
        cpu::halt()
    }
}
