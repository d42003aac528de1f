// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The first instructions of a PD, of its first life as of every other.
//!
//! A restart sets the program counter and nothing else, so everything that the program relies on
//! is set here. The boot stub is what runs before the supervisor has loaded anything.

use core::arch::global_asm;

use microkit_abi::{ipc_buffer, slots, syscalls};
use recovery::LastLife;

use crate::Handler;

global_asm!(
    ".pushsection .boot.text, \"ax\", @progbits",
    ".global __boot_stub",
    ".type __boot_stub, @function",
    "__boot_stub:",
    "    udf #0",
    "    b __boot_stub",
    ".size __boot_stub, . - __boot_stub",
    ".popsection",
    "",
    ".pushsection .text.entry, \"ax\", @progbits",
    ".global _start",
    ".type _start, @function",
    "_start:",
    // All registers but the program counter are the last life's: `recovery::LastLife` keeps them.
    "    msr tpidr_el0, x0",
    "    adrp x0, __last_life",
    "    add x0, x0, :lo12:__last_life",
    "    stp x1, x2, [x0, #{x} + 8]",
    "    isb",
    "    mrs x1, cntpct_el0",
    "    mov x2, sp",
    "    str xzr, [x0]",
    "    stp x1, x2, [x0, #8]",
    "    stp x3, x4, [x0, #{x} + 24]",
    "    stp x5, x6, [x0, #{x} + 40]",
    "    stp x7, x8, [x0, #{x} + 56]",
    "    stp x9, x10, [x0, #{x} + 72]",
    "    stp x11, x12, [x0, #{x} + 88]",
    "    stp x13, x14, [x0, #{x} + 104]",
    "    stp x15, x16, [x0, #{x} + 120]",
    "    stp x17, x18, [x0, #{x} + 136]",
    "    stp x19, x20, [x0, #{x} + 152]",
    "    stp x21, x22, [x0, #{x} + 168]",
    "    stp x23, x24, [x0, #{x} + 184]",
    "    stp x25, x26, [x0, #{x} + 200]",
    "    stp x27, x28, [x0, #{x} + 216]",
    "    stp x29, x30, [x0, #{x} + 232]",
    "    mrs x1, tpidr_el0",
    "    str x1, [x0, #{x}]",
    // Frame records, as far as they lie in the stack and lead upwards.
    "    adrp x2, __stack_bottom",
    "    adrp x3, __stack_top",
    "    sub x3, x3, #16",
    "    add x4, x0, #{frames}",
    "    mov x5, xzr",
    "774:",
    "    tst x29, #7",
    "    ccmp x29, x2, #0, eq",
    "    b.lo 775f",
    "    cmp x29, x3",
    "    b.hi 775f",
    "    ldp x8, x9, [x29]",
    "    str x9, [x4, x5, lsl #3]",
    "    add x5, x5, #1",
    "    cmp x5, #{frames_max}",
    "    ccmp x8, x29, #0, lo",
    "    mov x29, x8",
    "    b.hi 774b",
    "775:",
    "    str x5, [x0, #{frame_count}]",
    "    adrp x6, __start_info",
    "    ldr w7, [x6, #:lo12:__start_info + 12]",
    "    ldr x8, ={mark}",
    "    eor x7, x7, x8",
    "    str x7, [x0]",
    "    mov x0, sp",
    "    adrp x1, __stack_top",
    "    add x1, x1, :lo12:__stack_top",
    "    mov sp, x1",
    "    mov x29, xzr",
    "    mov x30, xzr",
    "    msr tpidr_el0, xzr",
    "    msr fpcr, xzr",
    "    b {entry}",
    ".size _start, . - _start",
    ".ltorg",
    // Where a test sends a PD that is to block for ever: a receive that swallows what comes.
    "772:",
    "    mov x0, {input}",
    "    mov x6, {reply}",
    "    mov x7, {recv}",
    "    svc #0",
    "    b 772b",
    // Where a measurement sends a PD that is to die at a known time, one of two places.
    "773:",
    "    isb",
    "    mrs x0, cntpct_el0",
    "    udf #0",
    "    b 773b",
    "    isb",
    "    mrs x0, cntpct_el0",
    "    udf #0",
    "    b 773b",
    ".popsection",
    ".pushsection .last_life, \"aw\", @nobits",
    ".balign 64",
    ".global __last_life",
    ".type __last_life, @object",
    "__last_life:",
    "    .zero {last_life_bytes}",
    ".size __last_life, {last_life_bytes}",
    ".popsection",
    ".pushsection .fault_points,\"\",@progbits",
    ".balign 8",
    ".quad 773b",
    ".asciz \"runtime.die_now\"",
    ".balign 8",
    ".quad 772b",
    ".asciz \"runtime.block_for_ever\"",
    ".balign 8",
    ".popsection",
    "",
    // Layout: `recovery::StartInfo`.
    ".pushsection .start_info, \"aw\", @progbits",
    ".global __start_info",
    ".type __start_info, @object",
    "__start_info:",
    "    .ascii \"KINTSTRT\"",
    "    .word {version}, 0",
    "    .quad 0",
    "    .quad __stack_bottom",
    "    .quad __stack_top",
    "    .quad 0, __last_life, 0",
    ".size __start_info, 64",
    ".popsection",
    entry = sym entry,
    version = const recovery::StartInfo::VERSION,
    x = const LastLife::X_OFFSET,
    frames = const LastLife::FRAMES_OFFSET,
    frames_max = const LastLife::FRAMES_MAX,
    frame_count = const LastLife::FRAME_COUNT_OFFSET,
    mark = const LastLife::MARK,
    last_life_bytes = const LastLife::BYTES,
    input = const slots::INPUT,
    reply = const slots::REPLY,
    recv = const syscalls::RECV,
);

