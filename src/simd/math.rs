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

/// `[r, rest, r^2, q, p]` with `exp(y) = 2^-bias * p * (1 + r + r^2 q)` and `p` a power of two, if `p` is a normal number;
/// `rest` is what `r` lost when it was rounded (what a caller does not use costs nothing).
#[inline(always)]
fn exp_terms<S: Ops>(s: S, y: S::f32s, bias: S::f32s) -> [S::f32s; 5] {
    let round = s.add(s.splat(ROUND + EXPONENT_BIAS), bias);
    let rounded = s.fma(y, s.splat(LOG2_E), round);
    let n = s.sub(rounded, round);
    let power = s.exponent_from_low_bits(rounded);
    let high = s.fnma(n, s.splat(LN2_HIGH), y);
    let r = s.fnma(n, s.splat(LN2_LOW), high);
    let rest = s.fnma(n, s.splat(LN2_LOW), s.sub(high, r));
    let r2 = s.mul(r, r);
    let low = s.fma(r, s.splat(C[1]), s.splat(C[0]));
    let high = s.fma(r, s.splat(C[3]), s.splat(C[2]));
    let high = s.fma(r2, s.splat(C[4]), high);
    [r, rest, r2, s.fma(r2, high, low), power]
}

/// `(t, p)` with `exp(y) = 2^-bias * p * (1 + t)`.
#[inline(always)]
fn exp_parts<S: Ops>(s: S, y: S::f32s, bias: S::f32s) -> (S::f32s, S::f32s) {
    let [r, _, r2, q, power] = exp_terms(s, y, bias);
    (s.fma(r2, q, r), power)
}

