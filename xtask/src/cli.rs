// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The command line.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Builds, checks, boots and tests Kintsugi.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    version,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check a system description as strictly as the Microkit tool, and more.
    ///
    /// Everything is checked that the text alone can tell: what the Microkit tool refuses, what it lets
    /// pass although the system would stop at boot, and this project's own rules for restartable PDs.
    /// With --search-path, the ELF files and prefills found there are checked too, and the project's
    /// own rules are left out, because the system may be anybody's.
    Check(CheckArgs),
    /// Compile every PD of the system and cut its ELF file into parts; print SHA-256 of each.
    Build(SystemArgs),
    /// Build, then make the loader image and its report for one kernel.
    Image(SystemArgs),
    /// Make the image and boot it in QEMU, with the serial line on this terminal.
    ///
    /// A line with KINTSUGI|PASS, or with the text of --until, ends the run with status 0, one with
    /// KINTSUGI|FAIL with status 1. A system that says neither runs until Ctrl-C. With --interactive
    /// QEMU has the terminal instead (Ctrl-A x ends it), and its status is the command's.
    Run(RunArgs),
    /// Kill the services in the middle of real work, and let the host's tools judge the result.
    ///
    /// Prints how each service was killed and how soon it served again, what the application saw, and
    /// the SHA-256 of each file that it read. Ends with status 0 only when the services died often
    /// enough, every file was read and written right, and fsck finds nothing.
    Demo(DemoArgs),
    /// Run the system tests in QEMU; ends with a line `N passed, N failed`.
    Test(TestArgs),
    /// Put faults into the running system, one after the other, and say what each came to.
    ///
    /// Each trial is judged before the next begins; all go to a file as they come, so that the campaign
    /// can be interrupted and resumed. The machine boots again only when the system is lost.
    Campaign(CampaignArgs),
    /// Simulate the services on the host, with crashes and power cuts between any two of their steps.
    Simulate(SimulateArgs),
    /// Measure a service in QEMU, in instructions and guest time, which do not depend on this machine.
    Bench(BenchArgs),
    /// Say what is missing on this machine, and the command that mends it.
    Doctor(KernelArgs),
    /// Add functions and lines to the addresses of crash reports in a log.
    ///
    /// `run` does it by itself. Programs are found by PD: NAME.debug.elf in the build folder.
    Symbolize(SymbolizeArgs),
    /// Watch the PDs of a running machine.
    ///
    /// QEMU is asked for the memory of the guest, which need not do anything for it: this works with
    /// release kernels, and when everything hangs. Give the build folder of the `run` to watch.
    Top(TopArgs),
    /// Make a new application: a copy of pds/app_hello, and the overlay that adds it to the system.
    New(NewArgs),
    /// Check the sources against the project's rules.
    Tidy,
    /// Remove what was put into the build folder.
    Clean(CleanArgs),
}

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// System description.
    #[arg(default_value = "system.xml")]
    pub file: PathBuf,
    /// Also check ELF files and prefills, looked for here (may be given more than once).
    #[arg(long, value_name = "DIR")]
    pub search_path: Vec<PathBuf>,
    /// Board, a file in boards/.
    #[arg(long, env = "MICROKIT_BOARD", default_value = "qemu_virt_aarch64")]
    pub board: String,
}

/// Which kernel, in which shape, for which board.
#[derive(Clone, Debug, Args)]
pub struct KernelArgs {
    /// Kernel that the image is for [default: sel4 when a Microkit SDK is found, else dev].
    #[arg(long, value_enum)]
    pub kernel: Option<Kernel>,
    /// Board, a file in boards/.
    #[arg(long, env = "MICROKIT_BOARD", default_value = "qemu_virt_aarch64")]
    pub board: String,
    /// Configuration of seL4; the development kernel has one only.
    #[arg(long, env = "MICROKIT_CONFIG", value_enum, default_value_t = Config::Debug)]
    pub config: Config,
    /// The Microkit SDK's folder.
    #[arg(long, env = "MICROKIT_SDK", value_name = "DIR")]
    pub sdk: Option<PathBuf>,
}

/// Which system.
#[derive(Clone, Debug, Args)]
pub struct SystemArgs {
    /// Which kernel.
    #[command(flatten)]
    pub kernel: KernelArgs,
    /// System description.
    #[arg(long, value_name = "FILE", default_value = "system.xml")]
    pub system: PathBuf,
    /// XML fragment whose elements are added to the system (may be given more than once).
    ///
    /// Its root's children go before `</system>`; those of `<extend pd="NAME">` into that PD.
    #[arg(long, value_name = "FILE")]
    pub overlay: Vec<PathBuf>,
    /// Take the PDs' ELF files from here instead of building them (may be given more than once).
    #[arg(long, value_name = "DIR")]
    pub search_path: Vec<PathBuf>,
    /// Where everything that is made goes.
    #[arg(long, env = "BUILD_DIR", value_name = "DIR", default_value = "build")]
    pub build_dir: PathBuf,
}

