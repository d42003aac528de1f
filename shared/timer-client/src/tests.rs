// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The client's side alone: the service's page is written by hand here. Both together are tested
//! in `pds/timer`.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use proptest::prelude::*;
use proto::timer::clock::{self, NS_PER_SECOND, Parameters};
use proto::timer::timers::Entry;
use proto::timer::{Count, TIMERS, firings};
use sel4_shared_memory::host::{HostRegion, Life};
use shared_words::Header;

use crate::*;

const FREQUENCY: u64 = 62_500_000;
const WALL: u64 = 1_700_000_000 * NS_PER_SECOND;

thread_local! {
    static TICKS: Cell<u64> = const { Cell::new(0) };
}

struct Pages {
    clock: HostRegion,
    timers: HostRegion,
    firings: HostRegion,
}

/// Counts the notifications; a wait is an answer of the service to everything.
#[derive(Clone, Default)]
struct Channel {
    notified: Rc<Cell<u32>>,
    on_wait: Option<Rc<dyn Fn()>>,
}

impl Service for Channel {
    fn notify(&mut self) {
        self.notified.set(self.notified.get() + 1);
    }

    fn wait(&mut self) {
        self.on_wait.as_ref().expect("this test does not wait")();
    }
}

impl Pages {
    fn new() -> Self {
        TICKS.set(FREQUENCY);
        let clock = HostRegion::new(0x1000);
        let mut page = clock.shared_mut(&Life::endless());
        clock::write(
            &mut page,
            Parameters::new(FREQUENCY, FREQUENCY, WALL).unwrap(),
        );
        clock::HEADER.finish(&mut page);
        Self {
            clock,
            timers: HostRegion::new(0x1_0000),
            firings: HostRegion::new(0x1_0000),
        }
    }

    fn clock(&self) -> Clock {
        Clock::attach(self.clock.shared_ref(), || TICKS.get()).unwrap()
    }

    fn attach(&self, life: &Life, channel: Channel) -> Timers<Channel> {
        let page = self.timers.shared_mut(life);
        Timers::attach(page, self.firings.shared_ref(), self.clock(), channel).unwrap()
    }

    /// What the service does when it fires: store the count of the generation that is armed.
    fn fire(&self, timer: Timer, fired: u64) {
        let entry = Entry::read(&self.timers.shared_ref(), timer.index()).unwrap();
        let count = Count {
            generation: entry.generation,
            fired,
        };
        let mut page = self.firings.shared_mut(&Life::endless());
        firings::set_count(&mut page, timer.index(), count);
        firings::note(&mut page, timer.index());
    }
}

#[test]
fn clocks_are_read_from_the_page() {
    let pages = Pages::new();
    let none = HostRegion::new(0x1000).shared_ref();
    assert_eq!(Clock::attach(none, || 0).unwrap_err(), NotReady);
    let clock = pages.clock();
    assert_eq!(clock.now(), Instant::from_nanos(NS_PER_SECOND));
    assert_eq!(clock.system_time(), SystemTime::from_nanos(WALL));
    let start = clock.now();
    TICKS.set(2 * FREQUENCY);
    assert_eq!(clock.elapsed(start), Duration::from_secs(1));
    assert_eq!(
        clock
            .system_time()
            .duration_since(SystemTime::from_nanos(WALL)),
        Ok(Duration::from_secs(1))
    );
    assert_eq!(clock.resolution(), Duration::from_nanos(16));
    assert_eq!(clock.service_epoch(), 0);
}

#[test]
fn a_firing_is_reported_once() {
    let pages = Pages::new();
    let channel = Channel::default();
    let mut timers = pages.attach(&Life::endless(), channel.clone());
    let timer = timers.every(Duration::from_millis(1)).unwrap();
    assert_eq!(channel.notified.get(), 2, "on attaching and on arming");
    assert_eq!((timers.fired(timer), timers.next_fired()), (Ok(0), None));
    pages.fire(timer, 3);
    assert_eq!(
        (timers.next_fired(), timers.next_fired()),
        (Some((timer, 3)), None)
    );
    pages.fire(timer, 5);
    // A restarted client knows what it has seen.
    let mut timers = pages.attach(&Life::endless(), Channel::default());
    assert_eq!(timers.timers().collect::<Vec<_>>(), [timer]);
    assert_eq!((timers.fired(timer), timers.fired(timer)), (Ok(2), Ok(0)));
    assert_eq!(timers.fired_total(timer), Ok(5));

    let again = timers
        .restart(timer, timers.clock().now().into(), Duration::ZERO)
        .unwrap();
    assert_eq!(timers.fired(timer), Err(TimerError::Stale));
    assert_eq!(
        timers.fired(again),
        Ok(0),
        "firings of the earlier generation do not count"
    );
    timers.cancel(again).unwrap();
    assert_eq!(timers.cancel(again), Err(TimerError::Stale));
}

