//! Reuse of limb buffers: page faults of fresh 512 KiB limbs cost more than the arithmetic on them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use aligned_vec::AVec;

/// Words between the starts of limbs beyond N: a cache line, since power-of-two strides thrash L1 in base conversion.
pub(crate) const LIMB_PADDING: usize = 8;

/// Idle buffers above this many bytes are returned to the system.
const MAX_IDLE_BYTES: usize = 1 << 30;

/// A 64-byte aligned run of words.
pub(crate) type Buffer = AVec<u64>;

/// Idle buffers by length. Their contents are unspecified but initialised.
#[derive(Default)]
pub(crate) struct Pool {
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    bytes: usize,
    by_len: HashMap<usize, Vec<Buffer>>,
}

impl Pool {
    /// A buffer of `len` words with unspecified contents.
    pub(crate) fn take(&self, len: usize) -> Buffer {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(buffer) = idle.by_len.get_mut(&len).and_then(Vec::pop) {
            idle.bytes -= len * size_of::<u64>();
            return buffer;
        }
        drop(idle);
        aligned_vec::avec![0; len]
    }

    /// Gives a buffer back.
    pub(crate) fn give(&self, buffer: Buffer) {
        let bytes = buffer.len() * size_of::<u64>();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes > 0 && idle.bytes + bytes <= MAX_IDLE_BYTES {
            idle.bytes += bytes;
            idle.by_len.entry(buffer.len()).or_default().push(buffer);
        }
    }
}
