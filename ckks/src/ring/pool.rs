//! Reuse of limb buffers: page faults of fresh 512 KiB limbs cost more than the arithmetic on them.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, ThreadId};

use memmap2::MmapMut;
use rayon::prelude::*;
use zerocopy::FromBytes;

/// Words between the starts of limbs beyond N: a cache line, since power-of-two strides thrash L1 in base conversion.
pub(crate) const LIMB_PADDING: usize = 8;

/// Idle buffers above this many bytes are returned to the system.
pub(crate) const MAX_IDLE_BYTES: usize = 1 << 31;

/// Buffers of at least this many bytes are mapped, in huge pages where the system has them: conversions and keys walk through many
/// rows at once, more than there are entries for small pages in a translation buffer. They also serve who wants at least half of one.
pub(crate) const MAPPED_BYTES: usize = 1 << 21;

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

/// Idle buffers by their capacity. Their contents are unspecified but initialised.
///
/// A mapping also serves who wants at least half of it: polynomials get shorter from level to level, and would find nothing idle otherwise.
#[derive(Default)]
pub(crate) struct Pool {
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    bytes: usize,
    /// With the thread that gave each back.
    by_capacity: BTreeMap<usize, Vec<(ThreadId, Buffer)>>,
}

impl Pool {
    /// A buffer of `len` words with unspecified contents.
    pub(crate) fn take(&self, len: usize) -> Buffer {
        let longest = if len * size_of::<u64>() < MAPPED_BYTES { len } else { 2 * len };
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(buffer) = idle.by_capacity.range_mut(len..=longest).find_map(|(_, buffers)| pop(buffers)) {
            idle.bytes -= buffer.capacity() * size_of::<u64>();
            return buffer.shortened(len);
        }
        drop(idle);
        Buffer::zero(len)
    }

    /// Has the system find the memory of `count` buffers of `len` words, which are idle then. On the threads of the current rayon pool.
    pub(crate) fn reserve(&self, len: usize, count: usize) {
        (0..count).into_par_iter().for_each(|_| {
            let mut buffer = Buffer::zero(len);
            buffer.iter_mut().step_by(PAGE).for_each(|word| *word = 1);
            self.give(buffer);
        });
    }

    /// Gives a buffer back.
    pub(crate) fn give(&self, buffer: Buffer) {
        let bytes = buffer.capacity() * size_of::<u64>();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes > 0 && idle.bytes + bytes <= MAX_IDLE_BYTES {
            idle.bytes += bytes;
            idle.by_capacity.entry(buffer.capacity()).or_default().push((thread::current().id(), buffer));
        }
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
        let idle = || pool.idle.lock().unwrap().bytes;
        assert_eq!(idle(), 3 * 1000 * size_of::<u64>());
        let taken = pool.take(1000);
        assert_eq!((taken.len(), idle()), (1000, 2 * 1000 * size_of::<u64>()));
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