/// Campaign on seL4 release, seed 1, trial 767: one count was stored with another generation, the next
/// one was right again.
#[test]
fn firings_are_not_reported_twice_after_a_damaged_count() {
    let pages = Pages::new();
    let mut timers = pages.attach(&Life::endless(), Channel::default());
    let timer = timers.every(Duration::from_millis(1)).unwrap();
    pages.fire(timer, 7);
    assert_eq!(timers.fired(timer), Ok(7));
    let none = Count {
        generation: 0,
        fired: 8,
    };
    let mut page = pages.firings.shared_mut(&Life::endless());
    firings::set_count(&mut page, timer.index(), none);
    assert_eq!(timers.fired(timer), Ok(0));
    pages.fire(timer, 9);
    assert_eq!(timers.fired(timer), Ok(2));
}

#[test]
fn a_lost_note_is_made_up_for_by_a_new_epoch() {
    let pages = Pages::new();
    let mut timers = pages.attach(&Life::endless(), Channel::default());
    let timer = timers.after(Duration::ZERO).unwrap();
    assert_eq!(timers.next_fired(), None);
    let generation = Entry::read(&pages.timers.shared_ref(), timer.index())
        .unwrap()
        .generation;
    let mut page = pages.firings.shared_mut(&Life::endless());
    firings::set_count(
        &mut page,
        timer.index(),
        Count {
            generation,
            fired: 1,
        },
    );
    assert_eq!(
        timers.next_fired(),
        None,
        "the service died before the note"
    );
    Header::set_epoch(&mut page, 1);
    assert_eq!(timers.next_fired(), Some((timer, 1)));
}

#[test]
fn sleeping_waits_for_the_firing_and_nothing_else() {
    let pages = Rc::new(Pages::new());
    let waits = Rc::new(Cell::new(0));
    let (in_wait, counted) = (pages.clone(), waits.clone());
    let on_wait = move || {
        counted.set(counted.get() + 1);
        let entry = Entry::read(&in_wait.timers.shared_ref(), 0).unwrap();
        if counted.get() == 3 {
            let count = Count {
                generation: entry.generation,
                fired: 1,
            };
            firings::set_count(&mut in_wait.firings.shared_mut(&Life::endless()), 0, count);
        }
    };
    let channel = Channel {
        on_wait: Some(Rc::new(on_wait)),
        ..Channel::default()
    };
    let mut timers = pages.attach(&Life::endless(), channel);
    timers.sleep(Duration::from_secs(1)).unwrap();
    assert_eq!(waits.get(), 3, "wakeups without cause do not end it");
    assert_eq!(timers.timers().count(), 0);
    let denied = timers.set_system_time(SystemTime::UNIX_EPOCH, false);
    assert_eq!(denied, Err(TimerError::NotPermitted));
}

/// Campaign on seL4 release at a6f2120, seed 1, trial 767: raw blocks' client slept for ever.
#[test]
fn sleeping_ends_at_a_firing_that_was_counted_wrongly() {
    TICKS.set(FREQUENCY);
    let pages = Pages::new();
    let waits = Rc::new(Cell::new(0));
    let counted = waits.clone();
    let on_wait = move || {
        counted.set(counted.get() + 1);
        TICKS.set((counted.get() + 1) * FREQUENCY);
    };
    let channel = Channel {
        on_wait: Some(Rc::new(on_wait)),
        ..Channel::default()
    };
    let mut timers = pages.attach(&Life::endless(), channel);
    timers.sleep(Duration::from_secs(2)).unwrap();
    assert_eq!(waits.get(), 2);
    let wall = timers.clock().system_time() + Duration::from_secs(3);
    timers.sleep_until(wall).unwrap();
    assert_eq!(waits.get(), 5);
}

#[test]
fn all_places_can_be_used_and_used_again() {
    let pages = Pages::new();
    let mut timers = pages.attach(&Life::endless(), Channel::default());
    for _ in 0..3 {
        let all: Vec<_> = (0..TIMERS)
            .map(|_| timers.after(Duration::ZERO).unwrap())
            .collect();
        assert_eq!(timers.after(Duration::ZERO), Err(TimerError::Full));
        assert!(all.iter().all(|timer| timers.fired(*timer) == Ok(0)));
        assert_eq!(timers.timers().count(), TIMERS);
        timers.cancel_all();
    }
    let small = HostRegion::new(4096).shared_mut(&Life::endless());
    let error = Timers::attach(
        small,
        pages.firings.shared_ref(),
        pages.clock(),
        Channel::default(),
    );
    assert_eq!(error.map(drop), Err(AttachError));
}

