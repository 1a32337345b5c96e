//! ChaCha20 of public seeds, sixteen blocks at a time, and the words that its bytes are cut into.
//!
//! ```text
//! for each 128 candidates
//!     bytes := 16 blocks of the stream: lane b of vector w is word w of block b; 20 rounds; transposed
//!     out   := groups of ⌈bits / 8⌉ bytes, each taken to a lane of its own by one permutation of bytes
//! ```
//!
//! Why so: as many bytes are drawn as ciphertexts come in with, and here a rotation of sixteen words is one instruction. Nothing secret
//! is drawn with it.

use std::arch::x86_64::*;

use super::super::super::modulus::Modulus;
use super::super::Keystream;
use super::{LANES, Line, Vector, load, splat, store};

/// Bytes of a block, and blocks of a batch.
const BYTES: usize = 64;
const BLOCKS: usize = 16;
/// Candidates cut from a batch, of up to 7 bytes, wherever in its first block they begin.
const CANDIDATES: usize = 128;

#[inline(always)]
fn load_bytes(bytes: &[u8; BYTES]) -> Vector {
    // SAFETY: the reference covers the 64 bytes of a vector, whose bits may be any, and the read does not need alignment.
    unsafe { bytes.as_ptr().cast::<Vector>().read_unaligned() }
}

#[inline(always)]
fn store_bytes(bytes: &mut [u8; BYTES], x: Vector) {
    // SAFETY: the reference covers the 64 bytes of a vector, and the write does not need alignment.
    unsafe { bytes.as_mut_ptr().cast::<Vector>().write_unaligned(x) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512ifma,avx512vbmi")]
pub(in super::super) fn candidates_into(q: &Modulus, from: &Keystream, out: &mut [u64]) -> bool {
    let width = q.bits().div_ceil(8) as usize;
    // Byte b of lane l comes from place l width + b; those beyond the width are zero.
    let places: [u8; BYTES] = std::array::from_fn(|at| (at / LANES * width + at % LANES) as u8);
    let (places, used) = (load_bytes(&places), u64::from_le_bytes([(1 << width) - 1; LANES]));
    let (mask, q) = (splat((1 << q.bits()) - 1), splat(q.value()));
    let (first, skipped) = (from.start / BYTES as u64, (from.start % BYTES as u64) as usize);
    // A vector may be read from any of the bytes.
    let mut bytes = [0; (BLOCKS + 1) * BYTES];
    let mut residues = u8::MAX;
    for (i, out) in out.chunks_mut(CANDIDATES).enumerate() {
        if let Some(blocks) = bytes.as_chunks_mut().0.first_chunk_mut() {
            fill(blocks, from, first + (i * CANDIDATES * width / BYTES) as u64);
        }
        let cut = |group: usize| {
            let bytes = bytes[skipped + group * LANES * width..].first_chunk();
            let word = bytes.map_or(mask, |bytes| _mm512_maskz_permutexvar_epi8(used, places, load_bytes(bytes)));
            _mm512_and_si512(word, mask)
        };
        let (lines, rest) = out.as_chunks_mut();
        for (group, line) in lines.iter_mut().enumerate() {
            let candidates = cut(group);
            residues &= _mm512_cmplt_epu64_mask(candidates, q);
            store(line, candidates);
        }
        if !rest.is_empty() {
            let candidates = cut(lines.len());
            residues &= _mm512_cmplt_epu64_mask(candidates, q) | u8::MAX << rest.len();
            let mut line: Line = [0; LANES];
            store(&mut line, candidates);
            rest.copy_from_slice(&line[..rest.len()]);
        }
    }
    residues == u8::MAX
}

/// The blocks of the stream from number `first` on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512ifma,avx512vbmi")]
fn fill(blocks: &mut [[u8; BYTES]; BLOCKS], from: &Keystream, first: u64) {
    let numbers: [u64; BLOCKS] = std::array::from_fn(|b| first.wrapping_add(b as u64));
    let halves = |half: u32| {
        let words: [u32; BLOCKS] = numbers.map(|number| (number >> (32 * half)) as u32);
        load(&std::array::from_fn(|l| u64::from(words[2 * l]) | u64::from(words[2 * l + 1]) << 32))
    };
    let key = from.key.as_chunks().0;
    let start: [Vector; 16] = std::array::from_fn(|word| match word {
        0..4 => _mm512_set1_epi32(i32::from_le_bytes(b"expand 32-byte k".as_chunks().0[word])),
        4..12 => _mm512_set1_epi32(i32::from_le_bytes(key[word - 4])),
        12..14 => halves(word as u32 - 12),
        _ => _mm512_set1_epi32((from.stream >> (32 * (word - 14))) as i32),
    });
    let mut x = start;
    for _ in 0..10 {
        for column in 0..4 {
            quarter_round(&mut x, [0, 1, 2, 3].map(|row| 4 * row + column));
        }
        for column in 0..4 {
            quarter_round(&mut x, [0, 1, 2, 3].map(|row| 4 * row + (column + row) % 4));
        }
    }
    let x: [Vector; 16] = std::array::from_fn(|word| _mm512_add_epi32(x[word], start[word]));
    // Four words of four blocks: of block 4 l + r in quarter l of vector r.
    let quads: [[Vector; 4]; 4] = std::array::from_fn(|q| {
        let [a, b, c, d] = [x[4 * q], x[4 * q + 1], x[4 * q + 2], x[4 * q + 3]];
        let (low, high) = (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
        let (lower, higher) = (_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
        [
            _mm512_unpacklo_epi64(low, lower),
            _mm512_unpackhi_epi64(low, lower),
            _mm512_unpacklo_epi64(high, higher),
            _mm512_unpackhi_epi64(high, higher),
        ]
    });
    for r in 0..4 {
        let [a, b, c, d] = quads.map(|quad| quad[r]);
        let (lower, upper) = (_mm512_shuffle_i32x4::<0x44>(a, b), _mm512_shuffle_i32x4::<0x44>(c, d));
        store_bytes(&mut blocks[r], _mm512_shuffle_i32x4::<0x88>(lower, upper));
        store_bytes(&mut blocks[4 + r], _mm512_shuffle_i32x4::<0xdd>(lower, upper));
        let (lower, upper) = (_mm512_shuffle_i32x4::<0xee>(a, b), _mm512_shuffle_i32x4::<0xee>(c, d));
        store_bytes(&mut blocks[8 + r], _mm512_shuffle_i32x4::<0x88>(lower, upper));
        store_bytes(&mut blocks[12 + r], _mm512_shuffle_i32x4::<0xdd>(lower, upper));
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512ifma,avx512vbmi")]
fn quarter_round(x: &mut [Vector; 16], [a, b, c, d]: [usize; 4]) {
    x[a] = _mm512_add_epi32(x[a], x[b]);
    x[d] = _mm512_rol_epi32::<16>(_mm512_xor_si512(x[d], x[a]));
    x[c] = _mm512_add_epi32(x[c], x[d]);
    x[b] = _mm512_rol_epi32::<12>(_mm512_xor_si512(x[b], x[c]));
    x[a] = _mm512_add_epi32(x[a], x[b]);
    x[d] = _mm512_rol_epi32::<8>(_mm512_xor_si512(x[d], x[a]));
    x[c] = _mm512_add_epi32(x[c], x[d]);
    x[b] = _mm512_rol_epi32::<7>(_mm512_xor_si512(x[b], x[c]));
}
