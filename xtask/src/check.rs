// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! `cargo xtask check`: loads a system description and says everything that is wrong with it.

use std::path::{Path, PathBuf};

use crate::board::Board;
use crate::cli::CheckArgs;
use crate::diagnostics::{Diagnostic, Severity, Source, render};
use crate::error::{Context, Error, Result};
use crate::system::{System, files, house, parse, rules};
use crate::workspace;

/// A system that passed the checks which need no other file.
#[derive(Debug)]
pub struct Loaded {
    /// The text, for later diagnostics.
    pub source: Source,
    /// What it says.
    pub system: System,
}

/// Whose rules hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum House {
    /// A system of this repository: also the rules for restartable PDs.
    Ours,
    /// Anybody's Microkit system.
    Foreign,
}

/// Runs the command.
///
/// # Errors
///
/// All that is wrong, rendered.
pub fn run(args: &CheckArgs) -> Result<()> {
    let board = Board::load(&workspace::root(), &args.board)?;
    let house = if args.search_path.is_empty() {
        House::Ours
    } else {
        House::Foreign
    };
    let loaded = load(&args.file, &board, house)?;
    if house == House::Foreign {
        check_files(&loaded, &board, &args.search_path)?;
    }
    println!(
        "{}: {} PDs, {} memory regions, {} channels: no errors",
        loaded.source.path,
        loaded.system.pds.len(),
        loaded.system.regions.len(),
        loaded.system.channels.len()
    );
    if house == House::Ours {
        println!(
            "ELF files and prefills are checked by `cargo xtask build`, or with --search-path"
        );
    }
    Ok(())
}

/// Reads and checks a description.
///
/// # Errors
///
/// All that is wrong, rendered.
pub fn load(path: &Path, board: &Board, house: House) -> Result<Loaded> {
    let text = std::fs::read_to_string(path)
        .context(format!("read system description '{}'", path.display()))?;
    let source = Source {
        path: path.display().to_string(),
        text,
    };
    let system = match parse::parse(&source.text, board) {
        Ok(system) => system,
        Err(diagnostic) => return Err(refused(&source, &[*diagnostic])),
    };
    let mut found = rules::check(&system, board);
    if house == House::Ours {
        found.extend(house::check(&system));
    }
    report(&source, &found)?;
    Ok(Loaded { source, system })
}

/// Checks the ELF files and prefills of a loaded system.
///
/// # Errors
///
/// All that is wrong, rendered.
pub fn check_files(loaded: &Loaded, board: &Board, search_path: &[PathBuf]) -> Result<()> {
    let found = files::check(&loaded.system, board, search_path);
    report(&loaded.source, &found)
}

/// Prints warnings; fails when there are errors.
fn report(source: &Source, found: &[Diagnostic]) -> Result<()> {
    let (errors, warnings): (Vec<_>, Vec<_>) = found
        .iter()
        .cloned()
        .partition(|diagnostic| diagnostic.severity() == Severity::Error);
    eprint!("{}", render(source, &warnings));
    if errors.is_empty() {
        Ok(())
    } else {
        Err(refused(source, &errors))
    }
}

fn refused(source: &Source, errors: &[Diagnostic]) -> Error {
    Error::rendered(render(source, errors))
}
