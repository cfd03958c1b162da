//! exp, tanh and sigmoid on vectors: one formula for every instruction set, so every one gives the same bits.
//!
//! All start from `exp(y) = 2^n (1 + t)` with `n` the nearest integer to `y / ln 2` and `t` a polynomial in the rest.
//! NaN passes through, because clamping keeps it. Worst errors are in `docs/accuracy.md`.

use super::Ops;

const LOG2_E: f32 = std::f32::consts::LOG2_E;
/// ln 2 in two parts; the first has enough trailing zeros that `n * LN2_HIGH` is exact.
const LN2_HIGH: f32 = 0.693_145_75;
const LN2_LOW: f32 = 1.428_606_8e-6;
/// Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
const ROUND: f32 = 12_582_912.0;
/// Exponentials are kept times 2^64 so that no step is subnormal before the last.
const SHIFT: f32 = 64.0;
const UNSHIFT: f32 = 1.0 / 18_446_744_073_709_551_616.0;
const EXPONENT_BIAS: f32 = 127.0;
/// Minimax coefficients of `(e^r - 1 - r) / r^2` on `|r| <= ln2 / 2`; relative error of `e^r` below 2^-28.
const C: [f32; 5] = [0.499_999_94, 0.166_665_21, 0.041_668_292, 0.008_368_721, 0.001_381_873_9];

/// `(r, r^2, q, p)` with `exp(y) = 2^-bias * p * (1 + r + r^2 q)` and `p` a power of two, if `p` is a normal number.
#[inline(always)]
fn exp_terms<S: Ops>(s: S, y: S::f32s, bias: S::f32s) -> (S::f32s, S::f32s, S::f32s, S::f32s) {
    let round = s.add(s.splat(ROUND + EXPONENT_BIAS), bias);
    let rounded = s.fma(y, s.splat(LOG2_E), round);
    let n = s.sub(rounded, round);
    let power = s.exponent_from_low_bits(rounded);
    let r = s.fnma(n, s.splat(LN2_HIGH), y);
    let r = s.fnma(n, s.splat(LN2_LOW), r);
    let r2 = s.mul(r, r);
    let low = s.fma(r, s.splat(C[1]), s.splat(C[0]));
    let high = s.fma(r, s.splat(C[3]), s.splat(C[2]));
    let high = s.fma(r2, s.splat(C[4]), high);
    (r, r2, s.fma(r2, high, low), power)
}

/// `(t, p)` with `exp(y) = 2^-bias * p * (1 + t)`.
#[inline(always)]
fn exp_parts<S: Ops>(s: S, y: S::f32s, bias: S::f32s) -> (S::f32s, S::f32s) {
    let (r, r2, q, power) = exp_terms(s, y, bias);
    (s.fma(r2, q, r), power)
}

/// `exp(x)`.
#[inline(always)]
pub(crate) fn exp<S: Ops>(s: S, x: S::f32s) -> S::f32s {
    // Beyond these the result is 0 or infinity whatever the distance.
    let y = s.at_most(89.0, s.at_least(-105.0, x));
    // 2^n of n in -152..=128 does not fit one exponent, so it is shifted towards 1 and the shift undone at the end.
    let negative = s.lt(y, s.splat(0.0));
    let bias = s.select(negative, s.splat(SHIFT), s.splat(-SHIFT));
    let unshift = s.select(negative, s.splat(UNSHIFT), s.splat(1.0 / UNSHIFT));
    let (t, power) = exp_parts(s, y, bias);
    s.mul(s.fma(power, t, power), unshift)
}

/// `(t, p)` with `2^64 exp(y) = p * (1 + t)`, for `y <= 0`.
#[inline(always)]
fn shifted_exp_parts<S: Ops>(s: S, y: S::f32s) -> (S::f32s, S::f32s) {
    exp_parts(s, s.at_least(-105.0, y), s.splat(SHIFT))
}

/// `exp(y) / (1 + exp(y))` for `y <= 0`: the logistic function's smaller half.
#[inline(always)]
fn small_half<S: Ops>(s: S, y: S::f32s) -> S::f32s {
    let (t, power) = shifted_exp_parts(s, y);
    let e = s.fma(power, t, power);
    let d = s.fma(e, s.splat(UNSHIFT), s.splat(1.0));
    s.mul(s.div(e, d), s.splat(UNSHIFT))
}

/// The logistic function `1 / (1 + e)` with `e = exp(-x)`, which is well-conditioned for either sign. All roundings but
/// the last are carried along, or the result would not be monotone.
#[inline(always)]
pub(crate) fn sigmoid<S: Ops>(s: S, x: S::f32s) -> S::f32s {
    // Everything is times 2^-64; above 30 the result is 1, below -105 it is 0.
    let one = s.splat(UNSHIFT);
    let y = s.at_most(105.0, s.at_least(-30.0, s.neg(x)));
    let (t, power) = exp_parts(s, y, s.splat(-SHIFT));
    // d = 1 + power + power * t as an unevaluated sum of two floats.
    let sum = s.add(one, power);
    let dropped = s.add(s.sub(power, sum), one);
    let d = s.fma(power, t, sum);
    let d_low = s.add(s.fma(power, t, s.sub(sum, d)), dropped);
    let q = s.div(one, d);
    let residue = s.fnma(q, d_low, s.fnma(q, d, one));
    s.fma(s.mul(residue, s.splat(1.0 / UNSHIFT)), q, q)
}

