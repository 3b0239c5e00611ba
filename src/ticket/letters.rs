//! The outer text of a ticket: base64 with `*`, `-` and `_` for `+`, `/` and `=`.

/// Appends the base64 of the first `length` bytes of `words`, lowest byte first. Behind them are zeros.
pub(super) fn push_base64(text: &mut Vec<u8>, words: &[u64], length: usize) {
    let end = text.len() + length.div_ceil(3) * 4;
    let (threes, _) = words.as_chunks::<3>();
    for three in &threes[..length.div_ceil(24)] {
        let [a, b, c] = three.map(u64::swap_bytes);
        let sixths = [a >> 16, a << 32 | b >> 32, b << 16 | c >> 48, c].map(sixths);
        text.extend_from_slice(&letters(sixths));
    }
    text.truncate(end);
    let padding = length.next_multiple_of(3) - length;
    text[end - padding..].fill(b'_');
}

/// The eight sixths of the lower 48 bits, a byte each, the uppermost in the lowest byte.
#[inline]
const fn sixths(bits: u64) -> u64 {
    // Halves, quarters and eighths change places and move apart.
    let bits = bits >> 24 & 0xff_ffff | (bits & 0xff_ffff) << 32;
    let bits = bits >> 12 & 0x0fff_0000_0fff | (bits & 0x0fff_0000_0fff) << 16;
    bits >> 6 & 0x3f_003f_003f_003f | (bits & 0x3f_003f_003f_003f) << 8
}

/// The letters of 32 sixths: no table, but what the compiler can do for sixteen at once.
#[inline]
fn letters(sixths: [u64; 4]) -> [u8; 32] {
    let mut letters = [0; 32];
    for (eight, sixths) in letters.as_chunks_mut().0.iter_mut().zip(sixths) {
        *eight = sixths.to_le_bytes();
    }
    letters.map(|sixth| {
        let mut offset = OFFSETS[0].1;
        for two in OFFSETS.windows(2) {
            let step = two[1].1.wrapping_sub(two[0].1);
            let reached = u8::from(sixth >= two[1].0).wrapping_neg();
            offset = offset.wrapping_add(step & reached);
        }
        sixth.wrapping_add(offset)
    })
}

/// From which sixth on how much is added to make a letter of it.
const OFFSETS: [(u8, u8); 5] =
    [(0, b'A'), (26, b'a' - 26), (52, b'0'.wrapping_sub(52)), (62, b'*'.wrapping_sub(62)), (63, b'-'.wrapping_sub(63))];

#[cfg(test)]
mod tests {
    use base64::Engine;

    use super::super::BASE64;
    use super::*;

    #[test]
    fn writes_every_letter_in_its_place() {
        // 0, 1, 2 … 63 in six bits each, which is A, B, C …
        let bytes: Vec<u8> = (0..64_u8)
            .collect::<Vec<_>>()
            .as_chunks::<4>()
            .0
            .iter()
            .flat_map(|&[a, b, c, d]| [a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d])
            .collect();
        for length in 0..=bytes.len() {
            let mut padded = bytes[..length].to_vec();
            padded.resize(48, 0);
            let words: Vec<_> = padded.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
            let mut text = b"before".to_vec();
            push_base64(&mut text, &words, length);
            let standard = BASE64.encode(&bytes[..length]);
            let expected = standard.replace('+', "*").replace('/', "-").replace('=', "_");
            assert_eq!(text, format!("before{expected}").into_bytes(), "{length}");
        }
    }
}
