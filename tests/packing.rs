//! After an optimizer's step weights are packed again, on the optimizer's pool where there are many: what comes out is what a
//! layer gives that was made with these weights. And the dense layer's backward over more rows than one block has, on pools.

mod common;

use common::problem::{DIRECTIONS, Problem, assert_same_bits, variants};
use common::random::SplitMix64;
use simdrnn::nn::{Dense, Optimizer, OptimizerConfig, SgdConfig};
use simdrnn::rnn::{DropoutPosition, Grads, RnnConfig, Session, Tape};
use simdrnn::{Isa, Pool};

fn optimizer(pool: Option<&Pool>) -> Optimizer {
    let mut optimizer = Optimizer::new(&OptimizerConfig::Sgd(SgdConfig { lr: 0.125, ..SgdConfig::default() })).unwrap();
    optimizer.set_pool(pool);
    optimizer.begin_step();
    optimizer
}

#[test]
fn recurrent_layers() {
    let pools = [2, 3].map(|threads| Pool::new(threads).unwrap());
    for isa in Isa::available() {
        for (i, (cell, projection)) in variants().into_iter().enumerate() {
            let mut config = RnnConfig::new(cell, 37, 400);
            config.direction = DIRECTIONS[i % 3];
            config.proj_size = if projection { 201 } else { 0 };
            let mut p = Problem::random(&mut SplitMix64::new(81), &config, 2, 3, None);
            assert!(p.params.len() > 150_000, "{}: too small for a pool", p.describe());
            let mut rnn = p.model(isa);
            let (mut session, mut tape) = (Session::new(), Tape::new());
            for pool in pools.iter().map(Some).chain([None]) {
                let what = format!("{} on {}, {pool:?}", p.describe(), isa.name());
                // Both forms are packed from here on.
                p.forward_train(&rnn, &mut session, &mut tape, DropoutPosition::default());
                p.backward(&rnn, &mut session, &tape);
                let mut grads = Grads::new(&rnn).unwrap();
                grads.values_mut().copy_from_slice(&p.params);
                rnn.optimize(&mut optimizer(pool), 0, &grads).unwrap();
                p.params.iter_mut().for_each(|v| *v = 0.125f32.mul_add(-*v, *v));
                assert_same_bits(rnn.values(), &p.params, &what);
                let (expected, gradients) = p.run(isa);
                let found = p.forward_train(&rnn, &mut session, &mut tape, DropoutPosition::default());
                found.assert_same_bits(&expected, &what);
                p.backward(&rnn, &mut session, &tape).assert_same_bits(&gradients, &what);
            }
        }
    }
}

/// The gradients by their definition: one chain of fused multiply-adds each, over the rows in their order.
#[test]
fn dense_layers() {
    let pools = [2, 3].map(|threads| Pool::new(threads).unwrap());
    let mut r = SplitMix64::new(82);
    for (rows, inputs, outputs, bias) in [(255, 9, 5, true), (257, 130, 67, true), (700, 61, 130, false)] {
        let (x, dy) = (r.values_f32(rows * inputs, 1.0), r.values_f32(rows * outputs, 1.0));
        let start = r.values_f32(inputs * outputs + if bias { outputs } else { 0 }, 1.0);
        let mut expected = start.clone();
        let (weight, of_bias) = expected.split_at_mut(inputs * outputs);
        for (x, dy) in x.chunks(inputs).zip(dy.chunks(outputs)) {
            for (row, d) in weight.chunks_mut(inputs).zip(dy) {
                row.iter_mut().zip(x).for_each(|(g, x)| *g = d.mul_add(*x, *g));
            }
            of_bias.iter_mut().zip(dy).for_each(|(g, d)| *g += d);
        }
        for isa in Isa::available() {
            let mut dense = Dense::with_isa(inputs, outputs, bias, isa).unwrap();
            dense.init(3);
            for pool in pools.iter().map(Some).chain([None]) {
                let what = format!("{rows} rows of {inputs}, {outputs} features on {}, {pool:?}", isa.name());
                let mut expected_dx = vec![0.0f32; rows * inputs];
                for (dx, dy) in expected_dx.chunks_mut(inputs).zip(dy.chunks(outputs)) {
                    for (row, d) in dense.weight().chunks(inputs).zip(dy) {
                        dx.iter_mut().zip(row).for_each(|(dx, w)| *dx = d.mul_add(*w, *dx));
                    }
                }
                let mut session = pool.map_or_else(Session::new, Session::with_pool);
                let (mut dx, mut grads) = (vec![f32::NAN; x.len()], start.clone());
                dense.backward(&mut session, &x, &dy, Some(&mut dx), Some(&mut grads)).unwrap();
                assert_same_bits(&grads, &expected, &format!("{what}: gradients"));
                assert_same_bits(&dx, &expected_dx, &format!("{what}: dx"));
                // Other weights, packed on the pool, serve the next backward and forward.
                let step: Vec<f32> = dense.values().to_vec();
                dense.optimize(&mut optimizer(pool), 0, &step).unwrap();
                let mut same = Dense::with_isa(inputs, outputs, bias, isa).unwrap();
                same.update(|values| values.copy_from_slice(dense.values()));
                let ys = [&dense, &same].map(|dense| {
                    let mut y = vec![f32::NAN; dy.len()];
                    dense.forward(None, &x, &mut y).unwrap();
                    y
                });
                assert_same_bits(&ys[0], &ys[1], &format!("{what}: forward after a step"));
            }
        }
    }
}
