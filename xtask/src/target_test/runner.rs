// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Carries out one system test on one kernel after the other.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::board::Board;
use crate::build::{self, Built};
use crate::cli::{Config, KernelArgs, SystemArgs, TestArgs};
use crate::error::Result;
use crate::kernels::Target;
use crate::qemu::{self, End, Finished, Machine, Watch};
use crate::run;
use crate::symbolize::Filter;
use crate::target_test::cases::{Case, Disk, SystemUnderTest};
use crate::target_test::power;
use crate::{disk, image, partitions, samples, workspace};

/// Names the folder with Microkit's examples, each in `NAME/debug/NAME.system` with its ELF files.
const EXAMPLES: &str = "MICROKIT_EXAMPLES";
/// Where they are looked for when nobody says.
const EXAMPLES_DEFAULT: &str = "/opt/examples";
/// Folder with the files of a test's disk.
const FILES: &str = "files";
/// Lines of the serial output that a failure shows.
const TAIL_LINES: usize = 40;

/// How a test ended.
pub enum Outcome {
    /// As it must.
    Passed,
    /// Otherwise; with the reason.
    Failed(String),
    /// Not run; with the reason.
    Skipped(String),
}

impl Outcome {
    /// Of something that is done or fails.
    pub fn of(result: Result<()>) -> Self {
        result.map_or_else(|error| Self::Failed(error.to_string()), |()| Self::Passed)
    }
}

/// What all tests share.
pub struct Runner<'a> {
    /// The command line.
    pub args: &'a TestArgs,
    /// The board.
    pub board: &'a Board,
    /// Where each test gets a folder.
    pub folder: PathBuf,
}

