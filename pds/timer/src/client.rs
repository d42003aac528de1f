// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! One client of the time service: its page, its firings, its queue, and how much work it may cause.
//!
//! The page is the truth and may be rewritten at any time; what is here is a copy of each entry
//! that was taken whole, and the queue made of the copies. Anything in the page is possible: the
//! work that follows from it is paid for in [`Credit`], so that a client that changes or fires
//! more than that waits, and nobody else does.

mod second_look;

use alloc::{boxed::Box, string::String, vec};
use core::hint::black_box;

use proto::timer::clock::Parameters;
use proto::timer::timers::{CHANGE_COUNT, CHANGE_TAIL, CHANGES, Entry, entry};
use proto::timer::{Count, FIRED_MAX, GENERATION_MASK, TIMERS, control, firings, timers};
use recovery::fault_point;
use sel4_shared_memory::{SharedMut, SharedRef};
use shared_words::{Header, HeaderError, Words, WordsMut};

use crate::queue::Queue;

/// Work that a client may cause at once: taking over all its entries and firing each of them.
pub const CREDIT_MAX: u64 = 2 * TIMERS as u64;
/// Time in which one unit of credit grows again: at most 100,000 entries a second are taken over
/// or fired for one client, which is a few percent of a 1 GHz core.
pub const CREDIT_NS: u64 = 10_000;
/// How long a client without credit waits for more: a good bit at a time, for fewer wakeups.
const WAIT_NS: u64 = 256 * CREDIT_NS;
/// A client that has not looked at a firing for so long is notified once more.
pub const REMIND_NS: u64 = 10_000_000;
/// Entries that are looked at and found unchanged for one unit.
const GLANCES: usize = 16;

/// Units of work left.
#[derive(Debug)]
struct Credit {
    left: u64,
    counted_ns: u64,
}

impl Credit {
    fn grow(&mut self, now_ns: u64) {
        let grown = now_ns.saturating_sub(self.counted_ns) / CREDIT_NS;
        self.counted_ns = self
            .counted_ns
            .saturating_add(grown.saturating_mul(CREDIT_NS));
        self.left = self.left.saturating_add(grown).min(CREDIT_MAX);
    }

    fn take(&mut self) -> bool {
        let granted = self.left > 0;
        self.left = self.left.saturating_sub(1);
        granted
    }
}

/// The copy of an entry. Small, and zero when empty: a new life makes a thousand per client.
#[derive(Clone, Copy, Debug, Default)]
struct Armed {
    /// Word 0 of the entry; 0 when there is no copy of it.
    state: u64,
    deadline_ns: u64,
    period_ns: u64,
    fired: u64,
}

impl Armed {
    /// Time of the next firing; `None` when there is none.
    fn next_ns(&self) -> Option<u64> {
        match (self.period_ns, self.fired) {
            (_, 0) => Some(self.deadline_ns),
            (0, _) | (_, FIRED_MAX) => None,
            // From the start, not from the last firing: no drift. Beyond the end of time: never.
            (period, fired) => period.checked_mul(fired)?.checked_add(self.deadline_ns),
        }
    }
}

/// Which clock a time is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClockId {
    Monotonic,
    Wall,
}

/// Regions of a client.
#[derive(Debug)]
pub struct Pages {
    /// `<client>_to_timer_timers`.
    pub timers: SharedRef,
    /// `timer_to_<client>_firings`.
    pub firings: SharedMut,
    /// `<client>_to_timer_control`, if the client has one.
    pub control: Option<SharedRef>,
}

/// A region of a client has the wrong size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongSize(pub String);

/// See the module.
#[derive(Debug)]
pub struct Client {
    pages: Pages,
    armed: Box<[Armed]>,
    /// Of the monotonic clock and of the wall clock.
    queues: [Queue; 2],
    changes_seen: u64,
    /// Entries from here on are to be looked at, whatever the ring of changes says.
    search_from: usize,
    /// Whether any entry has been taken over since the client formatted its page.
    knows_entries: bool,
    credit: Credit,
    /// Not everything was looked at, or fired, for lack of credit.
    behind: [bool; 2],
    /// The timer that has fired last, and when, until the client was reminded of it.
    unseen: Option<(usize, u64)>,
    /// Where the notes in the client's page end: as this life found it, and one more for each firing since.
    noted: u64,
}

/// Indices of `Client::behind`.
const LOOKING: usize = 0;
const FIRING: usize = 1;

