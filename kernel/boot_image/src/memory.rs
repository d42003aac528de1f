// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Physical memory of QEMU `virt` with 2 GiB as Microkit sees it, and who gets which part.

use crate::error::LayoutError;

/// Start of the RAM that seL4 treats as normal memory. What lies below (0x4000_0000 up) is RAM too,
/// but is only handed out by fixed address, and nobody clears it.
pub const NORMAL_START: u64 = 0x6000_0000;
/// End of RAM.
pub const NORMAL_END: u64 = 0xC000_0000;
/// Where the image is loaded and the kernel runs.
pub const IMAGE_START: u64 = 0x7000_0000;

/// Pages that belong to the interrupt controller and hence to the kernel.
const KERNEL_DEVICES: [(u64, u64); 3] = [
    (0x800_0000, 0x801_0000),
    (0x801_0000, 0x801_1000),
    (0x803_0000, 0x804_0000),
];

/// Hands out physical memory, lowest address first.
pub(crate) struct Memory {
    /// Sorted, disjoint: start, end, owner.
    taken: Vec<(u64, u64, String)>,
}

impl Memory {
    pub(crate) fn new(image_end: u64) -> Self {
        let mut taken: Vec<_> = KERNEL_DEVICES
            .iter()
            .map(|&(start, end)| (start, end, "the interrupt controller".to_string()))
            .collect();
        taken.push((
            IMAGE_START,
            image_end,
            "the kernel and its image".to_string(),
        ));
        Self { taken }
    }

    /// Takes exactly this run for region `name`.
    pub(crate) fn take(&mut self, name: &str, start: u64, size: u64) -> Result<(), LayoutError> {
        let end = start
            .checked_add(size)
            .filter(|&end| end <= 1 << 40)
            .ok_or_else(|| LayoutError::BadRegion {
                region: name.into(),
                reason: format!("physical address {start:#x} is outside the address space"),
            })?;
        if let Some((_, _, with)) = self.taken.iter().find(|run| run.0 < end && start < run.1) {
            return Err(LayoutError::PhysicalOverlap {
                region: name.into(),
                with: with.clone(),
            });
        }
        self.insert(start, end, format!("memory region '{name}'"));
        Ok(())
    }

    /// Finds room in normal memory.
    pub(crate) fn allocate(
        &mut self,
        what: &str,
        size: u64,
        align: u64,
    ) -> Result<u64, LayoutError> {
        let no_room = || LayoutError::OutOfMemory {
            what: what.into(),
            size,
        };
        let mut start = NORMAL_START.next_multiple_of(align);
        for run in &self.taken {
            if run.1 <= start {
                continue;
            }
            if start.checked_add(size).ok_or_else(no_room)? <= run.0 {
                break;
            }
            start = run.1.next_multiple_of(align);
        }
        let end = start
            .checked_add(size)
            .filter(|&end| end <= NORMAL_END)
            .ok_or_else(no_room)?;
        self.insert(start, end, what.into());
        Ok(start)
    }

    fn insert(&mut self, start: u64, end: u64, what: String) {
        let at = self.taken.partition_point(|run| run.0 < start);
        self.taken.insert(at, (start, end, what));
    }

    pub(crate) fn taken(&self) -> &[(u64, u64, String)] {
        &self.taken
    }
}

/// Whether seL4 would clear this address at boot.
pub(crate) fn is_normal(paddr: u64) -> bool {
    (NORMAL_START..NORMAL_END).contains(&paddr)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocation_skips_what_is_taken() {
        let mut memory = Memory::new(IMAGE_START + 0x1000);
        memory.take("a", NORMAL_START + 0x1000, 0x1000).unwrap();
        assert_eq!(memory.allocate("x", 0x1000, 0x1000), Ok(NORMAL_START));
        assert_eq!(
            memory.allocate("y", 0x1000, 0x1000),
            Ok(NORMAL_START + 0x2000)
        );
        assert_eq!(
            memory.allocate("z", 0x20_0000, 0x20_0000),
            Ok(NORMAL_START + 0x20_0000)
        );
        let big = memory.allocate("big", 0x1000_0000, 0x20_0000).unwrap();
        assert!(big >= IMAGE_START, "{big:#x}");
        assert!(memory.allocate("huge", 0x6000_0000, 0x1000).is_err());
    }

    #[test]
    fn fixed_regions_do_not_overlap() {
        let mut memory = Memory::new(IMAGE_START + 0x1000);
        assert!(memory.take("image", IMAGE_START, 0x1000).is_err());
        assert!(memory.take("gic", 0x800_0000, 0x1000).is_err());
        memory.take("low", 0x4000_0000, 0x2000).unwrap();
        assert!(matches!(
            memory.take("low2", 0x4000_1000, 0x1000),
            Err(LayoutError::PhysicalOverlap { .. })
        ));
    }
}
