// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The service and its clients on simulated memory: killed between any two steps, at the end of
//! time, and beside a client that writes nonsense.

use std::cell::{Cell, RefCell};
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::Duration;

use proptest::prelude::*;
use proto::timer::timers::Entry;
use proto::timer::{Count, TIMERS, clock, firings, timers};
use sel4_shared_memory::host::{HostRegion, Life};
use timer_client::{Clock, Deadline, Instant, SystemTime, Timer, Timers};

use crate::{Alarm, AttachError, CREDIT_MAX, Pages, Service, World};

/// 16 ns per count, as on QEMU.
const FREQUENCY: u64 = 62_500_000;
const NS: u64 = 16;
const WALL: u64 = 1_700_000_000_000_000_000;

thread_local! {
    /// The counter. A thread runs one test.
    static TICKS: Cell<u64> = const { Cell::new(0) };
}

fn ticks() -> u64 {
    TICKS.get()
}

/// The device and the channels, which outlive the service.
#[derive(Clone, Default)]
struct Hardware {
    alarm: Rc<Cell<Option<u64>>>,
    notified: Rc<RefCell<Vec<u64>>>,
    /// The real-time clock, if it was set.
    kept_wall: Rc<Cell<Option<u64>>>,
}

/// One life's hold on the hardware. Each use of it is a step at which the life may end.
struct Hold {
    hardware: Hardware,
    life: Life,
}

impl Alarm for Hold {
    fn set(&mut self, ticks: u64) {
        self.life.step();
        self.hardware.alarm.set(Some(ticks));
    }

    fn stop(&mut self) {
        self.life.step();
        self.hardware.alarm.set(None);
    }
}

impl World for Hold {
    fn ticks(&self) -> u64 {
        ticks()
    }

    fn notify(&mut self, client: usize) {
        self.life.step();
        self.hardware.notified.borrow_mut()[client] += 1;
    }

    fn wall_ns(&mut self) -> u64 {
        self.hardware.kept_wall.get().unwrap_or(WALL)
    }

    fn keep_wall(&mut self, wall_ns: u64) {
        self.life.step();
        self.hardware.kept_wall.set(Some(wall_ns));
    }
}

struct NoChannel;

impl timer_client::Service for NoChannel {
    fn notify(&mut self) {}

    fn wait(&mut self) {
        panic!("this test does not wait");
    }
}

struct ClientRegions {
    timers: HostRegion,
    firings: HostRegion,
    control: HostRegion,
}

/// All that outlives the service.
struct System {
    clock: HostRegion,
    clients: Vec<ClientRegions>,
    hardware: Hardware,
    epoch: Cell<u32>,
}

impl System {
    fn new(clients: usize) -> Self {
        TICKS.set(1000);
        let region = || HostRegion::new(0x1_0000);
        let client = || ClientRegions {
            timers: region(),
            firings: region(),
            control: region(),
        };
        let hardware = Hardware::default();
        hardware.notified.borrow_mut().resize(clients, 0);
        let clients = (0..clients).map(|_| client()).collect();
        Self {
            clock: HostRegion::new(0x1000),
            clients,
            hardware,
            epoch: Cell::new(0),
        }
    }

    fn start(&self, life: &Life) -> Service<Hold> {
        let pages = self.clients.iter().map(|client| {
            let pages = Pages {
                timers: client.timers.shared_ref(),
                firings: client.firings.shared_mut(life),
                control: Some(client.control.shared_ref()),
            };
            ("client", pages)
        });
        let hold = Hold {
            hardware: self.hardware.clone(),
            life: life.clone(),
        };
        let clock = self.clock.shared_mut(life);
        self.epoch.set(self.epoch.get() + 1);
        let epoch = self.epoch.get();
        Service::attach(hold, clock, pages.collect(), FREQUENCY, epoch).unwrap()
    }

