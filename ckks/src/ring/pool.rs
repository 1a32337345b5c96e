//! Reuse of limb buffers: page faults of fresh 512 KiB limbs cost more than the arithmetic on them.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use memmap2::MmapMut;
use rayon::prelude::*;
use zerocopy::FromBytes;

use super::ledger::{Ledger, SHARED_BYTES};

/// Words between the starts of limbs beyond N: a cache line, since power-of-two strides thrash L1 in base conversion.
pub(crate) const LIMB_PADDING: usize = 8;

/// Buffers of at least this many bytes, which are those that are shared, are mapped, in huge pages where the system has them: conversions and keys
/// walk through many rows at once, more than there are entries for small pages in a translation buffer.
const MAPPED_BYTES: usize = SHARED_BYTES;

/// A 64-byte aligned run of words.
pub(crate) struct Buffer {
    memory: Memory,
    len: usize,
}

enum Memory {
    /// Words from `start` on. The system gives zeros page by page, when they are first used: what nobody writes costs nothing, and
    /// threads that share a buffer share that work.
    Allocated {
        words: Vec<u64>,
        start: usize,
    },
    Mapped(MmapMut),
}

/// Words of a small page.
const PAGE: usize = 4096 / size_of::<u64>();

/// Words of a cache line.
const LINE: usize = 8;

impl Buffer {
    /// No words.
    pub(crate) fn empty() -> Self {
        Self { memory: Memory::Allocated { words: Vec::new(), start: 0 }, len: 0 }
    }

    /// `len` words, all zero.
    pub(crate) fn zero(len: usize) -> Self {
        let bytes = len * size_of::<u64>();
        let mapped = if bytes < MAPPED_BYTES { None } else { MmapMut::map_anon(bytes).ok() };
        let memory = mapped.map_or_else(
            || Memory::allocated(len),
            |mapped| {
                // Small pages do, too: the advice may be refused.
                #[cfg(target_os = "linux")]
                let _ = mapped.advise(memmap2::Advice::HugePage);
                Memory::Mapped(mapped)
            },
        );
        Self { memory, len }
    }

    /// The first `len` words of a mapping that has at least as many.
    fn shortened(self, len: usize) -> Self {
        Self { len, ..self }
    }

    /// Words that it takes, used or not.
    fn capacity(&self) -> usize {
        match &self.memory {
            Memory::Allocated { .. } => self.len,
            Memory::Mapped(bytes) => bytes.len() / size_of::<u64>(),
        }
    }
}

impl Memory {
    fn allocated(len: usize) -> Self {
        let words = vec![0; len + LINE - 1];
        let start = words.as_ptr().align_offset(LINE * size_of::<u64>());
        Self::Allocated { words, start }
    }
}

impl Deref for Buffer {
    type Target = [u64];

    fn deref(&self) -> &[u64] {
        match &self.memory {
            Memory::Allocated { words, start } => &words[*start..][..self.len],
            Memory::Mapped(bytes) => &words(<[u64]>::ref_from_bytes(bytes))[..self.len],
        }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u64] {
        match &mut self.memory {
            Memory::Allocated { words, start } => &mut words[*start..][..self.len],
            Memory::Mapped(bytes) => &mut words(<[u64]>::mut_from_bytes(bytes))[..self.len],
        }
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        let mut copy = Self::zero(self.len());
        copy.copy_from_slice(self);
        copy
    }
}

impl PartialEq for Buffer {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Buffer {}

impl fmt::Debug for Buffer {
    /// Length only: contents may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// A mapping begins at a page and has whole words.
fn words<W, E>(cast: std::result::Result<W, E>) -> W {
    cast.unwrap_or_else(|_| unreachable!("a mapping that is no run of words"))
}

/// Buffers to be used again, as its [`Ledger`] says. Their contents are unspecified but initialised.
#[derive(Default)]
pub(crate) struct Pool {
    shelf: Mutex<Shelf>,
}

#[derive(Default)]
struct Shelf {
    ledger: Ledger,
    /// Idle buffers, as many as the ledger says, with the thread that gave each back.
    by_capacity: BTreeMap<usize, Vec<(ThreadId, Buffer)>>,
}

impl Pool {
    /// A buffer of `len` words with unspecified contents.
    pub(crate) fn take(&self, len: usize) -> Buffer {
        let (mut shelf, mut found) = (self.shelf(), None);
        let Shelf { ledger, by_capacity } = &mut *shelf;
        let taken = ledger.take(len, 1, |capacity, _| found = by_capacity.get_mut(&capacity).and_then(pop));
        let dropped = taken.dropped.into_iter();
        let old: Vec<_> = dropped.flat_map(|(capacity, count)| shelf.remove_oldest(capacity, count)).collect();
        drop(shelf);
        drop(old);
        found.map_or_else(|| Buffer::zero(len), |buffer| buffer.shortened(len))
    }

