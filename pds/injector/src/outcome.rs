// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What a trial came to.

/// Outcomes; where more than one holds, the last one in this list counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Outcome {
    /// Not judged.
    #[default]
    Open,
    /// Nobody was restarted, nothing went wrong.
    NotManifested,
    /// Somebody was restarted, or is known to have dealt with it alive, and the application noticed nothing
    /// but time.
    Unnoticed,
    /// The application was told of an error, or a timer did not do what it was asked; then all went on.
    ErrorShown,
    /// Something that was acknowledged is missing.
    DataLost,
    /// Something is there that was never written.
    WrongData,
    /// The machine was reset by its own root supervisor, and went on.
    NeededReset,
    /// Nothing goes on any more.
    SystemLost,
}

/// What there is to judge by, each counted since the injection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Restarts of all victims.
    pub restarts: u64,
    /// The victim was seen to deal with the fault alive ([`crate::class::Class::needs_no_restart`]).
    pub handled: bool,
    /// Failed operations, wrong contents, missing contents.
    pub troubles: [u64; 3],
    /// Early, lost and extra firings, clock readings that went back.
    pub timers: [u64; 4],
    /// The machine was reset.
    pub reset: bool,
    /// The application does not get on.
    pub stuck: bool,
}

impl Outcome {
    /// All of them that a finished trial can have.
    pub const ALL: [Self; 7] = [
        Self::NotManifested,
        Self::Unnoticed,
        Self::ErrorShown,
        Self::DataLost,
        Self::WrongData,
        Self::NeededReset,
        Self::SystemLost,
    ];

    /// Judges.
    pub fn of(evidence: &Evidence) -> Self {
        let Evidence {
            restarts,
            handled,
            troubles: [errors, wrong, lost],
            timers,
            reset,
            stuck,
        } = *evidence;
        let holds = [
            (stuck, Self::SystemLost),
            (reset, Self::NeededReset),
            (wrong > 0, Self::WrongData),
            (lost > 0, Self::DataLost),
            (errors > 0 || timers != [0; 4], Self::ErrorShown),
            (restarts > 0 || handled, Self::Unnoticed),
        ];
        holds
            .iter()
            .find(|(holds, _)| *holds)
            .map_or(Self::NotManifested, |(_, outcome)| *outcome)
    }

    /// The outcome with this number.
    pub fn from_number(number: u64) -> Option<Self> {
        match number {
            0 => Some(Self::Open),
            number => Self::ALL.get(usize::try_from(number - 1).ok()?).copied(),
        }
    }

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::NotManifested => "not_manifested",
            Self::Unnoticed => "recovered_unnoticed",
            Self::ErrorShown => "recovered_error_shown",
            Self::DataLost => "data_lost",
            Self::WrongData => "wrong_data",
            Self::NeededReset => "needed_reset",
            Self::SystemLost => "system_lost",
        }
    }

    /// The outcome with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_counts() {
        let mut evidence = Evidence::default();
        assert_eq!(Outcome::of(&evidence), Outcome::NotManifested);
        evidence.handled = true;
        assert_eq!(Outcome::of(&evidence), Outcome::Unnoticed);
        evidence = Evidence::default();
        evidence.restarts = 1;
        assert_eq!(Outcome::of(&evidence), Outcome::Unnoticed);
        evidence.timers[1] = 1;
        assert_eq!(Outcome::of(&evidence), Outcome::ErrorShown);
        evidence.troubles[2] = 1;
        assert_eq!(Outcome::of(&evidence), Outcome::DataLost);
        evidence.troubles[1] = 1;
        assert_eq!(Outcome::of(&evidence), Outcome::WrongData);
        evidence.reset = true;
        assert_eq!(Outcome::of(&evidence), Outcome::NeededReset);
        evidence.stuck = true;
        assert_eq!(Outcome::of(&evidence), Outcome::SystemLost);
    }

    #[test]
    fn numbers_and_names_are_one_to_one() {
        for outcome in Outcome::ALL {
            assert_eq!(Outcome::from_number(outcome as u64), Some(outcome));
            assert_eq!(Outcome::from_name(outcome.name()), Some(outcome));
        }
        assert_eq!(Outcome::from_number(8), None);
    }
}
