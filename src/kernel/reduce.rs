//! Sums whose order is fixed: 16 stripes in f64 (value `i` goes to stripe `i % 16`), then one pairwise tree.
//!
//! The stripes are more than any vector has lanes, so the compiler may use any instruction set: the order stays.

/// Values that are added side by side.
pub(crate) const STRIPES: usize = 16;

/// A running sum.
#[derive(Clone, Copy)]
pub(crate) struct Stripes([f64; STRIPES]);

impl Stripes {
    #[inline(always)]
    pub(crate) fn new() -> Self {
        Self([0.0; STRIPES])
    }

    /// Adds `term(value)` for every value. Where more follow, `values` is a multiple of [`STRIPES`] long.
    #[inline(always)]
    pub(crate) fn add(&mut self, values: &[f32], term: impl Fn(f64) -> f64) {
        let (blocks, rest) = values.as_chunks::<STRIPES>();
        for block in blocks {
            for (sum, &v) in self.0.iter_mut().zip(block) {
                *sum += term(f64::from(v));
            }
        }
        for (sum, &v) in self.0.iter_mut().zip(rest) {
            *sum += term(f64::from(v));
        }
    }

    /// Adds `term(a, b)` for every pair of values; lengths as in [`Stripes::add`].
    #[inline(always)]
    pub(crate) fn add_pairs(&mut self, a: &[f32], b: &[f32], term: impl Fn(f64, f64) -> f64) {
        assert_eq!(a.len(), b.len());
        let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<STRIPES>(), b.as_chunks::<STRIPES>());
        for (a, b) in a.iter().zip(b) {
            for ((sum, &a), &b) in self.0.iter_mut().zip(a).zip(b) {
                *sum += term(f64::from(a), f64::from(b));
            }
        }
        for ((sum, &a), &b) in self.0.iter_mut().zip(a_rest).zip(b_rest) {
            *sum += term(f64::from(a), f64::from(b));
        }
    }

    /// The stripes added in pairs: 16 sums to 8 (`i` and `i + 8`), to 4, to 2, to 1.
    #[inline(always)]
    pub(crate) fn total(mut self) -> f64 {
        let mut half = STRIPES / 2;
        while half > 0 {
            for i in 0..half {
                self.0[i] += self.0[i + half];
            }
            half /= 2;
        }
        self.0[0]
    }
}

/// The sum of squares; f64 holds every square of an f32 exactly and cannot overflow here.
pub(crate) fn sum_of_squares(values: &[f32]) -> f64 {
    let mut sum = Stripes::new();
    sum.add(values, |v| v * v);
    sum.total()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn the_order_is_the_documented_one() {
        let mut r = Random::new(1, 0);
        for len in [0, 1, 15, 16, 17, 100, 1003] {
            let x: Vec<f32> = (0..len).map(|_| r.normal() as f32).collect();
            let mut s = [0f64; 16];
            for (i, &v) in x.iter().enumerate() {
                s[i % 16] += f64::from(v) * f64::from(v);
            }
            let eight: Vec<f64> = (0..8).map(|i| s[i] + s[i + 8]).collect();
            let four: Vec<f64> = (0..4).map(|i| eight[i] + eight[i + 4]).collect();
            let expected = (four[0] + four[2]) + (four[1] + four[3]);
            assert_eq!(sum_of_squares(&x).to_bits(), expected.to_bits(), "{len}");
        }
    }

    #[test]
    fn pieces_of_whole_blocks_give_the_same_sum() {
        let mut r = Random::new(2, 0);
        let x: Vec<f32> = (0..777).map(|_| r.normal() as f32).collect();
        let mut pieces = Stripes::new();
        x.chunks(48).for_each(|piece| pieces.add(piece, |v| v * v));
        assert_eq!(pieces.total().to_bits(), sum_of_squares(&x).to_bits());
    }
}