    /// Has the system find the memory of `count` buffers of `len` words, which are idle then. On the threads of the current rayon pool.
    pub(crate) fn reserve(&self, len: usize, count: usize) {
        self.shelf().ledger.add(len, count);
        (0..count).into_par_iter().for_each(|_| {
            let mut buffer = Buffer::zero(len);
            buffer.iter_mut().step_by(PAGE).for_each(|word| *word = 1);
            self.give(buffer);
        });
    }

    /// Gives a buffer back that was taken.
    pub(crate) fn give(&self, buffer: Buffer) {
        if buffer.capacity() > 0 {
            let mut shelf = self.shelf();
            shelf.ledger.give(buffer.capacity(), 1);
            shelf.by_capacity.entry(buffer.capacity()).or_default().push((thread::current().id(), buffer));
        }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    /// Buffers of a capacity that have been idle for longest.
    fn remove_oldest(&mut self, capacity: usize, count: usize) -> Vec<(ThreadId, Buffer)> {
        let buffers = self.by_capacity.entry(capacity).or_default();
        buffers.drain(..count.min(buffers.len())).collect()
    }
}

/// What this thread gave back last, or another one, if it gave none: its words may still be in the cache of its core.
fn pop(buffers: &mut Vec<(ThreadId, Buffer)>) -> Option<Buffer> {
    let here = thread::current().id();
    let place = buffers.iter().rposition(|(thread, _)| *thread == here).or(buffers.len().checked_sub(1))?;
    Some(buffers.remove(place).1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_serves_who_wants_at_least_half_of_it() {
        let pool = Pool::default();
        let len = MAPPED_BYTES / size_of::<u64>();
        let long = pool.take(2 * len + 2);
        let place = long.as_ptr();
        pool.give(long);
        let shorter = pool.take(len + 1);
        assert_eq!((shorter.as_ptr(), shorter.len()), (place, len + 1));
        pool.give(shorter);
        assert_ne!(pool.take(len).as_ptr(), place);
        assert_eq!(pool.take(2 * len + 2).as_ptr(), place);
    }

    #[test]
    fn reserved_buffers_are_idle() {
        let pool = Pool::default();
        pool.reserve(1000, 3);
        let idle = || pool.shelf().ledger.idle_bytes();
        assert_eq!(idle(), 3 * 1000 * size_of::<u64>());
        let taken = pool.take(1000);
        assert_eq!((taken.len(), idle()), (1000, 2 * 1000 * size_of::<u64>()));
    }

    #[test]
    fn a_pool_holds_what_its_ledger_says() {
        let pool = Pool::default();
        let len = MAPPED_BYTES / size_of::<u64>();
        let mut lent: Vec<Buffer> = [len, 2 * len, 1000, 3 * len, 1000].map(|len| pool.take(len)).into();
        for (place, len) in [(0, 4 * len), (2, 1000), (1, len), (0, 500), (3, 2 * len), (1, len + 1)] {
            pool.give(lent.remove(place));
            lent.push(pool.take(len));
            let shelf = pool.shelf();
            let idle = shelf.by_capacity.values().flatten().map(|(_, buffer)| buffer.capacity()).sum::<usize>();
            let all = idle + lent.iter().map(Buffer::capacity).sum::<usize>();
            assert_eq!((shelf.ledger.idle_bytes(), shelf.ledger.bytes()), (8 * idle, 8 * all));
        }
    }

    #[test]
    fn a_thread_gets_back_what_it_gave() {
        let pool = Pool::default();
        let place = |buffer: &Buffer| buffer.as_ptr() as usize;
        let (first, second) = (pool.take(1000), pool.take(1000));
        let [here, there] = [&first, &second].map(place);
        pool.give(first);
        thread::scope(|scope| scope.spawn(|| pool.give(second)).join()).unwrap();
        assert_eq!(place(&pool.take(1000)), here);
        assert_eq!(place(&pool.take(1000)), there);
    }
}
