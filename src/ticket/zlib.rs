//! Writes a zlib stream (RFC 1950) of one block in the constant code of [`deflate`].
#![expect(clippy::inline_always, reason = "so that a stream's end stays in registers: four per cent of a ticket")]

use super::deflate::{self, Bits, HEADER};

/// Bytes for what the longest ticket appends to its head: 32 + 44 + 164 characters of ids and base64 with eight bits
/// each, 29 digits with six, and 300 bits between and behind them. Eight more are written before they are needed.
const CAPACITY: usize = 320;

/// A zlib stream in the making.
#[derive(Clone)]
pub(super) struct Stream {
    bytes: [u8; CAPACITY],
    /// How many whole bytes there are; the byte behind them is being filled.
    length: usize,
    pending: Bits,
    sum: Sum,
}

impl Stream {
    /// A stream with its header and its block's.
    pub(super) fn new() -> Self {
        let mut bytes = [0; CAPACITY];
        bytes[..HEADER.len()].copy_from_slice(&HEADER);
        Self { bytes, length: HEADER.len(), pending: Bits::default(), sum: Sum::default() }
    }

    /// Takes out all whole groups of three bytes, which base64 makes characters of by themselves.
    pub(super) fn take_threes(&mut self) -> Vec<u8> {
        let count = self.length / 3 * 3;
        let threes = self.bytes[..count].to_vec();
        self.bytes.copy_within(count.., 0);
        self.length -= count;
        threes
    }

    /// Appends text as it comes, a code word for each character.
    #[inline(always)]
    pub(super) fn text(&mut self, text: &[u8]) {
        let (sevens, rest) = text.as_chunks::<7>();
        for seven in sevens {
            self.characters(seven);
        }
        self.characters(rest);
    }

    /// Appends text in which characters come in runs, as the zeros of a userbuf do.
    pub(super) fn runs(&mut self, mut text: &[u8]) {
        while let Some(first) = text.windows(4).position(|four| four == [four[0]; 4]) {
            let (before, run) = text.split_at(first + 1);
            let length = run.iter().take(deflate::LONGEST_MATCH).take_while(|&&next| next == text[first]).count();
            let (run, rest) = run.split_at(length);
            self.text(before);
            self.push(deflate::repetition(length, 1));
            self.sum = self.sum.then(Sum::of(run));
            text = rest;
        }
        self.text(text);
    }

    /// Appends constant text that was compressed before.
    #[inline(always)]
    pub(super) fn segment(&mut self, segment: &Segment) {
        self.sum = self.sum.then(segment.sum);
        for &bits in &segment.bits {
            self.push(bits);
        }
    }

    /// Ends block and stream.
    #[inline(always)]
    pub(super) fn finish(&mut self) -> &[u8] {
        self.push(deflate::END_OF_BLOCK);
        let padding = self.pending.count.wrapping_neg() % 8;
        let adler = u64::from(self.sum.adler().swap_bytes());
        self.push(Bits { word: adler << padding, count: padding + 32 });
        &self.bytes[..self.length]
    }

    /// Appends up to seven characters.
    #[inline(always)]
    fn characters(&mut self, characters: &[u8]) {
        self.sum = self.sum.then(Sum::of(characters));
        self.push(characters.iter().fold(Bits::default(), |bits, &next| bits.then(deflate::literal(next))));
    }

    /// Appends up to 56 bits, without a branch: whether they fill a byte cannot be foreseen.
    #[inline(always)]
    fn push(&mut self, bits: Bits) {
        let Bits { word, count } = self.pending.then(bits);
        self.bytes[self.length..][..8].copy_from_slice(&word.to_le_bytes());
        self.length += (count / 8) as usize;
        self.pending = Bits { word: word >> (count / 8 * 8), count: count % 8 };
    }
}

/// Constant text, compressed to bits, up to 56 in one.
pub(super) struct Segment {
    bits: Vec<Bits>,
    sum: Sum,
}

impl Segment {
    /// Compresses `text`, which may repeat what is in `past`.
    pub(super) fn new(past: &[u8], text: &[u8]) -> Self {
        let mut bits = vec![Bits::default()];
        for next in deflate::compress(past, text) {
            match bits.last_mut() {
                Some(last) if last.count + next.count <= 56 => *last = last.then(next),
                _ => bits.push(next),
            }
        }
        Self { bits, sum: Sum::of(text) }
    }
}