unsafe extern "Rust" {
    /// Defined by `declare_protection_domain!`.
    fn __sel4_microkit_main() -> !;
}

extern "C" fn entry(initial_sp: usize) -> ! {
    let told = recovery::start_info().ipc_buffer.get() as usize;
    let address = if told == 0 {
        ipc_buffer::locate(initial_sp)
    } else {
        told
    };
    // SAFETY: a supervisor passes on its own buffer's address, which is the same in every PD;
    // without one, this is the stack pointer that Microkit starts a PD with.
    unsafe { ipc_buffer::set_address(address) };
    // SAFETY: defined by the macro with this signature.
    unsafe { __sel4_microkit_main() }
}

/// Runs `init` and then the event loop.
#[doc(hidden)]
pub fn run_main<H: Handler>(init: impl FnOnce() -> H) -> ! {
    let error = match init().run() {
        Ok(never) => match never {},
        Err(error) => error,
    };
    panic!("event loop ended: {error}")
}

/// Declares entry, stack and heap of a PD; what `#[protection_domain]` expands to.
#[doc(hidden)]
#[macro_export]
macro_rules! declare_protection_domain {
    (init = $init:expr $(,)?) => {
        // Enough for formatted output and a driver; a PD that recurses asks for more.
        $crate::declare_protection_domain!(init = $init, stack_size = 0x4000);
    };
    (init = $init:expr, heap_size = $heap:expr $(,)?) => {
        $crate::declare_protection_domain!(init = $init, stack_size = 0x4000, heap_size = $heap);
    };
    // In this order only, as upstream's macro has it.
    (init = $init:expr, stack_size = $stack:expr, heap_size = $heap:expr $(,)?) => {
        const _: () = {
            #[allow(unsafe_code)]
            #[unsafe(link_section = ".heap")]
            static MEMORY: $crate::_private::Scratch<{ $heap }> = $crate::_private::Scratch::new();
            #[allow(unsafe_code)]
            #[global_allocator]
            // SAFETY: a static of its own, named by nobody else.
            static HEAP: $crate::_private::Heap =
                unsafe { $crate::_private::Heap::new(MEMORY.memory()) };
        };
        $crate::declare_protection_domain!(init = $init, stack_size = $stack);
    };
    (init = $init:expr, stack_size = $stack:expr $(,)?) => {
        const _: () = {
            #[used]
            #[allow(unsafe_code)]
            #[unsafe(link_section = ".stack")]
            static STACK: $crate::_private::Scratch<{ $stack }> = $crate::_private::Scratch::new();

            #[allow(unsafe_code)]
            #[unsafe(no_mangle)]
            fn __sel4_microkit_main() -> ! {
                $crate::_private::run_main($init)
            }
        };
    };
}
