//! Truncated backpropagation through time against hand-made backpropagation, by bits; against full backpropagation it is
//! in `tests/properties.rs`.

mod common;

use common::bounds::backward_bound;
use common::problem::{DIRECTIONS, Problem, assert_same_bits, variants};
use common::random::SplitMix64;
use common::reference::cells::{Step, step, step_backward};
use common::reference::params::PassParams;
use common::{relative_error, widen};
use simdrnn::nn::{Optimizer, OptimizerConfig, SgdConfig};
use simdrnn::rnn::{
    BackwardArgs, Batch, Cell, Direction, DropoutPosition, ForwardArgs, Grads, Rnn, RnnConfig, Session, Tape,
    TruncatedBptt,
};
use simdrnn::{ErrorKind, Isa};

const BATCH: usize = 3;

/// Two layers of each cell, time-major and batch first in turn, from zero states, with dropout in some.
fn problems(seq_len: usize) -> Vec<Problem> {
    let mut r = SplitMix64::new(31);
    let mut all = Vec::new();
    for (i, (cell, projection)) in variants().into_iter().enumerate() {
        let mut config = RnnConfig::new(cell, 5, 17);
        config.num_layers = 2;
        config.batch_first = i % 2 == 1;
        config.proj_size = if projection { 6 } else { 0 };
        config.dropout = if i % 3 == 0 { 0.3 } else { 0.0 };
        let mut p = Problem::random(&mut r, &config, BATCH, seq_len, None);
        p.h0.fill(0.0);
        p.c0.fill(0.0);
        all.push(p);
    }
    all
}

fn cut_x(p: &Problem, start: usize, end: usize) -> Vec<f32> {
    p.rows(&p.x, p.config.input_size, start, end)
}

fn cut_dy(p: &Problem, start: usize, end: usize) -> Vec<f32> {
    p.rows(&p.dy, p.config.output_size(), start, end)
}

const SEED: u64 = 99;

fn for_each(seq_len: usize, check: impl Fn(&Problem, Isa, &str)) {
    for isa in Isa::available() {
        for p in problems(seq_len) {
            check(&p, isa, &format!("{} on {}", p.describe(), isa.name()));
        }
    }
}

/// k1 = k2: consecutive chunks with carried, detached states, an update after each; short ones in the middle and at the end.
#[test]
fn chunks_are_those_made_by_hand() {
    let cuts = [(0, 4), (4, 5), (5, 9), (9, 10)];
    for_each(10, |p, isa, what| {
        let sgd = OptimizerConfig::Sgd(SgdConfig { lr: 0.05, ..SgdConfig::default() });
        let lstm = p.is_lstm();

        let mut rnn = p.model(isa);
        let mut optimizer = Optimizer::new(&sgd).unwrap();
        let (mut session, mut tape) = (Session::new(), Tape::new());
        let (mut h, mut c) = (p.h0.clone(), p.c0.clone());
        let mut expected = Vec::new();
        for (start, end) in cuts {
            let (x, dy) = (cut_x(p, start, end), cut_dy(p, start, end));
            let (mut y, mut dx) = (vec![f32::NAN; dy.len()], vec![f32::NAN; x.len()]);
            let (mut hn, mut cn) = (h.clone(), c.clone());
            let args = ForwardArgs {
                x: &x,
                tokens: None,
                h0: Some(&h),
                c0: lstm.then_some(&c[..]),
                y: Some(&mut y),
                hn: Some(&mut hn),
                cn: lstm.then_some(&mut cn[..]),
                ..ForwardArgs::default()
            };
            let position = DropoutPosition { seed: SEED, first_step: start as u32, ..DropoutPosition::default() };
            rnn.forward_train(&mut session, &mut tape, &Batch::new(BATCH, end - start), args, position).unwrap();
            (h, c) = (hn, cn);
            let mut grads = Grads::new(&rnn).unwrap();
            let args = BackwardArgs { dy: Some(&dy), dx: Some(&mut dx), ..BackwardArgs::default() };
            rnn.backward(&mut session, &tape, args, Some(&mut grads), None).unwrap();
            optimizer.begin_step();
            rnn.update(|values| optimizer.update(0, values, grads.values()).unwrap());
            expected.push([y, dx, grads.values().to_vec(), h.clone()]);
        }

        let mut found_rnn = p.model(isa);
        let mut optimizer = Optimizer::new(&sgd).unwrap();
        let mut bptt = TruncatedBptt::new(&found_rnn, BATCH, 4, 4).unwrap();
        for (i, expected) in expected.iter().enumerate() {
            let (start, end) = cuts[i];
            let (x, dy) = (cut_x(p, start, end), cut_dy(p, start, end));
            let (mut y, mut dx) = (vec![f32::NAN; dy.len()], vec![f32::NAN; x.len()]);
            let mut grads = Grads::new(&found_rnn).unwrap();
            bptt.forward(&found_rnn, &mut session, end - start, &x, Some(&mut y), SEED).unwrap();
            bptt.backward(&found_rnn, &mut session, &dy, Some(&mut dx), &mut grads).unwrap();
            optimizer.begin_step();
            found_rnn.update(|values| optimizer.update(0, values, grads.values()).unwrap());
            let found = [y, dx, grads.values().to_vec(), bptt.hidden().to_vec()];
            for (name, (a, b)) in ["y", "dx", "weights", "hidden"].iter().zip(found.iter().zip(expected)) {
                assert_same_bits(a, b, &format!("{what}, chunk {i}: {name}"));
            }
        }
        assert_same_bits(found_rnn.values(), rnn.values(), &format!("{what}: trained weights"));
        assert_ne!(rnn.values(), &p.params[..], "{what}: nothing was trained");
    });
}

