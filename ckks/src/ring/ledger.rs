//! Which buffers of a pool are lent, which are idle, and which of these make room for others.

use std::collections::BTreeMap;

/// A pool may hold this many bytes in any case.
const FEW_BYTES: usize = 1 << 31;

/// Buffers of at least this many bytes also serve who wants at least half of one.
pub(super) const SHARED_BYTES: usize = 1 << 21;

/// Counts of a pool's buffers by capacity in words: what the pool goes by, and what tells without a buffer how much memory a run takes.
///
/// All that is given back is kept, as long as the pool, and so its ring, lives: a run whose need rises and falls does not return memory to the
/// system only to find it again. But lent and idle buffers together never take more than 2 GiB, or than the most that was lent at once, if
/// that is more: where new ones would, idle ones that do not serve go first.
///
/// Those of 2 MiB or more also serve who wants at least half of one: polynomials get shorter from level to level, and would find nothing idle
/// otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    idle: BTreeMap<usize, usize>,
    idle_bytes: usize,
    lent_bytes: usize,
    /// What lent and idle ones may take together.
    most_bytes: usize,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { idle: BTreeMap::new(), idle_bytes: 0, lent_bytes: 0, most_bytes: FEW_BYTES }
    }
}

/// What lending takes beside idle buffers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// How many buffers the system has to find, as long as was asked for.
    pub fresh: usize,
    /// (capacity, count) of idle ones that it gets back.
    pub dropped: Vec<(usize, usize)>,
}

impl Ledger {
    /// Lends `count` buffers of at least `len` words, and tells `reuse` capacities and counts of those that were idle. To make room for fresh
    /// ones, idle ones go that are too short or too long: those nearest to being long enough first.
    pub fn take(&mut self, len: usize, count: usize, mut reuse: impl FnMut(usize, usize)) -> Taken {
        let longest = if bytes(len) < SHARED_BYTES { len } else { 2 * len };
        let mut taken = Taken { fresh: count, ..Taken::default() };
        for (&capacity, idle) in self.idle.range_mut(len..=longest).filter(|(_, idle)| **idle > 0) {
            let reused = taken.fresh.min(*idle);
            *idle -= reused;
            self.idle_bytes -= reused * bytes(capacity);
            self.lent_bytes += reused * bytes(capacity);
            if reused > 0 {
                taken.fresh -= reused;
                reuse(capacity, reused);
            }
        }
        self.lent_bytes += taken.fresh * bytes(len);
        self.most_bytes = self.most_bytes.max(self.lent_bytes);
        let mut surplus = self.bytes().saturating_sub(self.most_bytes);
        if surplus > 0 {
            let useless: Vec<usize> = self
                .idle
                .range(..len)
                .rev()
                .chain(self.idle.range(longest + 1..))
                .map(|(&capacity, _)| capacity)
                .collect();
            for capacity in useless {
                let idle = self.idle.entry(capacity).or_default();
                let dropped = surplus.div_ceil(bytes(capacity)).min(*idle);
                *idle -= dropped;
                self.idle_bytes -= dropped * bytes(capacity);
                surplus = surplus.saturating_sub(dropped * bytes(capacity));
                if dropped > 0 {
                    taken.dropped.push((capacity, dropped));
                }
            }
        }
        taken
    }

    /// Gets `count` buffers back.
    pub fn give(&mut self, capacity: usize, count: usize) {
        if capacity > 0 && count > 0 {
            self.lent_bytes = self.lent_bytes.saturating_sub(count * bytes(capacity));
            self.idle_bytes += count * bytes(capacity);
            *self.idle.entry(capacity).or_default() += count;
        }
    }

    /// Lends `count` new buffers of `len` words, whatever is idle.
    pub fn add(&mut self, len: usize, count: usize) {
        self.lent_bytes += count * bytes(len);
        self.most_bytes = self.most_bytes.max(self.bytes());
    }

    /// Of buffers that wait to be used again.
    pub fn idle_bytes(&self) -> usize {
        self.idle_bytes
    }

    /// Of all buffers, lent and idle.
    pub fn bytes(&self) -> usize {
        self.lent_bytes + self.idle_bytes
    }
}