/// Arguments of `new`.
#[derive(Debug, Args)]
pub struct NewArgs {
    /// Its name: of the PD, its crate and its folder in pds/.
    pub name: String,
    /// What it is added to. Give the overlays of other applications that are to run beside it.
    #[command(flatten)]
    pub system: SystemArgs,
}

/// Arguments of `run`.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// Which system.
    #[command(flatten)]
    pub system: SystemArgs,
    /// Image of the disk to attach. Writes go to the file itself.
    #[arg(long, value_name = "IMG")]
    pub disk: Option<PathBuf>,
    /// End QEMU, with status 0, when a line of the serial output contains this text.
    #[arg(long, value_name = "TEXT")]
    pub until: Option<String>,
    /// Give QEMU the terminal, for its monitor or a system that reads from the serial line.
    #[arg(long, conflicts_with_all = ["until", "timeout"])]
    pub interactive: bool,
    /// End QEMU, with status 1, after so many seconds. A guard, not a measure.
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
    /// Count instructions: one instruction is one nanosecond of the guest's time.
    #[arg(long)]
    pub icount: bool,
}

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Which kernel.
    #[command(flatten)]
    pub kernel: KernelArgs,
    /// An ext4 image to work on. The application writes to this very file, into the folder
    /// /kintsugi-out, which it empties first. Without one, a disk is made.
    #[arg(long, value_name = "IMG")]
    pub disk: Option<PathBuf>,
    /// Folder that --disk is relative to.
    #[arg(long, value_name = "DIR", hide = true)]
    pub from: Option<PathBuf>,
    /// Where everything goes, below `demo`.
    #[arg(long, env = "BUILD_DIR", value_name = "DIR", default_value = "build")]
    pub build_dir: PathBuf,
    /// Show the serial output, and at which fault points the services were killed.
    #[arg(long)]
    pub verbose: bool,
    /// Run by the host's clock and measure microseconds, instead of counting instructions.
    #[arg(long)]
    pub wall: bool,
    /// Number that the order of kills follows from.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// End the run as failed after so many seconds. A guard, not a measure.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub timeout: u64,
}

/// Arguments of `test`.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// Which kernel; without --kernel, all that are there.
    #[command(flatten)]
    pub kernel: KernelArgs,
    /// Tests to run, by a part of their names; without any, all.
    pub names: Vec<String>,
    /// Run the host's tests, tidy and check first, and count them too.
    #[arg(long)]
    pub all: bool,
    /// Where each test gets a folder, below `tests`.
    #[arg(long, env = "BUILD_DIR", value_name = "DIR", default_value = "build")]
    pub build_dir: PathBuf,
    /// Show the serial output of tests that pass, too.
    #[arg(long)]
    pub verbose: bool,
    /// List the tests instead of running them.
    #[arg(long)]
    pub list: bool,
    /// Write the result as two numbers, passed and failed, to this file too.
    #[arg(long, value_name = "FILE")]
    pub summary: Option<PathBuf>,
}

/// Arguments of `campaign`.
#[derive(Clone, Debug, Args)]
// What is deployed is what is judged.
#[command(mut_arg("config", |arg| arg.default_value("release")))]
pub struct CampaignArgs {
    /// Which kernel.
    #[command(flatten)]
    pub kernel: KernelArgs,
    /// How many faults.
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub faults: u64,
    /// Number that all faults follow from.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Only this class of fault (may be given more than once).
    #[arg(long, value_name = "CLASS")]
    pub class: Vec<String>,
    /// Only this victim (may be given more than once).
    #[arg(long, value_name = "PD")]
    pub pd: Vec<String>,
    /// Who makes the faults.
    #[arg(long, value_enum, default_value_t = Through::Injector)]
    pub through: Through,
    /// How much of the recovery there is: all of it, or parts, to see what each is good for.
    #[arg(long, value_enum, default_value_t = Ablation::Full)]
    pub ablation: Ablation,
    /// Instead of faults one by one: kill at rising rates, and count what the application gets done.
    #[arg(long, conflicts_with_all = ["replay", "report", "resume"])]
    pub rates: bool,
    /// Seconds of guest time for each rate of --rates.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub rate_seconds: u64,
    /// Write the result to this file.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write a report for people to this file.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Go on where the file of trials ends.
    #[arg(long)]
    pub resume: bool,
    /// Only report on the trials that are in the file.
    #[arg(long)]
    pub report: bool,
    /// The file of trials [default: trials.jsonl in the build folder].
    #[arg(long, value_name = "FILE")]
    pub trials: Option<PathBuf>,
    /// Run this trial alone, or after those from --replay-from on.
    #[arg(long, value_name = "TRIAL")]
    pub replay: Option<u64>,
    /// The first trial of the boot that --replay repeats.
    #[arg(long, value_name = "TRIAL", requires = "replay")]
    pub replay_from: Option<u64>,
    /// Boot again after so many trials, to look at the disk.
    #[arg(long, value_name = "N", default_value_t = 250)]
    pub per_boot: u64,
    /// So many machines at a time [default: one for each of the host's processors].
    #[arg(long, value_name = "N", default_value_t = processors())]
    pub jobs: usize,
    /// End with status 1 when anything was lost or wrong, or did not come back.
    #[arg(long)]
    pub strict: bool,
    /// Where everything goes, below `campaign`.
    #[arg(long, env = "BUILD_DIR", value_name = "DIR", default_value = "build")]
    pub build_dir: PathBuf,
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Arguments of `simulate`.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// End when so many crashes were simulated.
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    pub crashes: u64,
    /// Number that all runs follow from.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Only this run: repeats a violation.
    #[arg(long, value_name = "RUN")]
    pub run: Option<u64>,
}

