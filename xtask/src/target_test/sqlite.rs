// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Judges the database that `app_sqlite` has left, with the host's own `sqlite3`: it must be sound, and hold
//! what the acknowledged transactions put into it, and nothing else. What that is, is computed here again
//! from the numbers of the transactions (`pds/app_sqlite/src/program.c`).

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use crate::disk;
use crate::error::{Context, Error, Result};

/// Transactions of the run under kills: four bytes for `app_sqlite.settings`.
pub const LONG: &[u8; 4] = &1000_u32.to_le_bytes();

const ACCOUNTS: usize = 16;
const OPENING: i64 = 100_000;
const PAYLOAD_MAX: u32 = 1600;
/// What is asked of the database, in the order of [`expected`].
const QUERY: &str = "PRAGMA integrity_check; SELECT * FROM account ORDER BY id; \
                     SELECT * FROM ledger ORDER BY id;";

/// After 100 transactions.
///
/// # Errors
///
/// Says what is wrong with the disk or the database.
pub fn check_100(image: &Path, folder: &Path) -> Result<()> {
    check(image, folder, 100)
}

/// After 1,000.
///
/// # Errors
///
/// As for [`check_100`].
pub fn check_1000(image: &Path, folder: &Path) -> Result<()> {
    check(image, folder, 1000)
}

fn check(image: &Path, files: &Path, transactions: u32) -> Result<()> {
    disk::check_files(image, files)?;
    let folder = image.with_extension("database");
    disk::extract(image, &folder)?;
    let database = folder.join("bank.db");
    if !database.is_file() || folder.join("bank.db-journal").exists() {
        return Err(Error::new(
            "no /bank.db on the disk, or a journal beside it",
        ));
    }
    compare(&ask(&database, QUERY)?, &expected(transactions))?;
    std::fs::remove_dir_all(&folder).context(format!("remove '{}'", folder.display()))
}

/// The database of a machine that was switched off in the middle of its work, as `app_sqlite` does under a
/// campaign: it must be sound and hold a number of transactions from the first on. One without a ledger was
/// just being set up.
///
/// # Errors
///
/// As for [`check_100`].
pub fn check_unfinished(image: &Path, folder: &Path) -> Result<()> {
    disk::extract(image, folder)?;
    let database = folder.join("bank.db");
    // Not read-only: what was under way is rolled back.
    let ledgers = match database.is_file() {
        true => ask(
            &database,
            "SELECT count(*) FROM sqlite_schema WHERE name = 'ledger'",
        )?,
        false => String::new(),
    };
    if ledgers.trim() == "1" {
        let last = ask(&database, "SELECT coalesce(max(id), 0) FROM ledger")?;
        let last = last
            .trim()
            .parse()
            .context("read the last transaction's number")?;
        compare(&ask(&database, QUERY)?, &expected(last))?;
    }
    std::fs::remove_dir_all(folder).context(format!("remove '{}'", folder.display()))
}

/// What the host's `sqlite3` answers.
fn ask(database: &Path, query: &str) -> Result<String> {
    let mut command = Command::new("sqlite3");
    let output = command.arg("-batch").arg(database).arg(query).output();
    let output = output.map_err(|error| {
        Error::new(format!("cannot run 'sqlite3': {error}"))
            .help("as root: apt-get install --yes sqlite3")
    })?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(Error::new(format!("sqlite3: {words}")));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What `sqlite3` has to print.
fn expected(transactions: u32) -> String {
    let mut balances = [OPENING; ACCOUNTS];
    let mut lines = String::new();
    for number in (1..=transactions).filter(|number| number % 10 != 0) {
        let source = number * 7 % ACCOUNTS as u32;
        let target = (number * 7 + 1 + number % 5) % ACCOUNTS as u32;
        let amount = 1 + number * 31 % 97;
        balances[source as usize] -= i64::from(amount);
        balances[target as usize] += i64::from(amount);
        let note = payload(number);
        let _ = writeln!(lines, "{number}|{source}|{target}|{amount}|{note}");
    }
    let mut text = String::from("ok\n");
    for (account, balance) in balances.iter().enumerate() {
        let _ = writeln!(text, "{account}|{balance}");
    }
    text + &lines
}

fn payload(number: u32) -> String {
    let length = 40 + number * 37 % (PAYLOAD_MAX - 40);
    let letter = |place| b'a' + ((number * 31 + place * 7 + place / 26) % 26) as u8;
    (0..length).map(|place| char::from(letter(place))).collect()
}

fn compare(found: &str, expected: &str) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    let (lines, wanted) = (found.lines().count(), expected.lines().count());
    let differs = found
        .lines()
        .zip(expected.lines())
        .find(|(found, expected)| found != expected);
    let (one, other) = differs.unwrap_or_default();
    Err(Error::new(format!(
        "the database has {lines} lines, {wanted} wanted; the first that differs:\n  {one}\n  {other}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_moves_and_stays() {
        let text = expected(20);
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("ok"));
        let balances = lines.by_ref().take(ACCOUNTS);
        let balances = balances.filter_map(|line| line.split('|').nth(1)?.parse::<i64>().ok());
        assert_eq!(balances.sum::<i64>(), ACCOUNTS as i64 * OPENING);
        let ids: Vec<_> = lines.filter_map(|line| line.split('|').next()).collect();
        assert_eq!(ids.len(), 18);
        assert!(!ids.contains(&"10") && !ids.contains(&"20"));
    }

    #[test]
    fn any_difference_is_found() {
        let text = expected(30);
        assert!(compare(&text, &text).is_ok());
        assert!(compare(text.trim_end(), &text).is_err());
        assert!(compare(&expected(29), &text).is_ok());
        assert!(compare(&expected(31), &text).is_err());
        assert!(compare(&text.replacen("100", "101", 1), &text).is_err());
    }
}
