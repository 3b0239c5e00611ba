//! Writes a zlib stream (RFC 1950) of one block in the constant code of [`deflate`].
#![expect(clippy::inline_always, reason = "so that a stream's end stays in registers: four per cent of a ticket")]

use super::MAC_LEN;
use super::adler::{Adler, Sum};
use super::deflate::{self, Bits};

/// Words for what the longest ticket appends to its head, a multiple of three: 32 + 43 + 164 characters of ids and
/// base64 with eight bits each, 29 digits with six, and 308 bits between and behind them.
pub(super) const WORDS: usize = 39;

/// A zlib stream in the making.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    /// The full words, and behind them a copy of the one that is being filled.
    words: &'a mut [u64; WORDS],
    full: usize,
    end: End,
}

/// The end of a stream, where it can be taken up again.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    pending: Bits,
    adler: Adler,
}

impl<'a> Writer<'a> {
    /// A stream with its header and its block's.
    pub(super) fn new(words: &'a mut [u64; WORDS]) -> Self {
        let mut stream = Self::resume(words, &End { pending: Bits::default(), adler: Adler::of_nothing() });
        // Deflate with a window of 32 KiB, and the usual level; no dictionary.
        stream.push(Bits { word: u16::from_le_bytes([0x78, 0x9c]).into(), count: 16 });
        for bits in deflate::block_header() {
            stream.push(bits);
        }
        stream
    }

    /// A stream that goes on where another was cut.
    #[inline(always)]
    pub(super) fn resume(words: &'a mut [u64; WORDS], end: &End) -> Self {
        Self { words, full: 0, end: *end }
    }

    /// Cuts the stream behind its last whole group of three bytes: how many bytes there are, and what goes on.
    pub(super) fn cut(mut self) -> (usize, End) {
        self.push(Bits::default());
        let bits = self.full * 64 + self.end.pending.count as usize;
        let (length, count) = (bits / 24 * 3, u32::try_from(bits % 24).expect("less than 24"));
        let mut rest = self.words.iter().flat_map(|word| word.to_le_bytes()).skip(length).take(3);
        let word = u64::from_le_bytes(std::array::from_fn(|_| rest.next().unwrap_or_default()));
        (length, End { pending: Bits { word, count }, ..self.end })
    }

    /// Appends constant text of any length.
    pub(super) fn constant(&mut self, text: &[u8]) {
        for bits in deflate::shortest(b"", text) {
            self.push(bits);
        }
        self.end.adler.add(Sum::of(text));
    }

    /// Appends constant text that is laid down.
    #[inline(always)]
    pub(super) fn segment(&mut self, segment: &Segment) {
        self.push(segment.bits[0]);
        if segment.bits[1].count > 0 {
            self.push(segment.bits[1]);
        }
        self.end.adler.add(segment.sum);
    }

    /// Appends text as it comes, a code word for each character.
    #[inline(always)]
    pub(super) fn text(&mut self, text: &[u8]) {
        let (eights, rest) = text.as_chunks::<8>();
        for &eight in eights {
            self.characters(&ASCII, eight);
        }
        self.characters(&ASCII, rest.iter().copied());
    }

    /// Appends text in which characters come in runs, as the zeros of a userbuf do.
    pub(super) fn runs(&mut self, mut text: &[u8]) {
        while let Some(first) = text.windows(4).position(|four| four == [four[0]; 4]) {
            let (before, run) = text.split_at(first + 1);
            let length = run.iter().take(deflate::LONGEST_MATCH).take_while(|&&next| next == text[first]).count();
            let (run, rest) = run.split_at(length);
            self.text(before);
            self.push(deflate::repetition(length, 1));
            self.end.adler.add(Sum::of(run));
            text = rest;
        }
        self.text(text);
    }