    fn client(&self, index: usize) -> Timers<NoChannel> {
        let client = &self.clients[index];
        let clock = Clock::attach(self.clock.shared_ref(), ticks).unwrap();
        let page = client.timers.shared_mut(&Life::endless());
        let mut timers =
            Timers::attach(page, client.firings.shared_ref(), clock, NoChannel).unwrap();
        timers.set_control(client.control.shared_mut(&Life::endless()));
        timers
    }

    /// Lets time pass until `ns`, with the service answering its interrupts.
    fn run_until(&self, service: &mut Service<Hold>, ns: u64) {
        while let Some(alarm) = self.hardware.alarm.get().filter(|alarm| *alarm * NS <= ns) {
            TICKS.set(ticks().max(alarm));
            service.quieten();
            service.run(|_| false);
        }
        TICKS.set(ticks().max(ns / NS));
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn timers_fire_once_and_on_time() {
    let system = System::new(2);
    let mut service = system.start(&Life::endless());
    assert_eq!(
        *system.hardware.notified.borrow(),
        [1, 1],
        "everyone is told of a start"
    );
    let (mut a, mut b) = (system.client(0), system.client(1));
    let once = a.after(ms(5)).unwrap();
    let often = b.every(ms(2)).unwrap();
    let wall = b.at(SystemTime::from_nanos(WALL + 7_000_000)).unwrap();
    let past = a.at(Instant::from_nanos(3)).unwrap();
    service.run(|_| true);
    assert_eq!(
        (a.fired(past), a.fired(past), service.armed_count()),
        (Ok(1), Ok(0), 3)
    );

    system.run_until(&mut service, 4_900_000);
    assert_eq!(
        (a.fired(once), b.fired(often), b.fired(wall)),
        (Ok(0), Ok(2), Ok(0))
    );
    system.run_until(&mut service, 10_100_000);
    assert_eq!(
        (a.fired(once), b.fired(often), b.fired(wall)),
        (Ok(1), Ok(3), Ok(1))
    );
    assert!(b.lateness_max(often).unwrap() < Duration::from_nanos(2 * NS));

    b.cancel(often).unwrap();
    service.run(|client| client == 1);
    assert_eq!(
        (service.armed_count(), system.hardware.alarm.get()),
        (0, None)
    );
    assert_eq!(b.fired(often), Err(timer_client::TimerError::Stale));
}

#[test]
fn a_late_service_counts_every_period_once() {
    let system = System::new(1);
    let mut service = system.start(&Life::endless());
    let mut client = system.client(0);
    let timer = client.every(ms(1)).unwrap();
    service.run(|_| true);
    let start = client.clock().now();
    TICKS.set((start + Duration::from_micros(10_500)).as_nanos() / NS);
    service.quieten();
    service.run(|_| false);
    assert_eq!(client.fired(timer), Ok(10));
    assert!(client.lateness_max(timer).unwrap() >= Duration::from_micros(9_500));
    // No drift: the next deadline is a whole number of periods from the first.
    system.run_until(
        &mut service,
        (start + Duration::from_micros(11_010)).as_nanos(),
    );
    assert_eq!(client.fired(timer), Ok(1));
}

/// Campaign on seL4 release, seed 1, trial 1256: nobody told the service of a timer, and its client
/// slept on it.
#[test]
fn a_lost_notification_is_made_up_for_at_the_next_event() {
    let system = System::new(2);
    let mut service = system.start(&Life::endless());
    let mut client = system.client(0);
    service.run(|_| true);
    let timer = client.every(ms(1)).unwrap();
    service.run(|client| client == 1);
    let now = client.clock().now();
    system.run_until(
        &mut service,
        (now + Duration::from_micros(2_500)).as_nanos(),
    );
    assert_eq!(client.fired(timer), Ok(2));
}

/// Campaign on seL4 release at 9481ad8, seed 1, trial 2020: another client was notified, and this one slept.
#[test]
fn a_client_that_sleeps_over_a_firing_is_reminded_once() {
    let system = System::new(2);
    let mut service = system.start(&Life::endless());
    let (mut a, mut b) = (system.client(0), system.client(1));
    let timers = [a.after(ms(1)).unwrap(), b.after(ms(1)).unwrap()];
    service.run(|_| true);
    let now = a.clock().now().as_nanos();
    system.run_until(&mut service, now + 2_000_000);
    let notified = || system.hardware.notified.borrow().clone();
    let before = notified();
    // Who has looked is left alone.
    assert_eq!(a.fired(timers[0]), Ok(1));
    let mut after = Vec::new();
    for wait in [9, 12, 30, 60] {
        TICKS.set((now + wait * 1_000_000) / NS);
        service.run(|_| false);
        after.push(notified()[1] - before[1]);
    }
    assert_eq!(after, [0, 1, 1, 1]);
    assert_eq!(notified()[0], before[0]);
    assert_eq!(b.fired(timers[1]), Ok(1));
}

/// Campaign on seL4 release at bd0a9c3, seed 1, trials 2337 and 2833: its client slept for ever.
#[test]
fn a_damaged_header_of_a_client_stops_no_timer() {
    for word in 0..3 {
        let system = System::new(1);
        let mut service = system.start(&Life::endless());
        let mut client = system.client(0);
        let timer = client.every(ms(1)).unwrap();
        service.run(|_| true);
        let page = &system.clients[0].timers;
        page.set_bytes(word * 8 + 2, &[!page.bytes()[word * 8 + 2]]);
        let now = client.clock().now().as_nanos();
        system.run_until(&mut service, now + 2_500_000);
        assert_eq!(client.fired(timer), Ok(2), "this life, word {word}");
        let mut service = system.start(&Life::endless());
        service.run(|_| true);
        system.run_until(&mut service, now + 3_500_000);
        assert_eq!(client.fired(timer), Ok(1), "the next life, word {word}");
    }
}

#[test]
#[should_panic(expected = "has not come")]
fn a_time_that_has_not_come_ends_the_life() {
    let system = System::new(1);
    let mut service = system.start(&Life::endless());
    let mut client = system.client(0);
    client.every(ms(1)).unwrap();
    service.run(|_| true);
    let now = client.clock().now().as_nanos();
    assert!(!service.clients[0].fire(now, now, |ns| ns <= now));
    service.clients[0].fire(now + 3_000_000, now, |ns| ns <= now);
}

/// Campaign on seL4 release at 390b03f, seed 3, trial 1711.
#[test]
#[should_panic(expected = "has not come")]
fn a_clock_that_is_damaged_once_it_was_compared_fires_nothing() {
    let system = System::new(1);
    let mut service = system.start(&Life::endless());
    let mut client = system.client(0);
    client.every(ms(1)).unwrap();
    service.run(|_| true);
    let published = service.published();
    service.fire(published);
    service.clock.ns_per_tick *= 1_000;
    service.fire(published);
}

/// A timer that fires each millisecond, after 2.5 of them.
fn fired_twice() -> (System, Service<Hold>, Timer) {
    let system = System::new(1);
    let mut service = system.start(&Life::endless());
    let mut client = system.client(0);
    let timer = client.every(ms(1)).unwrap();
    service.run(|_| true);
    let now = client.clock().now().as_nanos();
    system.run_until(&mut service, now + 2_500_000);
    (system, service, timer)
}

#[test]
fn a_count_that_is_stored_wrongly_is_seen() {
    let (system, service, timer) = fired_twice();
    assert!(service.clients[0].is_counted(timer.index()));
    let mut page = system.clients[0].firings.shared_mut(&Life::endless());
    let right = firings::count(&page, timer.index());
    for wrong in [(right.generation ^ 1, 2), (right.generation, 3)] {
        let (generation, fired) = wrong;
        firings::set_count(&mut page, timer.index(), Count { generation, fired });
        assert!(!service.clients[0].is_counted(timer.index()), "{wrong:?}");
    }
}

#[test]
fn a_firing_that_is_noted_wrongly_is_seen() {
    let (system, service, timer) = fired_twice();
    let (client, other) = (&service.clients[0], timer.index() ^ 1);
    assert!(client.is_noted(timer.index()) && !client.is_noted(other));
    let page = &system.clients[0].firings;
    firings::note(&mut page.shared_mut(&Life::endless()), timer.index());
    assert!(!client.is_noted(timer.index()), "once too often");
}

#[test]
fn a_timer_that_is_taken_over_wrongly_is_seen() {
    let system = System::new(1);
    let mut service = system.start(&Life::endless());
    let mut client = system.client(0);
    let index = client.every(ms(1)).unwrap().index();
    service.run(|_| true);
    let right = Entry::read(&system.clients[0].timers.shared_ref(), index).unwrap();
    let known = &service.clients[0];
    assert!(known.has_accepted(index, &right, false));
    let generation = right.generation ^ 1;
    let (deadline_ns, period_ns) = (right.deadline_ns + 1, right.period_ns + 1);
    for wrong in [
        Entry {
            generation,
            ..right
        },
        Entry {
            armed: false,
            ..right
        },
        Entry {
            wall: true,
            ..right
        },
        Entry {
            deadline_ns,
            ..right
        },
        Entry { period_ns, ..right },
    ] {
        assert!(!known.has_accepted(index, &wrong, false), "{wrong:?}");
    }
    let mut page = system.clients[0].firings.shared_mut(&Life::endless());
    for (fired, is_right) in [(1, false), (0, true)] {
        let generation = right.generation;
        firings::set_count(&mut page, index, Count { generation, fired });
        assert_eq!(
            service.clients[0].has_accepted(index, &right, false),
            is_right
        );
    }
    // In the queue at another time.
    service.clients[0].queue_wrongly(index, right.deadline_ns - 1);
    assert!(!service.clients[0].has_accepted(index, &right, false));
}

#[test]
fn a_damaged_clock_ends_the_life_and_the_next_one_mends_it() {
    let system = System::new(1);
    let mut service = system.start(&Life::endless());
    let right = *service.clock();
    let at = 8 * clock::ns_per_tick_word(&system.clock.shared_ref());
    system.clock.set_bytes(at, &[1]);
    let died = std::panic::catch_unwind(AssertUnwindSafe(|| service.run(|_| true)));
    assert!(died.is_err());
    assert_eq!(*system.start(&Life::endless()).clock(), right);
}

/// Also the copy that is not the current one has what was published.
#[test]
fn a_damaged_generation_shows_the_same_clock() {
    let system = System::new(1);
    let mut service = system.start(&Life::endless());
    let published = |set: bool| {
        let mut page = system.clock.shared_mut(&Life::endless());
        let generation = page.load_u64(8 * clock::GENERATION);
        let right = clock::read(&page);
        page.store_u64(8 * clock::GENERATION, generation ^ 1);
        assert_eq!(clock::read(&page), right, "set: {set}");
        page.store_u64(8 * clock::GENERATION, generation);
        right
    };
    assert_eq!(published(false), *service.clock());
    service.clock = service.clock.with_wall(7 * NS, 0, false);
    clock::write(
        &mut system.clock.shared_mut(&Life::endless()),
        service.clock,
    );
    assert_eq!(published(true), service.clock);
}

#[test]
#[should_panic(expected = "is not when it fires")]
fn a_queue_that_is_wrong_ends_the_life() {
    let system = System::new(1);
    let mut service = system.start(&Life::endless());
    let mut client = system.client(0);
    client.every(ms(1)).unwrap();
    service.run(|_| true);
    let now = client.clock().now().as_nanos();
    service.clients[0].queue_wrongly(0, now - 1);
    service.clients[0].fire(now, now, |_| true);
}

/// What a client has armed, and may expect.
struct Expected {
    timer: Timer,
    first_ns: u64,
    period_ns: u64,
    /// What the client has seen last.
    fired: Cell<u64>,
}

impl Expected {
    fn due(&self, now_ns: u64) -> u64 {
        match (now_ns.checked_sub(self.first_ns), self.period_ns) {
            (None, _) => 0,
            (Some(_), 0) => 1,
            (Some(late), period) => late / period + 1,
        }
    }
}

/// A scenario in which the service dies in place of its step number `kill_at`, then (if there is
/// one) of its successor's step number `again`, then lives.
fn deadlines_despite_deaths(kill_at: u64, again: Option<u64>) -> u64 {
    let system = System::new(2);
    let boot = Life::endless();
    drop(system.start(&boot));
    let mut clients = [system.client(0), system.client(1)];
    let mut expected = [Vec::new(), Vec::new()];
    let arm = |client: &mut Timers<NoChannel>, list: &mut Vec<Expected>, first, period| {
        let deadline = Deadline::Monotonic(Instant::from_nanos(first));
        let timer = client
            .start(deadline, Duration::from_nanos(period))
            .unwrap();
        list.push(Expected {
            timer,
            first_ns: first,
            period_ns: period,
            fired: Cell::new(0),
        });
    };
    for n in 0..6 {
        arm(&mut clients[0], &mut expected[0], 1_000_000 * (n % 4), 0);
        arm(
            &mut clients[1],
            &mut expected[1],
            500_000 + 100 * n,
            700_000 * (n % 2),
        );
    }

    let lives = [
        Life::of_steps(kill_at),
        again.map_or(Life::endless(), Life::of_steps),
    ];
    let mut dead_for = 0;
    for life in lives.iter().chain([&Life::endless()]) {
        let _ = life.run(|| {
            let mut service = system.start(life);
            for step in 0..8 {
                let now = ticks() * NS;
                if step == 2 {
                    // More arrives while the service runs.
                    arm(&mut clients[0], &mut expected[0], now + 1_234_567, 0);
                    service.run(|client| client == 0);
                }
                system.run_until(&mut service, now + 600_000);
                check(&mut clients, &expected, false);
            }
        });
        // Time passes while nobody serves; what is due then comes later, but comes.
        dead_for += 333_333;
        TICKS.set(ticks() + dead_for / NS);
        check(&mut clients, &expected, false);
    }
    let mut service = system.start(&Life::endless());
    system.run_until(&mut service, ticks() * NS + 1000);
    check(&mut clients, &expected, true);
    lives[0].steps_made()
}

fn check(clients: &mut [Timers<NoChannel>; 2], expected: &[Vec<Expected>; 2], all: bool) {
    let now_ns = ticks() * NS;
    for (client, list) in clients.iter().zip(expected) {
        for expected in list {
            let fired = client.fired_total(expected.timer).unwrap();
            let due = expected.due(now_ns);
            assert!(
                expected.fired.replace(fired) <= fired,
                "a firing was taken back"
            );
            assert!(fired <= due, "early or twice: {fired} of {due} at {now_ns}");
            // The very last period may end right now.
            assert!(
                !all || fired >= expected.due(now_ns - 100),
                "lost: {fired} of {due}"
            );
        }
    }
}

#[test]
fn every_deadline_once_wherever_the_service_dies() {
    let steps = deadlines_despite_deaths(u64::MAX, None);
    println!("{steps} steps");
    assert!(steps > 200, "{steps}");
    for kill_at in 0..steps {
        deadlines_despite_deaths(kill_at, None);
        deadlines_despite_deaths(kill_at, Some(kill_at % 23));
    }
}

/// A client dies in place of any store while it arms and cancels. Then the service and the client's
/// next life agree about what is armed, whether or not the service has been restarted too.
#[test]
fn a_client_that_dies_leaves_no_doubt() {
    for steps in 0.. {
        let system = System::new(1);
        let mut service = system.start(&Life::endless());
        drop(system.client(0));
        service.run(|_| true);
        let life = Life::of_steps(steps);
        let ended = life.run(|| {
            let clock = Clock::attach(system.clock.shared_ref(), ticks).unwrap();
            let page = system.clients[0].timers.shared_mut(&life);
            let firings = system.clients[0].firings.shared_ref();
            let mut timers = Timers::attach(page, firings, clock, NoChannel).unwrap();
            let first = timers.after(ms(1)).unwrap();
            service.run(|_| true);
            timers.after(ms(2)).unwrap();
            timers.cancel(first).unwrap();
        });
        if steps % 2 == 0 {
            service = system.start(&Life::endless());
        }
        let mut client = system.client(0);
        service.run(|_| true);
        let left: Vec<_> = client.timers().collect();
        assert_eq!(service.armed_count(), left.len(), "{steps}");
        system.run_until(&mut service, ticks() * NS + 3_000_000);
        for timer in left {
            assert_eq!(client.fired(timer), Ok(1), "{steps}");
        }
        if ended.is_ok() {
            return;
        }
    }
}

#[test]
fn a_set_wall_clock_survives_and_moves_timers() {
    let system = System::new(1);
    let mut service = system.start(&Life::endless());
    let mut client = system.client(0);
    let timer = client
        .at(SystemTime::from_nanos(WALL + 3_600_000_000_000))
        .unwrap();
    service.run(|_| true);
    // The channel cannot wait here, so the request is written by hand.
    let target = WALL + 3_600_000_000_000 - 1_000_000;
    let request = proto::timer::control::SetClock {
        sequence: 1,
        slew: false,
        wall_ns: target,
        ticks: ticks(),
    };
    request.write(&mut system.clients[0].control.shared_mut(&Life::endless()));
    for steps in 0.. {
        // Whether it dies before, while or after it is set: it is set once in the end.
        let life = Life::of_steps(steps);
        if life.run(|| drop(system.start(&life))).is_ok() {
            break;
        }
    }
    let mut service_2 = system.start(&Life::endless());
    assert_eq!(client.clock().system_time(), SystemTime::from_nanos(target));
    assert_eq!(client.fired(timer), Ok(0));
    let now = client.clock().now().as_nanos();
    system.run_until(&mut service_2, now + 1_000_100);
    assert_eq!(client.fired(timer), Ok(1));
    drop(service);
}

/// By step or slew, and wherever the service dies: the device is set to the right time, and after a reset of
/// the machine, which leaves nothing else, the clock starts from it.
#[test]
fn a_set_wall_clock_survives_a_reset_of_the_machine() {
    for (slew, target) in [(false, WALL / 2), (true, WALL + 5_000_000_000)] {
        let system = System::new(1);
        let service = system.start(&Life::endless());
        drop((system.client(0), service));
        assert_eq!(
            system.hardware.kept_wall.get(),
            None,
            "not set, so not written"
        );
        let request = proto::timer::control::SetClock {
            sequence: 1,
            slew,
            wall_ns: target,
            ticks: ticks(),
        };
        request.write(&mut system.clients[0].control.shared_mut(&Life::endless()));
        // It takes a second until somebody is there to do it.
        TICKS.set(ticks() + FREQUENCY);
        for steps in 0.. {
            let life = Life::of_steps(steps);
            if life.run(|| drop(system.start(&life))).is_ok() {
                break;
            }
        }
        assert_eq!(
            system.hardware.kept_wall.get(),
            Some(target + 1_000_000_000)
        );
        let shown = system.client(0).clock().system_time();
        assert_eq!(
            shown == SystemTime::from_nanos(target + 1_000_000_000),
            !slew
        );

        let hardware = system.hardware.clone();
        let next = System {
            hardware,
            ..System::new(1)
        };
        drop(next.start(&Life::endless()));
        let shown = next.client(0).clock().system_time();
        assert_eq!(shown, SystemTime::from_nanos(target + 1_000_000_000));
    }
}

#[test]
fn the_monotonic_clock_goes_on_while_the_service_dies() {
    let system = System::new(1);
    drop(system.start(&Life::endless()));
    let clock = Clock::attach(system.clock.shared_ref(), ticks).unwrap();
    let mut last = clock.now();
    for steps in 0..60 {
        let life = Life::of_steps(steps);
        let _ = life.run(|| drop(system.start(&life)));
        TICKS.set(ticks() + 1);
        assert_eq!(clock.now(), last + Duration::from_nanos(NS));
        last = clock.now();
    }
    assert_eq!(clock.resolution(), Duration::from_nanos(NS));
    // A first life that dies while it formats the page leaves no clock, and the next one makes it.
    let system = System::new(1);
    for steps in 0..20 {
        let life = Life::of_steps(steps);
        assert!(life.run(|| drop(system.start(&life))).is_err());
    }
    drop(system.start(&Life::endless()));
    assert!(Clock::attach(system.clock.shared_ref(), ticks).is_ok());
}

#[test]
fn a_thousand_timers_each() {
    let system = System::new(2);
    let mut service = system.start(&Life::endless());
    let mut clients = [system.client(0), system.client(1)];
    for client in &mut clients {
        let armed: Vec<_> = (0..1024)
            .map(|n| client.after(ms(1 + n % 50)).unwrap())
            .collect();
        assert_eq!(client.after(ms(1)), Err(timer_client::TimerError::Full));
        assert_eq!(armed.len(), 1024);
    }
    service.run(|_| true);
    assert_eq!(service.armed_count(), 2048);
    drop(service);
    let mut service = system.start(&Life::endless());
    assert_eq!(service.armed_count(), 2048, "a new life knows them all");
    system.run_until(&mut service, 100_000_000);
    for client in &mut clients {
        let fired: Vec<_> = std::iter::from_fn(|| client.next_fired()).collect();
        assert_eq!(fired.len(), 1024);
        assert!(fired.iter().all(|(_, count)| *count == 1));
        assert_eq!(client.next_fired(), None);
        client.cancel_all();
        assert_eq!(client.timers().count(), 0);
    }
}

#[test]
fn a_greedy_client_waits_and_the_others_do_not() {
    let system = System::new(2);
    let mut service = system.start(&Life::endless());
    let (mut greedy, mut modest) = (system.client(0), system.client(1));
    for _ in 0..TIMERS {
        greedy.every(Duration::from_nanos(1)).unwrap();
    }
    let timer = modest.every(ms(1)).unwrap();
    service.run(|_| true);
    let end = ticks() * NS + 100_000_000;
    let mut runs = 0;
    while let Some(alarm) = system
        .hardware
        .alarm
        .get()
        .filter(|alarm| *alarm * NS <= end)
    {
        TICKS.set(ticks().max(alarm));
        service.quieten();
        service.run(|_| false);
        runs += 1;
    }
    assert_eq!(modest.fired(timer), Ok(100));
    assert!(modest.lateness_max(timer).unwrap() < Duration::from_micros(1));
    // 100 ms: one wakeup per millisecond for the modest one, few for the other.
    assert!(runs < 300, "{runs}");
    let word = |word: usize| {
        let bytes = system.clients[0].firings.bytes();
        u64::from_le_bytes(bytes[word * 8..][..8].try_into().unwrap())
    };
    assert!(word(firings::THROTTLED) > 0);
    let notes = word(firings::NOTE_TAIL);
    assert!(
        notes <= CREDIT_MAX + 100_000_000 / crate::CREDIT_NS + 1,
        "{notes}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64, failure_persistence: None, ..ProptestConfig::default()
    })]