/// Chunk lengths of the two tests below; the second chunk's errors are never propagated.
const STEPS: [usize; 4] = [2, 1, 2, 2];
const SKIPPED: usize = 1;

/// Errors of a chunk that nobody propagated are skipped, and those of later chunks go through it, by bits as by hand.
#[test]
fn errors_may_be_skipped() {
    for_each(STEPS.iter().sum(), |p, isa, what| {
        let rnn = p.model(isa);
        let lstm = p.is_lstm();
        let mut session = Session::new();
        let mut bptt = TruncatedBptt::new(&rnn, BATCH, 2, 4).unwrap();
        let (mut h, mut c) = (p.h0.clone(), p.c0.clone());
        let mut tapes: Vec<Tape> = Vec::new();
        let mut start = 0;
        for (i, steps) in STEPS.into_iter().enumerate() {
            let (x, dy) = (cut_x(p, start, start + steps), cut_dy(p, start, start + steps));
            bptt.forward(&rnn, &mut session, steps, &x, None, SEED).unwrap();
            let mut tape = Tape::new();
            let (mut hn, mut cn) = (h.clone(), c.clone());
            let args = ForwardArgs {
                x: &x,
                tokens: None,
                h0: Some(&h),
                c0: lstm.then_some(&c[..]),
                y: None,
                hn: Some(&mut hn),
                cn: lstm.then_some(&mut cn[..]),
                ..ForwardArgs::default()
            };
            let position = DropoutPosition { seed: SEED, first_step: start as u32, ..DropoutPosition::default() };
            rnn.forward_train(&mut session, &mut tape, &Batch::new(BATCH, steps), args, position).unwrap();
            (h, c) = (hn, cn);
            tapes.push(tape);
            start += steps;
            if i == SKIPPED {
                continue;
            }
            let (mut dx, mut found) = (vec![f32::NAN; x.len()], Grads::new(&rnn).unwrap());
            bptt.backward(&rnn, &mut session, &dy, Some(&mut dx), &mut found).unwrap();

            let (mut expected_dx, mut expected) = (vec![f32::NAN; x.len()], Grads::new(&rnn).unwrap());
            let (mut dh, mut dc) = (h.clone(), c.clone());
            let args = BackwardArgs {
                dy: Some(&dy),
                dx: Some(&mut expected_dx),
                dh0: Some(&mut dh),
                dc0: lstm.then_some(&mut dc[..]),
                ..BackwardArgs::default()
            };
            rnn.backward(&mut session, &tapes[i], args, Some(&mut expected), None).unwrap();
            if i > 0 {
                let args = BackwardArgs { dhn: Some(&dh), dcn: lstm.then_some(&dc[..]), ..BackwardArgs::default() };
                rnn.backward(&mut session, &tapes[i - 1], args, Some(&mut expected), None).unwrap();
            }
            assert_same_bits(&dx, &expected_dx, &format!("{what}, chunk {i}: dx"));
            assert_same_bits(found.values(), expected.values(), &format!("{what}, chunk {i}: weights"));
        }
    });
}

