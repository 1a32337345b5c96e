//! ChaCha20 of public seeds, eight blocks at a time, and the words that its bytes are cut into.
//!
//! ```text
//! for each four candidates
//!     unless all their bytes are there
//!         the bytes left over, then 8 blocks of the stream: lane b of vector w is word w of block b; 20 rounds; transposed
//!     out := groups of ⌈bits / 8⌉ bytes, two in each half of a vector, each taken to a lane of its own by a permutation of bytes
//! ```
//!
//! Nothing secret is drawn with it.

use std::arch::x86_64::*;
use std::hint::black_box;

use super::super::super::modulus::Modulus;
use super::super::Keystream;
use super::{LANES, Line, store_bits};

/// Bytes of a block, and blocks of a batch.
const BYTES: usize = 64;
const BLOCKS: usize = 8;
const BATCH: usize = BLOCKS * BYTES;

/// Bytes of a vector: more than four candidates have.
const VECTOR: usize = 32;

/// A batch, behind the bytes left over from the one before, and before bytes that are read with its last ones.
type Buffer = [u8; VECTOR + BATCH + VECTOR];

/// End of the batch in it.
const END: usize = VECTOR + BATCH;

#[inline(always)]
fn load_bytes(bytes: &[u8; VECTOR]) -> __m256i {
    // SAFETY: the reference covers the 32 bytes of a vector, whose bits may be any, and the read does not need alignment.
    unsafe { bytes.as_ptr().cast::<__m256i>().read_unaligned() }
}

#[inline(always)]
fn store_bytes(bytes: &mut [u8; VECTOR], x: __m256i) {
    // SAFETY: the reference covers the 32 bytes of a vector, and the write does not need alignment.
    unsafe { bytes.as_mut_ptr().cast::<__m256i>().write_unaligned(x) }
}

#[target_feature(enable = "avx2,fma")]
pub(in super::super) fn candidates_into(q: &Modulus, from: &Keystream, out: &mut [u64]) -> bool {
    let cut = Cut::new(q);
    let mut stream = Stream::new(from);
    let mut bytes: Buffer = [0; _];
    // Where the next candidate begins: nothing is there yet.
    let mut at = END + (from.start % BYTES as u64) as usize;
    let mut above = _mm256_setzero_si256();
    let (mut lines, rest) = out.as_chunks_mut();
    while !lines.is_empty() {
        if at + cut.bytes > END {
            stream.refill(&mut bytes);
            at -= BATCH;
        }
        let (here, later) = lines.split_at_mut(lines.len().min((END - at) / cut.bytes));
        for line in here {
            let (candidates, room) = cut.at(&bytes, at);
            above = _mm256_or_si256(above, room);
            store_bits(line, candidates);
            at += cut.bytes;
        }
        lines = later;
    }
    let mut negative = signs(above);
    if !rest.is_empty() {
        if at + cut.bytes > END {
            stream.refill(&mut bytes);
            at -= BATCH;
        }
        let (candidates, room) = cut.at(&bytes, at);
        negative |= signs(room) & ((1 << rest.len()) - 1);
        let mut line: Line = [0; LANES];
        store_bits(&mut line, candidates);
        rest.copy_from_slice(&line[..rest.len()]);
    }
    negative == 0
}

/// The sign of each lane.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn signs(x: __m256i) -> i32 {
    _mm256_movemask_pd(_mm256_castsi256_pd(x))
}

/// How bytes become candidates.
struct Cut {
    /// Of four candidates.
    bytes: usize,
    /// Words of 32 bits from which two candidates each are taken.
    words: __m256i,
    /// Their bytes among those.
    places: __m256i,
    mask: __m256i,
    /// q − 1.
    largest: __m256i,
}

impl Cut {
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn new(q: &Modulus) -> Self {
        let width = q.bits().div_ceil(8);
        // Eight places from `first` on, of which those beyond the width give zero.
        let places = |first: u32| {
            let all = 0x0706_0504_0302_0100 + u64::from(first) * 0x0101_0101_0101_0101;
            (all | u64::MAX << (8 * width)).cast_signed()
        };
        // The third candidate begins in the middle of a word if the width is odd.
        let (word, inside) = ((width / 2) as i32, width % 2 * 2);
        Self {
            bytes: LANES * width as usize,
            words: _mm256_setr_epi32(0, 1, 2, 3, word, word + 1, word + 2, word + 3),
            places: _mm256_setr_epi64x(places(0), places(width), places(inside), places(inside + width)),
            mask: _mm256_set1_epi64x((1 << q.bits()) - 1),
            largest: _mm256_set1_epi64x(q.value() as i64 - 1),
        }
    }

    /// Four candidates, and how far they are below the largest residue.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn at(&self, bytes: &Buffer, at: usize) -> (__m256i, __m256i) {
        let Some(group) = bytes[at..].first_chunk() else { unreachable!("a group ends within a batch") };
        let halves = _mm256_permutevar8x32_epi32(load_bytes(group), self.words);
        let candidates = _mm256_and_si256(_mm256_shuffle_epi8(halves, self.places), self.mask);
        (candidates, _mm256_sub_epi64(self.largest, candidates))
    }
}