    /// Any numbers for time and period.
    #[test]
    fn extremes(
        first in prop_oneof![any::<u64>(), 0u64..100_000, u64::MAX - 3..],
        period in prop_oneof![any::<u64>(), 0u64..3, u64::MAX - 3..],
        now in prop_oneof![0u64..1 << 40, any::<u64>()],
        wall: bool,
    ) {
        let system = System::new(1);
        let mut service = system.start(&Life::endless());
        let mut client = system.client(0);
        let deadline = if wall {
            SystemTime::from_nanos(first).into()
        } else {
            Deadline::Monotonic(Instant::from_nanos(first))
        };
        let timer = client.start(deadline, Duration::from_nanos(period)).unwrap();
        TICKS.set(now.max(1000));
        service.run(|_| true);
        let clock = service.clock();
        let mut now_ns = clock.monotonic_ns(ticks());
        if wall {
            now_ns = clock.wall_ns(now_ns);
        }
        let due = match now_ns.checked_sub(first) {
            None => 0,
            Some(_) if period == 0 => 1,
            Some(late) => (late / period).saturating_add(1).min(proto::timer::FIRED_MAX),
        };
        prop_assert_eq!(client.fired(timer), Ok(due));
        // And the alarm is set for a time that makes sense, or not at all.
        let alarm = system.hardware.alarm.get();
        prop_assert!(alarm.is_none_or(|alarm| alarm >= ticks()));
        client.cancel(timer).unwrap();
        service.run(|_| true);
        prop_assert_eq!(service.armed_count(), 0);
    }

