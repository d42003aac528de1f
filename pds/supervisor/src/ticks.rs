// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Where a supervisor's ticks come from: the time service, or, for the one that has to notice that
//! service's death in any case, a PD called `metronome`, which the kernel lets run once per period. An
//! alarm (PL031, region `rtc`, interrupt id 0) rings every second, and tells when that one is silent.

use alloc::format;
use core::time::Duration;

use log::error;
use mmio::fields::{ReadPure, ReadPureWrite, WriteOnly};
use mmio::{UniqueMmioPointer, field, field_shared};
use sel4_microkit::{Channel, ChannelSet};
use timer_client::{Clock, Instant, Service, Timers};
use topology::Topology;

/// Time between two ticks of the time service.
const PERIOD_MS: u64 = 20;
/// The alarm counts seconds.
const ALARM_PERIOD_MS: u64 = 1_000;
/// Interrupt of the alarm.
const ALARM: Channel = Channel::new(0);

/// PL031 (DDI 0224, section 3.3): data, match, load, control, interrupt mask, raw and masked status, clear.
#[repr(C)]
pub struct Pl031 {
    rtcdr: ReadPure<u32>,
    rtcmr: ReadPureWrite<u32>,
    rtclr: ReadPureWrite<u32>,
    rtccr: ReadPureWrite<u32>,
    rtcimsc: ReadPureWrite<u32>,
    rtcris: ReadPure<u32>,
    rtcmis: ReadPure<u32>,
    rtcicr: WriteOnly<u32>,
}

/// The channel to the time service.
struct TimeService(Channel);

impl Service for TimeService {
    fn notify(&mut self) {
        self.0.notify();
    }

    fn wait(&mut self) {
        unreachable!("a supervisor does not wait");
    }
}

/// A subscription to the time service.
pub struct Subscription {
    topology: Topology<'static>,
    /// Name of the service.
    pub server: &'static str,
    channel: Channel,
    timers: Option<Timers<TimeService>>,
    /// The last tick came late.
    late: bool,
}

/// A tick that comes so much later than its time was not on time.
const LATE_MS: u64 = 2;

/// A source of ticks.
pub enum Ticks {
    /// None: this supervisor hears faults only.
    None,
    /// The time service.
    Service(Subscription),
    /// The alarm, and the metronome if there is one.
    Alarm(UniqueMmioPointer<'static, Pl031>, Option<Metronome>),
}

/// A child that is nothing but a clock.
pub struct Metronome {
    channel: Channel,
    /// Alarms without a beat between them.
    silent: u32,
}

/// So many mean that it is dead. One means nothing: an alarm that was heard late sets the next one to
/// the end of the running second, which may be near.
const SILENT_MAX: u32 = 5;

/// What notifications mean for the passing of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tick {
    /// Nothing.
    None,
    /// A period has passed.
    Period,
    /// Seconds have passed without a beat of the metronome.
    Silence,
}

/// Name of the PD that beats.
pub const METRONOME: &str = "metronome";

impl Ticks {
    /// The source that system.xml gives this PD.
    pub fn find(topology: &Topology<'static>) -> Self {
        if let Some(region) = topology.region("rtc") {
            let Some(registers) = mmio::from_mapped::<Pl031>(region.vaddr as usize) else {
                error!("rtc is not mapped where a device can be");
                return Self::None;
            };
            let beats = topology.channel_to(METRONOME).map(|channel| Metronome {
                channel: Channel::new(channel.id.into()),
                silent: 0,
            });
            let mut ticks = Self::Alarm(registers, beats);
            ticks.set_alarm();
            return ticks;
        }
        let me = format!("{}_to_", topology.name());
        let server = topology.regions().find_map(|region| {
            region
                .name
                .strip_prefix(me.as_str())?
                .strip_suffix("_timers")
        });
        let channel = server.and_then(|server| topology.channel_to(server));
        let (Some(server), Some(channel)) = (server, channel) else {
            return Self::None;
        };
        let mut subscription = Subscription {
            topology: *topology,
            server,
            channel: Channel::new(channel.id.into()),
            timers: None,
            late: false,
        };
        subscription.attach();
        Self::Service(subscription)
    }