/// `(sigmoid(x), sigmoid(-x))`, whose product is the derivative: neither half cancels. The last bits may differ from
/// [`sigmoid`]'s: backward does not pay for a monotone result.
#[inline(always)]
pub(crate) fn sigmoid_halves<S: Ops>(s: S, x: S::f32s) -> (S::f32s, S::f32s) {
    let small = small_half(s, s.neg_abs(x));
    let large = s.sub(s.splat(1.0), small);
    let negative = s.lt(x, s.splat(0.0));
    (s.select(negative, small, large), s.select(negative, large, small))
}

/// The hyperbolic tangent `(1 - e) / (1 + e)` with `e = exp(-2|x|)`; `1 - e` comes from the polynomial, which keeps tiny
/// `x` exact. All roundings but the last are carried along, or the result would not be monotone.
#[inline(always)]
pub(crate) fn tanh<S: Ops>(s: S, x: S::f32s) -> S::f32s {
    // Beyond 10 the result is 1.
    let y = s.at_least(-20.0, s.neg_abs(s.add(x, x)));
    let (r, r2, p, power) = exp_terms(s, y, s.splat(0.0));
    let t = s.fma(r2, p, r);
    let t_low = s.fma(r2, p, s.sub(r, t));
    let (one, two) = (s.splat(1.0), s.splat(2.0));
    // u = 1 - e and d = 2 - u, each an unevaluated sum of two floats.
    let difference = s.sub(one, power);
    let dropped = s.sub(s.sub(one, difference), power);
    let u = s.fnma(power, t, difference);
    let u_low = s.add(s.fnma(power, t, s.sub(difference, u)), s.fnma(power, t_low, dropped));
    let d = s.sub(two, u);
    let d_low = s.sub(s.sub(s.sub(two, d), u), u_low);
    let q = s.div(u, d);
    let residue = s.fnma(q, d_low, s.add(s.fnma(q, d, u), u_low));
    // 1 / d is (1 + q) / 2 closely enough for the correction.
    let half = s.splat(0.5);
    s.with_sign_of(s.fma(residue, s.fma(q, half, half), q), x)
}

