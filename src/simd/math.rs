//! exp, tanh and sigmoid on vectors: one formula for every instruction set, so every one gives the same bits.
//!
//! All start from `exp(y) = 2^n (1 + t)` with `n` the nearest integer to `y / ln 2` and `t` a polynomial in the rest.
//! NaN passes through because clamping is compare-and-select. Worst errors are in `docs/accuracy.md`.

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

/// `(t, p)` with `exp(y) = 2^-bias * p * (1 + t)` and `p` a power of two, for `y` in `-105..=89`.
#[inline(always)]
fn exp_parts<S: Ops>(s: S, y: S::f32s, bias: S::f32s) -> (S::f32s, S::f32s) {
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
    let p = s.fma(r2, high, low);
    (s.fma(r2, p, r), power)
}

/// Values below `low` become `low`; NaN stays.
#[inline(always)]
fn at_least<S: Ops>(s: S, v: S::f32s, low: f32) -> S::f32s {
    let low = s.splat(low);
    s.select(s.lt(v, low), low, v)
}

/// `exp(x)`.
#[inline(always)]
pub(crate) fn exp<S: Ops>(s: S, x: S::f32s) -> S::f32s {
    // Beyond these the result is 0 or infinity whatever the distance.
    let y = at_least(s, x, -105.0);
    let high = s.splat(89.0);
    let y = s.select(s.lt(high, y), high, y);
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
    exp_parts(s, at_least(s, y, -105.0), s.splat(SHIFT))
}

/// `exp(y) / (1 + exp(y))` for `y <= 0`: the logistic function's smaller half.
#[inline(always)]
fn small_half<S: Ops>(s: S, y: S::f32s) -> S::f32s {
    let (t, power) = shifted_exp_parts(s, y);
    let e = s.fma(power, t, power);
    let d = s.fma(e, s.splat(UNSHIFT), s.splat(1.0));
    s.mul(s.div(e, d), s.splat(UNSHIFT))
}

/// The logistic function `1 / (1 + exp(-x))`.
#[inline(always)]
pub(crate) fn sigmoid<S: Ops>(s: S, x: S::f32s) -> S::f32s {
    let small = small_half(s, s.neg_abs(x));
    s.select(s.lt(x, s.splat(0.0)), small, s.sub(s.splat(1.0), small))
}

/// `(sigmoid(x), sigmoid'(x))`; the derivative is the product of the two halves, so it does not cancel.
#[inline(always)]
pub(crate) fn sigmoid_and_slope<S: Ops>(s: S, x: S::f32s) -> (S::f32s, S::f32s) {
    let small = small_half(s, s.neg_abs(x));
    let large = s.sub(s.splat(1.0), small);
    (s.select(s.lt(x, s.splat(0.0)), small, large), s.mul(small, large))
}

/// The hyperbolic tangent: `u / (2 - u)` with `u = 1 - exp(-2|x|)` from the polynomial, which keeps tiny `x` exact.
#[inline(always)]
pub(crate) fn tanh<S: Ops>(s: S, x: S::f32s) -> S::f32s {
    let y = at_least(s, s.neg_abs(s.add(x, x)), -20.0);
    let (t, power) = exp_parts(s, y, s.splat(0.0));
    let u = s.fnma(power, t, s.sub(s.splat(1.0), power));
    s.with_sign_of(s.div(u, s.sub(s.splat(2.0), u)), x)
}

/// `(tanh(x), tanh'(x))`; the derivative is `4 e / (1 + e)^2` with `e = exp(-2|x|)`, so it does not cancel.
/// The value may differ from [`tanh`]'s in the last bit: one division serves both.
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
