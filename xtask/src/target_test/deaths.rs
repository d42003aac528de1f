// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The lines that the test of random deaths waits for.

/// Every death of the test PD `chaos` in each of its victims, as their supervisors see them.
pub const DEATHS: &[&str] = &[
    "FAULT pd=supervisor kind=illegal_instruction ",
    "FAULT pd=supervisor kind=breakpoint ",
    "FAULT pd=supervisor kind=read ",
    "FAULT pd=supervisor kind=execute ",
    "FAULT pd=timer kind=illegal_instruction ",
    "FAULT pd=timer kind=breakpoint ",
    "FAULT pd=timer kind=read ",
    "FAULT pd=timer kind=execute ",
    "FAULT pd=devices kind=illegal_instruction ",
    "FAULT pd=devices kind=breakpoint ",
    "FAULT pd=devices kind=read ",
    "FAULT pd=devices kind=execute ",
    "FAULT pd=blk kind=illegal_instruction ",
    "FAULT pd=blk kind=breakpoint ",
    "FAULT pd=blk kind=read ",
    "FAULT pd=blk kind=execute ",
    "FAULT pd=console kind=illegal_instruction ",
    "FAULT pd=console kind=breakpoint ",
    "FAULT pd=console kind=read ",
    "FAULT pd=console kind=execute ",
    // Its points are on the way of an application that works, for some seconds.
    "FAULT pd=fs kind=",
];