/// `exp(x)`. The rest that the reduced argument's rounding leaves is carried along, or the error would pass one ulp.
#[inline(always)]
pub(crate) fn exp<S: Ops>(s: S, x: S::f32s) -> S::f32s {
    // Beyond these the result is 0 or infinity whatever the distance.
    let y = s.at_most(89.0, s.at_least(-105.0, x));
    // 2^n of n in -152..=128 does not fit one exponent, so it is shifted towards 1 and the shift undone at the end.
    let negative = s.lt(y, s.splat(0.0));
    let bias = s.select(negative, s.splat(SHIFT), s.splat(-SHIFT));
    let unshift = s.select(negative, s.splat(UNSHIFT), s.splat(1.0 / UNSHIFT));
    let [r, rest, r2, q, power] = exp_terms(s, y, bias);
    let t = s.add(r, s.fma(r2, q, rest));
    s.mul(s.fma(power, t, power), unshift)
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

/// The hyperbolic tangent `(1 - e) / (1 + e)` with `e = exp(-2|x|)`; `1 - e` comes from the polynomial, which keeps tiny
/// `x` exact. All roundings but the last are carried along, or the result would not be monotone. In two halves, so that a
/// loop can run one value's second half beside the next one's first.
#[derive(Clone, Copy)]
pub(crate) struct Tanh<V> {
    pub(crate) x: V,
    /// `1 - e` and `1 + e`, each an unevaluated sum of two floats.
    pub(crate) u: [V; 2],
    pub(crate) d: [V; 2],
}

impl<V: Copy> Tanh<V> {
    #[inline(always)]
    pub(crate) fn begin<S: Ops<f32s = V>>(s: S, x: V) -> Self {
        // Beyond 10 the result is 1.
        let y = s.at_least(-20.0, s.neg_abs(s.add(x, x)));
        let [r, _, r2, p, power] = exp_terms(s, y, s.splat(0.0));
        let t = s.fma(r2, p, r);
        let t_low = s.fma(r2, p, s.sub(r, t));
        let (one, two) = (s.splat(1.0), s.splat(2.0));
        let difference = s.sub(one, power);
        let dropped = s.sub(s.sub(one, difference), power);
        let u = s.fnma(power, t, difference);
        let u_low = s.add(s.fnma(power, t, s.sub(difference, u)), s.fnma(power, t_low, dropped));
        let d = s.sub(two, u);
        let d_low = s.sub(s.sub(s.sub(two, d), u), u_low);
        Self { x, u: [u, u_low], d: [d, d_low] }
    }

    #[inline(always)]
    pub(crate) fn finish<S: Ops<f32s = V>>(self, s: S) -> V {
        let Self { x, u: [u, u_low], d: [d, d_low] } = self;
        let q = s.div(u, d);
        let residue = s.fnma(q, d_low, s.add(s.fnma(q, d, u), u_low));
        // 1 / d is (1 + q) / 2 closely enough for the correction.
        let half = s.splat(0.5);
        s.with_sign_of(s.fma(residue, s.fma(q, half, half), q), x)
    }
}

/// What a cell's gates are made of: fractions that are not divided yet, so that gates which are multiplied with each
/// other share a division, which takes as long as all the rest of an activation. They are not monotone to the last bit,
/// as [`sigmoid`] and [`tanh`] are.
pub(crate) mod gate {
    use super::{Ops, SHIFT, UNSHIFT, exp_parts};

    /// The numerator of all logistic gates: 2^-64.
    pub(crate) const ONE: f32 = UNSHIFT;

    /// `d` with `sigmoid(x) = ONE / d`: from 2^-64 to 2^88, so that `d` times the denominator of a [`tanh`] is finite.
    #[inline(always)]
    pub(crate) fn logistic<S: Ops>(s: S, x: S::f32s) -> S::f32s {
        // Above 30 the result is 1, below -105 it is 0.
        let y = s.at_most(105.0, s.at_least(-30.0, s.neg(x)));
        let (t, power) = exp_parts(s, y, s.splat(-SHIFT));
        s.add(s.splat(ONE), s.fma(power, t, power))
    }

    /// `sigmoid(x)`.
    #[inline(always)]
    pub(crate) fn sigmoid<S: Ops>(s: S, x: S::f32s) -> S::f32s {
        s.div(s.splat(ONE), logistic(s, x))
    }

    /// `(u, d)` with `tanh(x) = u / d`, `1 <= d <= 2`: `(1 - e) / (1 + e)` with `e = exp(-2|x|)`.
    #[inline(always)]
    pub(crate) fn tangent<S: Ops>(s: S, x: S::f32s) -> (S::f32s, S::f32s) {
        // Beyond 10 the result is 1.
        let y = s.at_least(-20.0, s.neg_abs(s.add(x, x)));
        let (t, power) = exp_parts(s, y, s.splat(0.0));
        let u = s.fnma(power, t, s.sub(s.splat(1.0), power));
        (s.with_sign_of(u, x), s.sub(s.splat(2.0), u))
    }

    /// `tanh(x)`.
    #[inline(always)]
    pub(crate) fn tanh<S: Ops>(s: S, x: S::f32s) -> S::f32s {
        let (u, d) = tangent(s, x);
        s.div(u, d)
    }

    /// `sigmoid(x) tanh(y)`, with the terms of both.
    #[inline(always)]
    pub(crate) fn product<S: Ops>(s: S, logistic: S::f32s, (u, d): (S::f32s, S::f32s)) -> S::f32s {
        s.mul(u, s.div(s.splat(ONE), s.mul(logistic, d)))
    }

    /// What a logistic gate's value and slope are made of: `e = 2^64 exp(-|x|)`, and `d` between 1 and 2, of whose
    /// reciprocal [`Logistic::with`] makes them.
    #[derive(Clone, Copy)]
    pub(crate) struct Logistic<V> {
        x: V,
        e: V,
        pub(crate) d: V,
    }

    /// As [`Logistic`], of tanh.
    #[derive(Clone, Copy)]
    pub(crate) struct Tangent<V> {
        u: V,
        e: V,
        pub(crate) d: V,
    }

    /// `(t, p)` with `2^64 exp(y) = p * (1 + t)`, for `y <= 0`.
    #[inline(always)]
    fn shifted_exp_parts<S: Ops>(s: S, y: S::f32s) -> (S::f32s, S::f32s) {
        exp_parts(s, s.at_least(-105.0, y), s.splat(SHIFT))
    }

    /// Of `sigmoid(x)`.
    #[inline(always)]
    pub(crate) fn logistic_slope<S: Ops>(s: S, x: S::f32s) -> Logistic<S::f32s> {
        let (t, power) = shifted_exp_parts(s, s.neg_abs(x));
        let e = s.fma(power, t, power);
        Logistic { x, e, d: s.fma(e, s.splat(UNSHIFT), s.splat(1.0)) }
    }

    impl<V: Copy> Logistic<V> {
        /// `(sigmoid(x), sigmoid(-x), sigmoid'(x))` from `r = 1 / d`. None cancels where the gate is saturated.
        #[inline(always)]
        pub(crate) fn with<S: Ops<f32s = V>>(self, s: S, r: V) -> (V, V, V) {
            let small = s.mul(s.mul(self.e, r), s.splat(UNSHIFT));
            let negative = s.lt(self.x, s.splat(0.0));
            (s.select(negative, small, r), s.select(negative, r, small), s.mul(small, r))
        }
    }

    /// Of `tanh(x)`.
    #[inline(always)]
    pub(crate) fn tangent_slope<S: Ops>(s: S, x: S::f32s) -> Tangent<S::f32s> {
        let (t, power) = shifted_exp_parts(s, s.neg_abs(s.add(x, x)));
        let e = s.fma(power, t, power);
        let p = s.mul(power, s.splat(UNSHIFT));
        let u = s.fnma(p, t, s.sub(s.splat(1.0), p));
        Tangent { u: s.with_sign_of(u, x), e, d: s.sub(s.splat(2.0), u) }
    }

    impl<V: Copy> Tangent<V> {
        /// `(tanh(x), tanh'(x))` from `r = 1 / d`; the derivative is `4 e / (1 + e)^2`, which does not cancel.
        #[inline(always)]
        pub(crate) fn with<S: Ops<f32s = V>>(self, s: S, r: V) -> (V, V) {
            (s.mul(self.u, r), s.mul(s.mul(s.mul(self.e, r), r), s.splat(4.0 * UNSHIFT)))
        }
    }

    /// `1 / d`.
    #[inline(always)]
    pub(crate) fn reciprocal<S: Ops>(s: S, d: S::f32s) -> S::f32s {
        s.div(s.splat(1.0), d)
    }

    /// `1 / a` and `1 / b`, by one division.
    #[inline(always)]
    pub(crate) fn reciprocals_of_two<S: Ops>(s: S, a: S::f32s, b: S::f32s) -> (S::f32s, S::f32s) {
        let r = reciprocal(s, s.mul(a, b));
        (s.mul(r, b), s.mul(r, a))
    }

    /// `1 / a`, `1 / b` and `1 / c`, by one division.
    #[inline(always)]
    pub(crate) fn reciprocals_of_three<S: Ops>(
        s: S,
        a: S::f32s,
        b: S::f32s,
        c: S::f32s,
    ) -> (S::f32s, S::f32s, S::f32s) {
        let ab = s.mul(a, b);
        let r = reciprocal(s, s.mul(ab, c));
        let r_ab = s.mul(r, c);
        (s.mul(r_ab, b), s.mul(r_ab, a), s.mul(r, ab))
    }
}

#[cfg(test)]
#[path = "math_tests.rs"]
mod tests;
