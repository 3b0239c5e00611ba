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

/// Code lengths of the literals, the end of block and the match lengths: runs of (symbols, bits).
const LITERAL_RUNS: [(usize, u32); 8] = [
    (34, 0),
    (1, 6), // "
    (8, 0),
    (16, 6),  // + , - . / 0…9 :
    (36, 8),  // = A…Z and their neighbours
    (31, 6),  // _ a…z { } and their neighbours
    (130, 0), // up to the last byte
    (7, 6),   // end of block, match lengths
];
const LITERALS: usize = END_OF_BLOCK + 7;
const END_OF_BLOCK: usize = 256;

const DISTANCE_RUNS: [(usize, u32); 1] = [(DISTANCES, 4)];
const DISTANCES: usize = 16;

/// How many bits it takes to tell, about a run, one of the code lengths 0 to 15, [`REPEAT`], [`FEW_ZEROS`] or
/// [`MANY_ZEROS`]: the Huffman code for what [`block_header`] writes.
const LENGTH_LENGTHS: [u32; 19] = [0, 0, 0, 0, 4, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 1, 4, 4];
/// The length before, three to six times more.
const REPEAT: usize = 16;
/// 0, three to ten times.
const FEW_ZEROS: usize = 17;
/// 0, 11 to 138 times.
const MANY_ZEROS: usize = 18;
/// The order in which `LENGTH_LENGTHS` are sent, up to the last that is not 0.
const LENGTH_ORDER: [usize; 12] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4];

const SHORTEST_MATCH: usize = 3;
/// The longest match that the code has a symbol for.
pub(super) const LONGEST_MATCH: usize = 8;
/// The farthest match that the code has a symbol for.
const FARTHEST_MATCH: usize = 256;

/// Up to 64 bits, the first one lowest; above them nothing but zeros.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Bits {
    pub word: u64,
    pub count: u32,
}

impl Bits {
    const fn number(word: usize, count: u32) -> Self {
        Self { word: word as u64, count }
    }

    /// These bits and then `next`.
    pub(super) const fn then(self, next: Self) -> Self {
        Self { word: self.word | next.word << self.count, count: self.count + next.count }
    }
}

static LITERAL_CODE: [Bits; LITERALS] = canonical(&lengths(&LITERAL_RUNS));
static DISTANCE_CODE: [Bits; DISTANCES] = canonical(&lengths(&DISTANCE_RUNS));
static LENGTH_CODE: [Bits; 19] = canonical(&LENGTH_LENGTHS);

const fn lengths<const SYMBOLS: usize>(runs: &[(usize, u32)]) -> [u32; SYMBOLS] {
    let mut lengths = [0; SYMBOLS];
    let (mut run, mut symbol) = (0, 0);
    while run < runs.len() {
        let end = symbol + runs[run].0;
        while symbol < end {
            lengths[symbol] = runs[run].1;
            symbol += 1;
        }
        run += 1;
    }
    assert!(symbol == SYMBOLS, "the runs are as long as the code");
    lengths
}

