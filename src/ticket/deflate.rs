//! The deflate code that every ticket is written in (RFC 1951): a constant, so that nothing is fitted while signing.
//!
//! zlib searches each text for matches and fits a Huffman code to it. That takes some thirty times as long as a
//! ticket's HMAC, and describing the fitted code takes a quarter of the ticket. Here the code is chosen once, for the
//! characters that tickets have, and above all for a short description: its lengths come in few and long runs.
//!
//! | symbols | bits |
//! |---|---|
//! | `"`; `+` to `:` with the digits; `_` to `}` with the small letters; end of block; match lengths 3 to 8 | 6 |
//! | `;` to `^` with the capitals and `=`, which occur in base64 alone | 8 |
//! | match distances 1 to 256 | 4 |
//!
//! Some of these characters never occur: to leave them out would take more bits than their code words do. The code's
//! description takes 149 bits, where zlib's take 250 to 350.
//!
//! It was found by simulated annealing over code lengths, matches and the order of the JSON's fields, for the
//! shortest mean ticket with its description (ids of 1 to 32 small letters, digits and `_`, each length as often).
//! The best that was found is four bits shorter and has no such simple shape.

/// What every ticket begins with: zlib's header (a window of 32 KiB, the default level, no dictionary), and that of the
/// one block with the description of the code, as the test below puts it together.
pub(super) const HEADER: [u8; 21] = [
    0x78, 0x9c, 0x35, 0x0f, 0x43, 0x82, 0x80, 0x00, 0xf0, 0x2f, 0x5d, 0xb3, 0xb1, 0xb6, 0x6d, 0x66, 0xdb, 0xfe, 0x7b,
    0x1e, 0x1b,
];

const SHORTEST_MATCH: usize = 3;
/// The longest match that the code has a symbol for.
pub(super) const LONGEST_MATCH: usize = 8;

/// Up to 64 bits, the first one lowest; above them nothing but zeros.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Bits {
    pub word: u64,
    pub count: u32,
}

impl Bits {
    /// A Huffman code's word: unlike all other bits its highest comes first.
    const fn huffman(word: usize, count: u32) -> Self {
        Self { word: (word as u64).reverse_bits() >> (64 - count), count }
    }

    /// These bits and then `next`.
    #[inline]
    pub(super) const fn then(self, next: Self) -> Self {
        Self { word: self.word | next.word << self.count, count: self.count + next.count }
    }
}

/// The code word of a literal, the end of block or a match length; no bits for what no ticket has.
const fn word(symbol: usize) -> Bits {
    match symbol {
        34 => Bits::huffman(0, 6),                   // "
        43..=58 => Bits::huffman(symbol - 42, 6),    // + , - . / 0…9 :
        95..=125 => Bits::huffman(symbol - 78, 6),   // _ a…z { } and their neighbours
        256..=262 => Bits::huffman(symbol - 208, 6), // end of block, match lengths
        59..=94 => Bits::huffman(symbol + 161, 8),   // = A…Z and their neighbours
        _ => Bits { word: 0, count: 0 },
    }
}

static LITERALS: [Bits; 256] = {
    let mut literals = [word(0); 256];
    let mut symbol = 0;
    while symbol < literals.len() {
        literals[symbol] = word(symbol);
        symbol += 1;
    }
    literals
};

/// The code word of a character that tickets have.
#[inline]
pub(super) fn literal(character: u8) -> Bits {
    let word = LITERALS[usize::from(character)];
    debug_assert!(word.count > 0, "a character without a code word");
    word
}

/// The code word that ends the block.
pub(super) const END_OF_BLOCK: Bits = word(256);

/// `length` characters that are the same as those `distance` before them (RFC 1951, 3.2.5).
///
/// The RFC's table of distance codes is a formula: of `distance - 1` the highest set bit and the one below it choose the
/// symbol, so that each power of two has two symbols, and the bits below those two follow as extra bits. Distances 1 to 4 are
/// the symbols 0 to 3 without extra bits.
pub(super) fn repetition(length: usize, distance: usize) -> Bits {
    let offset = distance - 1;
    let extra_bits = offset.max(1).ilog2().saturating_sub(1);
    let symbol = 2 * extra_bits as usize + (offset >> extra_bits);
    let extra = Bits { word: offset as u64 % (1 << extra_bits), count: extra_bits };
    word(257 + length - SHORTEST_MATCH).then(Bits::huffman(symbol, 4)).then(extra)
}

