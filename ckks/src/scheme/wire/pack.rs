//! Residues at the width of their prime: residue i of a limb is bits i·w to (i + 1)·w − 1 of a string of bits, least
//! significant bit first, padded by zeros to a whole byte.

/// Bytes of `n` residues of `width` bits.
pub(super) fn packed_len(n: usize, width: u32) -> usize {
    (n * width as usize).div_ceil(8)
}

/// Appends `words`, each below 2^`width`, to `bytes`; widths up to 56 bits.
pub(super) fn pack(words: &[u64], width: u32, bytes: &mut Vec<u8>) {
    let end = bytes.len() + packed_len(words.len(), width);
    let mut at = bytes.len();
    // Whole words are stored; those bytes of the last one that are too many are cut off.
    bytes.resize(end + 8, 0);
    let (mut pending, mut filled) = (0u64, 0u32);
    for &word in words {
        pending |= word << filled;
        filled += width;
        bytes[at..at + 8].copy_from_slice(&pending.to_le_bytes());
        at += filled as usize / 8;
        pending >>= filled & !7;
        filled &= 7;
    }
    if filled > 0 {
        bytes[at] = pending as u8;
    }
    bytes.truncate(end);
}

/// Fills `words` from `bytes`, which are those of [`pack`] and eight more.
pub(super) fn unpack(bytes: &[u8], width: u32, words: &mut [u64]) {
    let mask = (1u64 << width) - 1;
    for (i, word) in words.iter_mut().enumerate() {
        let bit = i * width as usize;
        let mut window = [0; 8];
        window.copy_from_slice(&bytes[bit / 8..][..8]);
        *word = (u64::from_le_bytes(window) >> (bit % 8)) & mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_returns_what_was_packed() {
        for width in 1..=56 {
            for n in [1, 4, 7, 8, 33] {
                let mask = (1u64 << width) - 1;
                let words: Vec<u64> = (1..=n).map(|i: u64| i.wrapping_mul(0x9E37_79B9_7F4A_7C15) & mask).collect();
                let mut bytes = vec![0xAA];
                pack(&words, width, &mut bytes);
                assert_eq!(bytes.len(), 1 + packed_len(words.len(), width));
                bytes.resize(bytes.len() + 8, 0xFF);
                let mut unpacked = vec![0; words.len()];
                unpack(&bytes[1..], width, &mut unpacked);
                assert_eq!(unpacked, words, "{width} bits, {n} words");
            }
        }
    }

    #[test]
    fn bits_lie_in_the_order_that_the_document_says() {
        let mut bytes = Vec::new();
        pack(&[0b101, 0b011, 0b110], 3, &mut bytes);
        // 110 011 101, from the last residue to the first.
        assert_eq!(bytes, [0b1001_1101, 0b1]);
    }
}
