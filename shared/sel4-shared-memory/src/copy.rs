// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Copies bytes that a peer may be changing meanwhile.
//!
//! On the target the copy is an assembly loop. The compiler cannot see into it, so it can neither
//! repeat a load after a check has passed nor assume that both loads of one address agree; and it
//! moves 64 bytes with two instructions, where `volatile` accesses would move 8 (or 1, as the target
//! promises strict alignment). Most copies are of less than 128 bytes: what helps long ones costs them
//! nothing. Loads need no alignment: shared regions are Normal memory, and both kernels leave alignment
//! checks off at EL0. Device memory (`cached="false"`) is not for this function.

/// Copies `len` bytes from `src` to `dst`, which must not overlap.
///
/// # Safety
///
/// `src` must be valid for reads and `dst` for writes of `len` bytes. Others may write to `src` and
/// read `dst` meanwhile; then each byte copied is one that was there at some time.
#[cfg(all(target_arch = "aarch64", target_os = "none"))]
#[inline]
pub(crate) unsafe fn copy(dst: *mut u8, src: *const u8, len: usize) {
    // SAFETY: the caller vouched for both ranges; the block reads and writes nothing else.
    unsafe {
        core::arch::asm!(
            "subs {len}, {len}, #128",
            "b.lo 33f", // The low seven bits of `len` still are what is left.
            "subs {len}, {len}, #128",
            "b.lo 3f",
            "2:",
            "ld1 {{v0.16b-v3.16b}}, [{src}], #64",
            "st1 {{v0.16b-v3.16b}}, [{dst}], #64",
            "ld1 {{v0.16b-v3.16b}}, [{src}], #64",
            "st1 {{v0.16b-v3.16b}}, [{dst}], #64",
            "ld1 {{v0.16b-v3.16b}}, [{src}], #64",
            "st1 {{v0.16b-v3.16b}}, [{dst}], #64",
            "ld1 {{v0.16b-v3.16b}}, [{src}], #64",
            "st1 {{v0.16b-v3.16b}}, [{dst}], #64",
            "subs {len}, {len}, #256",
            "b.hs 2b",
            "3:", // The low eight bits are.
            "tbz {len}, #7, 33f",
            "ld1 {{v0.16b-v3.16b}}, [{src}], #64",
            "st1 {{v0.16b-v3.16b}}, [{dst}], #64",
            "ld1 {{v0.16b-v3.16b}}, [{src}], #64",
            "st1 {{v0.16b-v3.16b}}, [{dst}], #64",
            "33:",
            "tbz {len}, #6, 34f",
            "ld1 {{v0.16b-v3.16b}}, [{src}], #64",
            "st1 {{v0.16b-v3.16b}}, [{dst}], #64",
            "34:",
            "tbz {len}, #5, 4f",
            "ldp q0, q1, [{src}], #32",
            "stp q0, q1, [{dst}], #32",
            "4:",
            "tbz {len}, #4, 5f",
            "ldr q0, [{src}], #16",
            "str q0, [{dst}], #16",
            "5:",
            "tbz {len}, #3, 6f",
            "ldr {x}, [{src}], #8",
            "str {x}, [{dst}], #8",
            "6:",
            "tbz {len}, #2, 7f",
            "ldr {x:w}, [{src}], #4",
            "str {x:w}, [{dst}], #4",
            "7:",
            "tbz {len}, #1, 8f",
            "ldrh {x:w}, [{src}], #2",
            "strh {x:w}, [{dst}], #2",
            "8:",
            "tbz {len}, #0, 9f",
            "ldrb {x:w}, [{src}]",
            "strb {x:w}, [{dst}]",
            "9:",
            src = inout(reg) src => _,
            dst = inout(reg) dst => _,
            len = inout(reg) len => _,
            x = out(reg) _,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _,
            options(nostack),
        );
    }
}