    /// A client's page full of rubbish, with a valid header, and rubbish that changes: the service
    /// goes on, and the other client's timers fire.
    #[test]
    fn nonsense_hurts_its_writer_only(seed: u64, tail: u64) {
        let system = System::new(2);
        let mut service = system.start(&Life::endless());
        drop(system.client(0));
        let mut other = system.client(1);
        let timer = other.every(ms(1)).unwrap();
        service.run(|_| true);
        let mut state = seed | 1;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state
        };
        for _ in 0..20 {
            for _ in 0..500 {
                let word = 4 + random() as usize % (8192 - 4);
                system.clients[0].timers.set_bytes(word * 8, &random().to_le_bytes());
            }
            let entry = timers::Entry {
                generation: random() as u32,
                armed: true,
                wall: random() % 2 == 0,
                deadline_ns: random(),
                period_ns: random() % 1000,
                cookie: 0,
            };
            let mut page = system.clients[0].timers.shared_mut(&Life::endless());
            entry.write(&mut page, random() as usize % TIMERS);
            system.clients[0].timers.set_bytes(timers::CHANGE_TAIL * 8, &tail.to_le_bytes());
            service.run(|client| client == 0);
            system.run_until(&mut service, ticks() * NS + 1_000_000);
        }
        let fired = other.fired(timer).unwrap();
        prop_assert!((19..=20).contains(&fired), "{}", fired);
        prop_assert!(other.lateness_max(timer).unwrap() < Duration::from_micros(1));
        // And it can come back to its senses.
        system.clients[0].timers.set_bytes(0, &[0; 8]);
        let mut sane = system.client(0);
        service.run(|_| true);
        system.run_until(&mut service, ticks() * NS + 100_000_000);
        let timer = sane.after(ms(1)).unwrap();
        service.run(|_| true);
        system.run_until(&mut service, ticks() * NS + 2_000_000);
        prop_assert_eq!(sane.fired(timer), Ok(1));
    }
}

