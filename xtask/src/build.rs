// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! `cargo xtask build`: from system.xml to checked ELF files and topology tables in the build folder.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::board::Board;
use crate::check::{self, House, Loaded};
use crate::cli::SystemArgs;
use crate::error::{Context, Error, Result};
use crate::system::{BOOT_SUFFIX, System};
use crate::{compile, cut, overlay, topology, workspace};

/// A system with all its files.
#[derive(Debug)]
pub struct Built {
    /// The checked system.
    pub loaded: Loaded,
    /// Its description, after overlays.
    pub system_file: PathBuf,
    /// The board.
    pub board: Board,
    /// Where everything goes.
    pub build_dir: PathBuf,
    /// Where the files named in the description are.
    pub search_path: Vec<PathBuf>,
}

/// Runs the command.
///
/// # Errors
///
/// When the system is refused or a PD does not compile.
pub fn run(args: &SystemArgs) -> Result<()> {
    let built = build(args)?;
    print_hashes(&built)
}

/// Builds and checks everything that an image needs, except the kernel.
///
/// # Errors
///
/// When the system is refused or a PD does not compile.
pub fn build(args: &SystemArgs) -> Result<Built> {
    let root = workspace::root();
    let board = Board::load(&root, &args.kernel.board)?;
    workspace::make_folder(&args.build_dir)?;
    let system_file = with_overlays(args)?;
    let house = if args.search_path.is_empty() {
        House::Ours
    } else {
        House::Foreign
    };
    let loaded = check::load(&system_file, &board, house)?;
    let search_path = match house {
        House::Foreign => args.search_path.clone(),
        House::Ours => {
            make_pds(&root, &loaded.system, &args.build_dir)?;
            let rules = policy_file(args);
            crate::policy::write(&rules, &loaded.system, &args.build_dir)?;
            // Last: the tables say how long the other files are.
            topology::write_all(&loaded.system, &args.build_dir)?;
            vec![args.build_dir.clone()]
        }
    };
    check::check_files(&loaded, &board, &search_path)?;
    let booted = args.build_dir.join(crate::top::BOOTED);
    workspace::write(&booted, loaded.source.text.as_bytes())?;
    Ok(Built {
        loaded,
        system_file,
        board,
        build_dir: args.build_dir.clone(),
        search_path,
    })
}

/// Returns the description to use: the given one, or one with the overlays added in the build folder.
///
/// # Errors
///
/// When a file is missing or an overlay does not fit.
pub fn with_overlays(args: &SystemArgs) -> Result<PathBuf> {
    if args.overlay.is_empty() {
        return Ok(args.system.clone());
    }
    let read = |path: &Path| {
        std::fs::read_to_string(path)
            .context(format!("read system description '{}'", path.display()))
    };
    let mut text = read(&args.system)?;
    for path in &args.overlay {
        text = overlay::apply(&text, &read(path)?)?;
    }
    let name = args.system.file_name().unwrap_or_default();
    let result = args.build_dir.join(Path::new(name).with_extension("xml"));
    workspace::write(&result, text.as_bytes())?;
    Ok(result)
}

/// The policy: of the last overlay NAME.xml that has a NAME.policy.toml, or else the system's.
fn policy_file(args: &SystemArgs) -> PathBuf {
    let mut of_overlays = args
        .overlay
        .iter()
        .map(|overlay| overlay.with_extension("policy.toml"));
    of_overlays
        .rfind(|file| file.is_file())
        .unwrap_or_else(|| args.system.with_file_name("policy.toml"))
}

/// End of the name of a region with a PD's other program.
const FALLBACK_SUFFIX: &str = "_fallback_elf";

/// Crate of a PD: what is left of its image's name without endings.
fn crate_name(image: &str) -> Option<&str> {
    image
        .strip_suffix(BOOT_SUFFIX)
        .or_else(|| image.strip_suffix(".elf"))
}

fn make_pds(root: &Path, system: &System, build_dir: &Path) -> Result<()> {
    let mut names = Vec::new();
    for pd in &system.pds {
        let Some(name) = crate_name(&pd.image.path) else {
            let message = format!("PD '{}' has the image '{}'", pd.name, pd.image.path);
            let help = "an image built here is called NAME.elf or NAME.boot.elf";
            return Err(Error::new(message).help(help));
        };
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    // Other programs of a PD, which its supervisor may load.
    for region in &system.regions {
        let prefill = region.prefill.as_ref();
        let file = prefill.filter(|_| region.name.ends_with(FALLBACK_SUFFIX));
        if let Some(name) = file.and_then(|file| crate_name(&file.path))
            && !names.iter().any(|known| known == name)
        {
            names.push(name.to_owned());
        }
    }
    let folder = compile::pds(root, &names)?;
    for name in &names {
        cut_pd(name, &folder.join(name), build_dir, system)?;
    }
    check_fallbacks(system, &folder)
}

/// The tool patches the variables of a PD's first program, so another one must have them in the same
/// places.
fn check_fallbacks(system: &System, folder: &Path) -> Result<()> {
    for pd in &system.pds {
        let region = system.region(&format!("{}{FALLBACK_SUFFIX}", pd.name));
        let other = region.and_then(|region| crate_name(&region.prefill.as_ref()?.path));
        let (Some(first), Some(other)) = (crate_name(&pd.image.path), other) else {
            continue;
        };
        let variables = |name: &str| cut::patched_variables(&workspace::read(&folder.join(name))?);
        let patched = variables(first)?;
        for (variable, address) in variables(other)? {
            if patched.get(&variable) != Some(&address) {
                let message = format!("'{other}' cannot take the place of '{first}': {variable}");
                let help = "both need the same variables that system.xml sets, in the same order";
                return Err(Error::new(message).help(help));
            }
        }
    }
    Ok(())
}

fn cut_pd(name: &str, linked: &Path, build_dir: &Path, system: &System) -> Result<()> {
    let file = workspace::read(linked)?;
    let wrong = |error: Error| Error::new(format!("cannot cut '{name}': {error}"));
    workspace::write(&build_dir.join(format!("{name}.debug.elf")), &file)?;
    let stripped = cut::strip_debug(&file).map_err(wrong)?;
    workspace::write(&build_dir.join(format!("{name}.elf")), &stripped)?;
    let boot_name = format!("{name}{BOOT_SUFFIX}");
    if system.pds.iter().any(|pd| pd.image.path == boot_name) {
        let Some(boot) = cut::boot_part(&stripped).map_err(wrong)? else {
            let help = "link the PD with `#[protection_domain]` of sel4-microkit";
            return Err(Error::new(format!("'{name}' has no boot stub")).help(help));
        };
        workspace::write(&build_dir.join(boot_name), &boot)?;
    }
    let mut points = String::new();
    for point in cut::fault_points(&stripped).map_err(wrong)? {
        points.push_str(&format!("{:#010x} {}\n", point.address, point.name));
    }
    workspace::write(&build_dir.join(format!("{name}.points")), points.as_bytes())
}

fn print_hashes(built: &Built) -> Result<()> {
    let mut files: Vec<&str> = Vec::new();
    for pd in &built.loaded.system.pds {
        let all = [Some(&pd.image), pd.symbols.as_ref()];
        for file in all.into_iter().flatten() {
            if !files.contains(&file.path.as_str()) {
                files.push(&file.path);
            }
        }
    }
    for file in files {
        let path = workspace::find(file, &built.search_path)
            .ok_or_else(|| Error::new(format!("cannot find the file '{file}'")))?;
        println!("{}  {}", sha256(&workspace::read(&path)?), path.display());
    }
    Ok(())
}

/// SHA-256 in the form of `sha256sum`.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