/// The Huffman code with these lengths (RFC 1951, 3.2.2). Its words are turned round: their first bit is sent first.
const fn canonical<const SYMBOLS: usize>(lengths: &[u32; SYMBOLS]) -> [Bits; SYMBOLS] {
    let mut code = [Bits::number(0, 0); SYMBOLS];
    let (mut length, mut word) = (1, 0_u16);
    while length < 16 {
        word <<= 1;
        let mut symbol = 0;
        while symbol < SYMBOLS {
            if lengths[symbol] == length {
                code[symbol] = Bits { word: (word.reverse_bits() >> (16 - length)) as u64, count: length };
                word += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    assert!(word == 1 << 15, "no word is left over: an incomplete code is refused by inflaters");
    code
}

/// The code word of a character; no bits for one that no ticket has.
pub(super) const fn literal(character: u8) -> Bits {
    LITERAL_CODE[character as usize]
}

/// The code word that ends the block.
pub(super) const fn end_of_block() -> Bits {
    LITERAL_CODE[END_OF_BLOCK]
}

/// `length` characters that are the same as those `distance` before them (RFC 1951, 3.2.5).
pub(super) const fn repetition(length: usize, distance: usize) -> Bits {
    let length = LITERAL_CODE[END_OF_BLOCK + 1 + length - SHORTEST_MATCH];
    let back = distance - 1;
    if back < 4 {
        return length.then(DISTANCE_CODE[back]);
    }
    // Two symbols for each power of two, told apart by the bit below the highest; the other bits follow as they are.
    let others = back.ilog2() - 1;
    let symbol = 2 * others as usize + (back >> others);
    length.then(DISTANCE_CODE[symbol]).then(Bits::number(back % (1 << others), others))
}

/// What begins the block: that it is the last, that its code is its own, and that code (RFC 1951, 3.2.7).
pub(super) fn block_header() -> Vec<Bits> {
    let mut header = vec![
        Bits::number(0b101, 3),
        Bits::number(LITERALS - 257, 5),
        Bits::number(DISTANCES - 1, 5),
        Bits::number(LENGTH_ORDER.len() - 4, 4),
    ];
    header.extend(LENGTH_ORDER.map(|symbol| Bits { word: LENGTH_LENGTHS[symbol].into(), count: 3 }));
    for (symbols, length) in LITERAL_RUNS.into_iter().chain(DISTANCE_RUNS) {
        match (length, symbols) {
            (0, ..=10) => header.push(LENGTH_CODE[FEW_ZEROS].then(Bits::number(symbols - 3, 3))),
            (0, _) => header.push(LENGTH_CODE[MANY_ZEROS].then(Bits::number(symbols - 11, 7))),
            _ => {
                header.push(LENGTH_CODE[length as usize]);
                let mut left = symbols - 1;
                while left > 0 {
                    let repeated = left.min(6);
                    header.push(LENGTH_CODE[REPEAT].then(Bits::number(repeated - 3, 2)));
                    left -= repeated;
                }
            }
        }
    }
    header
}

/// The fewest bits for `text` after `past`: literals, and matches with what stands before.
pub(super) fn shortest(past: &[u8], text: &[u8]) -> Vec<Bits> {
    let all = [past, text].concat();
    // For each place in `text`, from its end: the bits from there on, the first step of these, and where that leads.
    let mut ways = vec![(u32::MAX, Bits::default(), 0); text.len()];
    ways.push((0, Bits::default(), text.len()));
    for start in (0..text.len()).rev() {
        let place = past.len() + start;
        let mut consider = |length: usize, step: Bits| {
            let bits = step.count + ways[start + length].0;
            if bits < ways[start].0 {
                ways[start] = (bits, step, start + length);
            }
        };
        consider(1, literal(all[place]));
        for distance in (1..=place.min(FARTHEST_MATCH)).filter(|distance| all[place - distance] == all[place]) {
            let pairs = all[place..].iter().zip(&all[place - distance..]);
            let same = pairs.take(LONGEST_MATCH).take_while(|(now, before)| now == before).count();
            for length in SHORTEST_MATCH..=same {
                consider(length, repetition(length, distance));
            }
        }
    }
    let mut steps = Vec::new();
    let mut place = 0;
    while place < text.len() {
        let (_, step, next) = ways[place];
        steps.push(step);
        place = next;
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_description_takes_149_bits() {
        let [last_and_kind, ..] = block_header()[..] else { panic!("a header") };
        let all: u32 = block_header().iter().map(|bits| bits.count).sum();
        assert_eq!(all - last_and_kind.count, 149);
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
        for (symbols, length) in LITERAL_RUNS.into_iter().chain(DISTANCE_RUNS) {
            match (length, symbols) {
                (0, ..=10) => times[FEW_ZEROS] += 1,
                (0, _) => times[MANY_ZEROS] += 1,
                _ => {
                    times[length as usize] += 1;
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