fn bytes(words: usize) -> usize {
    words * size_of::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words of a quarter of what a pool may hold in any case.
    const QUARTER: usize = FEW_BYTES / size_of::<u64>() / 4;

    /// Capacities and counts of the buffers that are reused, and the rest.
    fn take(ledger: &mut Ledger, len: usize, count: usize) -> (Vec<(usize, usize)>, Taken) {
        let mut reused = Vec::new();
        let taken = ledger.take(len, count, |capacity, count| reused.push((capacity, count)));
        (reused, taken)
    }

    #[test]
    fn what_was_lent_at_once_is_never_found_again() {
        let mut ledger = Ledger::default();
        assert_eq!(take(&mut ledger, QUARTER, 10).1.fresh, 10);
        ledger.give(QUARTER, 10);
        for _ in 0..3 {
            assert_eq!(take(&mut ledger, QUARTER, 10), (vec![(QUARTER, 10)], Taken::default()));
            ledger.give(QUARTER, 3);
            ledger.give(QUARTER, 7);
        }
        assert_eq!((ledger.idle_bytes(), ledger.bytes()), (10 * bytes(QUARTER), 10 * bytes(QUARTER)));
    }

    #[test]
    fn fresh_buffers_take_the_place_of_idle_ones_that_are_too_short_or_too_long() {
        let mut ledger = Ledger::default();
        let (short, long) = (QUARTER / 4, 3 * QUARTER);
        take(&mut ledger, short, 16);
        take(&mut ledger, long, 2);
        ledger.give(short, 16);
        ledger.give(long, 2);
        // Ten quarters were lent, and are idle.
        let taken = take(&mut ledger, QUARTER, 1).1;
        assert_eq!(taken, Taken { fresh: 1, dropped: vec![(short, 4)] });
        let taken = take(&mut ledger, QUARTER, 4).1;
        assert_eq!(taken, Taken { fresh: 4, dropped: vec![(short, 12), (long, 1)] });
        assert_eq!((ledger.idle_bytes(), ledger.bytes()), (3 * bytes(QUARTER), 8 * bytes(QUARTER)));
        assert_eq!(take(&mut ledger, QUARTER, 2).1.dropped, []);
        assert_eq!(take(&mut ledger, QUARTER, 7).1.dropped, [(long, 1)]);
        assert_eq!(ledger.bytes(), 14 * bytes(QUARTER));
    }

    #[test]
    fn little_memory_is_kept_in_all_lengths() {
        let mut ledger = Ledger::default();
        for _ in 0..2 {
            for len in [QUARTER / 2, QUARTER / 5, 2 * QUARTER] {
                assert_eq!(take(&mut ledger, len, 1).1.dropped, []);
                ledger.give(len, 1);
            }
        }
        assert_eq!(take(&mut ledger, 2 * QUARTER, 1).1.fresh, 0);
    }

    #[test]
    fn what_is_added_is_kept() {
        let mut ledger = Ledger::default();
        ledger.add(QUARTER, 6);
        ledger.give(QUARTER, 6);
        assert_eq!(take(&mut ledger, QUARTER, 7).1.fresh, 1);
        ledger.give(QUARTER, 7);
        ledger.give(0, 1);
        assert_eq!((ledger.idle_bytes(), ledger.bytes()), (7 * bytes(QUARTER), 7 * bytes(QUARTER)));
    }

    #[test]
    fn many_at_once_are_as_many_one_after_the_other() {
        let (mut together, mut apart) = (Ledger::default(), Ledger::default());
        let add = |to: &mut Vec<(usize, usize)>, from: Vec<(usize, usize)>| {
            for (capacity, count) in from {
                match to.iter_mut().find(|(known, _)| *known == capacity) {
                    Some((_, known)) => *known += count,
                    None => to.push((capacity, count)),
                }
            }
        };
        let lengths = [QUARTER, 3 * QUARTER / 2, 3 * QUARTER, 1000, 1001, QUARTER / 3];
        let (mut seed, mut lent) = (1u64, Vec::new());
        for _ in 0..2000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let [kind, len, count] = [61, 40, 20].map(|shift| (seed >> shift) as usize % 1024);
            let (len, count) = (lengths[len % lengths.len()], 1 + count % 7);
            if kind % 2 == 0 {
                let (expected, mut found) = (take(&mut together, len, count), (Vec::new(), Taken::default()));
                for _ in 0..count {
                    let (reused, one) = take(&mut apart, len, 1);
                    add(&mut found.0, reused);
                    add(&mut found.1.dropped, one.dropped);
                    found.1.fresh += one.fresh;
                }
                assert_eq!(found, expected);
                lent.extend(found.0);
                lent.push((len, found.1.fresh));
            } else if !lent.is_empty() {
                let (capacity, count) = lent.swap_remove(len % lent.len());
                (0..count).for_each(|_| apart.give(capacity, 1));
                together.give(capacity, count);
            }
            assert_eq!(apart, together);
            assert!(together.bytes() <= together.most_bytes);
        }
    }
}