    /// Appends a MAC in standard base64, without the `=` at its end.
    #[inline(always)]
    pub(super) fn base64(&mut self, mac: &[u8; MAC_LEN]) {
        let (sixes, rest) = mac.as_chunks::<6>();
        for &[a, b, c, d, e, f] in sixes {
            self.characters(
                &BASE64,
                [a >> 2, a << 4 | b >> 4, b << 2 | c >> 6, c, d >> 2, d << 4 | e >> 4, e << 2 | f >> 6, f],
            );
        }
        self.characters(&BASE64, [rest[0] >> 2, rest[0] << 4 | rest[1] >> 4, rest[1] << 2]);
    }

    /// Ends block and stream, and tells its length in bytes.
    #[inline(always)]
    pub(super) fn finish(mut self) -> usize {
        self.push(deflate::end_of_block());
        let padding = self.end.pending.count.wrapping_neg() % 8;
        let adler = u64::from(self.end.adler.value().swap_bytes());
        self.push(Bits { word: adler << padding, count: padding + 32 });
        self.push(Bits::default());
        self.full * 8 + self.end.pending.count as usize / 8
    }

    /// Appends up to eight characters of `alphabet`, by their places in it.
    #[inline(always)]
    fn characters<const N: usize>(&mut self, alphabet: &Alphabet<N>, places: impl IntoIterator<Item = u8>) {
        let (mut word, mut gain, mut weighted, mut length) = (0, 0, 0, 0);
        for place in places {
            let place = usize::from(place) % N;
            word |= u64::from(alphabet.words[place]) << (gain % 64);
            gain += alphabet.gains[place];
            weighted += gain;
            length += 1;
            debug_assert!(halves(alphabet.gains[place]).0 > 0, "a character without a code word");
        }
        let (count, plain) = halves(gain);
        let (_, weighted) = halves(weighted);
        self.push(Bits { word, count });
        self.end.adler.add(Sum { length, plain, weighted });
    }

    /// Appends bits, without a branch: whether they fill the word cannot be foreseen.
    #[inline(always)]
    fn push(&mut self, bits: Bits) {
        let pending = self.end.pending;
        let joined = pending.word | bits.word << pending.count;
        let spilled = bits.word >> 1 >> (63 - pending.count);
        let count = pending.count + bits.count;
        self.words[self.full] = joined;
        self.full += (count / 64) as usize;
        self.end.pending = Bits { word: if count < 64 { joined } else { spilled }, count: count % 64 };
    }
}

/// Constant text, laid down as up to 128 bits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    bits: [Bits; 2],
    sum: Sum,
}

impl Segment {
    /// Lays down `text`, which may repeat what is in `past`.
    pub(super) fn new(past: &[u8], text: &[u8]) -> Self {
        let mut bits = [Bits::default(); 2];
        for next in deflate::shortest(past, text) {
            let place = usize::from(bits[1].count > 0 || bits[0].count + next.count > 64);
            assert!(bits[place].count + next.count <= 64, "what is laid down is short");
            bits[place] = bits[place].then(next);
        }
        Self { bits, sum: Sum::of(text) }
    }
}

/// What each of `N` characters appends to a stream.
struct Alphabet<const N: usize> {
    /// Its code word.
    words: [u8; N],
    /// How many bits that has, and in the upper half the character itself, so that one addition counts both the bits
    /// and the checksum.
    gains: [u64; N],
}

/// The lower and the upper half.
#[inline(always)]
const fn halves(gain: u64) -> (u32, u32) {
    ((gain & 0xffff_ffff) as u32, (gain >> 32) as u32)
}

