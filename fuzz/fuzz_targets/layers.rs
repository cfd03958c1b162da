//! Random layers: every instruction set and a pool against the scalar path by bits, and the equations in f64.
#![no_main]

#[allow(dead_code)]
#[path = "../../tests/common"]
mod common {
    pub mod bounds;
    pub mod problem;
    pub mod random;
    pub mod reference;

    pub fn widen(values: &[f32]) -> Vec<f64> {
        values.iter().map(|&v| f64::from(v)).collect()
    }
}

use arbitrary::Arbitrary;
use common::bounds::{forward_bound, time_major, user_layout};
use common::problem::{DIRECTIONS, Problem, random_lengths, variants};
use common::random::SplitMix64;
use common::widen;
use libfuzzer_sys::fuzz_target;
use simdrnn::Isa;
use common::reference::{self, Inputs, Weights};
use simdrnn::rnn::{RnnConfig, Session};

#[derive(Arbitrary, Debug)]
struct Shape {
    seed: u64,
    variant: u8,
    direction: u8,
    layers: u8,
    input: u8,
    hidden: u8,
    projection: u8,
    batch: u8,
    steps: u8,
    flags: u8,
}

fuzz_target!(|shape: Shape| {
    let mut r = SplitMix64::new(shape.seed);
    let (cell, projection) = variants()[usize::from(shape.variant) % variants().len()];
    let hidden = 1 + usize::from(shape.hidden) % 70;
    let mut config = RnnConfig::new(cell, 1 + usize::from(shape.input) % 40, hidden);
    config.direction = DIRECTIONS[usize::from(shape.direction) % 3];
    config.num_layers = 1 + usize::from(shape.layers) % 3;
    (config.bias, config.batch_first) = (shape.flags & 1 > 0, shape.flags & 2 > 0);
    if projection && hidden > 1 {
        config.proj_size = 1 + usize::from(shape.projection) % (hidden - 1);
    }
    let (batch, steps) = (1 + usize::from(shape.batch) % 20, usize::from(shape.steps) % 12);
    let lengths = (shape.flags & 4 > 0).then(|| random_lengths(&mut r, batch, steps));
    let p = Problem::random(&mut r, &config, batch, steps, lengths);
    let (out, gradients) = p.run(Isa::Scalar);
    for isa in Isa::available() {
        let what = format!("{} on {}", p.describe(), isa.name());
        let (found, found_gradients) = p.run(isa);
        found.assert_same_bits(&out, &what);
        found_gradients.assert_same_bits(&gradients, &what);
        p.forward(&p.model(isa), &mut Session::new()).assert_same_bits(&out, &what);
    }
    let (weights, x) = (Weights::from_f32(&p.params), time_major(&p, &p.x, config.input_size));
    let (h0, c0) = (widen(&p.h0), widen(&p.c0));
    let inputs = Inputs {
        lengths: p.lengths.as_deref(),
        h0: Some(&h0),
        c0: p.is_lstm().then_some(&c0[..]),
        ..Inputs::new(&x, batch, steps)
    };
    let expected = user_layout(&p, &reference::forward(&config, &weights, &inputs).y, config.output_size());
    let scale = expected.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    // Millions of shapes meet rarer sums of roundings than the tests' few hundred.
    let bound = 2.0 * forward_bound(&p) * scale;
    for (i, (found, expected)) in widen(&out.y).iter().zip(&expected).enumerate() {
        assert!((found - expected).abs() <= bound, "{}: y[{i}] is {found}, expected {expected}", p.describe());
    }
});