/// One chunk in f64: for each layer, step and sequence what the step computed, with the weights of its time.
type Recorded = Vec<Vec<Vec<Step>>>;

fn run_plain(
    p: &Problem,
    params: &[PassParams],
    start: usize,
    steps: usize,
    states: &mut [Vec<[Vec<f64>; 2]>],
) -> Recorded {
    let mut below: Vec<Vec<Vec<f64>>> = (start..start + steps)
        .map(|t| (0..BATCH).map(|b| widen(&p.x[p.row(t, b, p.config.input_size)])).collect())
        .collect();
    let mut recorded = Vec::new();
    for (layer, params) in params.iter().enumerate() {
        let rows = below.iter().map(|row| {
            let run = |(b, x): (usize, &Vec<f64>)| {
                let [h, c] = &mut states[layer][b];
                let step = step(p.config.cell, params, x, h, c);
                (*h, *c) = (step.h.clone(), step.c.clone());
                step
            };
            row.iter().enumerate().map(run).collect()
        });
        recorded.push(rows.collect::<Vec<Vec<Step>>>());
        below = recorded[layer].iter().map(|row| row.iter().map(|step| step.h.clone()).collect()).collect();
    }
    recorded
}

/// Back through one chunk with the weights of now. `dstates` are the gradients of the states behind the chunk and become
/// those before it.
fn back_plain(
    p: &Problem,
    params: &[PassParams],
    chunk: &Recorded,
    mut dy: Vec<Vec<Vec<f64>>>,
    dstates: &mut [Vec<[Vec<f64>; 2]>],
    grads: &mut [PassParams],
) {
    for layer in (0..params.len()).rev() {
        for t in (0..dy.len()).rev() {
            for b in 0..BATCH {
                let [dh, dc] = &mut dstates[layer][b];
                dh.iter_mut().zip(&dy[t][b]).for_each(|(a, b)| *a += b);
                let before =
                    step_backward(p.config.cell, &params[layer], &chunk[layer][t][b], dh, dc, &mut grads[layer]);
                (*dh, *dc, dy[t][b]) = (before.h_prev, before.c_prev, before.x);
            }
        }
    }
}

