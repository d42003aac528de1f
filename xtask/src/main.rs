// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! `cargo xtask`: dispatch only. Every command is a module; see `cargo xtask --help`.

#![forbid(unsafe_code)]

mod bench;
mod board;
mod build;
mod campaign;
mod check;
mod clean;
mod cli;
mod compile;
mod cut;
mod demo;
mod dev_image;
mod diagnostics;
mod disk;
mod doctor;
mod error;
mod image;
mod kernels;
mod new;
mod overlay;
mod partitions;
mod policy;
mod qemu;
mod run;
mod samples;
mod simulate;
mod symbolize;
mod system;
mod target_test;
mod tidy;
mod toolchain;
mod top;
mod topology;
mod workspace;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

fn main() -> ExitCode {
    let result = match &Cli::parse().command {
        Command::Check(args) => check::run(args),
        Command::Build(args) => build::run(args),
        Command::Image(args) => image::run(args),
        Command::Run(args) => run::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Test(args) => target_test::run(args),
        Command::Campaign(args) => campaign::run(args),
        Command::Simulate(args) => simulate::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Symbolize(args) => symbolize::run(args),
        Command::Top(args) => top::run(args),
        Command::New(args) => new::run(args),
        Command::Tidy => tidy::run(),
        Command::Clean(args) => clean::run(&args.build_dir),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let text = error.to_string();
            if !text.is_empty() {
                eprintln!("{text}");
            }
            ExitCode::FAILURE
        }
    }
}
