//! The activations against f64: worst errors, monotone, special values, the same bits on every instruction set.

use super::*;
use crate::simd::{Isa, Kernel, dispatch};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Function {
    Exp,
    Tanh,
    Sigmoid,
    TanhGate,
    SigmoidGate,
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
                    Tanh => super::Tanh::begin(s, v).finish(s),
                    Sigmoid => sigmoid(s, v),
                    TanhGate => gate::tanh(s, v),
                    SigmoidGate => gate::sigmoid(s, v),
                    TanhSlope => {
                        let terms = gate::tangent_slope(s, v);
                        terms.with(s, gate::reciprocal(s, terms.d)).1
                    }
                    SigmoidSlope => {
                        let terms = gate::logistic_slope(s, v);
                        terms.with(s, gate::reciprocal(s, terms.d)).2
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
        Tanh | TanhGate => x.tanh(),
        Sigmoid | SigmoidGate => {
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
    if got.is_nan() {
        return f64::INFINITY;
    }
    let near = want as f32;
    if near.is_infinite() || got.is_infinite() {
        return if got == near { 0.0 } else { f64::INFINITY };
    }
    let a = near.abs().max(f32::MIN_POSITIVE);
    let unit = f64::from(f32::from_bits(a.to_bits() & 0x7f80_0000)) * 2f64.powi(-23);
    (f64::from(got) - want).abs() / unit
}

/// What docs/accuracy.md promises, in units of the last place.
fn bound(function: Function) -> f64 {
    match function {
        Exp | Tanh | Sigmoid => 1.0,
        TanhGate => 3.0,
        SigmoidGate => 3.0,
        TanhSlope => 6.0,
        SigmoidSlope => 5.0,
    }
}

/// What the sweep reaches, and no more than a hundredth beyond it: a formula with a term less would pass the promised bounds.
fn bound_of_sweep(function: Function) -> f64 {
    match function {
        Exp => 0.865,
        Tanh => 0.82,
        Sigmoid => 0.87,
        TanhGate => 2.48,
        SigmoidGate => 2.33,
        TanhSlope => 4.96,
        SigmoidSlope => 4.15,
    }
}

/// Every 1021st bit pattern of both signs (a prime, so that all low bits occur), NaN left out.
fn sweep() -> Vec<f32> {
    let mut x: Vec<f32> =
        (0..0x7f80_0000u32).step_by(1021).flat_map(|b| [f32::from_bits(b), f32::from_bits(b | 0x8000_0000)]).collect();
    x.truncate(x.len() / 16 * 16);
    x
}

#[test]
fn worst_errors_over_a_dense_sweep() {
    let x = sweep();
    let isa = Isa::available().last().unwrap();
    for function in ALL {
        let y = apply(isa, function, &x);
        let (mut worst, mut at) = (0.0, 0.0);
        for (&x, &y) in x.iter().zip(&y) {
            let e = ulp(y, exact(function, x));
            if e > worst {
                (worst, at) = (e, x);
            }
        }
        println!("{function:?}: {worst:.3} ulp at {at:e}");
        assert!(worst <= bound_of_sweep(function), "{function:?}: {worst} ulp at {at:e}");
    }
}

#[test]
fn same_bits_on_every_isa() {
    let mut x = sweep();
    for special in [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -f32::NAN, 88.722, -103.98, 1e-45, -1e-45] {
        x.extend([special; 16]);
    }
    for function in ALL {
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
        // A gate has to close and to open wholly, or a carried state would fade.
        for (f, x, want) in [
            (SigmoidGate, 18.0, 1.0f32),
            (SigmoidGate, 1e30, 1.0),
            (SigmoidGate, inf, 1.0),
            (SigmoidGate, -106.0, 0.0),
            (SigmoidGate, -1e30, 0.0),
            (SigmoidGate, -inf, 0.0),
            (SigmoidGate, 0.0, 0.5),
            (TanhGate, 10.0, 1.0),
            (TanhGate, inf, 1.0),
            (TanhGate, -10.0, -1.0),
            (TanhGate, -inf, -1.0),
            (TanhGate, -0.0, -0.0),
            (TanhGate, 1e-30, 1e-30),
            (TanhSlope, 0.0, 1.0),
            (TanhSlope, -0.0, 1.0),
            (TanhSlope, 1e-30, 1.0),
            (SigmoidSlope, 0.0, 0.25),
            (SigmoidSlope, -0.0, 0.25),
        ] {
            assert_eq!(one(f, x).to_bits(), want.to_bits(), "{f:?}({x:e}) is {:e}", one(f, x));
        }
        assert!(one(SigmoidGate, -80.0) > 0.0 && one(SigmoidGate, 10.0) < 1.0 && one(TanhGate, 5.0) < 1.0);
        for f in ALL {
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

const ALL: [Function; 7] = [Exp, Tanh, Sigmoid, TanhGate, SigmoidGate, TanhSlope, SigmoidSlope];

/// What the exhaustive test found out about one function on a range of bit patterns.
#[derive(Clone, Copy, Default)]
struct Found {
    worst: f64,
    at: f32,
    falls: u64,
    beyond_one: u64,
}

/// Bit patterns `first .. first + CHUNK`, and the one after them to see whether the function rises across the border.
const CHUNK: usize = 1 << 16;

fn examine(function: Function, first: u32, isas: &[Isa]) -> Found {
    let x: Vec<f32> = (0..CHUNK + 16).map(|i| f32::from_bits(first.wrapping_add(i as u32))).collect();
    let (&best, others) = isas.split_last().unwrap();
    let y = apply(best, function, &x);
    for &isa in others {
        // One software multiply-add takes as long as a vector: scalar gets every 32nd stretch.
        let part = if isa == Isa::Scalar { CHUNK / 32 } else { CHUNK };
        let start = first as usize / CHUNK * part % CHUNK;
        let z = apply(isa, function, &x[start..start + part]);
        for (i, z) in z.iter().enumerate() {
            let (x, y) = (x[start + i], y[start + i]);
            assert!(z.to_bits() == y.to_bits() || (z.is_nan() && y.is_nan()), "{function:?}({x:e}) on {}", isa.name());
        }
    }
    let mut found = Found::default();
    let rises = matches!(function, Exp | Tanh | Sigmoid);
    for i in 0..CHUNK {
        if x[i].is_nan() {
            assert!(y[i].is_nan(), "{function:?} of NaN is {:e}", y[i]);
            continue;
        }
        let error = ulp(y[i], exact(function, x[i]));
        if error > found.worst {
            (found.worst, found.at) = (error, x[i]);
        }
        found.beyond_one += u64::from(!matches!(function, Exp | TanhSlope) && y[i].abs() > 1.0);
        let falls = if x[i].is_sign_positive() { y[i] > y[i + 1] } else { y[i] < y[i + 1] };
        found.falls += u64::from(rises && falls && !x[i + 1].is_nan() && x[i].signum() == x[i + 1].signum());
    }
    found
}

/// Every one of the 2^32 inputs.
fn exhaust(function: Function) {
    use std::sync::atomic::{AtomicU32, Ordering};
    let isas: Vec<Isa> = Isa::available().collect();
    let next = AtomicU32::new(0);
    let work = || {
        let mut all = Found::default();
        loop {
            let chunk = next.fetch_add(1, Ordering::Relaxed);
            if chunk as usize >= (1 << 32) / CHUNK {
                return all;
            }
            let found = examine(function, chunk * CHUNK as u32, &isas);
            if found.worst > all.worst {
                (all.worst, all.at) = (found.worst, found.at);
            }
            all.falls += found.falls;
            all.beyond_one += found.beyond_one;
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let found: Vec<Found> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|w| w.join().unwrap()).collect()
    });
    let (falls, beyond) = found.iter().fold((0, 0), |(a, b), f| (a + f.falls, b + f.beyond_one));
    let worst = found.iter().max_by(|a, b| a.worst.total_cmp(&b.worst)).unwrap();
    println!("{function:?}: {:.3} ulp at {:e}; falls {falls} times; {beyond} beyond 1", worst.worst, worst.at);
    assert!(falls == 0 && beyond == 0 && worst.worst <= bound(function), "{function:?}");
}

macro_rules! exhaustive {
    ($($name:ident $function:expr;)*) => {$(
        #[test]
        #[ignore = "takes minutes"]
        fn $name() {
            exhaust($function);
        }
    )*};
}

exhaustive! {
    every_input_of_exp Exp;
    every_input_of_tanh Tanh;
    every_input_of_sigmoid Sigmoid;
    every_input_of_tanh_gate TanhGate;
    every_input_of_sigmoid_gate SigmoidGate;
    every_input_of_tanh_slope TanhSlope;
    every_input_of_sigmoid_slope SigmoidSlope;
}
