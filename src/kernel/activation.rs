//! The logistic function and the hyperbolic tangent on a slice.

use crate::simd::{Isa, Kernel, Ops, dispatch, math};

/// A function of one value.
trait Function {
    fn of<S: Ops>(s: S, x: S::f32s) -> S::f32s;
}

struct Sigmoid;
impl Function for Sigmoid {
    #[inline(always)]
    fn of<S: Ops>(s: S, x: S::f32s) -> S::f32s {
        math::sigmoid(s, x)
    }
}

struct Tanh;
impl Function for Tanh {
    #[inline(always)]
    fn of<S: Ops>(s: S, x: S::f32s) -> S::f32s {
        math::Tanh::begin(s, x).finish(s)
    }
}

/// Every value becomes the function's.
struct Map<'a, F>(&'a mut [f32], F);

impl<F: Function> Kernel for Map<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run<S: Ops>(self, s: S) {
        let mut blocks = self.0.chunks_exact_mut(S::LANES);
        for block in &mut blocks {
            let p = block.as_mut_ptr();
            // SAFETY: a block has exactly LANES values.
            unsafe { s.store(p, F::of(s, s.load(p))) }
        }
        let rest = blocks.into_remainder();
        let (p, n) = (rest.as_mut_ptr(), rest.len());
        if n > 0 {
            // SAFETY: `n` values are left.
            unsafe { s.store_first(p, F::of(s, s.load_first(p, n)), n) }
        }
    }
}

/// Every value becomes `1 / (1 + exp(-x))`.
pub(crate) fn sigmoid(isa: Isa, x: &mut [f32]) {
    dispatch(isa, Map(x, Sigmoid));
}

/// Every value becomes its hyperbolic tangent.
pub(crate) fn tanh(isa: Isa, x: &mut [f32]) {
    dispatch(isa, Map(x, Tanh));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn same_bits_on_every_isa_and_close_to_f64() {
        type Pair = (fn(Isa, &mut [f32]), fn(f64) -> f64);
        let functions: [Pair; 2] = [(sigmoid, |x| 1.0 / (1.0 + (-x).exp())), (tanh, f64::tanh)];
        let mut r = Random::new(4, 0);
        for (function, exact) in functions {
            for n in [0, 1, 5, 8, 16, 37] {
                let x: Vec<f32> = (0..n).map(|_| (r.normal() * 5.0) as f32).collect();
                let mut first = x.clone();
                function(Isa::Scalar, &mut first);
                for isa in Isa::available() {
                    let mut y = x.clone();
                    function(isa, &mut y);
                    assert!(y.iter().zip(&first).all(|(a, b)| a.to_bits() == b.to_bits()), "{} {n}", isa.name());
                }
                for (&x, &y) in x.iter().zip(&first) {
                    let p = exact(f64::from(x));
                    assert!((f64::from(y) - p).abs() <= 2.0 * f64::from(f32::EPSILON) * p.abs(), "{x}: {y} {p}");
                }
            }
        }
    }
}