/// With updates between chunks the older ones go back through what they recorded with the weights of now.
#[test]
fn weights_may_change_between_chunks() {
    let mut worst = 0f64;
    for isa in Isa::available() {
        for mut p in problems(STEPS.iter().sum()) {
            p.config.batch_first = false;
            p.config.dropout = 0.0;
            let what = format!("{} on {}", p.describe(), isa.name());
            let mut rnn = p.model(isa);
            let mut session = Session::new();
            let mut bptt = TruncatedBptt::new(&rnn, BATCH, 2, 4).unwrap();
            let cells = if p.is_lstm() { p.config.hidden_size } else { 0 };
            let zeros = vec![vec![[vec![0.0; p.config.state_size()], vec![0.0; cells]]; BATCH]; 2];
            let mut states = zeros.clone();
            let mut chunks: Vec<Recorded> = Vec::new();
            let mut start = 0;
            for (i, steps) in STEPS.into_iter().enumerate() {
                let params = PassParams::from_flat(&p.config, &widen(rnn.values()));
                let (x, dy) = (cut_x(&p, start, start + steps), cut_dy(&p, start, start + steps));
                bptt.forward(&rnn, &mut session, steps, &x, None, SEED).unwrap();
                chunks.push(run_plain(&p, &params, start, steps, &mut states));
                start += steps;
                if i == SKIPPED {
                    continue;
                }
                let mut found = Grads::new(&rnn).unwrap();
                bptt.backward(&rnn, &mut session, &dy, None, &mut found).unwrap();

                let features = p.config.output_size();
                let errors = (0..steps)
                    .map(|t| (0..BATCH).map(|b| widen(&dy[(t * BATCH + b) * features..][..features])).collect())
                    .collect();
                let (mut dstates, mut grads) = (zeros.clone(), PassParams::all_zeros(&p.config));
                back_plain(&p, &params, &chunks[i], errors, &mut dstates, &mut grads);
                if i > 0 {
                    let none = vec![vec![vec![0.0; features]; BATCH]; STEPS[i - 1]];
                    back_plain(&p, &params, &chunks[i - 1], none, &mut dstates, &mut grads);
                }
                let expected = PassParams::to_flat(&p.config, &mut grads);
                let ratio = relative_error(&widen(found.values()), &expected) / backward_bound(&p);
                assert!(ratio < 1.0, "{what}, chunk {i}: {ratio} of the bound");
                worst = worst.max(ratio);
                // Large enough that the weights of then would be seen.
                rnn.update(|values| values.iter_mut().zip(found.values()).for_each(|(v, g)| *v -= 0.05 * g));
            }
        }
    }
    println!("updates between chunks: at most {worst:.2} of the bound");
}

/// A chunk is forgotten with the errors it would carry: after a reset it is as if nothing had been.
#[test]
fn a_reset_starts_anew() {
    for_each(6, |p, isa, what| {
        let rnn = p.model(isa);
        let mut session = Session::new();
        let mut bptt = TruncatedBptt::new(&rnn, BATCH, 2, 6).unwrap();
        let mut run = |bptt: &mut TruncatedBptt| {
            let mut results = Vec::new();
            for i in 0..3 {
                let (x, dy) = (cut_x(p, 2 * i, 2 * i + 2), cut_dy(p, 2 * i, 2 * i + 2));
                let mut y = vec![f32::NAN; dy.len()];
                let mut grads = Grads::new(&rnn).unwrap();
                bptt.forward(&rnn, &mut session, 2, &x, Some(&mut y), SEED).unwrap();
                bptt.backward(&rnn, &mut session, &dy, None, &mut grads).unwrap();
                results.extend(y);
                results.extend_from_slice(grads.values());
            }
            results
        };
        let first = run(&mut bptt);
        let unreset = run(&mut bptt);
        assert_ne!(first, unreset, "{what}: states are carried");
        bptt.reset();
        assert!(bptt.hidden().iter().all(|v| v.to_bits() == 0), "{what}");
        assert_same_bits(&run(&mut bptt), &first, what);
    });
}

#[test]
fn memory_does_not_grow_with_the_sequence() {
    for isa in Isa::available() {
        let p = &problems(4)[2];
        let rnn = p.model(isa);
        let (mut session, mut grads) = (Session::new(), Grads::new(&rnn).unwrap());
        let mut bptt = TruncatedBptt::new(&rnn, BATCH, 4, 8).unwrap();
        let mut bytes = Vec::new();
        for _ in 0..50 {
            bptt.forward(&rnn, &mut session, 4, &p.x, None, SEED).unwrap();
            bptt.backward(&rnn, &mut session, &p.dy, None, &mut grads).unwrap();
            bytes.push(bptt.bytes() + session.bytes());
        }
        assert!(bytes[0] > 0 && bytes[1] > bytes[0], "{bytes:?}");
        assert!(bytes[2..].iter().all(|&b| b == bytes[1]), "{bytes:?}");
    }
}

fn error<T>(result: simdrnn::Result<T>) -> simdrnn::Error {
    result.err().expect("an error")
}