impl Client {
    /// Attaches to a client's pages. Nothing is read yet from the client's own: that comes with the
    /// first [`Client::look`].
    ///
    /// # Errors
    ///
    /// [`WrongSize`] names the page.
    pub fn attach(name: &str, pages: Pages, epoch: u32, now_ns: u64) -> Result<Self, WrongSize> {
        let mut pages = pages;
        let too_small = pages.timers.word_count() < timers::REGION_WORDS_MIN
            || pages.firings.word_count() < firings::REGION_WORDS_MIN
            || pages
                .control
                .as_ref()
                .is_some_and(|c| c.word_count() < control::REGION_WORDS_MIN);
        if too_small {
            return Err(WrongSize(name.into()));
        }
        if firings::HEADER.check(&pages.firings).is_err() {
            firings::HEADER.begin(&mut pages.firings);
            for word in firings::NOTE_TAIL..firings::REGION_WORDS_MIN {
                pages.firings.set_word(word, 0);
            }
            fault_point!("timer.formatting");
            firings::HEADER.finish(&mut pages.firings);
        }
        Header::set_epoch(&mut pages.firings, epoch);
        Ok(Self {
            noted: pages.firings.word(firings::NOTE_TAIL),
            pages,
            armed: vec![Armed::default(); TIMERS].into_boxed_slice(),
            queues: [Queue::new(TIMERS), Queue::new(TIMERS)],
            changes_seen: 0,
            search_from: 0,
            knows_entries: false,
            credit: Credit {
                left: CREDIT_MAX,
                counted_ns: now_ns,
            },
            behind: [false; 2],
            unseen: None,
        })
    }

    /// Number of timers that are going to fire.
    pub fn armed_count(&self) -> usize {
        self.queues.iter().map(Queue::len).sum()
    }

    /// Whether there is more to look at: what the credit did not allow the last time, or changes that nobody
    /// has told us of.
    pub fn has_news(&self) -> bool {
        self.behind[LOOKING] || self.pages.timers.word(CHANGE_TAIL) != self.changes_seen
    }

    /// Takes over what the client has changed in its page. Bounded by the client's credit; when
    /// that ends, [`Client::next_wakeup`] says when to go on.
    pub fn look(&mut self, now_ns: u64) {
        self.credit.grow(now_ns);
        match timers::HEADER.check(&self.pages.timers) {
            // Every entry is checked for itself, and a client that sleeps cannot mend its header (campaign on
            // seL4 release at bd0a9c3, seed 1, trials 2337 and 2833).
            Ok(()) | Err(HeaderError::Damaged) => {}
            Err(HeaderError::NotFormatted | HeaderError::Version(_)) => {
                // Search when it is formatted.
                self.forget_entries();
                self.behind[LOOKING] = false;
                return;
            }
        }
        let done = self.search() && self.follow_changes();
        self.set_behind(LOOKING, !done);
    }

    /// Looks at every entry, if that is called for; says whether that is done.
    fn search(&mut self) -> bool {
        let tail = self.pages.timers.word(CHANGE_TAIL);
        if tail.wrapping_sub(self.changes_seen) > CHANGE_COUNT as u64 {
            self.search_from = 0;
        }
        if self.search_from < TIMERS {
            // Changes from before the search are found by it; later ones come with a new tail.
            self.changes_seen = tail;
        }
        // Nothing is queued yet: queue it in any order and bring that into order once.
        let rebuilding = !self.knows_entries;
        while self.search_from < TIMERS {
            let index = self.search_from;
            let has_changed = self.has_changed(index);
            if (has_changed || index.is_multiple_of(GLANCES)) && !self.credit.take() {
                break;
            }
            if has_changed {
                self.accept(index, rebuilding);
            }
            self.search_from += 1;
        }
        if rebuilding {
            self.queues.iter_mut().for_each(Queue::order);
        }
        self.search_from == TIMERS
    }

    /// Looks at the entries in the ring of changes; says whether that is done.
    fn follow_changes(&mut self) -> bool {
        let tail = self.pages.timers.word(CHANGE_TAIL);
        // The tail may have moved since the search, and by any amount if the client is hostile.
        for _ in 0..CHANGE_COUNT {
            if self.changes_seen == tail {
                return true;
            }
            if !self.credit.take() {
                return false;
            }
            let place = CHANGES + self.changes_seen as usize % CHANGE_COUNT;
            self.changes_seen = self.changes_seen.wrapping_add(1);
            match usize::try_from(self.pages.timers.word(place)) {
                Ok(index) if index < TIMERS => {
                    if self.has_changed(index) {
                        self.accept(index, false);
                    }
                }
                _ => self.add(firings::NONSENSE),
            }
        }
        self.changes_seen == tail
    }

