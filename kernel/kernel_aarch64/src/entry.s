// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

// From reset to Rust, and between EL0 and Rust.
//
// Entered at EL2 with the MMU off, on one core, at the load address 0x7000_0000. Until the jump to
// `.Lhigh` everything is addressed relative to the program counter.
//
// Kernel address space (TTBR1, 39 bits, level 1 first), kernel address = physical + 0xffffff80_00000000:
//   0x0000_0000  1 GiB  device memory (GIC, UART)
//   0x4000_0000  1 GiB  RAM by 2 MiB blocks; the block at 0x7000_0000 by pages, for W^X of the kernel
//   0x8000_0000  1 GiB  RAM

.equ DEVICE, (1 << 54) | (1 << 53) | (1 << 10) | (0 << 2) | 1      // UXN PXN AF attr 0 valid
.equ NORMAL, (1 << 54) | (1 << 10) | (3 << 8) | (1 << 2) | 1       // UXN AF inner-shareable attr 1
.equ NO_EXECUTE, 1 << 53                                           // PXN
.equ READ_ONLY, 1 << 7
.equ TABLE_OR_PAGE, 1 << 1

.macro load_64 register, value
    movz \register, #((\value) & 0xffff)
    movk \register, #(((\value) >> 16) & 0xffff), lsl #16
    movk \register, #(((\value) >> 32) & 0xffff), lsl #32
    movk \register, #(((\value) >> 48) & 0xffff), lsl #48
.endm

.section .text.entry, "ax"
.global _start
_start:
    msr daifset, #0xf
    mrs x0, CurrentEL
    cmp x0, #(2 << 2)
    b.ne .Lel1

    // EL1 is 64-bit; nothing is trapped to EL2, secure monitor calls go straight to PSCI.
    mov x0, #(1 << 31)
    msr hcr_el2, x0
    mov x0, #3                      // EL1 may use the physical counter and timer
    msr cnthctl_el2, x0
    msr cntvoff_el2, xzr
    mov x0, #0x33ff                 // no floating point traps
    msr cptr_el2, x0
    msr hstr_el2, xzr
    mrs x0, midr_el1
    msr vpidr_el2, x0
    mrs x0, mpidr_el1
    msr vmpidr_el2, x0
    load_64 x0, {sctlr_off}
    msr sctlr_el1, x0
    mov x0, #0x3c5                  // EL1 with its own stack pointer, all masked
    msr spsr_el2, x0
    adr x0, .Lel1
    msr elr_el2, x0
    isb
    eret