static ASCII: Alphabet<128> = Alphabet::of(&{
    let mut characters = [0; 128];
    let mut character = 0;
    while character < 128 {
        characters[character as usize] = character;
        character += 1;
    }
    characters
});
static BASE64: Alphabet<64> = Alphabet::of(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");

impl<const N: usize> Alphabet<N> {
    const fn of(characters: &[u8; N]) -> Self {
        let mut alphabet = Self { words: [0; N], gains: [0; N] };
        let mut place = 0;
        while place < N {
            let Bits { word, count } = deflate::literal(characters[place]);
            alphabet.words[place] = (word & 0xff) as u8;
            alphabet.gains[place] = count as u64 | (characters[place] as u64) << 32;
            place += 1;
        }
        alphabet
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use base64::Engine;
    use flate2::read::ZlibDecoder;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::BASE64;
    use super::*;

    #[derive(Debug, Clone)]
    enum Piece {
        Constant(String),
        /// And what stands before it.
        Segment(String, String),
        Text(String),
        Runs(String),
        Base64([u8; MAC_LEN]),
    }

    impl Piece {
        fn any() -> impl Strategy<Value = Self> {
            prop_oneof![
                "[\"+-}]{0,20}".prop_map(Self::Constant),
                ("[\"+-}]{0,20}", "[\"+-}]{0,12}").prop_map(|(past, text)| Self::Segment(past, text)),
                // Of few characters, so that there are matches.
                ("[a-cX]{0,30}", "[a-cX]{0,16}").prop_map(|(past, text)| Self::Segment(past, text)),
                "[\"+-}]{0,40}".prop_map(Self::Text),
                "([\"+-}]|A{3,30}|z{4,9}){0,6}".prop_map(Self::Runs),
                any::<[u8; MAC_LEN]>().prop_map(Self::Base64),
            ]
        }

        fn append(&self, stream: &mut Writer<'_>, text: &mut String) {
            match self {
                Self::Constant(new) => stream.constant(new.as_bytes()),
                Self::Segment(past, new) => {
                    stream.text(past.as_bytes());
                    text.push_str(past);
                    stream.segment(&Segment::new(past.as_bytes(), new.as_bytes()));
                }
                Self::Text(new) => stream.text(new.as_bytes()),
                Self::Runs(new) => stream.runs(new.as_bytes()),
                Self::Base64(mac) => stream.base64(mac),
            }
            match self {
                Self::Constant(new) | Self::Segment(_, new) | Self::Text(new) | Self::Runs(new) => text.push_str(new),
                Self::Base64(mac) => text.push_str(BASE64.encode(mac).trim_end_matches('=')),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

        #[test]
        fn inflates_to_what_was_written(before in vec(Piece::any(), 0..4), after in vec(Piece::any(), 0..4)) {
            let mut text = String::new();
            let mut words = [0; WORDS];
            let mut stream = Writer::new(&mut words);
            for piece in &before {
                piece.append(&mut stream, &mut text);
            }
            let (length, end) = stream.cut();
            let mut zlib = words.map(u64::to_le_bytes).as_flattened()[..length].to_vec();
            prop_assert_eq!(length % 3, 0);

            words.fill(0);
            let mut stream = Writer::resume(&mut words, &end);
            for piece in &after {
                piece.append(&mut stream, &mut text);
            }
            let length = stream.finish();
            let bytes = words.map(u64::to_le_bytes);
            let (rest, behind) = bytes.as_flattened().split_at(length);
            zlib.extend(rest);
            prop_assert!(behind.iter().all(|&byte| byte == 0), "zeros follow");

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
            let mut words = [0; WORDS];
            let mut stream = Writer::new(&mut words);
            stream.text(&past);
            stream.push(deflate::repetition(length, distance));
            stream.finish();
            let mut text = past.clone();
            for _ in 0..length {
                text.push(text[text.len() - distance]);
            }
            // The checksum is not that of the text: what matters is what comes before it.
            let mut inflated = Vec::new();
            let zlib = words.map(u64::to_le_bytes);
            let mut decoder = flate2::read::DeflateDecoder::new(&zlib.as_flattened()[2..]);
            decoder.read_to_end(&mut inflated).expect("a deflate stream");
            assert_eq!(inflated, text, "{length} {distance}");
        }
    }
}