/// The code words of `text` after `past`: where it repeats what comes before, always the nearest of the longest matches. For
/// what tickets consist of, no other choice is shorter.
pub(super) fn compress(past: &[u8], text: &[u8]) -> Vec<Bits> {
    let all = [past, text].concat();
    let mut words = Vec::new();
    let mut place = past.len();
    while place < all.len() {
        let found = (1..=place.min(256)).rev().map(|distance| {
            let pairs = all[place..].iter().zip(&all[place - distance..]);
            (pairs.take(LONGEST_MATCH).take_while(|(now, before)| now == before).count(), distance)
        });
        let (word, length) = match found.max_by_key(|(length, _)| *length) {
            Some((length, distance)) if length >= SHORTEST_MATCH => (repetition(length, distance), length),
            _ => (literal(all[place]), 1),
        };
        words.push(word);
        place += length;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Code lengths of the literals, the end of block and the match lengths, then those of the distances: runs of
    /// (symbols, bits).
    const RUNS: [(usize, usize); 9] = [(34, 0), (1, 6), (8, 0), (16, 6), (36, 8), (31, 6), (130, 0), (7, 6), (16, 4)];
    const LITERALS: usize = 257 + 6;

    /// How many bits describe, of a run, one of the code lengths 0 to 15, [`REPEAT`], [`FEW_ZEROS`] or
    /// [`MANY_ZEROS`].
    const LENGTH_LENGTHS: [u32; 19] = [0, 0, 0, 0, 4, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 1, 4, 4];
    /// The length before, three to six times more.
    const REPEAT: usize = 16;
    /// 0, three to ten times.
    const FEW_ZEROS: usize = 17;
    /// 0, 11 to 138 times.
    const MANY_ZEROS: usize = 18;
    /// The order in which `LENGTH_LENGTHS` are sent, up to the last that is not 0.
    const LENGTH_ORDER: [usize; 12] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4];

    fn number(word: usize, count: u32) -> Bits {
        Bits { word: word as u64, count }
    }

    /// The Huffman code with these lengths (RFC 1951, 3.2.2).
    fn canonical(lengths: &[u32]) -> Vec<Bits> {
        let mut code = vec![Bits::default(); lengths.len()];
        let mut word = 0;
        for length in 1..16 {
            word <<= 1;
            for symbol in (0..lengths.len()).filter(|&symbol| lengths[symbol] == length) {
                code[symbol] = Bits::huffman(word, length);
                word += 1;
            }
        }
        assert_eq!(word, 1 << 15, "no word is left over: an incomplete code is refused by inflaters");
        code
    }

    #[test]
    fn the_code_is_that_of_its_lengths() {
        let lengths: Vec<_> =
            RUNS.iter().flat_map(|&(symbols, bits)| vec![u32::try_from(bits).expect("few"); symbols]).collect();
        let (literals, distances) = lengths.split_at(LITERALS);
        for (symbol, bits) in canonical(literals).into_iter().enumerate() {
            assert_eq!(word(symbol), bits, "{symbol}");
        }
        for (symbol, bits) in canonical(distances).into_iter().enumerate() {
            assert_eq!(Bits::huffman(symbol, 4), bits, "{symbol}");
        }
    }

    #[test]
    fn the_header_describes_the_code() {
        let code = canonical(&LENGTH_LENGTHS);
        // That the block is the last, that its code is its own, and that code (RFC 1951, 3.2.7).
        let mut header = vec![number(0b101, 3)];
        header.extend([number(LITERALS - 257, 5), number(16 - 1, 5), number(LENGTH_ORDER.len() - 4, 4)]);
        header.extend(LENGTH_ORDER.map(|symbol| number(LENGTH_LENGTHS[symbol] as usize, 3)));
        for (symbols, length) in RUNS {
            match (length, symbols) {
                (0, ..=10) => header.push(code[FEW_ZEROS].then(number(symbols - 3, 3))),
                (0, _) => header.push(code[MANY_ZEROS].then(number(symbols - 11, 7))),
                _ => {
                    header.push(code[length]);
                    let mut left = symbols - 1;
                    while left > 0 {
                        let repeated = left.min(6);
                        header.push(code[REPEAT].then(number(repeated - 3, 2)));
                        left -= repeated;
                    }
                }
            }
        }
        let count: u32 = header.iter().map(|bits| bits.count).sum();
        assert_eq!(count, 3 + 149);
        let bits = header.iter().flat_map(|bits| (0..bits.count).map(|bit| bits.word >> bit & 1 == 1));
        let bytes: Vec<_> = HEADER[2..].iter().flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1)).collect();
        assert_eq!(bits.collect::<Vec<_>>(), bytes);
    }

    #[test]
    fn covers_what_tickets_consist_of() {
        let characters = (b'A'..=b'Z').chain(b'a'..=b'z').chain(b'0'..=b'9').chain(*b"+/=_-{}\":,.");
        for character in characters {
            let bits = if character.is_ascii_uppercase() || character == b'=' { 8 } else { 6 };
            assert_eq!(literal(character).count, bits, "{:?}", char::from(character));
        }
    }

    #[test]
    fn the_length_code_is_the_best_for_what_it_writes() {
        let mut times = [0; 19];
        for (symbols, length) in RUNS {
            match (length, symbols) {
                (0, ..=10) => times[FEW_ZEROS] += 1,
                (0, _) => times[MANY_ZEROS] += 1,
                _ => {
                    times[length] += 1;
                    times[REPEAT] += (symbols - 1).div_ceil(6);
                }
            }
        }
        // Huffman's construction: the two rarest become one, and each symbol in them one bit longer.
        let mut groups: Vec<_> = times.into_iter().filter(|&count| count > 0).collect();
        let mut best = 0;
        while groups.len() > 1 {
            groups.sort_unstable_by_key(|count| std::cmp::Reverse(*count));
            let (one, other) = (groups.pop().expect("two"), groups.pop().expect("two"));
            best += one + other;
            groups.push(one + other);
        }
        let bits: usize = times.iter().zip(LENGTH_LENGTHS).map(|(count, bits)| count * bits as usize).sum();
        assert_eq!(bits, best);
    }
}