/// One word of each block.
type Words = __m256i;

/// The states from which the next blocks are made.
struct Stream {
    start: [Words; 16],
    /// Number of the first.
    next: u64,
    /// Rotations of words by 16 and by 8 bits, as permutations of bytes.
    turns: [__m256i; 2],
}

impl Stream {
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn new(from: &Keystream) -> Self {
        let key = from.key.as_chunks().0;
        let start = std::array::from_fn(|word| match word {
            0..4 => _mm256_set1_epi32(i32::from_le_bytes(b"expand 32-byte k".as_chunks().0[word])),
            4..12 => _mm256_set1_epi32(i32::from_le_bytes(key[word - 4])),
            12..14 => _mm256_setzero_si256(),
            _ => _mm256_set1_epi32((from.stream >> (32 * (word - 14))) as i32),
        });
        let turn = |low, high| _mm256_setr_epi64x(low, high, low, high);
        let turns =
            [turn(0x0504_0706_0100_0302, 0x0d0c_0f0e_0908_0b0a), turn(0x0605_0407_0201_0003, 0x0e0d_0c0f_0a09_080b)];
        // If the compiler knew them, it would make several instructions of each.
        Self { start, next: from.start / BYTES as u64, turns: black_box(turns) }
    }

    /// Moves the last bytes of a batch to the front, and puts the next one in its place.
    #[target_feature(enable = "avx2,fma")]
    fn refill(&mut self, bytes: &mut Buffer) {
        bytes.copy_within(BATCH..END, 0);
        let first = _mm256_set1_epi64x(self.next.cast_signed());
        self.next = self.next.wrapping_add(BLOCKS as u64);
        // Of blocks 0, 1, 4, 5 and of blocks 2, 3, 6, 7: their halves come out in order.
        let numbers = [_mm256_setr_epi64x(0, 1, 4, 5), _mm256_setr_epi64x(2, 3, 6, 7)];
        let [a, b] = numbers.map(|number| _mm256_castsi256_ps(_mm256_add_epi64(first, number)));
        self.start[12] = _mm256_castps_si256(_mm256_shuffle_ps::<0x88>(a, b));
        self.start[13] = _mm256_castps_si256(_mm256_shuffle_ps::<0xdd>(a, b));
        let mut x = self.start;
        for _ in 0..10 {
            for column in 0..4 {
                self.quarter_round(&mut x, [0, 1, 2, 3].map(|row| 4 * row + column));
            }
            for column in 0..4 {
                self.quarter_round(&mut x, [0, 1, 2, 3].map(|row| 4 * row + (column + row) % 4));
            }
        }
        let x: [Words; 16] = std::array::from_fn(|word| _mm256_add_epi32(x[word], self.start[word]));
        // Four words of two blocks: of blocks r and 4 + r in the halves of vector r.
        let quads: [[__m256i; 4]; 4] = std::array::from_fn(|q| {
            let [a, b, c, d] = [x[4 * q], x[4 * q + 1], x[4 * q + 2], x[4 * q + 3]];
            let (low, high) = (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
            let (lower, higher) = (_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
            [
                _mm256_unpacklo_epi64(low, lower),
                _mm256_unpackhi_epi64(low, lower),
                _mm256_unpacklo_epi64(high, higher),
                _mm256_unpackhi_epi64(high, higher),
            ]
        });
        let vectors = bytes[VECTOR..].as_chunks_mut().0;
        for r in 0..4 {
            let [a, b, c, d] = quads.map(|quad| quad[r]);
            store_bytes(&mut vectors[2 * r], _mm256_permute2x128_si256::<0x20>(a, b));
            store_bytes(&mut vectors[2 * r + 1], _mm256_permute2x128_si256::<0x20>(c, d));
            store_bytes(&mut vectors[2 * r + 8], _mm256_permute2x128_si256::<0x31>(a, b));
            store_bytes(&mut vectors[2 * r + 9], _mm256_permute2x128_si256::<0x31>(c, d));
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn quarter_round(&self, x: &mut [Words; 16], [a, b, c, d]: [usize; 4]) {
        let [by_16, by_8] = self.turns;
        x[a] = _mm256_add_epi32(x[a], x[b]);
        x[d] = _mm256_shuffle_epi8(_mm256_xor_si256(x[d], x[a]), by_16);
        x[c] = _mm256_add_epi32(x[c], x[d]);
        x[b] = rotate::<12, 20>(_mm256_xor_si256(x[b], x[c]));
        x[a] = _mm256_add_epi32(x[a], x[b]);
        x[d] = _mm256_shuffle_epi8(_mm256_xor_si256(x[d], x[a]), by_8);
        x[c] = _mm256_add_epi32(x[c], x[d]);
        x[b] = rotate::<7, 25>(_mm256_xor_si256(x[b], x[c]));
    }
}

/// Each word of 32 bits rotated to the left by L = 32 − R.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn rotate<const L: i32, const R: i32>(x: Words) -> Words {
    _mm256_or_si256(_mm256_slli_epi32::<L>(x), _mm256_srli_epi32::<R>(x))
}
