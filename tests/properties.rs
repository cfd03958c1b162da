//! Laws that hold for every configuration, tried on random ones; a shape that breaks one is shrunk to the smallest that
//! does. The generator's seed is fixed: every run tries the same shapes.

mod common;

use std::cell::Cell;
use std::collections::BTreeMap;

use common::problem::{DIRECTIONS, Gradients, Outputs, Problem, assert_same_bits, random_lengths, variants};
use common::random::SplitMix64;
use common::{bounds::U, widen};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use simdrnn::Isa;
use simdrnn::io::LoadOptions;
use simdrnn::io::safetensors::{TensorFile, TensorWriter};
use simdrnn::rnn::{BackwardArgs, Direction, DropoutPosition, Grads, Rnn, RnnConfig, Session, Tape, TruncatedBptt};

/// What a problem is made of, its numbers from `seed`.
#[derive(Clone, Debug)]
struct Shape {
    variant: usize,
    direction: usize,
    layers: usize,
    input: usize,
    hidden: usize,
    batch: usize,
    steps: usize,
    /// Bias, batch first, lengths differ, small states are flushed.
    flags: (bool, bool, bool, bool),
    seed: u64,
}

fn shapes() -> impl Strategy<Value = Shape> {
    let sizes = (0..variants().len(), 0..3usize, 1..=3usize, 1..=20usize, 1..=35usize, 1..=6usize, 0..=8usize);
    (sizes, any::<(bool, bool, bool, bool)>(), any::<u64>()).prop_map(|(sizes, flags, seed)| {
        let (variant, direction, layers, input, hidden, batch, steps) = sizes;
        Shape { variant, direction, layers, input, hidden, batch, steps, flags, seed }
    })
}

impl Shape {
    fn problem(&self) -> Problem {
        let mut r = SplitMix64::new(self.seed);
        let (cell, projection) = variants()[self.variant];
        let mut config = RnnConfig::new(cell, self.input, self.hidden);
        (config.num_layers, config.direction) = (self.layers, DIRECTIONS[self.direction]);
        (config.bias, config.batch_first, _, config.flush_small_states) = self.flags;
        if projection && self.hidden > 1 {
            config.proj_size = r.between(1, self.hidden - 1);
        }
        let lengths = self.flags.2.then(|| random_lengths(&mut r, self.batch, self.steps));
        Problem::random(&mut r, &config, self.batch, self.steps, lengths)
    }
}

/// Tries `law` on `cases` shapes; the first shape that breaks it, shrunk, is the error.
fn try_shapes(cases: u32, law: impl Fn(&Shape) -> Result<(), TestCaseError>) -> Result<(), TestError<Shape>> {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2000, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    runner.run(&shapes(), |shape| law(&shape))
}