    fn forget_entries(&mut self) {
        if core::mem::take(&mut self.knows_entries) {
            self.armed.fill(Armed::default());
            self.queues = [Queue::new(TIMERS), Queue::new(TIMERS)];
        }
        self.search_from = 0;
    }

    /// Adds one to a word of the firings page.
    fn add(&mut self, word: usize) {
        let value = self.pages.firings.word(word);
        self.pages.firings.set_word(word, value.wrapping_add(1));
    }

    fn set_behind(&mut self, what: usize, behind: bool) {
        if behind && self.behind == [false; 2] {
            self.add(firings::THROTTLED);
        }
        self.behind[what] = behind;
    }

    /// Whether the entry is another generation than our copy. Within one, nothing that counts
    /// changes.
    fn has_changed(&self, index: usize) -> bool {
        let state = self.pages.timers.word(entry(index));
        self.armed[index].state != state
    }

    /// Takes over one entry that has changed. Leaves the queues in disorder when they are
    /// `rebuilding`; the caller then orders them.
    ///
    /// # Panics
    ///
    /// When what was taken over is not what was read.
    fn accept(&mut self, index: usize, rebuilding: bool) {
        self.knows_entries = true;
        if !rebuilding {
            self.queues.iter_mut().for_each(|queue| queue.remove(index));
        }
        let Some(new) = Entry::read(&self.pages.timers, index) else {
            // Being changed, or nonsense. What was armed there is not wanted any more.
            self.armed[index] = Armed::default();
            self.add(firings::NONSENSE);
            return;
        };
        // One copy, in memory: what is taken over and what is compared with it in the end.
        let new = black_box(new);
        let mut count = firings::count(&self.pages.firings, index);
        if count.generation != new.generation {
            count = Count {
                generation: new.generation,
                fired: 0,
            };
            fault_point!("timer.before_accept");
            firings::set_count(&mut self.pages.firings, index, count);
            firings::set_lateness(&mut self.pages.firings, index, firings::Lateness::default());
            fault_point!("timer.accepted");
        }
        let armed = Armed {
            // Of what was read, not of the first look: the client may have changed it in between.
            state: new.state_word(),
            deadline_ns: new.deadline_ns,
            period_ns: if new.armed { new.period_ns } else { 0 },
            fired: count.fired,
        };
        self.armed[index] = armed;
        let queue = &mut self.queues[usize::from(new.wall)];
        match armed.next_ns().filter(|_| new.armed) {
            Some(time) if rebuilding => queue.append(index, time),
            Some(time) => queue.set(index, time),
            None => {}
        }
        let is_right = self.has_accepted(index, black_box(&new), rebuilding);
        assert!(is_right, "timer {index} is taken over wrongly");
    }

    /// Fires what is due; says whether anything has fired, so that the client is to be notified.
    ///
    /// # Panics
    ///
    /// When the time at which something is to be fired has not come, or is another one: damage of ours, and
    /// the client would count firings that never were (campaign on seL4 release at a6f2120, seed 1,
    /// trial 475).
    pub fn fire(
        &mut self,
        monotonic_ns: u64,
        wall_ns: u64,
        has_come: impl Fn(u64) -> bool,
    ) -> bool {
        self.credit.grow(monotonic_ns);
        let mut fired = false;
        for (clock, now_ns) in [(ClockId::Monotonic, monotonic_ns), (ClockId::Wall, wall_ns)] {
            while let Some((time, index)) = self.queues[clock as usize].first() {
                if time > now_ns {
                    break;
                }
                if !self.credit.take() {
                    self.set_behind(FIRING, true);
                    return fired;
                }
                // The other clock may be set at any time.
                let is_past = |ns: u64| clock == ClockId::Wall || has_come(ns);
                self.fire_one((clock, index), time, now_ns, monotonic_ns, is_past);
                fired = true;
            }
        }
        self.behind[FIRING] = false;
        fired
    }

    /// What damaged code may do.
    #[cfg(test)]
    pub(crate) fn queue_wrongly(&mut self, index: usize, time: u64) {
        self.queues[0].set(index, time);
    }

