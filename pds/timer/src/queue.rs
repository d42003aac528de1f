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

    /// The time of a timer, if it is queued. Not before [`Queue::order`] for one that was appended.
    pub fn time(&self, timer: usize) -> Option<u64> {
        let place = usize::from(self.places[timer]);
        self.heap.get(place).map(|(time, _)| *time)
    }

    /// Number of timers queued.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Queues a timer, or moves it to another time.
    pub fn set(&mut self, timer: usize, time: u64) {
        let place = match self.places[timer] {
            NOWHERE => {
                self.push(timer, time);
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

    fn push(&mut self, timer: usize, time: u64) {
        if self.heap.capacity() == 0 {
            // All at once, so that memory is bounded by what a client has, not by how it came to it.
            self.heap.reserve_exact(self.places.len());
        }
        self.heap.push((time, timer as u16));
    }

    /// Queues a timer that is not queued, in no order. Nothing but [`Queue::append`] and
    /// [`Queue::order`] may follow.
    pub fn append(&mut self, timer: usize, time: u64) {
        debug_assert_eq!(self.places[timer], NOWHERE);
        self.push(timer, time);
    }

    /// Brings what was appended into order: linear time (Floyd's construction of a heap).
    pub fn order(&mut self) {
        for place in (0..self.heap.len() / 2).rev() {
            self.sift_down(place);
        }
        for (place, (_, timer)) in self.heap.iter().enumerate() {
            self.places[usize::from(*timer)] = place as u16;
        }
    }

    /// Moves the entry at `place` down to where it belongs, without noting places.
    fn sift_down(&mut self, place: usize) {
        let mut place = place;
        let Some(&moving) = self.heap.get(place) else {
            return;
        };
        let mut child = 2 * place + 1;
        while child < self.heap.len() {
            // The lesser of two children; the time alone decides, equal ones come in any order.
            let right = self.heap.get(child + 1);
            child += usize::from(right.is_some_and(|right| right.0 < self.heap[child].0));
            if moving.0 <= self.heap[child].0 {
                break;
            }
            self.heap[place] = self.heap[child];
            place = child;
            child = 2 * place + 1;
        }
        self.heap[place] = moving;
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

        #[test]
        fn built_at_once_or_one_by_one(
            times in prop::collection::vec(0u64..50, 0..200),
            then in prop::collection::vec((0usize..200, prop::option::of(0u64..50)), 0..100),
        ) {
            let (mut at_once, mut one_by_one) = (Queue::new(200), Queue::new(200));
            for (timer, time) in times.iter().enumerate() {
                at_once.append(timer, *time);
                one_by_one.set(timer, *time);
            }
            at_once.order();
            for (timer, time) in then {
                for queue in [&mut at_once, &mut one_by_one] {
                    match time {
                        Some(time) => queue.set(timer, time),
                        None => queue.remove(timer),
                    }
                }
            }
            while let Some((time, timer)) = one_by_one.first() {
                prop_assert_eq!(at_once.first().map(|(time, _)| time), Some(time));
                let (_, other) = at_once.first().unwrap();
                one_by_one.remove(timer);
                at_once.remove(other);
            }
            prop_assert_eq!(at_once.len(), 0);
        }
    }
}