#[test]
fn what_is_refused() {
    for isa in Isa::available() {
        let p = &problems(4)[2];
        let rnn = p.model(isa);
        let new = |rnn: &Rnn, batch, k1, k2| TruncatedBptt::new(rnn, batch, k1, k2);
        for (batch, k1, k2) in [(0, 4, 4), (3, 0, 4), (3, 0, 0), (3, 4, 2), (3, 4, 6), (3, 4, 0)] {
            assert_eq!(error(new(&rnn, batch, k1, k2)).kind(), ErrorKind::InvalidArgument, "{batch} {k1} {k2}");
        }
        let e = error(new(&rnn, 3, 4, 6));
        assert!(e.message().contains('4') && e.message().contains('6'), "{e}");
        for direction in &DIRECTIONS[1..] {
            let config = RnnConfig { direction: *direction, ..RnnConfig::new(Cell::Gru, 3, 5) };
            assert_ne!(*direction, Direction::Forward);
            let e = error(new(&Rnn::with_isa(&config, isa).unwrap(), 3, 4, 4));
            assert_eq!(e.kind(), ErrorKind::InvalidArgument);
            assert!(e.message().contains("forward"), "{e}");
        }

        let (mut session, mut grads) = (Session::new(), Grads::new(&rnn).unwrap());
        let mut bptt = new(&rnn, BATCH, 4, 8).unwrap();
        let e = error(bptt.backward(&rnn, &mut session, &p.dy, None, &mut grads));
        assert_eq!(e.kind(), ErrorKind::InvalidState, "backward before forward");
        for steps in [0, 5] {
            let e = error(bptt.forward(&rnn, &mut session, steps, &p.x, None, SEED));
            assert_eq!(e.kind(), ErrorKind::InvalidArgument, "{steps} steps");
        }
        bptt.forward(&rnn, &mut session, 4, &p.x, None, SEED).unwrap();
        let e = error(bptt.backward(&rnn, &mut session, &p.dy[1..], None, &mut grads));
        assert_eq!(e.kind(), ErrorKind::ShapeMismatch);
        assert!(grads.values().iter().all(|v| v.to_bits() == 0), "a failed backward adds nothing");
        bptt.backward(&rnn, &mut session, &p.dy, None, &mut grads).unwrap();
        let before = grads.values().to_vec();
        let e = error(bptt.backward(&rnn, &mut session, &p.dy, None, &mut grads));
        assert_eq!(e.kind(), ErrorKind::InvalidState, "backward twice");
        assert_same_bits(grads.values(), &before, "gradients after a refused backward");

        let other = Rnn::with_isa(&RnnConfig::new(Cell::Gru, 5, 17), isa).unwrap();
        let e = error(bptt.forward(&other, &mut session, 4, &p.x, None, SEED));
        assert_eq!(e.kind(), ErrorKind::InvalidState, "forward of another model");
        bptt.forward(&rnn, &mut session, 4, &p.x, None, SEED).unwrap();
        let e = error(bptt.backward(&other, &mut session, &p.dy, None, &mut grads));
        assert_eq!(e.kind(), ErrorKind::InvalidState, "backward of another model");
        let mut wrong = Grads::new(&other).unwrap();
        let e = error(bptt.backward(&rnn, &mut session, &p.dy, None, &mut wrong));
        assert_eq!(e.kind(), ErrorKind::ShapeMismatch, "gradients of another model");
        bptt.reset();
        let e = error(bptt.backward(&rnn, &mut session, &p.dy, None, &mut grads));
        assert_eq!(e.kind(), ErrorKind::InvalidState, "backward after a reset");
        // Tapes of two instruction sets would not fit together.
        for other in Isa::available().filter(|&other| other != isa) {
            let e = error(bptt.forward(&p.model(other), &mut session, 4, &p.x, None, SEED));
            assert_eq!(e.kind(), ErrorKind::InvalidState, "forward of a model for {}", other.name());
        }
    }
}

