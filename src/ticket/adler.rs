//! Adler-32, zlib's checksum (RFC 1950, 8.2), of text that comes in pieces.

/// The checksum so far, its remainders not yet taken: a ticket's JSON is too short to overflow it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Adler {
    low: u32,
    high: u32,
}

impl Adler {
    pub(super) const fn of_nothing() -> Self {
        Self { low: 1, high: 0 }
    }

    #[inline]
    pub(super) const fn add(&mut self, sum: Sum) {
        self.high += sum.length * self.low + sum.weighted;
        self.low += sum.plain;
    }

    pub(super) const fn value(self) -> u32 {
        ((self.high % 65521) << 16) | (self.low % 65521)
    }
}

/// What a piece of text adds to the checksum, whatever stands before it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sum {
    pub length: u32,
    /// The sum of its bytes.
    pub plain: u32,
    /// The sum of the `plain` of all its beginnings, itself included.
    pub weighted: u32,
}

impl Sum {
    pub(super) fn of(text: &[u8]) -> Self {
        let mut sum = Self::default();
        for &byte in text {
            sum.length += 1;
            sum.plain += u32::from(byte);
            sum.weighted += sum.plain;
        }
        sum
    }
}