/// What text adds to Adler-32, zlib's checksum (RFC 1950, 8.2), whatever comes before it. The remainders are taken at
/// the end: a ticket's JSON is too short to overflow it.
#[derive(Clone, Copy, Default)]
struct Sum {
    length: u32,
    /// The sum of its bytes.
    plain: u32,
    /// The sum of the `plain` of all its beginnings, itself included.
    weighted: u32,
}

impl Sum {
    #[inline]
    fn of(text: &[u8]) -> Self {
        text.iter().fold(Self::default(), |sum, &byte| {
            let byte = u32::from(byte);
            sum.then(Self { length: 1, plain: byte, weighted: byte })
        })
    }

    /// That of this text and `next` behind it.
    #[inline]
    const fn then(self, next: Self) -> Self {
        Self {
            length: self.length + next.length,
            plain: self.plain + next.plain,
            weighted: self.weighted + next.length * self.plain + next.weighted,
        }
    }

    fn adler(self) -> u32 {
        let [low, high] = [1 + self.plain, self.length + self.weighted].map(|sum| sum % 65521);
        high << 16 | low
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::ZlibDecoder;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Piece {
        /// The text before it, and its own.
        Segment(String, String),
        Text(String),
        Runs(String),
    }

    impl Piece {
        fn any() -> impl Strategy<Value = Self> {
            prop_oneof![
                ("[\"+-}]{0,20}", "[\"+-}]{0,12}").prop_map(|(past, text)| Self::Segment(past, text)),
                // Of few characters, so that there are matches.
                ("[a-cX]{0,30}", "[a-cX]{0,16}").prop_map(|(past, text)| Self::Segment(past, text)),
                "[\"+-}]{0,40}".prop_map(Self::Text),
                "([\"+-}]|A{3,30}|z{4,9}){0,6}".prop_map(Self::Runs),
                "[A-Za-z0-9+/=]{44}".prop_map(Self::Text),
            ]
        }

        fn append(&self, stream: &mut Stream, text: &mut String) {
            match self {
                Self::Segment(past, new) => {
                    stream.text(past.as_bytes());
                    text.push_str(past);
                    stream.segment(&Segment::new(past.as_bytes(), new.as_bytes()));
                }
                Self::Text(new) => stream.text(new.as_bytes()),
                Self::Runs(new) => stream.runs(new.as_bytes()),
            }
            let (Self::Segment(_, new) | Self::Text(new) | Self::Runs(new)) = self;
            text.push_str(new);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

        #[test]
        fn inflates_to_what_was_written(before in vec(Piece::any(), 0..4), after in vec(Piece::any(), 0..4)) {
            let mut text = String::new();
            let mut stream = Stream::new();
            for piece in &before {
                piece.append(&mut stream, &mut text);
            }
            let mut zlib = stream.take_threes();
            prop_assert_eq!(zlib.len() % 3, 0);
            for piece in &after {
                piece.append(&mut stream, &mut text);
            }
            zlib.extend(stream.finish());

            let mut inflated = String::new();
            let mut decoder = ZlibDecoder::new(&*zlib);
            decoder.read_to_string(&mut inflated).expect("a zlib stream, and its checksum");
            prop_assert_eq!(inflated, text);
            prop_assert_eq!(decoder.total_in(), zlib.len() as u64);
        }
    }

    #[test]
    fn every_match_inflates() {
        let past: Vec<_> = (0..=255_u8).map(|place| b'+' + (place ^ place >> 4) % 83).collect();
        for (length, distance) in (3..=8).flat_map(|length| (1..=256).map(move |distance| (length, distance))) {
            let mut stream = Stream::new();
            stream.text(&past);
            stream.push(deflate::repetition(length, distance));
            let zlib = stream.finish();
            let mut text = past.clone();
            for _ in 0..length {
                text.push(text[text.len() - distance]);
            }
            // The checksum is not that of the text: what matters is what comes before it.
            let mut inflated = Vec::new();
            let mut decoder = flate2::read::DeflateDecoder::new(&zlib[2..]);
            decoder.read_to_end(&mut inflated).expect("a deflate stream");
            assert_eq!(inflated, text, "{length} {distance}");
        }
    }
}