/// Windows of several chunks, one of them short, with dropout and updates between: what was saved after any call goes on bit for
/// bit, on any instruction set, and from states alone where k1 = k2 and no errors are due.
#[test]
fn what_was_saved_goes_on() {
    let cuts = [(0, 4), (4, 5), (5, 9), (9, 13), (13, 15), (15, 19)];
    for k2 in [4, 12] {
        for_each(19, |p, isa, what| {
            let train = |rnn: &mut Rnn, bptt: &mut TruncatedBptt, (start, end): (usize, usize), seen: &mut Vec<f32>| {
                let (x, dy) = (cut_x(p, start, end), cut_dy(p, start, end));
                let (mut session, mut grads) = (Session::new(), Grads::new(rnn).unwrap());
                let mut dx = vec![f32::NAN; x.len()];
                bptt.backward(rnn, &mut session, &dy, Some(&mut dx), &mut grads).unwrap();
                rnn.update(|values| values.iter_mut().zip(grads.values()).for_each(|(v, g)| *v -= 0.01 * g));
                seen.extend(dx.iter().chain(grads.values()).chain(bptt.hidden()).chain(bptt.cell()));
            };
            let forward = |rnn: &Rnn, bptt: &mut TruncatedBptt, (start, end): (usize, usize), seen: &mut Vec<f32>| {
                let x = cut_x(p, start, end);
                let mut y = vec![f32::NAN; cut_dy(p, start, end).len()];
                bptt.forward(rnn, &mut Session::new(), end - start, &x, Some(&mut y), SEED).unwrap();
                seen.extend(y);
            };
            let mut rnn = p.model(isa);
            let mut bptt = TruncatedBptt::new(&rnn, BATCH, 4, k2).unwrap();
            let mut all = Vec::new();
            // Weights, what was saved and how much had been seen, before and after each backward.
            let mut points = Vec::new();
            for (i, &cut) in cuts.iter().enumerate() {
                forward(&rnn, &mut bptt, cut, &mut all);
                points.push((i, true, rnn.values().to_vec(), bptt.save().unwrap(), all.len()));
                train(&mut rnn, &mut bptt, cut, &mut all);
                points.push((i + 1, false, rnn.values().to_vec(), bptt.save().unwrap(), all.len()));
            }
            for other in Isa::available() {
                for (next, is_due, values, saved, seen) in &points {
                    let mut rnn = p.model(other);
                    rnn.update(|all| all.copy_from_slice(values));
                    let mut restored = TruncatedBptt::new(&rnn, BATCH, 4, k2).unwrap();
                    // Whatever it was before.
                    forward(&rnn, &mut restored, cuts[0], &mut Vec::new());
                    restored.restore(saved).unwrap();
                    assert_eq!(&restored.save().unwrap(), saved, "{what}: saved again");
                    assert_eq!(restored.steps_done() as usize, cuts[next.saturating_sub(usize::from(!is_due))].1);
                    let mut by_states = TruncatedBptt::new(&rnn, BATCH, 4, k2).unwrap();
                    let cells = p.is_lstm().then_some(restored.cell());
                    by_states.set_state(Some(restored.hidden()), cells, restored.steps_done()).unwrap();
                    let mut ways = vec![restored];
                    if k2 == 4 && !is_due {
                        ways.push(by_states);
                    }
                    for mut bptt in ways {
                        let (mut rnn, mut found) = (p.model(other), Vec::new());
                        rnn.update(|all| all.copy_from_slice(values));
                        for (i, &cut) in cuts.iter().enumerate().skip(*next) {
                            if i > *next || !is_due {
                                forward(&rnn, &mut bptt, cut, &mut found);
                            }
                            train(&mut rnn, &mut bptt, cut, &mut found);
                        }
                        assert_same_bits(&found, &all[*seen..], &format!("{what}, on {} from {next}", other.name()));
                    }
                }
            }
        });
    }
}

