// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The attribute macro of `sel4-microkit`. It only repackages its arguments; what they mean is in
//! `sel4_microkit::declare_protection_domain!`.

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::quote;
use syn::{ItemFn, parse_macro_input};

/// Declares a function as the protection domain's initialisation function.
///
/// `#[protection_domain(stack_size = N, heap_size = M)]`, both optional, each an expression of
/// type `usize` in bytes.
#[proc_macro_attribute]
pub fn protection_domain(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let function = parse_macro_input!(item as ItemFn);
    let name = &function.sig.ident;
    let arguments = Tokens::from(arguments);
    quote! {
        ::sel4_microkit::declare_protection_domain!(init = #name, #arguments);
        #function
    }
    .into()
}