    /// Name of the time service that the ticks come from.
    pub fn server(&self) -> Option<&'static str> {
        match self {
            Self::Service(subscription) => Some(subscription.server),
            _ => None,
        }
    }

    /// Milliseconds between two ticks; 0 if the last one came late. Then this processor had something
    /// else to do than to run this system (an emulator's does, a board's does not), and nobody had the
    /// time to answer.
    pub fn period_ms(&self) -> u64 {
        match self {
            Self::Service(subscription) if subscription.late => 0,
            Self::Alarm(_, None) => ALARM_PERIOD_MS,
            _ => PERIOD_MS,
        }
    }

    /// Whether these notifications mean a tick.
    pub fn take(&mut self, channels: ChannelSet) -> Tick {
        match self {
            Self::None => Tick::None,
            Self::Alarm(_, metronome) => {
                let rings = channels.contains(ALARM);
                let tick = match metronome {
                    Some(metronome) => metronome.take(channels, rings),
                    None if rings => Tick::Period,
                    None => Tick::None,
                };
                if rings {
                    self.set_alarm();
                    if let Err(refused) = ALARM.irq_ack() {
                        error!("alarm: {refused}");
                    }
                }
                tick
            }
            Self::Service(subscription) => {
                match channels.contains(subscription.channel) && subscription.take() {
                    true => Tick::Period,
                    false => Tick::None,
                }
            }
        }
    }

    /// Forgets whatever was asked of the time service, and asks again.
    pub fn renew(&mut self) {
        if let Self::Service(subscription) = self {
            if let Some(timers) = &mut subscription.timers {
                timers.cancel_all();
            }
            subscription.timers = None;
            subscription.attach();
        }
    }

    /// Lowers the interrupt and asks for the next one.
    fn set_alarm(&mut self) {
        let Self::Alarm(registers, _) = self else {
            return;
        };
        let now = field_shared!(*registers, rtcdr).read();
        field!(*registers, rtcmr).write(now.wrapping_add(1));
        field!(*registers, rtcicr).write(1);
        field!(*registers, rtcimsc).write(1);
    }
}

/// Time since the last tick was due.
fn since_due(now: Instant) -> Duration {
    Duration::from_nanos(now.as_nanos() % (PERIOD_MS * 1_000_000))
}

impl Metronome {
    fn take(&mut self, channels: ChannelSet, rings: bool) -> Tick {
        if channels.contains(self.channel) {
            self.silent = 0;
            return Tick::Period;
        }
        self.silent += u32::from(rings);
        if self.silent < SILENT_MAX {
            return Tick::None;
        }
        self.silent = 0;
        Tick::Silence
    }
}

impl Subscription {
    /// Attaches to the pages and arms the timer, unless an earlier life has. The service may not
    /// have published its clock yet; it notifies when it has.
    fn attach(&mut self) {
        let me = self.topology.name();
        let server = self.server;
        let region = |name: &str| self.topology.region(name);
        let Some((clock, armed, firings)) = region(&format!("{server}_clock"))
            .zip(region(&format!("{me}_to_{server}_timers")))
            .zip(region(&format!("{server}_to_{me}_firings")))
            .map(|((clock, armed), firings)| (clock, armed, firings))
        else {
            return;
        };
        let Ok(clock) = Clock::attach(pd_setup::reads(&clock), recovery::ticks) else {
            return;
        };
        let (armed, firings) = (pd_setup::writes(&armed), pd_setup::reads(&firings));
        let Ok(mut timers) = Timers::attach(armed, firings, clock, TimeService(self.channel))
        else {
            return error!("the pages shared with {server} are too small");
        };
        let period = Duration::from_millis(PERIOD_MS);
        // At multiples of the period, so that every life knows when a tick was due.
        let now = timers.clock().now();
        let first = now + period - since_due(now);
        if timers.timers().next().is_none() && timers.start(first.into(), period).is_err() {
            error!("{server} has no timer for us");
        }
        self.timers = Some(timers);
    }

    fn take(&mut self) -> bool {
        if self.timers.is_none() {
            self.attach();
        }
        let mut fired = false;
        while self
            .timers
            .as_mut()
            .is_some_and(|timers| timers.next_fired().is_some())
        {
            fired = true;
        }
        if let Some(timers) = self.timers.as_ref().filter(|_| fired) {
            self.late = since_due(timers.clock().now()) >= Duration::from_millis(LATE_MS);
        }
        fired
    }
}
