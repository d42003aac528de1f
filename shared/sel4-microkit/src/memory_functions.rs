// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! `memcpy`, `memmove`, `memset`, `memcmp` and `bcmp` for cached memory.
//!
//! The ones that come with the compiler for this target move one word, or compare one byte, at a
//! time. These move 256 bytes in ten instructions. They load and store unaligned, so they are not
//! for device memory. DC ZVA is not used: EL0 may not.

use core::arch::global_asm;

// Short blocks are two overlapping loads and stores. A long block keeps its last (forwards) or
// first (backwards) 64 bytes in v4..v7 before the first store, so that what comes before them is moved in
// whole 64s, and overlapping blocks come out right: every 64 are loaded before they are stored, and the
// stores are behind the loads. x7 is the number of bytes less one (in its low eight bits, once a round of
// 256 has not fitted any more), so that the last 64s may be those that were kept.
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
    subs x7, x2, #257
    b.lo 32f
31:
    ld1 {{v0.16b-v3.16b}}, [x1], #64
    st1 {{v0.16b-v3.16b}}, [x6], #64
    ld1 {{v0.16b-v3.16b}}, [x1], #64
    st1 {{v0.16b-v3.16b}}, [x6], #64
    ld1 {{v0.16b-v3.16b}}, [x1], #64
    st1 {{v0.16b-v3.16b}}, [x6], #64
    ld1 {{v0.16b-v3.16b}}, [x1], #64
    st1 {{v0.16b-v3.16b}}, [x6], #64
    subs x7, x7, #256
    b.hs 31b
32: tbz x7, #7, 33f
    ld1 {{v0.16b-v3.16b}}, [x1], #64
    st1 {{v0.16b-v3.16b}}, [x6], #64
    ld1 {{v0.16b-v3.16b}}, [x1], #64
    st1 {{v0.16b-v3.16b}}, [x6], #64
33: tbz x7, #6, 34f
    ld1 {{v0.16b-v3.16b}}, [x1], #64
    st1 {{v0.16b-v3.16b}}, [x6], #64
34: stp q4, q5, [x5, #-64]
    stp q6, q7, [x5, #-32]
    ret
40: cbz x3, 14b
    ld1 {{v4.16b-v7.16b}}, [x1]
    sub x4, x4, #64
    sub x5, x5, #64
    mov x8, #-64
    subs x7, x2, #257
    b.lo 42f
41:
    ld1 {{v0.16b-v3.16b}}, [x4], x8
    st1 {{v0.16b-v3.16b}}, [x5], x8
    ld1 {{v0.16b-v3.16b}}, [x4], x8
    st1 {{v0.16b-v3.16b}}, [x5], x8
    ld1 {{v0.16b-v3.16b}}, [x4], x8
    st1 {{v0.16b-v3.16b}}, [x5], x8
    ld1 {{v0.16b-v3.16b}}, [x4], x8
    st1 {{v0.16b-v3.16b}}, [x5], x8
    subs x7, x7, #256
    b.hs 41b
42: tbz x7, #7, 43f
    ld1 {{v0.16b-v3.16b}}, [x4], x8
    st1 {{v0.16b-v3.16b}}, [x5], x8
    ld1 {{v0.16b-v3.16b}}, [x4], x8
    st1 {{v0.16b-v3.16b}}, [x5], x8
43: tbz x7, #6, 44f
    ld1 {{v0.16b-v3.16b}}, [x4], x8
    st1 {{v0.16b-v3.16b}}, [x5], x8
44: st1 {{v4.16b-v7.16b}}, [x0]
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
30: cmp x2, #128
    b.hi 40f
    stp q0, q0, [x0]
    stp q0, q0, [x0, #32]
    stp q0, q0, [x5, #-64]
    stp q0, q0, [x5, #-32]
    ret
40: cmp x2, #256
    b.hi 50f
    stp q0, q0, [x0]
    stp q0, q0, [x0, #32]
    stp q0, q0, [x0, #64]
    stp q0, q0, [x0, #96]
    stp q0, q0, [x5, #-128]
    stp q0, q0, [x5, #-96]
    stp q0, q0, [x5, #-64]
    stp q0, q0, [x5, #-32]
    ret
50: mov v1.16b, v0.16b
    mov v2.16b, v0.16b
    mov v3.16b, v0.16b
    mov x6, x0
    sub x7, x2, #257
51: st1 {{v0.16b-v3.16b}}, [x6], #64
    st1 {{v0.16b-v3.16b}}, [x6], #64
    st1 {{v0.16b-v3.16b}}, [x6], #64
    st1 {{v0.16b-v3.16b}}, [x6], #64
    subs x7, x7, #256
    b.hs 51b
    sub x5, x5, #256 // The last 256, of which at least one is missing.
    st1 {{v0.16b-v3.16b}}, [x5], #64
    st1 {{v0.16b-v3.16b}}, [x5], #64
    st1 {{v0.16b-v3.16b}}, [x5], #64
    st1 {{v0.16b-v3.16b}}, [x5]
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