/// Copies `len` bytes from `src` to `dst`, which must not overlap.
///
/// # Safety
///
/// As for the assembly version above.
#[cfg(not(all(target_arch = "aarch64", target_os = "none")))]
pub(crate) unsafe fn copy(dst: *mut u8, src: *const u8, len: usize) {
    let mut done = 0;
    let word = size_of::<u64>();
    if dst.addr().is_multiple_of(word) && src.addr().is_multiple_of(word) {
        while len - done >= word {
            // SAFETY: the caller vouched for `len` bytes, and both addresses are aligned.
            let value = unsafe { src.wrapping_add(done).cast::<u64>().read_volatile() };
            // SAFETY: as above.
            unsafe { dst.wrapping_add(done).cast::<u64>().write_volatile(value) };
            done += word;
        }
    }
    while done < len {
        // SAFETY: the caller vouched for `len` bytes.
        let value = unsafe { src.wrapping_add(done).read_volatile() };
        // SAFETY: as above.
        unsafe { dst.wrapping_add(done).write_volatile(value) };
        done += 1;
    }
}

/// Sets `len` bytes at `dst` to `byte`.
///
/// # Safety
///
/// `dst` must be valid for writes of `len` bytes. Others may read them meanwhile.
#[cfg(all(target_arch = "aarch64", target_os = "none"))]
#[inline]
pub(crate) unsafe fn fill(dst: *mut u8, len: usize, byte: u8) {
    // SAFETY: the caller vouched for the range; the block writes nothing else.
    unsafe {
        core::arch::asm!(
            "dup v0.16b, {byte:w}",
            "subs {len}, {len}, #128",
            "b.lo 34f", // The low seven bits of `len` still are what is left.
            "subs {len}, {len}, #128",
            "b.lo 3f",
            "mov v1.16b, v0.16b",
            "mov v2.16b, v0.16b",
            "mov v3.16b, v0.16b",
            "2:",
            "st1 {{v0.16b-v3.16b}}, [{dst}], #64",
            "st1 {{v0.16b-v3.16b}}, [{dst}], #64",
            "st1 {{v0.16b-v3.16b}}, [{dst}], #64",
            "st1 {{v0.16b-v3.16b}}, [{dst}], #64",
            "subs {len}, {len}, #256",
            "b.hs 2b",
            "3:", // The low eight bits are.
            "tbz {len}, #7, 34f",
            "stp q0, q0, [{dst}], #128",
            "stp q0, q0, [{dst}, #-96]",
            "stp q0, q0, [{dst}, #-64]",
            "stp q0, q0, [{dst}, #-32]",
            "34:",
            "tbz {len}, #6, 4f",
            "stp q0, q0, [{dst}], #64",
            "stp q0, q0, [{dst}, #-32]",
            "4:",
            "tbz {len}, #5, 5f",
            "stp q0, q0, [{dst}], #32",
            "5:",
            "tbz {len}, #4, 6f",
            "str q0, [{dst}], #16",
            "6:",
            "tbz {len}, #3, 7f",
            "str d0, [{dst}], #8",
            "7:",
            "tbz {len}, #2, 8f",
            "str s0, [{dst}], #4",
            "8:",
            "tbz {len}, #1, 9f",
            "str h0, [{dst}], #2",
            "9:",
            "tbz {len}, #0, 10f",
            "str b0, [{dst}]",
            "10:",
            dst = inout(reg) dst => _,
            len = inout(reg) len => _,
            byte = in(reg) u32::from(byte),
            out("v0") _, out("v1") _, out("v2") _, out("v3") _,
            options(nostack),
        );
    }
}

/// Sets `len` bytes at `dst` to `byte`.
///
/// # Safety
///
/// As for the assembly version above.
#[cfg(not(all(target_arch = "aarch64", target_os = "none")))]
pub(crate) unsafe fn fill(dst: *mut u8, len: usize, byte: u8) {
    for index in 0..len {
        // SAFETY: the caller vouched for `len` bytes.
        unsafe { dst.wrapping_add(index).write_volatile(byte) };
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn copies_every_length_at_every_alignment() {
        let source: Vec<u8> = (0..610).map(|i| (i % 251) as u8 + 1).collect();
        for src_offset in 0..9 {
            for dst_offset in 0..9 {
                for len in (0..300).chain([511, 512, 513, 600]) {
                    let mut target = [0_u8; 610];
                    // SAFETY: both ranges are inside their arrays.
                    unsafe {
                        super::copy(
                            target.as_mut_ptr().wrapping_add(dst_offset),
                            source.as_ptr().wrapping_add(src_offset),
                            len,
                        );
                    }
                    assert_eq!(target[dst_offset..][..len], source[src_offset..][..len]);
                    assert!(target[..dst_offset].iter().all(|b| *b == 0));
                    assert!(target[dst_offset + len..].iter().all(|b| *b == 0));
                }
            }
        }
    }
}