.Lel1:
    // Page tables. x9: level 1, x10: level 2 of the second GiB, x11: pages of the kernel.
    adrp x9, __level1
    adrp x10, __level2
    adrp x11, __level3
    load_64 x0, DEVICE
    str x0, [x9]
    orr x0, x10, #(TABLE_OR_PAGE | 1)
    str x0, [x9, #8]
    load_64 x0, (0x80000000 | NORMAL | NO_EXECUTE)
    str x0, [x9, #16]

    load_64 x0, (0x40000000 | NORMAL | NO_EXECUTE)
    mov x1, #0
1:  str x0, [x10, x1, lsl #3]
    add x0, x0, #0x200000
    add x1, x1, #1
    cmp x1, #512
    b.ne 1b
    orr x0, x11, #(TABLE_OR_PAGE | 1)
    str x0, [x10, #(((0x70000000 - 0x40000000) >> 21) * 8)]

    adrp x2, __text_end
    adrp x3, __rodata_end
    adrp x4, _start
    load_64 x5, (NORMAL | TABLE_OR_PAGE | READ_ONLY)               // text
    load_64 x6, (NORMAL | TABLE_OR_PAGE | READ_ONLY | NO_EXECUTE)  // constants
    load_64 x7, (NORMAL | TABLE_OR_PAGE | NO_EXECUTE)              // data
    mov x1, #0
2:  cmp x4, x3
    csel x0, x6, x7, lo
    cmp x4, x2
    csel x0, x5, x0, lo
    orr x0, x0, x4
    str x0, [x11, x1, lsl #3]
    add x4, x4, #0x1000
    add x1, x1, #1
    cmp x1, #512
    b.ne 2b

    // For the jump, the lower half shows the same: a level 0 table in front.
    adrp x12, __level0
    orr x0, x9, #(TABLE_OR_PAGE | 1)
    str x0, [x12]
    msr ttbr0_el1, x12
    msr ttbr1_el1, x9
    load_64 x0, {mair}
    msr mair_el1, x0
    load_64 x0, {tcr}
    msr tcr_el1, x0
    mov x0, #(1 << 20)              // floating point for the kernel, not yet for PDs
    msr cpacr_el1, x0
    dsb sy
    isb
    tlbi vmalle1
    ic iallu
    dsb sy
    isb
    load_64 x0, {sctlr_on}
    msr sctlr_el1, x0
    isb
    ldr x0, =.Lhigh
    br x0

.Lhigh:
    // The lower half is the PDs' from here on.
    adrp x0, __no_pd
    load_64 x1, 0xffffff8000000000
    sub x0, x0, x1
    msr ttbr0_el1, x0
    isb
    tlbi vmalle1
    dsb sy
    isb
    ldr x0, =__vectors
    msr vbar_el1, x0
    ldr x0, =__stack_top
    mov sp, x0
    mov x29, xzr
    mov x30, xzr
    bl kernel_main
    b .

.ltorg

.section .bss.tables, "aw", %nobits
.balign 4096
__level0: .skip 4096
__level1: .skip 4096
__level2: .skip 4096
__level3: .skip 4096
// Root table of nobody: all zero.
__no_pd: .skip 4096

.section .stack, "aw", %nobits
.balign 4096
.skip {stack_size}
.global __stack_top
__stack_top:

// Registers of a PD, in the order of `TrapFrame`.
.macro save_frame
    sub sp, sp, #{frame_size}
    stp x0, x1, [sp, #0]
    stp x2, x3, [sp, #16]
    stp x4, x5, [sp, #32]
    stp x6, x7, [sp, #48]
    stp x8, x9, [sp, #64]
    stp x10, x11, [sp, #80]
    stp x12, x13, [sp, #96]
    stp x14, x15, [sp, #112]
    stp x16, x17, [sp, #128]
    stp x18, x19, [sp, #144]
    stp x20, x21, [sp, #160]
    stp x22, x23, [sp, #176]
    stp x24, x25, [sp, #192]
    stp x26, x27, [sp, #208]
    stp x28, x29, [sp, #224]
    mrs x0, sp_el0
    stp x30, x0, [sp, #240]
    mrs x0, elr_el1
    mrs x1, spsr_el1
    stp x0, x1, [sp, #256]
    mrs x0, tpidr_el0
    mrs x1, tpidrro_el0
    stp x0, x1, [sp, #272]
    mrs x0, fpcr
    mrs x1, fpsr
    stp x0, x1, [sp, #288]
    add x0, sp, #304
    stp q0, q1, [x0, #0]
    stp q2, q3, [x0, #32]
    stp q4, q5, [x0, #64]
    stp q6, q7, [x0, #96]
    stp q8, q9, [x0, #128]
    stp q10, q11, [x0, #160]
    stp q12, q13, [x0, #192]
    stp q14, q15, [x0, #224]
    stp q16, q17, [x0, #256]
    stp q18, q19, [x0, #288]
    stp q20, q21, [x0, #320]
    stp q22, q23, [x0, #352]
    stp q24, q25, [x0, #384]
    stp q26, q27, [x0, #416]
    stp q28, q29, [x0, #448]
    stp q30, q31, [x0, #480]
.endm

.section .text, "ax"
.global __return_to_user
// Leaves to the PD whose registers are in the frame at sp.
__return_to_user:
    add x0, sp, #304
    ldp q0, q1, [x0, #0]
    ldp q2, q3, [x0, #32]
    ldp q4, q5, [x0, #64]
    ldp q6, q7, [x0, #96]
    ldp q8, q9, [x0, #128]
    ldp q10, q11, [x0, #160]
    ldp q12, q13, [x0, #192]
    ldp q14, q15, [x0, #224]
    ldp q16, q17, [x0, #256]
    ldp q18, q19, [x0, #288]
    ldp q20, q21, [x0, #320]
    ldp q22, q23, [x0, #352]
    ldp q24, q25, [x0, #384]
    ldp q26, q27, [x0, #416]
    ldp q28, q29, [x0, #448]
    ldp q30, q31, [x0, #480]
    ldp x0, x1, [sp, #288]
    msr fpcr, x0
    msr fpsr, x1
    ldp x0, x1, [sp, #272]
    msr tpidr_el0, x0
    msr tpidrro_el0, x1
    ldp x0, x1, [sp, #256]
    msr elr_el1, x0
    msr spsr_el1, x1
    ldp x30, x0, [sp, #240]
    msr sp_el0, x0
    ldp x28, x29, [sp, #224]
    ldp x26, x27, [sp, #208]
    ldp x24, x25, [sp, #192]
    ldp x22, x23, [sp, #176]
    ldp x20, x21, [sp, #160]
    ldp x18, x19, [sp, #144]
    ldp x16, x17, [sp, #128]
    ldp x14, x15, [sp, #112]
    ldp x12, x13, [sp, #96]
    ldp x10, x11, [sp, #80]
    ldp x8, x9, [sp, #64]
    ldp x6, x7, [sp, #48]
    ldp x4, x5, [sp, #32]
    ldp x2, x3, [sp, #16]
    ldp x0, x1, [sp, #0]
    add sp, sp, #{frame_size}
    eret

// First entry into a PD: x0 points to a frame that is copied to where traps put theirs.
.global __enter_first
__enter_first:
    ldr x1, =__stack_top
    sub sp, x1, #{frame_size}
    mov x2, sp
    mov x3, #({frame_size} / 16)
1:  ldp x4, x5, [x0], #16
    stp x4, x5, [x2], #16
    subs x3, x3, #1
    b.ne 1b
    b __return_to_user

.Lfrom_user_sync:
    save_frame
    mov x0, sp
    bl trap_synchronous
    b __return_to_user

.Lfrom_user_irq:
    save_frame
    mov x0, sp
    bl trap_interrupt
    b __return_to_user

.ltorg

.macro unexpected number
    .balign 128
    mov x0, #\number
    b trap_unexpected
.endm

.balign 2048
__vectors:
    unexpected 0
    unexpected 1
    unexpected 2
    unexpected 3
    unexpected 4
    unexpected 5
    unexpected 6
    unexpected 7
    .balign 128
    b .Lfrom_user_sync
    .balign 128
    b .Lfrom_user_irq
    unexpected 10
    unexpected 11
    unexpected 12
    unexpected 13
    unexpected 14
    unexpected 15
