//! Short text on the stack, put together piece by piece.

use std::ops::{Deref, Range};

/// Up to `N` bytes; a piece too much would panic, so `N` is what the longest pieces need.
pub(super) struct Scratch<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Scratch<N> {
    #[inline]
    pub(super) const fn new() -> Self {
        Self { bytes: [0; N], length: 0 }
    }

    /// Appends bytes.
    #[inline]
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.length..][..bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }

    /// Appends a number's decimal digits, and tells where they are.
    #[inline]
    pub(super) fn push_decimal(&mut self, mut number: u64) -> Range<usize> {
        let digits = number.checked_ilog10().unwrap_or_default() as usize + 1;
        let place = self.length..self.length + digits;
        for digit in self.bytes[place.clone()].iter_mut().rev() {
            *digit = b"0123456789"[(number % 10) as usize];
            number /= 10;
        }
        self.length = place.end;
        place
    }
}

impl<const N: usize> Deref for Scratch<N> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals() {
        let powers = (0..20).map(|exponent| 10_u64.pow(exponent));
        for number in powers.flat_map(|power| [power - 1, power, power + 1]).chain([u64::MAX]) {
            let mut text = Scratch::<22>::new();
            text.push(b">");
            let place = text.push_decimal(number);
            text.push(b"<");
            assert_eq!(text[place], *number.to_string().as_bytes());
            assert_eq!(*text, *format!(">{number}<").as_bytes());
        }
    }
}
