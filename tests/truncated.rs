//! Truncated backpropagation through time against full and hand-made backpropagation, by bits.

mod common;

use common::problem::{DIRECTIONS, Problem, assert_same_bits, variants};
use common::random::SplitMix64;
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

/// Steps `start..end` of `values`, rows of `features`.
fn cut(p: &Problem, values: &[f32], features: usize, start: usize, end: usize) -> Vec<f32> {
    let rows: Vec<(usize, usize)> = if p.config.batch_first {
        (0..BATCH).flat_map(|b| (start..end).map(move |t| (t, b))).collect()
    } else {
        (start..end).flat_map(|t| (0..BATCH).map(move |b| (t, b))).collect()
    };
    rows.into_iter().flat_map(|(t, b)| values[p.row(t, b, features)].to_vec()).collect()
}

fn cut_x(p: &Problem, start: usize, end: usize) -> Vec<f32> {
    cut(p, &p.x, p.config.input_size, start, end)
}

fn cut_dy(p: &Problem, start: usize, end: usize) -> Vec<f32> {
    cut(p, &p.dy, p.config.output_size(), start, end)
}

const SEED: u64 = 99;

fn for_each(seq_len: usize, check: impl Fn(&Problem, Isa, &str)) {
    for isa in Isa::available() {
        for p in problems(seq_len) {
            check(&p, isa, &format!("{} on {}", p.describe(), isa.name()));
        }
    }
}

#[test]
fn one_chunk_is_full_backpropagation() {
    for_each(9, |p, isa, what| {
        let rnn = p.model(isa);
        for k in [9, 12] {
            let (mut session, mut tape) = (Session::new(), Tape::new());
            let position = DropoutPosition { seed: SEED, ..DropoutPosition::default() };
            let full = p.forward_train(&rnn, &mut session, &mut tape, position);
            let mut without_states = p.clone();
            without_states.dhn.fill(0.0);
            without_states.dcn.fill(0.0);
            let expected = without_states.backward(&rnn, &mut session, &tape);

            let mut bptt = TruncatedBptt::new(&rnn, BATCH, k, k).unwrap();
            let (mut y, mut dx) = (vec![f32::NAN; p.dy.len()], vec![f32::NAN; p.x.len()]);
            let mut grads = Grads::new(&rnn).unwrap();
            bptt.forward(&rnn, &mut session, 9, &p.x, Some(&mut y), SEED).unwrap();
            bptt.backward(&rnn, &mut session, &p.dy, Some(&mut dx), &mut grads).unwrap();
            assert_same_bits(&y, &full.y, &format!("{what}: y"));
            assert_same_bits(bptt.hidden(), &full.hn, &format!("{what}: hidden"));
            assert_same_bits(&dx, &expected.dx, &format!("{what}: dx"));
            assert_same_bits(grads.values(), &expected.params, &format!("{what}: weights"));
        }
    });
}

/// k1 = k2: consecutive chunks with carried, detached states, an update after each; the last chunk is shorter.
#[test]
fn chunks_are_those_made_by_hand() {
    for_each(10, |p, isa, what| {
        let sgd = OptimizerConfig::Sgd(SgdConfig { lr: 0.05, ..SgdConfig::default() });
        let lstm = p.is_lstm();

        let mut rnn = p.model(isa);
        let mut optimizer = Optimizer::new(&sgd).unwrap();
        let (mut session, mut tape) = (Session::new(), Tape::new());
        let (mut h, mut c) = (p.h0.clone(), p.c0.clone());
        let mut expected = Vec::new();
        for start in (0..10).step_by(4) {
            let end = (start + 4).min(10);
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
            };
            let position = DropoutPosition { seed: SEED, first_step: start as u32, first_sequence: 0 };
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
            let (start, end) = (4 * i, (4 * i + 4).min(10));
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

/// k2 > k1, weights unchanged: the newest chunk's errors walk back over the last k2 steps, as in one backward over
/// these steps whose loss sees the newest chunk only.
#[test]
fn errors_walk_back_over_the_last_steps() {
    for_each(15, |p, isa, what| {
        let rnn = p.model(isa);
        let (mut session, mut tape) = (Session::new(), Tape::new());
        let mut bptt = TruncatedBptt::new(&rnn, BATCH, 3, 9).unwrap();
        // The states before each chunk.
        let (mut h, mut c) = (vec![p.h0.clone()], vec![p.c0.clone()]);
        for i in 0..5 {
            let (start, end) = (3 * i, 3 * i + 3);
            let (x, dy) = (cut_x(p, start, end), cut_dy(p, start, end));
            let mut dx = vec![f32::NAN; x.len()];
            let mut grads = Grads::new(&rnn).unwrap();
            bptt.forward(&rnn, &mut session, 3, &x, None, SEED).unwrap();
            bptt.backward(&rnn, &mut session, &dy, Some(&mut dx), &mut grads).unwrap();

            let first = start.saturating_sub(6);
            let mut window = p.clone();
            window.seq_len = end - first;
            window.x = cut_x(p, first, end);
            (window.h0, window.c0) = (h[first / 3].clone(), c[first / 3].clone());
            let newest = Problem { seq_len: 3, ..p.clone() };
            window.dy = vec![0.0; window.seq_len * BATCH * p.config.output_size()];
            for b in 0..BATCH {
                for t in 0..3 {
                    let to = window.row(start - first + t, b, p.config.output_size());
                    window.dy[to].copy_from_slice(&dy[newest.row(t, b, p.config.output_size())]);
                }
            }
            window.dhn.fill(0.0);
            window.dcn.fill(0.0);
            let position = DropoutPosition { seed: SEED, first_step: first as u32, first_sequence: 0 };
            let out = window.forward_train(&rnn, &mut session, &mut tape, position);
            let expected = window.backward(&rnn, &mut session, &tape);
            h.push(out.hn);
            c.push(out.cn);
            assert_same_bits(bptt.hidden(), &h[i + 1], &format!("{what}, chunk {i}: hidden"));
            assert_same_bits(grads.values(), &expected.params, &format!("{what}, chunk {i}: weights"));
            let expected_dx = cut(&window, &expected.dx, p.config.input_size, start - first, end - first);
            assert_same_bits(&dx, &expected_dx, &format!("{what}, chunk {i}: dx"));
        }
    });
}

/// With updates between chunks the older tapes still serve, and errors of a chunk that nobody propagated are skipped.
#[test]
fn weights_may_change_and_errors_may_be_skipped() {
    for_each(8, |p, isa, what| {
        let mut rnn = p.model(isa);
        let mut session = Session::new();
        let mut bptt = TruncatedBptt::new(&rnn, BATCH, 2, 4).unwrap();
        let mut grads = Grads::new(&rnn).unwrap();
        for i in 0..4 {
            let (x, dy) = (cut_x(p, 2 * i, 2 * i + 2), cut_dy(p, 2 * i, 2 * i + 2));
            bptt.forward(&rnn, &mut session, 2, &x, None, SEED).unwrap();
            if i == 1 {
                continue;
            }
            grads.zero();
            bptt.backward(&rnn, &mut session, &dy, None, &mut grads).unwrap();
            assert!(grads.values().iter().all(|v| v.is_finite()) && grads.values().iter().any(|&v| v != 0.0), "{what}");
            rnn.update(|values| values.iter_mut().zip(grads.values()).for_each(|(v, g)| *v -= 0.01 * g));
        }
    });
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