#[test]
fn wrong_regions_are_refused() {
    let small = HostRegion::new(256);
    let hold = || Hold {
        hardware: Hardware::default(),
        life: Life::endless(),
    };
    let attach = |clock: &HostRegion, pages: Vec<(&str, Pages)>, frequency| {
        let clock = clock.shared_mut(&Life::endless());
        Service::attach(hold(), clock, pages, frequency, 0)
            .map(drop)
            .unwrap_err()
    };
    assert_eq!(attach(&small, vec![], FREQUENCY), AttachError::ClockPage);
    let page = HostRegion::new(4096);
    assert_eq!(attach(&page, vec![], 0), AttachError::Frequency(0));
    let pages = Pages {
        timers: small.shared_ref(),
        firings: small.shared_mut(&Life::endless()),
        control: None,
    };
    let error = attach(&page, vec![("app", pages)], FREQUENCY);
    assert_eq!(error, AttachError::Client(crate::WrongSize("app".into())));
}

/// Campaign on seL4 release at 9e7fd0d, seed 1, trial 14777.
#[test]
fn a_clock_that_was_read_wrongly_ends_the_life() {
    let clock = clock::Parameters::new(62_500_000, 1000, 5).unwrap();
    let now_ns = clock.monotonic_ns(777_777);
    crate::assert_shown(&clock, 777_777, now_ns);
    for bit in 0..64 {
        let wrong = now_ns ^ 1 << bit;
        assert!(std::panic::catch_unwind(|| crate::assert_shown(&clock, 777_777, wrong)).is_err());
    }
}
