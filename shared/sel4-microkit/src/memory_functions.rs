// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! `memcpy`, `memmove`, `memset`, `memcmp` and `bcmp` for cached memory.
//!
//! The ones that come with the compiler for this target move one word, or compare one byte, at a
//! time. These move 64 bytes in six instructions. They load and store unaligned, so they are not
//! for device memory. DC ZVA is not used: EL0 may not.

use core::arch::global_asm;

// Short blocks are two overlapping loads and stores. A long block keeps its last (forwards) or
// first (backwards) 64 bytes in q4..q7 before the loop, so that the loop need not care about the
// remainder and overlapping blocks come out right.
global_asm!(
    r#"
    .pushsection .text.memory_functions, "ax", @progbits
    .balign 64
    .global memcpy
    .type memcpy, @function
    .global memmove
    .type memmove, @function
memcpy:
memmove:
    add x4, x1, x2
    add x5, x0, x2
    cmp x2, #16
    b.lo 10f
    cmp x2, #64
    b.hi 30f
    cmp x2, #32
    b.hi 20f
    ldr q0, [x1]
    ldur q1, [x4, #-16]
    str q0, [x0]
    stur q1, [x5, #-16]
    ret
10: tbz x2, #3, 11f
    ldr x6, [x1]
    ldur x7, [x4, #-8]
    str x6, [x0]
    stur x7, [x5, #-8]
    ret
11: tbz x2, #2, 12f
    ldr w6, [x1]
    ldur w7, [x4, #-4]
    str w6, [x0]
    stur w7, [x5, #-4]
    ret
12: cbz x2, 14f
    tbz x2, #1, 13f
    ldrh w6, [x1]
    ldurh w7, [x4, #-2]
    strh w6, [x0]
    sturh w7, [x5, #-2]
    ret
13: ldrb w6, [x1]
    strb w6, [x0]
14: ret
20: ldp q0, q1, [x1]
    ldp q2, q3, [x4, #-32]
    stp q0, q1, [x0]
    stp q2, q3, [x5, #-32]
    ret
30: sub x3, x0, x1
    cmp x3, x2
    b.lo 40f
    ldp q4, q5, [x4, #-64]
    ldp q6, q7, [x4, #-32]
    mov x6, x0
    sub x7, x2, #64
31: ldp q2, q3, [x1, #32]
    ldp q0, q1, [x1], #64
    stp q2, q3, [x6, #32]
    stp q0, q1, [x6], #64
    subs x7, x7, #64
    b.hi 31b
    stp q4, q5, [x5, #-64]
    stp q6, q7, [x5, #-32]
    ret
40: cbz x3, 14b
    ldp q4, q5, [x1]
    ldp q6, q7, [x1, #32]
    sub x7, x2, #64
41: ldp q2, q3, [x4, #-32]
    ldp q0, q1, [x4, #-64]!
    stp q2, q3, [x5, #-32]
    stp q0, q1, [x5, #-64]!
    subs x7, x7, #64
    b.hi 41b
    stp q4, q5, [x0]
    stp q6, q7, [x0, #32]
    ret
    .size memcpy, . - memcpy
    .size memmove, . - memmove

    .balign 64
    .global memset
    .type memset, @function
memset:
    dup v0.16b, w1
    add x5, x0, x2
    cmp x2, #16
    b.lo 10f
    cmp x2, #64
    b.hi 30f
    cmp x2, #32
    b.hi 20f
    str q0, [x0]
    stur q0, [x5, #-16]
    ret
10: tbz x2, #3, 11f
    str d0, [x0]
    stur d0, [x5, #-8]
    ret
11: tbz x2, #2, 12f
    str s0, [x0]
    stur s0, [x5, #-4]
    ret
12: cbz x2, 14f
    strb w1, [x0]
    sturb w1, [x5, #-1]
    tbz x2, #1, 14f
    strb w1, [x0, #1]
14: ret
20: stp q0, q0, [x0]
    stp q0, q0, [x5, #-32]
    ret
30: mov x6, x0
    sub x7, x2, #64
31: stp q0, q0, [x6, #32]
    stp q0, q0, [x6], #64
    subs x7, x7, #64
    b.hi 31b
    stp q0, q0, [x5, #-64]
    stp q0, q0, [x5, #-32]
    ret
    .size memset, . - memset

    .balign 64
    .global memcmp
    .type memcmp, @function
    .global bcmp
    .type bcmp, @function
memcmp:
bcmp:
    subs x2, x2, #8
    b.lo 52f
51: ldr x3, [x0], #8
    ldr x4, [x1], #8
    cmp x3, x4
    b.ne 54f
    subs x2, x2, #8
    b.hs 51b
52: adds x2, x2, #8
    b.eq 55f
53: ldrb w3, [x0], #1
    ldrb w4, [x1], #1
    subs w3, w3, w4
    b.ne 56f
    subs x2, x2, #1
    b.ne 53b
55: mov w0, #0
    ret
54: rev x3, x3
    rev x4, x4
    cmp x3, x4
    cset w0, hi
    csinv w0, w0, wzr, hs
    ret
56: mov w0, w3
    ret
    .size memcmp, . - memcmp
    .size bcmp, . - bcmp
    .popsection
    "#
);