impl Runner<'_> {
    /// Runs `case` on each of `targets`.
    pub fn run(&self, case: &Case, targets: &[Target]) -> Vec<(Target, Outcome)> {
        let folder = self.folder.join(case.name);
        let mut built = None;
        let outcome = |target: &Target| match self.system(case, target, &folder) {
            Err(why) => Outcome::Skipped(why),
            Ok(system) => self
                .on(case, &system, &mut built, target, &folder)
                .unwrap_or_else(|error| Outcome::Failed(error.to_string())),
        };
        let outcomes: Vec<Outcome> = targets.iter().map(outcome).collect();
        targets.iter().cloned().zip(outcomes).collect()
    }

    /// What to build, or why it cannot be built here.
    fn system(
        &self,
        case: &Case,
        target: &Target,
        folder: &Path,
    ) -> std::result::Result<SystemArgs, String> {
        let root = workspace::root();
        let kernel = KernelArgs {
            ..self.args.kernel.clone()
        };
        let build_dir = folder.to_path_buf();
        let ours = |system, overlays: &[&str]| SystemArgs {
            kernel: kernel.clone(),
            system: root.join(system),
            overlay: overlays.iter().map(|file| root.join(file)).collect(),
            search_path: Vec::new(),
            build_dir: build_dir.clone(),
        };
        match case.system {
            SystemUnderTest::Ours(overlays) => Ok(ours("system.xml", overlays)),
            SystemUnderTest::File(system, overlays) => Ok(ours(system, overlays)),
            SystemUnderTest::Example(name) => {
                let examples = std::env::var_os(EXAMPLES)
                    .map_or_else(|| PathBuf::from(EXAMPLES_DEFAULT), PathBuf::from);
                if let Target::Sel4 {
                    config: Config::Release | Config::Benchmark,
                    ..
                } = target
                {
                    return Err("it prints through the debug kernel's console only".to_owned());
                }
                let files = examples.join(name).join("debug");
                let system = files.join(format!("{name}.system"));
                if !system.is_file() {
                    return Err(format!("no '{}' (set {EXAMPLES})", system.display()));
                }
                let search_path = vec![files];
                Ok(SystemArgs {
                    kernel,
                    system,
                    overlay: Vec::new(),
                    search_path,
                    build_dir,
                })
            }
        }
    }

    /// Runs `case` on one kernel. `last` is what was built for the kernel before.
    fn on(
        &self,
        case: &Case,
        system: &SystemArgs,
        last: &mut Option<Built>,
        target: &Target,
        folder: &Path,
    ) -> Result<Outcome> {
        workspace::make_folder(folder)?;
        for (file, bytes) in case.prefill {
            workspace::write(&folder.join(file), bytes)?;
        }
        // PDs built here are the same for all kernels.
        let built = match last.take().filter(|_| system.search_path.is_empty()) {
            Some(built) => built,
            None => build::build(system)?,
        };
        let built = &*last.insert(built);
        let image = image::make_for(built, target)?;
        let disk = self.disk(case, folder)?;
        let machine = Machine {
            image,
            disk: disk.clone().map(|disk| match case.host_cached {
                true => qemu::with_options(&disk, "cache=unsafe"),
                false => disk,
            }),
            icount: case.icount,
            extra: case.qemu,
        };
        let texts = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
        let all = texts(case.expect);
        let mut fail: Vec<String> = texts(case.forbid);
        if !case.app_may_fail {
            fail.push(run::FAIL.to_owned());
        }
        let watch = Watch {
            until: Vec::new(),
            all,
            fail,
            timeout: Some(Duration::from_secs(case.timeout_s)),
            echo: self.args.verbose,
            each_line: None,
            linger: Duration::ZERO,
        };
        if let (true, Some(disk)) = (case.power_cuts > 0, &disk) {
            let cut = power::run(self.board, &machine, disk, case.power_cuts, case.timeout_s);
            return Ok(Outcome::of(cut));
        }
        let finished = qemu::watch(self.board, &machine, &watch)?;
        let serial = folder.join(format!("{}.serial", target.name().replace(' ', "-")));
        workspace::write(&serial, finished.output.as_bytes())?;
        let mut symbols = Filter::new(&built.build_dir);
        let mut outcome = judge(&finished, &watch, &mut symbols);
        if let (Outcome::Passed, Some(why)) = (&outcome, too_few(case, &finished.output)) {
            outcome = Outcome::Failed(why);
        }
        for line in finished.output.lines() {
            if case.show.iter().any(|text| line.contains(text)) {
                println!("{}: {line}", target.name());
            }
        }
        match (outcome, case.after, disk) {
            (Outcome::Passed, Some(after), Some(disk)) => {
                after(&disk, &folder.join(FILES)).map(|()| Outcome::Passed)
            }
            (outcome, ..) => Ok(outcome),
        }
    }

    fn ext4(&self, path: &Path, megabytes: u64, folder: &Path) -> Result<()> {
        let files = folder.join(FILES);
        samples::make(&files)?;
        disk::make_ext4(path, megabytes, Some(&files))
    }

    fn disk(&self, case: &Case, folder: &Path) -> Result<Option<PathBuf>> {
        let path = folder.join("disk.img");
        match case.disk {
            Disk::None => return Ok(None),
            Disk::Blank(megabytes) => disk::make_blank(&path, megabytes)?,
            Disk::ReadOnly(megabytes) => {
                disk::make_blank(&path, megabytes)?;
                return Ok(Some(qemu::with_options(&path, "readonly=on")));
            }
            Disk::Partitioned(megabytes) => partitions::make(&path, megabytes)?,
            Disk::Failing(megabytes, sector) => {
                disk::make_blank(&path, megabytes)?;
                return Ok(Some(disk::failing(&path, sector)?));
            }
            Disk::Ext4(megabytes) => self.ext4(&path, megabytes, folder)?,
            Disk::Ext4ReadOnly(megabytes) => {
                self.ext4(&path, megabytes, folder)?;
                return Ok(Some(qemu::with_options(&path, "readonly=on")));
            }
            Disk::Ext4WithErrors(megabytes) => {
                self.ext4(&path, megabytes, folder)?;
                disk::say_errors(&path)?;
            }
            Disk::Ext4Failing(megabytes, flushes) => {
                self.ext4(&path, megabytes, folder)?;
                return Ok(Some(disk::failing_after(&path, flushes)?));
            }
        }
        Ok(Some(path))
    }
}

/// Says which text too few lines have.
fn too_few(case: &Case, output: &str) -> Option<String> {
    case.at_least.iter().find_map(|(text, wanted)| {
        let found = output.lines().filter(|line| line.contains(text)).count();
        (found < *wanted).then(|| format!("  {found} lines with '{text}', {wanted} wanted"))
    })
}

fn judge(finished: &Finished, watch: &Watch, symbols: &mut Filter) -> Outcome {
    let why = match &finished.end {
        End::Seen => return Outcome::Passed,
        End::Failed(line) => format!("the system says: {line}"),
        End::Exited(status) => format!("QEMU ended too early: {status}"),
        End::TimedOut => format!("not finished after {:.0?}", finished.elapsed),
    };
    let missing = watch
        .all
        .iter()
        .filter(|text| !finished.output.contains(text.as_str()));
    let mut text = format!("  {why}\n");
    for line in missing {
        text.push_str(&format!("  missing: {line}\n"));
    }
    let lines: Vec<_> = finished.output.lines().collect();
    let shown = &lines[lines.len().saturating_sub(TAIL_LINES)..];
    text.push_str(&format!(
        "  last {} lines of the serial output:\n",
        shown.len()
    ));
    for line in shown {
        text.push_str(&format!("  | {line}\n"));
        for explanation in symbols.explanations(line) {
            text.push_str(&format!("  |     {explanation}\n"));
        }
    }
    Outcome::Failed(text)
}