/// Asserts `law` for the problems that `change` makes of random shapes, on every instruction set.
fn for_all(name: &str, change: impl Fn(&mut Shape), law: impl Fn(&Problem, Isa, &str)) {
    let ran = Cell::new(BTreeMap::new());
    let result = try_shapes(64, |shape| {
        let mut shape = shape.clone();
        change(&mut shape);
        let p = shape.problem();
        for isa in Isa::available() {
            // `Problem::model` asserts that the model is for it.
            law(&p, isa, &format!("{} on {}", p.describe(), isa.name()));
            let mut counts = ran.take();
            *counts.entry(isa.name()).or_insert(0) += 1;
            ran.set(counts);
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{name}: {error}");
    }
    println!("{name}: shapes {:?}", ran.take());
}

fn one_way(shape: &mut Shape) {
    shape.direction %= 2;
}

/// The generator reaches what it should, and shrinks to the smallest shape that fails.
#[test]
fn failures_are_shrunk() {
    for (what, fails) in [
        ("hidden", (|s: &Shape| s.hidden > 8) as fn(&Shape) -> bool),
        ("batch and steps", |s| s.batch > 1 && s.steps > 2 && s.flags.2),
        ("bidirectional projection", |s| s.variant + 1 == variants().len() && s.direction == 2),
    ] {
        let law = |s: &Shape| if fails(s) { Err(TestCaseError::fail("as wanted")) } else { Ok(()) };
        let Err(TestError::Fail(_, s)) = try_shapes(64, law) else { panic!("{what}: never reached") };
        let found = (s.variant, s.direction, s.layers, s.input, s.hidden, s.batch, s.steps, s.flags, s.seed);
        let off = (false, false, false, false);
        let expected = match what {
            "hidden" => (0, 0, 1, 1, 9, 1, 0, off, 0),
            "batch and steps" => (0, 0, 1, 1, 1, 2, 3, (false, false, true, false), 0),
            _ => (variants().len() - 1, 2, 1, 1, 1, 1, 0, off, 0),
        };
        assert_eq!(found, expected, "{what}");
    }
}

/// Half number `which` of `values`, whose first axis is passes.
fn half(values: &[f32], which: usize) -> Vec<f32> {
    values[which * values.len() / 2..][..values.len() / 2].to_vec()
}

#[test]
fn both_directions_are_two_one_way_runs() {
    let change = |shape: &mut Shape| (shape.layers, shape.direction) = (1, 2);
    for_all("both directions", change, |p, isa, what| {
        let (out, gradients) = p.run(isa);
        let state = p.config.state_size();
        let part = |values: &[f32], which: usize| -> Vec<f32> {
            values.chunks(2 * state).flat_map(|row| row[which * state..][..state].to_vec()).collect()
        };
        let runs = [Direction::Forward, Direction::Reverse].map(|direction| {
            let which = direction as usize;
            let mut one = p.clone();
            one.config.direction = direction;
            (one.params, one.dy) = (half(&p.params, which), part(&p.dy, which));
            (one.h0, one.c0) = (half(&p.h0, which), half(&p.c0, which));
            (one.dhn, one.dcn) = (half(&p.dhn, which), half(&p.dcn, which));
            let (found, mut found_gradients) = one.run(isa);
            let expected = Outputs { y: part(&out.y, which), hn: half(&out.hn, which), cn: half(&out.cn, which) };
            found.assert_same_bits(&expected, &format!("{what}, {direction:?}"));
            let dx = std::mem::take(&mut found_gradients.dx);
            let expected = Gradients {
                dx: vec![],
                dh0: half(&gradients.dh0, which),
                dc0: half(&gradients.dc0, which),
                params: half(&gradients.params, which),
            };
            found_gradients.assert_same_bits(&expected, &format!("{what}, {direction:?}"));
            dx
        });
        let sum: Vec<f32> = runs[0].iter().zip(&runs[1]).map(|(a, b)| a + b).collect();
        assert_same_bits(&gradients.dx, &sum, &format!("{what}: dx"));
    });
}

/// The rows of `values` with each sequence turned around within its length.
fn turned(p: &Problem, values: &[f32], features: usize) -> Vec<f32> {
    let mut out = values.to_vec();
    for b in 0..p.batch {
        for t in 0..p.length(b) {
            let from = p.row(p.length(b) - 1 - t, b, features);
            out[p.row(t, b, features)].copy_from_slice(&values[from]);
        }
    }
    out
}

#[test]
fn the_other_direction_over_turned_sequences_is_the_same() {
    for_all("turned", one_way, |p, isa, what| {
        let (out, mut gradients) = p.run(isa);
        let (input, output) = (p.config.input_size, p.config.output_size());
        let mut other = Problem { x: turned(p, &p.x, input), dy: turned(p, &p.dy, output), ..p.clone() };
        other.config.direction =
            if p.config.direction == Direction::Forward { Direction::Reverse } else { Direction::Forward };
        let (found, mut found_gradients) = other.run(isa);
        Outputs { y: turned(p, &found.y, output), ..found }.assert_same_bits(&out, what);
        found_gradients.dx = turned(p, &found_gradients.dx, input);
        if p.lengths.is_some() {
            // Which sequences have a row at a step changes, and with it the order of a weight's sum.
            (gradients.params, found_gradients.params) = (vec![], vec![]);
        }
        found_gradients.assert_same_bits(&gradients, what);
    });
}

/// Layer `layer` of a stack, but for its inputs and the gradients of its outputs.
fn layer_of(p: &Problem, layer: usize) -> Problem {
    let layers = p.config.num_layers;
    let states = |values: &[f32]| values[layer * values.len() / layers..][..values.len() / layers].to_vec();
    let specs = p.config.param_specs().unwrap();
    let own = specs.iter().filter(|spec| spec.layer == layer);
    Problem {
        config: RnnConfig { input_size: p.config.layer_input_size(layer), num_layers: 1, ..p.config.clone() },
        params: own.flat_map(|spec| p.params[spec.range()].to_vec()).collect(),
        h0: states(&p.h0),
        c0: states(&p.c0),
        dhn: states(&p.dhn),
        dcn: states(&p.dcn),
        ..p.clone()
    }
}

#[test]
fn a_stack_is_its_layers_one_on_another() {
    for_all(
        "stacks",
        |shape| shape.layers = shape.layers.max(2),
        |p, isa, what| {
            let mut layers: Vec<Problem> = (0..p.config.num_layers).map(|l| layer_of(p, l)).collect();
            let (mut found, mut x) = (Outputs { y: vec![], hn: vec![], cn: vec![] }, p.x.clone());
            for layer in &mut layers {
                layer.x = x;
                let out = layer.forward(&layer.model(isa), &mut Session::new());
                found.hn.extend(&out.hn);
                found.cn.extend(&out.cn);
                x = out.y;
            }
            found.y = x;
            let (out, gradients) = p.run(isa);
            found.assert_same_bits(&out, what);
            let mut parts = vec![];
            let mut dy = p.dy.clone();
            for layer in layers.iter_mut().rev() {
                layer.dy = dy;
                let (_, gradients) = layer.run(isa);
                dy = gradients.dx.clone();
                parts.insert(0, gradients);
            }
            let all = |of: fn(&Gradients) -> &Vec<f32>| parts.iter().flat_map(|g| of(g).clone()).collect();
            let found = Gradients { dx: dy, dh0: all(|g| &g.dh0), dc0: all(|g| &g.dc0), params: all(|g| &g.params) };
            found.assert_same_bits(&gradients, what);
        },
    );
}

/// A one-way problem in pieces that end at `cuts`: forward with the states carried on, then backward, the last piece
/// first, with the gradients of the states carried back. Each piece's backward adds to `grads`, which `look` sees.
fn in_pieces(
    p: &Problem,
    rnn: &Rnn,
    cuts: &[usize],
    grads: &mut Grads,
    mut look: impl FnMut(&mut Grads),
) -> (Outputs, Gradients) {
    let mut session = Session::new();
    let mut pieces = vec![];
    for end in 0..cuts.len() {
        pieces.push((if end == 0 { 0 } else { cuts[end - 1] }, cuts[end], Tape::new()));
    }
    if p.config.direction == Direction::Reverse {
        pieces.reverse();
    }
    let mut out = Outputs { y: vec![f32::NAN; p.dy.len()], hn: p.h0.clone(), cn: p.c0.clone() };
    for (start, end, tape) in &mut pieces {
        let piece = Problem { h0: out.hn, c0: out.cn, ..p.steps(*start, *end) };
        let one = piece.forward_train(rnn, &mut session, tape, DropoutPosition::default());
        p.put_rows(&mut out.y, p.config.output_size(), *start, &one.y);
        (out.hn, out.cn) = (one.hn, one.cn);
    }
    let mut back = Gradients { dx: vec![f32::NAN; p.x.len()], dh0: p.dhn.clone(), dc0: p.dcn.clone(), params: vec![] };
    for (start, end, tape) in pieces.iter().rev() {
        let piece = p.steps(*start, *end);
        let (mut dx, mut dh0, mut dc0) = (vec![f32::NAN; piece.x.len()], back.dh0.clone(), back.dc0.clone());
        let args = BackwardArgs {
            dy: Some(&piece.dy),
            dhn: Some(&back.dh0),
            dcn: p.is_lstm().then_some(&back.dc0[..]),
            dx: Some(&mut dx),
            dh0: Some(&mut dh0),
            dc0: p.is_lstm().then_some(&mut dc0[..]),
        };
        rnn.backward(&mut session, tape, args, Some(grads), None).unwrap();
        look(grads);
        p.put_rows(&mut back.dx, p.config.input_size, *start, &dx);
        (back.dh0, back.dc0) = (dh0, dc0);
    }
    (out, back)
}

/// Backward adds to the gradients it is given by going on with each sum, so that a sequence's pieces, the last one
/// first, give the bits of the whole.
#[test]
fn accumulating_over_pieces_is_the_whole() {
    let change = |shape: &mut Shape| {
        one_way(shape);
        // Sequences that a cut makes equally long would change places within a step.
        shape.flags.2 = false;
    };
    for_all("pieces", change, |p, isa, what| {
        let rnn = p.model(isa);
        let (out, gradients) = p.run(isa);
        let mut r = SplitMix64::new(p.params.len() as u64);
        let mut cuts: Vec<usize> = (0..r.between(0, 3)).map(|_| r.between(0, p.seq_len)).collect();
        cuts.push(p.seq_len);
        cuts.sort_unstable();
        let mut grads = Grads::new(&rnn).unwrap();
        let (found, mut back) = in_pieces(p, &rnn, &cuts, &mut grads, |_| ());
        let what = format!("{what}, cut at {cuts:?}");
        found.assert_same_bits(&out, &what);
        back.params = grads.values().to_vec();
        back.assert_same_bits(&gradients, &what);
    });
}

/// A batch of any lengths is its sequences, each alone and step by step: the same bits, and gradients of weights that
/// are the sums over all steps, whose order is another.
#[test]
fn gradients_are_sums_over_sequences_and_steps() {
    for_all("sums", one_way, |p, isa, what| {
        let rnn = p.model(isa);
        let (out, gradients) = p.run(isa);
        let mut grads = Grads::new(&rnn).unwrap();
        let (mut sum, mut magnitude, mut terms) = (vec![0f64; p.params.len()], vec![0f64; p.params.len()], 0);
        for b in 0..p.batch {
            let alone = p.select(&[b], p.length(b));
            let cuts: Vec<usize> = (1..=alone.seq_len).collect();
            let (found, back) = in_pieces(&alone, &rnn, &cuts, &mut grads, |grads| {
                for ((sum, magnitude), term) in sum.iter_mut().zip(&mut magnitude).zip(widen(grads.values())) {
                    *sum += term;
                    *magnitude += term.abs();
                }
                terms += 1;
                grads.zero();
            });
            let what = format!("{what}, sequence {b} step by step");
            alone.outputs_of(&found, 0).assert_same_bits(&p.outputs_of(&out, b), &what);
            alone.gradients_of(&back, 0).assert_same_bits(&p.gradients_of(&gradients, b), &what);
        }
        // A chain of n roundings is off by at most n u, relative to the sum of its terms' magnitudes, and each term here
        // by one rounding; n u is far from 1, so that its square does not matter, nor do the roundings in f64: 1 % pays
        // for both. Below the smallest normal number roundings are absolute.
        let n = f64::from(terms + 1);
        for (i, &found) in gradients.params.iter().enumerate() {
            let bound = 1.01 * n * (U * magnitude[i] + f64::from(f32::from_bits(1)));
            let difference = (f64::from(found) - sum[i]).abs();
            assert!(difference <= bound, "{what}: weight {i} is {found}, expected {} within {bound:e}", sum[i]);
        }
    });
}

/// Truncated backpropagation is full backpropagation over the last `k2` steps whose loss sees the newest `k1`: over the
/// whole sequence where the window reaches so far. Dropout goes on where it was.
#[test]
fn truncated_is_full_over_its_window() {
    let change = |shape: &mut Shape| {
        (shape.direction, shape.flags.2) = (0, false);
        shape.steps = shape.steps.max(1);
    };
    let whole = Cell::new(0);
    for_all("truncated", change, |p, isa, what| {
        let mut r = SplitMix64::new(p.params.len() as u64);
        let k1 = r.between(1, p.seq_len + 1);
        let k2 = k1 * r.between(1, p.seq_len.div_ceil(k1));
        let mut p = p.clone();
        p.config.dropout = if p.config.num_layers > 1 { 0.3 } else { 0.0 };
        p.h0.fill(0.0);
        p.c0.fill(0.0);
        let (rnn, seed) = (p.model(isa), 99);
        let (mut session, mut tape) = (Session::new(), Tape::new());
        let mut bptt = TruncatedBptt::new(&rnn, p.batch, k1, k2).unwrap();
        // The states before each chunk.
        let mut states = vec![(p.h0.clone(), p.c0.clone())];
        for start in (0..p.seq_len).step_by(k1) {
            let end = (start + k1).min(p.seq_len);
            let chunk = p.steps(start, end);
            let (mut y, mut dx) = (vec![f32::NAN; chunk.dy.len()], vec![f32::NAN; chunk.x.len()]);
            let mut grads = Grads::new(&rnn).unwrap();
            bptt.forward(&rnn, &mut session, end - start, &chunk.x, Some(&mut y), seed).unwrap();
            bptt.backward(&rnn, &mut session, &chunk.dy, Some(&mut dx), &mut grads).unwrap();

            let first = (start + k1).saturating_sub(k2);
            whole.set(whole.get() + usize::from(first == 0 && end == p.seq_len));
            let (h0, c0) = states[first / k1].clone();
            let mut window = Problem { h0, c0, ..p.steps(first, end) };
            window.dhn.fill(0.0);
            window.dcn.fill(0.0);
            window.dy.fill(0.0);
            let mut dy = std::mem::take(&mut window.dy);
            window.put_rows(&mut dy, p.config.output_size(), start - first, &chunk.dy);
            window.dy = dy;
            let position = DropoutPosition { seed, first_step: first as u32, ..DropoutPosition::default() };
            let out = window.forward_train(&rnn, &mut session, &mut tape, position);
            let expected = window.backward(&rnn, &mut session, &tape);
            let what = format!("{what}, k1 {k1}, k2 {k2}, step {start}");
            let last = |values: &[f32], features| window.rows(values, features, start - first, end - first);
            assert_same_bits(&y, &last(&out.y, p.config.output_size()), &format!("{what}: y"));
            assert_same_bits(bptt.hidden(), &out.hn, &format!("{what}: hidden"));
            assert_same_bits(&dx, &last(&expected.dx, p.config.input_size), &format!("{what}: dx"));
            assert_same_bits(grads.values(), &expected.params, &format!("{what}: weights"));
            states.push((out.hn, out.cn));
        }
    });
    println!("truncated: {} windows over whole sequences", whole.get());
    assert!(whole.get() > 30);
}

/// Weights of any finite bits come back from a file as they were, under any prefix, and compute the same.
#[test]
fn what_was_saved_is_loaded() {
    let path = std::env::temp_dir().join(format!("simdrnn-properties-{}.safetensors", std::process::id()));
    for_all(
        "saved",
        |_| (),
        |p, isa, what| {
            let mut p = p.clone();
            let special = [-0.0, f32::from_bits(1), -f32::MIN_POSITIVE, f32::MAX, -f32::MAX];
            let mut r = SplitMix64::new(p.params.len() as u64);
            for value in special {
                let at = r.between(0, p.params.len() - 1);
                p.params[at] = value;
            }
            let rnn = p.model(isa);
            let mut writer = TensorWriter::new();
            rnn.write_params(&mut writer, "a.").unwrap();
            let other = Problem { params: p.params.iter().map(|v| -v).collect(), ..p.clone() }.model(isa);
            other.write_params(&mut writer, "").unwrap();
            writer.save(&path).unwrap();
            let file = TensorFile::open(&path).unwrap();
            for (saved, prefix) in [(rnn, "a."), (other, "")] {
                let mut loaded = Rnn::with_isa(&p.config, isa).unwrap();
                loaded.read_params(&file, prefix, &LoadOptions::default()).unwrap();
                assert_same_bits(loaded.values(), saved.values(), &format!("{what}: weights of '{prefix}'"));
                let expected = p.forward(&saved, &mut Session::new());
                p.forward(&loaded, &mut Session::new()).assert_same_bits(&expected, &format!("{what}: '{prefix}'"));
            }
        },
    );
    std::fs::remove_file(path).unwrap();
}
