// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The debug kernel's console. Release kernels have none: there, nothing is printed.

use core::fmt::{self, Write};

use microkit_abi::{KernelConfig, syscalls};

struct Console;

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(syscalls::debug_put_char);
        Ok(())
    }
}

#[doc(hidden)]
pub fn print(arguments: fmt::Arguments<'_>) {
    if KernelConfig::detect().prints() {
        let _ = Console.write_fmt(arguments);
    }
}

/// Prints on the debug kernel's console.
#[macro_export]
macro_rules! debug_print {
    ($($arg:tt)*) => {
        $crate::_private::print(::core::format_args!($($arg)*))
    };
}

/// Prints on the debug kernel's console, with a newline.
#[macro_export]
macro_rules! debug_println {
    () => { $crate::debug_print!("\n") };
    ($($arg:tt)*) => {
        $crate::debug_print!("{}\n", ::core::format_args!($($arg)*))
    };
}