/// A client that dies in place of any store: the next life finds each timer as it was before the
/// change or after it, or gone if it was being changed; and never one that was not asked for.
#[test]
fn a_client_killed_at_any_store_leaves_whole_timers() {
    for steps in 0.. {
        let pages = Pages::new();
        let mut timers = pages.attach(&Life::endless(), Channel::default());
        let kept = timers.at(Instant::from_nanos(7)).unwrap();
        let changed = timers.at(Instant::from_nanos(8)).unwrap();
        drop(timers);
        let life = Life::of_steps(steps);
        let ended = life.run(|| {
            let mut timers = pages.attach(&life, Channel::default());
            timers
                .restart(changed, Instant::from_nanos(9).into(), Duration::ZERO)
                .unwrap();
            timers.at(Instant::from_nanos(10)).unwrap();
        });
        let mut timers = pages.attach(&Life::endless(), Channel::default());
        let left: Vec<_> = timers.timers().collect();
        assert!(left.contains(&kept) && left.len() <= 3);
        for timer in left {
            let entry = Entry::read(&pages.timers.shared_ref(), timer.index()).unwrap();
            let expected: &[u64] = match timer.index() {
                0 => &[7],
                1 => &[8, 9],
                _ => &[10],
            };
            assert!(
                expected.contains(&entry.deadline_ns),
                "{entry:?} after {steps}"
            );
        }
        // Every place can be used, also the one of a change that was not finished.
        timers.cancel_all();
        let all = (0..TIMERS)
            .map(|_| timers.after(Duration::ZERO))
            .filter(Result::is_ok)
            .count();
        assert_eq!(all, TIMERS);
        if ended.is_ok() {
            return;
        }
    }
}

#[test]
fn generations_do_not_lap_the_service() {
    let pages = Pages::new();
    let mut timers = pages.attach(&Life::endless(), Channel::default());
    let mut timer = timers.after(Duration::ZERO).unwrap();
    let error = loop {
        match timers.restart(timer, Instant::NEVER.into(), Duration::ZERO) {
            Ok(next) => timer = next,
            Err(error) => break error,
        }
    };
    assert_eq!(error, TimerError::Behind);
    pages.fire(timer, 0);
    assert!(
        timers
            .restart(timer, Instant::NEVER.into(), Duration::ZERO)
            .is_ok()
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arithmetic_saturates(ns: u64, seconds: u64, nanos in 0u32..1_000_000_000) {
        let (time, duration) = (Instant::from_nanos(ns), Duration::new(seconds, nanos));
        let sum = u128::from(ns) + duration.as_nanos();
        let expected = u64::try_from(sum).ok().map(Instant::from_nanos);
        prop_assert_eq!(time.checked_add(duration), expected);
        prop_assert_eq!(time + duration, expected.unwrap_or(Instant::NEVER));
        if let Some(later) = expected {
            prop_assert_eq!(later - time, duration);
            prop_assert_eq!(later - duration, time);
            prop_assert_eq!(time - later, Duration::ZERO);
        }
    }

    /// Whatever is in the two pages, a client attaches, and its timers work.
    #[test]
    fn any_bytes_in_the_pages(seed: u64, with_headers: bool) {
        let pages = Pages::new();
        if with_headers {
            drop(pages.attach(&Life::endless(), Channel::default()));
        }
        let first = if with_headers { 4 } else { 0 };
        let mut state = seed | 1;
        for word in first..8192usize {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            pages.timers.set_bytes(word * 8, &(state >> (state >> 60)).to_le_bytes());
            pages.firings.set_bytes(word * 8, &state.rotate_left(7).to_le_bytes());
        }
        let mut timers = pages.attach(&Life::endless(), Channel::default());
        while timers.next_fired().is_some() {}
        let timer = timers.after(Duration::from_secs(1));
        if let Ok(timer) = timer {
            pages.fire(timer, 1);
            prop_assert_eq!(timers.fired(timer), Ok(1));
        } else {
            // A record of the service that claims to be half a round ahead: one place is unusable.
            prop_assert_eq!(timer, Err(TimerError::Behind));
        }
    }
}
