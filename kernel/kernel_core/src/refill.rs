// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A scheduling context's budget, in the way of seL4's MCS kernels with two refills.
//!
//! Budget equal to period means round robin: the head holds what is left of the slice, the tail what
//! has been used, and nothing ever waits. Otherwise what was used comes back one period after the
//! moment from which it could be used, and a context without a ready refill waits for it.
//!
//! Times are in ticks of the system counter; nobody's clock lasts long enough to overflow 64 bits.

use crate::ids::{NotificationId, ReplyId, ThreadId};

/// A piece of budget and when it may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Refill {
    time: u64,
    amount: u64,
}

/// A scheduling context: the right to run for `budget` in each `period`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SchedContext {
    /// Whose time this is now.
    pub thread: Option<ThreadId>,
    /// Lent to whoever this notification wakes.
    pub notification: Option<NotificationId>,
    /// Newest reply object of the chain of calls that this context went along.
    pub reply: Option<ReplyId>,
    /// Ticks used since somebody asked.
    pub consumed: u64,
    round_robin: bool,
    period: u64,
    budget_min: u64,
    head: Refill,
    tail: Option<Refill>,
}

impl SchedContext {
    pub(crate) const NONE: Self = Self {
        thread: None,
        notification: None,
        reply: None,
        consumed: 0,
        round_robin: false,
        period: 0,
        budget_min: 0,
        head: Refill { time: 0, amount: 0 },
        tail: None,
    };

    pub(crate) fn new(budget: u64, period: u64, budget_min: u64, now: u64) -> Self {
        let head = Refill {
            time: now,
            amount: budget,
        };
        let round_robin = budget == period;
        let tail = round_robin.then_some(Refill {
            time: now,
            amount: 0,
        });
        Self {
            round_robin,
            period,
            budget_min,
            head,
            tail,
            ..Self::NONE
        }
    }

    /// Whether it may run now for a worthwhile time after `usage`.
    pub(crate) fn is_ready(&self, now: u64) -> bool {
        self.head.time <= now && self.is_sufficient(0)
    }

    pub(crate) fn is_sufficient(&self, usage: u64) -> bool {
        self.head.amount >= usage + self.budget_min
    }

    /// When the next refill may be used.
    pub(crate) fn release_time(&self) -> u64 {
        self.head.time
    }

    /// What is left of the head.
    pub(crate) fn head_amount(&self) -> u64 {
        self.head.amount
    }

    /// Takes `usage` away because the context leaves the processor.
    pub(crate) fn commit(&mut self, usage: u64) {
        self.consumed += usage;
        if self.round_robin {
            let used = usage.min(self.head.amount);
            self.head.amount -= used;
            if let Some(tail) = &mut self.tail {
                tail.amount += used;
            }
        } else {
            self.use_up(usage);
        }
    }

    /// Ends the slice: of a round robin context it is whole again, others lose `usage`.
    pub(crate) fn charge(&mut self, usage: u64) {
        if self.round_robin {
            self.head.amount = self.period;
            self.tail = Some(Refill {
                time: self.head.time,
                amount: 0,
            });
        } else {
            self.use_up(usage);
        }
    }

    /// Called when the context starts to run after it had not: unused time does not pile up.
    pub(crate) fn unblock(&mut self, now: u64) {
        if self.round_robin || self.head.time > now {
            return;
        }
        self.head.time = now;
        if let Some(tail) = self.tail
            && tail.time <= now + self.head.amount
        {
            self.head.amount += tail.amount;
            self.tail = None;
        }
    }

    fn use_up(&mut self, mut usage: u64) {
        // Whole refills go one period into the future.
        while usage > 0 && self.head.amount <= usage {
            usage -= self.head.amount;
            let used = Refill {
                time: self.head.time + self.period,
                ..self.head
            };
            match self.tail.take() {
                Some(tail) => {
                    self.head = tail;
                    self.come_back(used);
                }
                None => self.head = used,
            }
        }
        if usage > 0 {
            self.head.amount -= usage;
            self.come_back(Refill {
                time: self.head.time + self.period,
                amount: usage,
            });
            self.head.time += usage;
        }
        // A head too small to run with waits for the tail.
        if !self.is_sufficient(0)
            && let Some(tail) = self.tail.take()
        {
            self.head = Refill {
                time: tail
                    .time
                    .saturating_sub(self.head.amount)
                    .max(self.head.time),
                amount: self.head.amount + tail.amount,
            };
        }
    }

    /// Adds budget that was used and returns later; with only two refills it may return later still.
    fn come_back(&mut self, used: Refill) {
        match &mut self.tail {
            None => self.tail = Some(used),
            Some(tail) => {
                tail.time = tail.time.max(used.time.saturating_sub(tail.amount));
                tail.amount += used.amount;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: u64 = 20;

    #[test]
    fn round_robin_never_waits() {
        let mut context = SchedContext::new(1000, 1000, MIN, 0);
        for now in (0..100_000).step_by(500) {
            context.commit(300);
            assert!(context.round_robin);
            if !context.is_sufficient(0) {
                context.charge(0);
            }
            assert!(context.is_ready(now));
        }
        assert_eq!(context.consumed, 300 * 200);
    }

    #[test]
    fn at_most_budget_per_period() {
        let mut context = SchedContext::new(500, 10_000, MIN, 0);
        let mut ran = 0;
        for now in 0..100_000 {
            if context.is_ready(now) {
                ran += 10;
                context.commit(10);
            }
        }
        assert!((4500..=5500).contains(&ran), "{ran}");
    }

    #[test]
    fn budget_is_conserved() {
        let mut context = SchedContext::new(500, 10_000, MIN, 0);
        let mut random = 7u64;
        for now in (0..1_000_000).step_by(100) {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            if context.is_ready(now) {
                context.unblock(now);
                let usage = (random >> 33) % (context.head_amount() + 1);
                context.commit(usage);
            }
            let total = context.head.amount + context.tail.map_or(0, |tail| tail.amount);
            assert_eq!(total, 500);
        }
    }

    #[test]
    fn unused_time_does_not_pile_up() {
        let mut context = SchedContext::new(500, 10_000, MIN, 0);
        context.unblock(1_000_000);
        context.charge(500);
        assert!(!context.is_ready(1_009_999));
        assert!(context.is_ready(1_010_000));
    }
}
