//! The logistic function on a slice.

use crate::simd::{Isa, Kernel, Ops, dispatch, math};

/// Every value becomes `1 / (1 + exp(-x))`.
pub(crate) fn sigmoid(isa: Isa, x: &mut [f32]) {
    struct Sigmoid<'a>(&'a mut [f32]);
    impl Kernel for Sigmoid<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Ops>(self, s: S) {
            let mut blocks = self.0.chunks_exact_mut(S::LANES);
            for block in &mut blocks {
                let p = block.as_mut_ptr();
                // SAFETY: a block has exactly LANES values.
                unsafe { s.store(p, math::sigmoid(s, s.load(p))) }
            }
            let rest = blocks.into_remainder();
            let (p, n) = (rest.as_mut_ptr(), rest.len());
            if n > 0 {
                // SAFETY: `n` values are left.
                unsafe { s.store_first(p, math::sigmoid(s, s.load_first(p, n)), n) }
            }
        }
    }
    dispatch(isa, Sigmoid(x));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn same_bits_on_every_isa_and_close_to_f64() {
        let mut r = Random::new(4, 0);
        for n in [0, 1, 5, 8, 16, 37] {
            let x: Vec<f32> = (0..n).map(|_| (r.normal() * 5.0) as f32).collect();
            let mut first = x.clone();
            sigmoid(Isa::Scalar, &mut first);
            for isa in Isa::available() {
                let mut y = x.clone();
                sigmoid(isa, &mut y);
                assert!(y.iter().zip(&first).all(|(a, b)| a.to_bits() == b.to_bits()), "{} {n}", isa.name());
            }
            for (&x, &y) in x.iter().zip(&first) {
                let p = 1.0 / (1.0 + (-f64::from(x)).exp());
                assert!((f64::from(y) - p).abs() <= 2.0 * f64::from(f32::EPSILON) * p, "{x}: {y} {p}");
            }
        }
    }
}