    fn fire_one(
        &mut self,
        (clock, index): (ClockId, usize),
        due_ns: u64,
        now_ns: u64,
        monotonic_ns: u64,
        is_past: impl Fn(u64) -> bool,
    ) {
        let armed = &mut self.armed[index];
        // One wrong instruction, and a timer fired for ever (campaign on seL4 release at bd0a9c3, seed 1,
        // trial 804).
        assert!(
            armed.next_ns() == Some(due_ns),
            "{due_ns} is not when it fires"
        );
        // Catch-up: a periodic timer counts every period that has passed, in one firing.
        let periods = (now_ns - due_ns)
            .checked_div(armed.period_ns)
            .map_or(1, |n| n + 1);
        let last_ns = due_ns.saturating_add(armed.period_ns.saturating_mul(periods - 1));
        assert!(is_past(last_ns), "{last_ns} has not come");
        armed.fired = armed.fired.saturating_add(periods).min(FIRED_MAX);
        let count = Count {
            generation: armed.state as u32 & GENERATION_MASK,
            fired: armed.fired,
        };
        let next = armed.next_ns();
        let page = &mut self.pages.firings;
        let late_ns = now_ns - due_ns;
        let max_ns = firings::lateness(page, index).max_ns.max(late_ns);
        let lateness = firings::Lateness {
            last_ns: late_ns,
            max_ns,
            fired_at_ns: monotonic_ns,
        };
        firings::set_lateness(page, index, lateness);
        fault_point!("timer.before_fire");
        firings::set_count(page, index, count);
        assert!(self.is_counted(index), "timer {index} is counted wrongly");
        fault_point!("timer.fired");
        let page = &mut self.pages.firings;
        firings::note(page, index);
        self.noted = self.noted.wrapping_add(1);
        assert!(self.is_noted(index), "timer {index} is noted wrongly");
        fault_point!("timer.noted");
        self.unseen = Some((index, monotonic_ns));
        let queue = &mut self.queues[clock as usize];
        match next {
            Some(time) => queue.set(index, time),
            None => queue.remove(index),
        }
    }

    /// Whether the client sleeps over a firing, and is to be notified once more: one wrong register, and
    /// another one was (campaign on seL4 release at 9481ad8, seed 1, trial 2020). Once is enough, as nobody
    /// has to look.
    pub fn is_to_be_reminded(&mut self, now_ns: u64) -> bool {
        let Some((index, fired_ns)) = self.unseen else {
            return false;
        };
        if now_ns.saturating_sub(fired_ns) < REMIND_NS {
            return false;
        }
        self.unseen = None;
        let armed = &self.armed[index];
        let seen = Count::from_word(self.pages.timers.word(timers::seen(index)));
        !self.has_changed(index) && seen.of(armed.state as u32 & GENERATION_MASK) < armed.fired
    }

    /// The request to set the wall clock that has not been carried out yet.
    pub fn set_clock_request(&self) -> Option<control::SetClock> {
        let page = self.pages.control.as_ref()?;
        control::HEADER.check(page).ok()?;
        let request = control::SetClock::read(page)?;
        (request.sequence != self.pages.firings.word(firings::CLOCK_SET)).then_some(request)
    }

    /// Answers that request.
    pub fn set_clock_done(&mut self, sequence: u64) {
        self.pages.firings.set_word(firings::CLOCK_SET, sequence);
    }

    /// Monotonic time at which this client needs the service again.
    pub fn next_wakeup(&self, clock: &Parameters, now_ns: u64) -> Option<u64> {
        if self.behind != [false; 2] {
            return Some(now_ns.saturating_add(WAIT_NS));
        }
        let monotonic = self.queues[ClockId::Monotonic as usize]
            .first()
            .map(|(time, _)| time);
        let wall = self.queues[ClockId::Wall as usize]
            .first()
            .map(|(time, _)| {
                // While the clock slews this is off by at most 1/2048 of the wait. Early is harmless, so
                // assume that it runs fast; the next look is nearer to it.
                let wait = time.saturating_sub(clock.wall_ns(now_ns));
                let wait = if clock.slew_total_ns > 0 {
                    wait - wait / 2048
                } else {
                    wait
                };
                now_ns.saturating_add(wait)
            });
        monotonic.into_iter().chain(wall).min()
    }
}