/// Arguments of `bench`.
#[derive(Debug, Args)]
#[command(mut_arg("config", |arg| arg.default_value("release")))]
pub struct BenchArgs {
    /// Which kernel.
    #[command(flatten)]
    pub kernel: KernelArgs,
    /// The benchmark.
    pub name: String,
    /// Only the systems with this in their name, as `hangs`, `load` or `_20` of `detection`.
    #[arg(long, value_name = "PART")]
    pub run: Option<String>,
    /// Minutes of guest time in which `detection` counts false restarts.
    #[arg(long, value_name = "N", default_value_t = 60)]
    pub false_restart_minutes: u64,
    /// Write the figures to this file too.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Where everything goes, below `bench`.
    #[arg(long, env = "BUILD_DIR", value_name = "DIR", default_value = "build")]
    pub build_dir: PathBuf,
    /// Show the serial output.
    #[arg(long)]
    pub verbose: bool,
}

/// Arguments of `clean`.
#[derive(Debug, Args)]
pub struct CleanArgs {
    /// The build folder.
    #[arg(long, env = "BUILD_DIR", value_name = "DIR", default_value = "build")]
    pub build_dir: PathBuf,
}

/// Arguments of `symbolize`.
#[derive(Debug, Args)]
pub struct SymbolizeArgs {
    /// The log [default: standard input].
    pub log: Option<PathBuf>,
    /// Where the programs are.
    #[arg(long, env = "BUILD_DIR", value_name = "DIR", default_value = "build")]
    pub build_dir: PathBuf,
}

/// Arguments of `top`.
#[derive(Debug, Args)]
pub struct TopArgs {
    /// Which board and SDK; the kernel and its configuration are recognised.
    #[command(flatten)]
    pub kernel: KernelArgs,
    /// Print one table and end.
    #[arg(long)]
    pub once: bool,
    /// Build folder of the machine to watch.
    #[arg(long, env = "BUILD_DIR", value_name = "DIR", default_value = "build")]
    pub build_dir: PathBuf,
}

/// A kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kernel {
    /// This repository's development kernel: needs no SDK, is not verified, not for deployment.
    Dev,
    /// seL4, through the Microkit SDK.
    Sel4,
}

/// Who makes the faults of a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Through {
    /// A test PD in the running machine: all classes but those of the disk.
    Injector,
    /// QEMU's gdbstub, from outside; the test PD only judges.
    Gdbstub,
}

/// How much of the recovery there is in a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Ablation {
    /// Nobody is restarted.
    None,
    /// Restarted without what was preserved: requests, completions, timers, records, the cache's index.
    Stateless,
    /// Restarted with the memory of the life that has died: data, bss and heap are not restored.
    KeepMemory,
    /// All of Kintsugi.
    Full,
    /// Each of the four after the other, and a table.
    All,
}

impl Ablation {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Stateless => "stateless",
            Self::KeepMemory => "keep-memory",
            Self::Full => "full",
            Self::All => "all",
        }
    }
}

impl Through {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Injector => "injector",
            Self::Gdbstub => "gdbstub",
        }
    }
}

/// A configuration of seL4, one of the SDK's folders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Config {
    /// With kernel messages and the debug console.
    Debug,
    /// As deployed.
    Release,
    /// With the performance counters.
    Benchmark,
}

impl Config {
    /// The SDK's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Release => "release",
            Self::Benchmark => "benchmark",
        }
    }
}
