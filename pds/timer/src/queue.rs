// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A binary heap of timers by time, in which each timer is at most once and knows its place: so
//! changing or removing one costs logarithmic time too.

use alloc::{vec, vec::Vec};

/// Marks a timer that is not queued.
const NOWHERE: u16 = u16::MAX;

/// Timers, the earliest first.
#[derive(Debug)]
pub struct Queue {
    heap: Vec<(u64, u16)>,
    /// Place in `heap` of each timer.
    places: Vec<u16>,
}

impl Queue {
    /// An empty queue for timers 0 to `timers - 1`.
    pub fn new(timers: usize) -> Self {
        assert!(timers < NOWHERE as usize);
        Self {
            heap: Vec::new(),
            places: vec![NOWHERE; timers],
        }
    }

    /// The earliest timer and its time.
    pub fn first(&self) -> Option<(u64, usize)> {
        self.heap
            .first()
            .map(|(time, timer)| (*time, usize::from(*timer)))
    }

    /// Number of timers queued.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Queues a timer, or moves it to another time.
    pub fn set(&mut self, timer: usize, time: u64) {
        let place = match self.places[timer] {
            NOWHERE => {
                self.heap.push((time, timer as u16));
                self.heap.len() - 1
            }
            place => {
                self.heap[usize::from(place)].0 = time;
                usize::from(place)
            }
        };
        self.places[timer] = place as u16;
        self.restore(place);
    }

    /// Removes a timer, if it is queued.
    pub fn remove(&mut self, timer: usize) {
        let place = self.places[timer];
        if place == NOWHERE {
            return;
        }
        self.places[timer] = NOWHERE;
        let place = usize::from(place);
        self.heap.swap_remove(place);
        if place < self.heap.len() {
            self.places[usize::from(self.heap[place].1)] = place as u16;
            self.restore(place);
        }
    }

    /// Moves the entry at `place` up or down to where it belongs.
    fn restore(&mut self, place: usize) {
        let mut place = place;
        while place > 0 && self.heap[place] < self.heap[(place - 1) / 2] {
            self.swap(place, (place - 1) / 2);
            place = (place - 1) / 2;
        }
        loop {
            let children = [2 * place + 1, 2 * place + 2].into_iter();
            let Some(least) = children
                .filter(|c| *c < self.heap.len())
                .min_by_key(|c| self.heap[*c])
            else {
                return;
            };
            if self.heap[place] <= self.heap[least] {
                return;
            }
            self.swap(place, least);
            place = least;
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        for place in [a, b] {
            self.places[usize::from(self.heap[place].1)] = place as u16;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn behaves_like_a_sorted_list(
            steps in prop::collection::vec((0usize..40, prop::option::of(0u64..50)), 0..300)
        ) {
            let mut queue = Queue::new(40);
            let mut model = std::collections::BTreeMap::new();
            for (timer, time) in steps {
                match time {
                    Some(time) => { queue.set(timer, time); model.insert(timer, time); }
                    None => { queue.remove(timer); model.remove(&timer); }
                }
                let earliest = model.iter().map(|(timer, time)| (*time, *timer)).min();
                prop_assert_eq!(queue.first(), earliest);
                prop_assert_eq!(queue.len(), model.len());
            }
        }
    }
}