#[test]
fn what_was_not_saved_is_refused() {
    let p = &problems(4)[2];
    let isa = Isa::available().last().unwrap();
    let (rnn, mut session) = (p.model(isa), Session::new());
    let mut bptt = TruncatedBptt::new(&rnn, BATCH, 4, 8).unwrap();
    bptt.forward(&rnn, &mut session, 4, &p.x, None, SEED).unwrap();
    let saved = bptt.save().unwrap();
    assert_eq!(saved.len(), bptt.saved_len());
    let refused = |bptt: &mut TruncatedBptt, bytes: &[u8], kind: ErrorKind, word: &str| {
        for _ in 0..2 {
            let e = error(bptt.restore(bytes));
            assert!(e.kind() == kind && e.message().contains(word), "{e}");
            assert_eq!(bptt.save().unwrap(), saved, "after '{e}'");
        }
    };
    let invalid = ErrorKind::InvalidData;
    for len in 0..saved.len() {
        let e = error(bptt.restore(&saved[..len]));
        assert_eq!(e.kind(), invalid, "{len} bytes: {e}");
    }
    refused(&mut bptt, &[&saved[..], &[0]].concat(), invalid, "expected");
    refused(&mut bptt, b"safetensors and more", invalid, "begin");
    let mut changed = |word: usize, value: u64, kind, text: &str| {
        let mut bytes = saved.clone();
        bytes[8 + 8 * word..][..8].copy_from_slice(&value.to_le_bytes());
        refused(&mut bptt, &bytes, kind, text);
    };
    let names = ["cell", "input_size", "hidden_size", "num_layers", "proj_size", "bias", "batch_first", "dropout"];
    for (i, name) in names.into_iter().chain(["flush_small_states", "batch_size", "k1", "k2"]).enumerate() {
        changed(i, 1 << 33, ErrorKind::ShapeMismatch, name);
    }
    for (word, value) in [(12, 1 << 32), (13, 2), (14, 3), (14, u64::MAX), (15, 0), (15, 5), (15, 3), (17, 1 << 32)] {
        changed(word, value, invalid, "");
    }
    // Errors of no chunk are due.
    let mut none = saved[..8 + 8 * 15].to_vec();
    none[8 + 8 * 14..].fill(0);
    refused(&mut bptt, &none, invalid, "counts");

    let h = bptt.hidden().to_vec();
    assert_eq!(error(bptt.set_state(Some(&h[1..]), None, 0)).kind(), ErrorKind::ShapeMismatch);
    let c = bptt.cell().to_vec();
    assert_eq!(error(bptt.set_state(Some(&h), Some(&c[1..]), 0)).kind(), ErrorKind::ShapeMismatch);
    let gru = Rnn::with_isa(&RnnConfig::new(Cell::Gru, 5, 17), isa).unwrap();
    let mut other = TruncatedBptt::new(&gru, BATCH, 4, 8).unwrap();
    assert_eq!(error(other.set_state(None, Some(&c), 0)).kind(), ErrorKind::InvalidArgument);
    assert_eq!(bptt.save().unwrap(), saved);
}

/// A forward that is refused leaves everything as it was: the errors of the chunk before can still be propagated.
#[test]
fn a_refused_forward_changes_nothing() {
    for k2 in [2, 4] {
        for_each(4, |p, isa, what| {
            let rnn = p.model(isa);
            let mut session = Session::new();
            let mut run = |refused: bool| {
                let mut bptt = TruncatedBptt::new(&rnn, BATCH, 2, k2).unwrap();
                let mut results = Vec::new();
                for i in 0..2 {
                    let (x, dy) = (cut_x(p, 2 * i, 2 * i + 2), cut_dy(p, 2 * i, 2 * i + 2));
                    let mut grads = Grads::new(&rnn).unwrap();
                    bptt.forward(&rnn, &mut session, 2, &x, None, SEED).unwrap();
                    if refused {
                        let mut y = vec![7.0; dy.len()];
                        let e = error(bptt.forward(&rnn, &mut session, 2, &x[1..], Some(&mut y), SEED));
                        assert_eq!(e.kind(), ErrorKind::ShapeMismatch);
                        assert!(y.iter().all(|&v| v == 7.0));
                    }
                    bptt.backward(&rnn, &mut session, &dy, None, &mut grads).unwrap();
                    results.extend_from_slice(grads.values());
                    results.extend_from_slice(bptt.hidden());
                }
                results
            };
            let expected = run(false);
            assert_same_bits(&run(true), &expected, &format!("{what}, k2 {k2}"));
        });
    }
}