/// `(tanh(x), tanh'(x))`; the derivative is `4 e / (1 + e)^2` with `e = exp(-2|x|)`, so it does not cancel.
/// The value may differ from [`tanh`]'s in the last bits: one division serves both.
#[inline(always)]
pub(crate) fn tanh_and_slope<S: Ops>(s: S, x: S::f32s) -> (S::f32s, S::f32s) {
    let (t, power) = shifted_exp_parts(s, s.neg_abs(s.add(x, x)));
    let e = s.fma(power, t, power);
    let p = s.mul(power, s.splat(UNSHIFT));
    let u = s.fnma(p, t, s.sub(s.splat(1.0), p));
    let q = s.div(s.splat(1.0), s.sub(s.splat(2.0), u));
    let slope = s.mul(s.mul(s.mul(e, q), q), s.splat(4.0 * UNSHIFT));
    (s.with_sign_of(s.mul(u, q), x), slope)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Isa, Kernel, dispatch};

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Function {
        Exp,
        Tanh,
        Sigmoid,
        TanhSlope,
        SigmoidSlope,
    }
    use Function::*;

    struct Apply<'a>(Function, &'a [f32], &'a mut [f32]);
    impl Kernel for Apply<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Ops>(self, s: S) {
            let Apply(function, x, y) = self;
            assert!(x.len() == y.len() && x.len() % S::LANES == 0);
            for i in (0..x.len()).step_by(S::LANES) {
                // SAFETY: whole vectors within both slices, by the assertion.
                unsafe {
                    let v = s.load(x.as_ptr().add(i));
                    let v = match function {
                        Exp => exp(s, v),
                        Tanh => tanh(s, v),
                        Sigmoid => sigmoid(s, v),
                        TanhSlope => tanh_and_slope(s, v).1,
                        SigmoidSlope => {
                            let (a, b) = sigmoid_halves(s, v);
                            s.mul(a, b)
                        }
                    };
                    s.store(y.as_mut_ptr().add(i), v);
                }
            }
        }
    }

    fn apply(isa: Isa, function: Function, x: &[f32]) -> Vec<f32> {
        let mut y = vec![0.0; x.len()];
        dispatch(isa, Apply(function, x, &mut y));
        y
    }

    fn exact(function: Function, x: f32) -> f64 {
        let x = f64::from(x);
        match function {
            Exp => x.exp(),
            Tanh => x.tanh(),
            Sigmoid => {
                let e = (-x.abs()).exp();
                if x < 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) }
            }
            TanhSlope => {
                let e = (-2.0 * x.abs()).exp();
                4.0 * e / ((1.0 + e) * (1.0 + e))
            }
            SigmoidSlope => {
                let e = (-x.abs()).exp();
                e / ((1.0 + e) * (1.0 + e))
            }
        }
    }

    /// Distance in units of the last place of the f32 nearest to `want`.
    fn ulp(got: f32, want: f64) -> f64 {
        let near = want as f32;
        if near.is_infinite() || got.is_infinite() {
            return if got == near { 0.0 } else { f64::INFINITY };
        }
        let a = near.abs().max(f32::MIN_POSITIVE);
        let unit = f64::from(f32::from_bits(a.to_bits() & 0x7f80_0000)) * 2f64.powi(-23);
        (f64::from(got) - want).abs() / unit
    }

    /// Every 1021st bit pattern of both signs (a prime, so that all low bits occur), NaN left out.
    fn sweep() -> Vec<f32> {
        let mut x: Vec<f32> = (0..0x7f80_0000u32)
            .step_by(1021)
            .flat_map(|b| [f32::from_bits(b), f32::from_bits(b | 0x8000_0000)])
            .collect();
        x.truncate(x.len() / 16 * 16);
        x
    }

    #[test]
    fn worst_errors_over_a_dense_sweep() {
        let x = sweep();
        let isa = Isa::available().last().unwrap();
        // The bounds are those of docs/accuracy.md.
        for (function, bound) in [(Exp, 1.0), (Tanh, 1.0), (Sigmoid, 1.0), (TanhSlope, 6.0), (SigmoidSlope, 3.0)] {
            let y = apply(isa, function, &x);
            let (mut worst, mut at) = (0.0, 0.0);
            for (&x, &y) in x.iter().zip(&y) {
                let e = ulp(y, exact(function, x));
                if e > worst {
                    (worst, at) = (e, x);
                }
            }
            println!("{function:?}: {worst:.3} ulp at {at:e}");
            assert!(worst <= bound, "{function:?}: {worst} ulp at {at:e}");
        }
    }

    #[test]
    fn same_bits_on_every_isa() {
        let mut x = sweep();
        for special in
            [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -f32::NAN, 88.722, -103.98, 1e-45, -1e-45]
        {
            x.extend([special; 16]);
        }
        for function in [Exp, Tanh, Sigmoid, TanhSlope, SigmoidSlope] {
            let want = apply(Isa::Scalar, function, &x);
            for isa in Isa::available() {
                let got = apply(isa, function, &x);
                for i in 0..x.len() {
                    let same = got[i].to_bits() == want[i].to_bits() || (got[i].is_nan() && want[i].is_nan());
                    assert!(same, "{function:?}({:e}) on {}: {:e}, scalar {:e}", x[i], isa.name(), got[i], want[i]);
                }
            }
        }
    }

    #[test]
    fn special_values_and_saturation() {
        let inf = f32::INFINITY;
        for isa in Isa::available() {
            let one = |f, x: f32| apply(isa, f, &[x; 16])[0];
            assert_eq!(one(Exp, inf), inf);
            assert_eq!(one(Exp, -inf).to_bits(), 0);
            assert_eq!(one(Exp, 0.0), 1.0);
            assert_eq!(one(Exp, 88.722_84), inf);
            assert!(one(Exp, 88.722_83).is_finite());
            assert!(one(Exp, -103.9) > 0.0);
            assert_eq!(one(Tanh, 0.0).to_bits(), 0);
            assert_eq!(one(Tanh, -0.0).to_bits(), 0x8000_0000);
            assert_eq!((one(Tanh, inf), one(Tanh, -inf)), (1.0, -1.0));
            assert_eq!(one(Tanh, 9.010_914), 1.0);
            assert_eq!(one(Tanh, -1e-40), -1e-40);
            assert_eq!((one(Sigmoid, inf), one(Sigmoid, -inf).to_bits()), (1.0, 0));
            assert_eq!(one(Sigmoid, 0.0), 0.5);
            assert!(one(Sigmoid, -100.0) > 0.0);
            assert!(one(TanhSlope, 40.0) > 0.0 && one(SigmoidSlope, 80.0) > 0.0);
            for f in [Exp, Tanh, Sigmoid, TanhSlope, SigmoidSlope] {
                assert!(one(f, f32::NAN).is_nan(), "{f:?}");
            }
        }
    }

    /// Neighbouring arguments around many points, and the whole sweep, in order.
    #[test]
    fn monotone_and_bounded() {
        let isa = Isa::available().last().unwrap();
        let mut x: Vec<f32> = sweep();
        for start in (0x3000_0000u32..0x42d0_0000).step_by(100_003) {
            x.extend((start..start + 64).flat_map(|b| [f32::from_bits(b), f32::from_bits(b | 0x8000_0000)]));
        }
        x.sort_by(f32::total_cmp);
        for f in [Exp, Tanh, Sigmoid] {
            let y = apply(isa, f, &x);
            for i in 1..y.len() {
                assert!(y[i - 1] <= y[i], "{f:?} falls from {:e} to {:e} at {:e}", y[i - 1], y[i], x[i]);
            }
            assert!(f == Exp || y.iter().all(|v| v.abs() <= 1.0));
        }
    }
}
