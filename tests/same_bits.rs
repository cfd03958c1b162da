//! A result depends on the model, the sequence and its initial state alone, by bits: not on the batch around it, the
//! padding, the instruction set, the threads, how a long sequence is cut, nor on what ran before.

mod common;

use std::ops::Range;
use std::sync::OnceLock;

use common::problem::{DIRECTIONS, Gradients, Outputs, Problem, assert_same_bits, random_lengths, variants};
use common::random::SplitMix64;
use common::reference::transpose_batch_first;
use simdrnn::nn::{Dense, Embedding};
use simdrnn::rnn::{
    BackwardArgs, Cell, Direction, DropoutPosition, ForwardArgs, GradientFlow, Rnn, RnnConfig, Session, Stream, Tape,
};
use simdrnn::{Isa, Pool};

/// Around the lane counts (4, 8, 16), twice and four times them.
const SIZES: [usize; 9] = [1, 2, 7, 8, 15, 16, 17, 33, 65];

/// Fused multiply-adds that a problem's forward may take: software FMA on the scalar path is slow.
const BUDGET: usize = 500_000;

/// A problem and what it gave on the scalar path, everything fresh.
struct Case {
    name: String,
    problem: Problem,
    out: Outputs,
    gradients: Gradients,
}

fn cases() -> &'static [Case] {
    static CASES: OnceLock<Vec<Case>> = OnceLock::new();
    CASES.get_or_init(|| {
        let mut r = SplitMix64::new(1);
        let mut cases = Vec::new();
        for (cell, projection) in variants() {
            for (i, hidden) in SIZES.into_iter().enumerate() {
                for extra in 0..2 {
                    let k = 2 * i + extra;
                    let mut config = RnnConfig::new(cell, SIZES[r.between(0, 8)], hidden);
                    (config.num_layers, config.direction) = (1 + k % 3, DIRECTIONS[k / 3 % 3]);
                    config.batch_first = r.between(0, 1) == 1;
                    config.bias = r.between(0, 4) > 0;
                    config.flush_small_states = r.between(0, 3) == 0;
                    if projection {
                        if hidden == 1 {
                            continue;
                        }
                        config.proj_size = r.between(1, hidden - 1);
                    }
                    let weights: usize = config.param_specs().unwrap().iter().map(|s| s.len()).sum();
                    // More rows than the blocks that forward (96) and backward (256) work in, where the sizes allow.
                    let rows = (BUDGET / weights).clamp(7, 400);
                    let batch = r.between(1, 20).min(rows);
                    let seq_len = (rows / batch).clamp(1, 60);
                    let lengths = (r.between(0, 3) > 0).then(|| random_lengths(&mut r, batch, seq_len));
                    let problem = Problem::random(&mut r, &config, batch, seq_len, lengths);
                    let (out, gradients) = problem.run(Isa::Scalar);
                    assert!(out.y.iter().chain(&gradients.params).all(|v| v.is_finite()));
                    cases.push(Case { name: problem.describe(), problem, out, gradients });
                }
            }
        }
        // Layers large enough for a single sequence to take the input product of steps to come along: alone, and where the
        // others have ended.
        for (cell, hidden) in [(Cell::ElmanTanh, 130), (Cell::Lstm, 49), (Cell::Gru, 60)] {
            let mut config = RnnConfig::new(cell, hidden + 3, hidden);
            (config.num_layers, config.direction) = (2, Direction::Bidirectional);
            let problem = Problem::random(&mut r, &config, 2, 21, Some(vec![3, 21]));
            let (out, gradients) = problem.run(Isa::Scalar);
            cases.push(Case { name: problem.describe(), problem, out, gradients });
        }
        cases
    })
}

/// Calls `check` for every case on every instruction set.
fn for_each(check: impl Fn(&Case, Isa, &str)) {
    for isa in Isa::available() {
        for case in cases() {
            check(case, isa, &format!("{} on {}", case.name, isa.name()));
        }
    }
}

fn train(problem: &Problem, isa: Isa, session: &mut Session, tape: &mut Tape) -> (Outputs, Gradients) {
    let rnn = problem.model(isa);
    let out = problem.forward_train(&rnn, session, tape, DropoutPosition::default());
    let gradients = problem.backward(&rnn, session, tape);
    (out, gradients)
}

#[test]
fn the_cases_cover_what_they_should() {
    let cases = cases();
    assert!(cases.len() >= 100);
    let any = |test: &dyn Fn(&Problem) -> bool| cases.iter().any(|c| test(&c.problem));
    for size in SIZES {
        assert!(any(&|p| p.config.input_size == size) && any(&|p| p.config.hidden_size == size), "{size}");
    }
    for (cell, projection) in variants() {
        for direction in DIRECTIONS {
            for layers in 1..=3 {
                let found = cases.iter().any(|c| {
                    let config = &c.problem.config;
                    config.cell == cell
                        && (config.proj_size > 0) == projection
                        && config.direction == direction
                        && config.num_layers == layers
                });
                assert!(found, "{} {direction:?} with {layers} layers", cell.name());
            }
        }
    }
    let rows = |p: &Problem| (0..p.batch).map(|b| p.length(b)).sum::<usize>();
    assert!(any(&|p| rows(p) > 300) && any(&|p| p.batch == 1) && any(&|p| p.batch > 15));
    assert!(any(&|p| p.lengths.as_ref().is_some_and(|l| l.contains(&0))) && any(&|p| p.lengths.is_none()));
}

/// One session and one tape for all cases: what earlier, other shapes left in them changes nothing either.
#[test]
fn every_isa_is_scalar_and_reuse_is_fresh() {
    for isa in Isa::available() {
        let (mut session, mut tape) = (Session::new(), Tape::new());
        for case in cases() {
            let what = format!("{} on {}", case.name, isa.name());
            let (out, gradients) = train(&case.problem, isa, &mut session, &mut tape);
            out.assert_same_bits(&case.out, &what);
            gradients.assert_same_bits(&case.gradients, &what);
            case.problem.assert_padding_is_zero(&out.y, &gradients.dx, &what);
            let again = case.problem.forward(&case.problem.model(isa), &mut session);
            again.assert_same_bits(&case.out, &format!("{what}, forward after training"));
        }
    }
}

#[test]
fn a_sequence_alone_is_the_sequence_in_its_batch() {
    for_each(|case, isa, what| {
        let p = &case.problem;
        let rnn = p.model(isa);
        let (mut session, mut tape) = (Session::new(), Tape::new());
        for b in (0..p.batch).step_by(if isa == Isa::Scalar { 4 } else { 1 }) {
            let alone = p.select(&[b], p.length(b));
            let out = alone.forward(&rnn, &mut session);
            let expected = p.outputs_of(&case.out, b);
            alone.outputs_of(&out, 0).assert_same_bits(&expected, &format!("{what}, sequence {b} alone"));
            if b % 3 == 0 {
                alone.forward_train(&rnn, &mut session, &mut tape, DropoutPosition::default());
                let gradients = alone.backward(&rnn, &mut session, &tape);
                alone
                    .gradients_of(&gradients, 0)
                    .assert_same_bits(&p.gradients_of(&case.gradients, b), &format!("{what}, sequence {b} alone"));
            }
        }
    });
}

/// Any place, other mates, more padding, which holds NaN.
#[test]
fn place_mates_and_padding_change_nothing() {
    let mut r = SplitMix64::new(2);
    let seeds: Vec<u64> = cases().iter().map(|_| r.next_u64()).collect();
    for isa in Isa::available() {
        for (case, &seed) in cases().iter().zip(&seeds) {
            let what = format!("{} on {}, shuffled and padded", case.name, isa.name());
            let p = &case.problem;
            let mut r = SplitMix64::new(seed);
            // Sequences in any order, some twice, some not at all.
            let chosen: Vec<usize> = (0..r.between(1, 13)).map(|_| r.between(0, p.batch - 1)).collect();
            let shuffled = p.select(&chosen, p.seq_len + r.between(0, 3));
            let (out, gradients) = train(&shuffled, isa, &mut Session::new(), &mut Tape::new());
            for (place, &b) in chosen.iter().enumerate() {
                shuffled.outputs_of(&out, place).assert_same_bits(&p.outputs_of(&case.out, b), &what);
                shuffled.gradients_of(&gradients, place).assert_same_bits(&p.gradients_of(&case.gradients, b), &what);
            }
            shuffled.assert_padding_is_zero(&out.y, &gradients.dx, &what);
        }
    }
}

/// The same batch in longer buffers: weight gradients, too, have the same bits.
#[test]
fn padded_buffers_are_exact_ones() {
    for_each(|case, isa, what| {
        let p = &case.problem;
        let everybody: Vec<usize> = (0..p.batch).collect();
        let padded = p.select(&everybody, p.seq_len + 2);
        assert!(padded.lengths.is_some());
        let (out, gradients) = train(&padded, isa, &mut Session::new(), &mut Tape::new());
        assert_same_bits(&gradients.params, &case.gradients.params, &format!("{what}, padded: weights"));
        assert_same_bits(&out.hn, &case.out.hn, &format!("{what}, padded: hn"));
    });
}

#[test]
fn chunks_with_carried_states_are_the_whole() {
    for_each(|case, isa, what| {
        let p = &case.problem;
        if p.config.direction == Direction::Bidirectional {
            return;
        }
        let rnn = p.model(isa);
        let mut session = Session::new();
        let mut r = SplitMix64::new(p.seq_len as u64);
        let mut cuts = vec![0, p.seq_len];
        cuts.extend((0..3).map(|_| r.between(0, p.seq_len)));
        cuts.sort_unstable();
        let mut chunks: Vec<(usize, usize)> = cuts.windows(2).map(|w| (w[0], w[1])).collect();
        if p.config.direction == Direction::Reverse {
            chunks.reverse();
        }
        let (mut h, mut c) = (p.h0.clone(), p.c0.clone());
        let mut y = vec![0.0; p.dy.len()];
        for (start, end) in chunks {
            let chunk = Problem { h0: h, c0: c, ..p.steps(start, end) };
            let out = chunk.forward(&rnn, &mut session);
            p.put_rows(&mut y, p.config.output_size(), start, &out.y);
            (h, c) = (out.hn, out.cn);
        }
        Outputs { y, hn: h, cn: c }.assert_same_bits(&case.out, &format!("{what}, cut at {cuts:?}"));
    });
}

/// The batch's sequences at full length as the lanes of a stream, in blocks of any size.
#[test]
fn streams_are_the_whole() {
    for_each(|case, isa, what| {
        let mut p = case.problem.clone();
        if p.config.direction != Direction::Forward {
            return;
        }
        p.lengths = None;
        let rnn = p.model(isa);
        let expected = p.forward(&rnn, &mut Session::new());
        let mut stream = Stream::new(&rnn, p.batch).unwrap();
        let mut r = SplitMix64::new(p.seq_len as u64);
        for round in 0..2 {
            stream.set_state(Some(&p.h0), p.is_lstm().then_some(&p.c0[..])).unwrap();
            let mut found = Outputs { y: vec![], hn: vec![f32::NAN; p.h0.len()], cn: vec![f32::NAN; p.c0.len()] };
            found.y.resize(p.dy.len(), f32::NAN);
            let mut start = 0;
            while start < p.seq_len {
                // First one by one, then blocks, empty ones among them.
                let steps = if round == 0 { 1 } else { r.between(0, p.seq_len - start) };
                let block = p.steps(start, start + steps);
                let mut y = vec![f32::NAN; block.dy.len()];
                if round == 0 {
                    stream.step(&rnn, &block.x, &mut y).unwrap();
                } else {
                    stream.process(&rnn, steps, &block.x, Some(&mut y)).unwrap();
                }
                p.put_rows(&mut found.y, p.config.output_size(), start, &y);
                start += steps;
            }
            let cn = p.is_lstm().then_some(&mut found.cn[..]);
            stream.state(Some(&mut found.hn), cn).unwrap();
            found.assert_same_bits(&expected, &format!("{what}, streamed, round {round}"));
        }
    });
}

/// Some steps of a problem whose sequences are the lanes, time-major: a single one as such.
fn go_on(stream: &mut Stream, rnn: &Rnn, p: &Problem, steps: Range<usize>, y: &mut [f32]) {
    let (input, output) = (p.batch * p.config.input_size, p.batch * p.config.output_size());
    let x = &p.x[steps.start * input..steps.end * input];
    let y = &mut y[steps.start * output..steps.end * output];
    match steps.len() {
        1 => stream.step(rnn, x, y).unwrap(),
        count => stream.process(rnn, count, x, Some(y)).unwrap(),
    }
}

/// Single steps and blocks in any order, and states that move to another stream in between. Streams of few lanes take
/// single steps on a path of their own.
#[test]
fn streams_of_few_lanes_go_on_whatever_comes_between() {
    let mut r = SplitMix64::new(9);
    for (cell, projection) in variants() {
        for lanes in 1..=3 {
            let mut config = RnnConfig { num_layers: 2, ..RnnConfig::new(cell, 3, 35) };
            config.proj_size = if projection { 18 } else { 0 };
            let p = Problem::random(&mut r, &config, lanes, 24, None);
            for isa in Isa::available() {
                let rnn = p.model(isa);
                let expected = p.forward(&rnn, &mut Session::new());
                let mut found = Outputs { y: vec![f32::NAN; p.dy.len()], hn: p.h0.clone(), cn: p.c0.clone() };
                let mut stream = Stream::new(&rnn, lanes).unwrap();
                stream.set_state(Some(&p.h0), p.is_lstm().then_some(&p.c0[..])).unwrap();
                let mut start = 0;
                while start < p.seq_len {
                    let steps = if r.between(0, 2) > 0 { 1 } else { r.between(0, (p.seq_len - start).min(3)) };
                    go_on(&mut stream, &rnn, &p, start..start + steps, &mut found.y);
                    start += steps;
                    stream.state(Some(&mut found.hn), p.is_lstm().then_some(&mut found.cn[..])).unwrap();
                    if r.between(0, 2) == 0 {
                        stream = Stream::new(&rnn, lanes).unwrap();
                        stream.set_state(Some(&found.hn), p.is_lstm().then_some(&found.cn[..])).unwrap();
                    }
                }
                found.assert_same_bits(&expected, &format!("{} on {}, streamed", p.describe(), isa.name()));
            }
        }
    }
}

/// After any number of steps, odd ones too: single steps of few lanes leave their states in one of two places in turn.
#[test]
fn a_lane_that_is_reset_leaves_the_others() {
    for isa in Isa::available() {
        for (cell, projection) in variants() {
            for (lanes, steps) in [(1, 1), (2, 1), (3, 2), (3, 5), (40, 1), (40, 3)] {
                let mut config = RnnConfig { num_layers: 2, ..RnnConfig::new(cell, 3, 35) };
                config.proj_size = if projection { 18 } else { 0 };
                let p = Problem::random(&mut SplitMix64::new(10), &config, lanes, 2 * steps, None);
                let (rnn, lane) = (p.model(isa), lanes / 2);
                let mut y = vec![f32::NAN; p.dy.len()];
                let mut stream = Stream::new(&rnn, lanes).unwrap();
                stream.set_state(Some(&p.h0), p.is_lstm().then_some(&p.c0[..])).unwrap();
                for t in 0..2 * steps {
                    if t == steps {
                        stream.reset_lane(lane).unwrap();
                    }
                    go_on(&mut stream, &rnn, &p, t..t + 1, &mut y);
                }
                let mut expected = p.forward(&rnn, &mut Session::new()).y;
                let mut fresh = p.steps(steps, 2 * steps).select(&[lane], steps);
                fresh.h0.fill(0.0);
                fresh.c0.fill(0.0);
                let own = fresh.forward(&rnn, &mut Session::new()).y;
                let features = config.output_size();
                for t in 0..steps {
                    let row = p.row(steps + t, lane, features);
                    expected[row].copy_from_slice(&own[t * features..][..features]);
                }
                assert_same_bits(&y, &expected, &format!("{}, {lanes} lanes on {}", p.describe(), isa.name()));
            }
        }
    }
}

/// Layers large enough that threads share a single step, beside streams without a pool; pools come and go on the way.
#[test]
fn streams_on_pools_go_on_too() {
    let mut r = SplitMix64::new(10);
    let pools = [None, Some(Pool::new(2).unwrap()), Some(Pool::new(3).unwrap())];
    for (i, (cell, projection)) in variants().into_iter().enumerate() {
        let hidden = if cell == Cell::ElmanTanh || cell == Cell::ElmanRelu { 520 } else { 310 };
        let mut config = RnnConfig { num_layers: 2, ..RnnConfig::new(cell, 30, hidden) };
        config.proj_size = if projection { 250 } else { 0 };
        let (lanes, isa) = (1 + i % 2, Isa::available().last().unwrap());
        let p = Problem::random(&mut r, &config, lanes, 20, None);
        let rnn = p.model(isa);
        let expected = p.forward(&rnn, &mut Session::new());
        let mut found = Outputs { y: vec![f32::NAN; p.dy.len()], hn: p.h0.clone(), cn: p.c0.clone() };
        let mut stream = Stream::new(&rnn, lanes).unwrap();
        stream.set_state(Some(&p.h0), p.is_lstm().then_some(&p.c0[..])).unwrap();
        let mut start = 0;
        while start < p.seq_len {
            if r.between(0, 2) == 0 {
                stream.set_pool(pools[r.between(0, 2)].as_ref()).unwrap();
            }
            let steps = r.between(1, (p.seq_len - start).min(3));
            go_on(&mut stream, &rnn, &p, start..start + steps, &mut found.y);
            start += steps;
        }
        stream.state(Some(&mut found.hn), p.is_lstm().then_some(&mut found.cn[..])).unwrap();
        found.assert_same_bits(&expected, &format!("{} on {}, streamed on pools", p.describe(), isa.name()));
    }
}

#[test]
fn a_stream_without_outputs_and_with_reset_lanes() {
    for isa in Isa::available() {
        let config = RnnConfig { num_layers: 2, ..RnnConfig::new(simdrnn::rnn::Cell::Lstm, 5, 17) };
        let p = Problem::random(&mut SplitMix64::new(3), &config, 3, 130, None);
        let rnn = p.model(isa);
        let (mut a, mut b) = (Stream::new(&rnn, 3).unwrap(), Stream::new(&rnn, 3).unwrap());
        let state = |s: &Stream| {
            let mut out =
                Outputs { y: vec![0.0; p.dy.len()], hn: vec![f32::NAN; p.h0.len()], cn: vec![f32::NAN; p.c0.len()] };
            s.state(Some(&mut out.hn), Some(&mut out.cn)).unwrap();
            out
        };
        let mut y = vec![0.0; p.dy.len()];
        a.process(&rnn, 130, &p.x, Some(&mut y)).unwrap();
        b.process(&rnn, 130, &p.x, None).unwrap();
        state(&b).assert_same_bits(&state(&a), "without y");
        // A lane that was reset goes on as from zero states; the others go on as before.
        let before = state(&a);
        a.reset_lane(1).unwrap();
        let after = state(&a);
        for lane in 0..3 {
            let (old, new) = (p.outputs_of(&before, lane), p.outputs_of(&after, lane));
            if lane == 1 {
                assert!(new.hn.iter().chain(&new.cn).all(|v| v.to_bits() == 0));
                assert!(old.hn.iter().all(|&v| v != 0.0));
            } else {
                assert_same_bits(&new.hn, &old.hn, "hn of the other lanes");
                assert_same_bits(&new.cn, &old.cn, "cn of the other lanes");
            }
        }
        b.reset();
        assert!(state(&b).hn.iter().chain(&state(&b).cn).all(|v| v.to_bits() == 0));
        b.process(&rnn, 130, &p.x, None).unwrap();
        state(&b).assert_same_bits(&before, "after a reset");
    }
}

#[test]
fn absent_arguments_are_zeros_and_unwanted_results() {
    for_each(|case, isa, what| {
        let p = &case.problem;
        let rnn = p.model(isa);
        let mut session = Session::new();
        let (mut hn, mut cn) = (vec![f32::NAN; p.h0.len()], vec![f32::NAN; p.c0.len()]);
        let lstm = p.is_lstm();
        let args = ForwardArgs {
            x: &p.x,
            h0: Some(&p.h0),
            c0: lstm.then_some(&p.c0[..]),
            y: None,
            hn: Some(&mut hn),
            cn: lstm.then_some(&mut cn[..]),
            ..ForwardArgs::default()
        };
        rnn.forward(&mut session, &p.batch(), args).unwrap();
        assert_same_bits(&hn, &case.out.hn, &format!("{what}, without y: hn"));
        assert_same_bits(&cn, &case.out.cn, &format!("{what}, without y: cn"));

        let mut from_zero = p.clone();
        from_zero.h0.fill(0.0);
        from_zero.c0.fill(0.0);
        let expected = from_zero.forward(&rnn, &mut session);
        let mut y = vec![f32::NAN; p.dy.len()];
        let args = ForwardArgs { x: &p.x, y: Some(&mut y), ..ForwardArgs::default() };
        rnn.forward(&mut session, &p.batch(), args).unwrap();
        assert_same_bits(&y, &expected.y, &format!("{what}, without states: y"));
    });
}

#[test]
fn batch_first_is_time_major() {
    for_each(|case, isa, what| {
        let p = &case.problem;
        let mut other = p.clone();
        other.config.batch_first = !p.config.batch_first;
        let (first, second) = if p.config.batch_first { (p.batch, p.seq_len) } else { (p.seq_len, p.batch) };
        let transpose = |values: &[f32], features| transpose_batch_first(values, first, second, features);
        other.x = transpose(&p.x, p.config.input_size);
        other.dy = transpose(&p.dy, p.config.output_size());
        let (out, gradients) = train(&other, isa, &mut Session::new(), &mut Tape::new());
        let expected = Outputs { y: transpose(&case.out.y, p.config.output_size()), ..case.out.clone() };
        out.assert_same_bits(&expected, &format!("{what}, transposed"));
        let expected = Gradients { dx: transpose(&case.gradients.dx, p.config.input_size), ..case.gradients.clone() };
        gradients.assert_same_bits(&expected, &format!("{what}, transposed"));
        let out = other.forward(&other.model(isa), &mut Session::new());
        assert_same_bits(&out.hn, &case.out.hn, &format!("{what}, transposed: hn of forward"));
    });
}

#[test]
fn threads_change_nothing() {
    for threads in 1..=3 {
        let pool = Pool::new(threads).unwrap();
        for isa in Isa::available() {
            let (mut session, mut tape) = (Session::with_pool(&pool), Tape::new());
            for case in cases() {
                let what = format!("{} on {}, {threads} threads", case.name, isa.name());
                let (out, gradients) = train(&case.problem, isa, &mut session, &mut tape);
                out.assert_same_bits(&case.out, &what);
                gradients.assert_same_bits(&case.gradients, &what);
                let out = case.problem.forward(&case.problem.model(isa), &mut session);
                out.assert_same_bits(&case.out, &what);
            }
        }
    }
}

/// Layers wide enough that threads have something to share, with rows for more than one block; batches from one sequence
/// on, which threads share by units or layers, to many. More threads than processors, too.
#[test]
fn threads_change_nothing_where_there_is_work_to_split() {
    let mut r = SplitMix64::new(4);
    for (v, (cell, projection)) in variants().into_iter().enumerate() {
        for (i, batch) in [1, 2, 5, 19].into_iter().enumerate() {
            let mut config = RnnConfig::new(cell, 70, 150);
            config.direction = DIRECTIONS[(v + i) % 3];
            config.num_layers = 2 + (v + 2 * i) % 3;
            config.proj_size = if projection { 90 } else { 0 };
            config.batch_first = i % 2 == 1;
            config.dropout = if i == 3 { 0.4 } else { 0.0 };
            let seq_len = 17 + 100 / batch;
            let lengths = (batch > 1).then(|| random_lengths(&mut r, batch, seq_len));
            let p = Problem::random(&mut r, &config, batch, seq_len, lengths);
            let isa = Isa::available().last().unwrap();
            let (out, gradients) = p.run(isa);
            let plain = p.forward(&p.model(isa), &mut Session::new());
            let plain_norms = norms(&p, isa, &mut Session::new());
            for threads in [2, 3, 5, 8] {
                let what = format!("{} on {}, {threads} threads", p.describe(), isa.name());
                let mut session = Session::with_pool(&Pool::new(threads).unwrap());
                let (found, found_gradients) = train(&p, isa, &mut session, &mut Tape::new());
                found.assert_same_bits(&out, &what);
                found_gradients.assert_same_bits(&gradients, &what);
                p.forward(&p.model(isa), &mut session).assert_same_bits(&plain, &what);
                assert_eq!(norms(&p, isa, &mut session), plain_norms, "{what}: norms");
            }
        }
    }
}

/// Deep stacks of few sequences, whose layers threads share, in training too: more rows than backward takes at once, blocks of
/// one step and of many, dropout, both orders of time.
#[test]
fn layers_on_threads_change_nothing() {
    let mut r = SplitMix64::new(6);
    let shapes = [(Cell::Lstm, 3, 1, 300), (Cell::Gru, 5, 2, 150), (Cell::ElmanTanh, 4, 9, 40)];
    for (i, (cell, layers, batch, seq_len)) in shapes.into_iter().enumerate() {
        let mut config = RnnConfig::new(cell, 30, if cell == Cell::ElmanTanh { 120 } else { 62 });
        (config.num_layers, config.direction) = (layers, DIRECTIONS[i % 2]);
        (config.dropout, config.batch_first) = (if i > 0 { 0.3 } else { 0.0 }, i == 2);
        let lengths = (batch > 1).then(|| random_lengths(&mut r, batch, seq_len));
        let p = Problem::random(&mut r, &config, batch, seq_len, lengths);
        let isa = Isa::available().last().unwrap();
        let (out, gradients) = p.run(isa);
        let plain_norms = norms(&p, isa, &mut Session::new());
        for threads in [2, 3, 5] {
            let what = format!("{} on {}, {threads} threads", p.describe(), isa.name());
            let (mut session, mut tape) = (Session::with_pool(&Pool::new(threads).unwrap()), Tape::new());
            for _ in 0..2 {
                let (found, found_gradients) = train(&p, isa, &mut session, &mut tape);
                found.assert_same_bits(&out, &what);
                found_gradients.assert_same_bits(&gradients, &what);
            }
            assert_eq!(norms(&p, isa, &mut session), plain_norms, "{what}: norms");
        }
    }
}

/// Bits of the norms of gradient flow.
fn norms(p: &Problem, isa: Isa, session: &mut Session) -> Vec<u64> {
    let (rnn, mut tape, mut flow) = (p.model(isa), Tape::new(), GradientFlow::new());
    p.forward_train(&rnn, session, &mut tape, DropoutPosition::default());
    let args = BackwardArgs { dy: Some(&p.dy), dhn: Some(&p.dhn), ..BackwardArgs::default() };
    rnn.backward(session, &tape, args, None, Some(&mut flow)).unwrap();
    let cells = |pass| if p.is_lstm() { flow.cell_norms(pass).unwrap() } else { &[] };
    let all = (0..flow.passes()).flat_map(|pass| flow.state_norms(pass).unwrap().iter().chain(cells(pass)));
    all.map(|norm| norm.to_bits()).collect()
}

#[test]
fn norms_of_gradient_flow_are_those_of_scalar() {
    for_each(|case, isa, what| {
        let p = &case.problem;
        if isa != Isa::Scalar && p.seq_len > 2 {
            let expected = norms(p, Isa::Scalar, &mut Session::new());
            assert_eq!(norms(p, isa, &mut Session::new()), expected, "{what}");
            assert!(expected.iter().any(|&bits| bits != 0), "{what}");
        }
    });
}

/// NaN and infinity in one sequence's input, states and cotangents reach nobody else.
#[test]
fn bad_values_stay_in_their_sequence() {
    for_each(|case, isa, what| {
        let p = &case.problem;
        for bad in [f32::NAN, f32::INFINITY] {
            let mut ill = p.clone();
            // The longest: it has rows beside all the others.
            let patient = (0..p.batch).max_by_key(|&b| p.length(b)).unwrap();
            for t in 0..p.length(patient) {
                let row = ill.row(t, patient, p.config.input_size);
                ill.x[row][0] = bad;
                let row = ill.row(t, patient, p.config.output_size());
                ill.dy[row].fill(bad);
            }
            for pass in 0..p.config.passes() {
                ill.h0[(pass * p.batch + patient) * p.config.state_size()] = bad;
                ill.dhn[(pass * p.batch + patient) * p.config.state_size()] = bad;
            }
            let (out, gradients) = train(&ill, isa, &mut Session::new(), &mut Tape::new());
            for b in (0..p.batch).filter(|&b| b != patient) {
                p.outputs_of(&out, b).assert_same_bits(&p.outputs_of(&case.out, b), what);
                p.gradients_of(&gradients, b).assert_same_bits(&p.gradients_of(&case.gradients, b), what);
            }
            let out = ill.forward(&ill.model(isa), &mut Session::new());
            for b in (0..p.batch).filter(|&b| b != patient) {
                p.outputs_of(&out, b).assert_same_bits(&p.outputs_of(&case.out, b), what);
            }
            if bad.is_nan() && p.length(patient) > 0 {
                // It is not hidden either.
                assert!(p.outputs_of(&out, patient).y.iter().any(|v| v.is_nan()), "{what}");
            }
        }
    });
}

/// Rows of one step may be computed in any company: batches of every size up to 20 around the same sequence.
#[test]
fn every_batch_size() {
    let mut r = SplitMix64::new(5);
    for (cell, projection) in variants() {
        for hidden in [7, 33] {
            let mut config = RnnConfig::new(cell, 9, hidden);
            config.proj_size = if projection { hidden - 2 } else { 0 };
            let p = Problem::random(&mut r, &config, 20, 3, None);
            let (expected, gradients) = p.run(Isa::Scalar);
            for isa in Isa::available() {
                for batch in 1..=20 {
                    let what = format!("{} on {}, {batch} of them", p.describe(), isa.name());
                    let some = p.select(&(20 - batch..20).collect::<Vec<_>>(), 3);
                    let (out, found) = some.run(isa);
                    for place in 0..batch {
                        let b = 20 - batch + place;
                        some.outputs_of(&out, place).assert_same_bits(&p.outputs_of(&expected, b), &what);
                        some.gradients_of(&found, place).assert_same_bits(&p.gradients_of(&gradients, b), &what);
                    }
                }
            }
        }
    }
}

#[test]
fn no_steps_at_all() {
    for isa in Isa::available() {
        for (cell, _) in variants() {
            for direction in DIRECTIONS {
                let config = RnnConfig { num_layers: 2, direction, ..RnnConfig::new(cell, 3, 9) };
                let mut r = SplitMix64::new(6);
                let empty = Problem::random(&mut r, &config, 3, 0, None);
                let mut unused = Problem::random(&mut r, &config, 3, 4, Some(vec![0; 3]));
                unused.x.fill(f32::NAN);
                unused.dy.fill(f32::NAN);
                for p in [empty, unused] {
                    let (out, gradients) = p.run(isa);
                    assert_same_bits(&out.hn, &p.h0, "hn is h0");
                    assert_same_bits(&out.cn, &p.c0, "cn is c0");
                    assert_same_bits(&gradients.dh0, &p.dhn, "dh0 is dhn");
                    assert_same_bits(&gradients.dc0, &p.dcn, "dc0 is dcn");
                    let zeros = out.y.iter().chain(&gradients.dx).chain(&gradients.params);
                    assert!(zeros.into_iter().all(|v| v.to_bits() == 0));
                    let out = p.forward(&p.model(isa), &mut Session::new());
                    assert_same_bits(&out.hn, &p.h0, "hn of forward is h0");
                }
            }
        }
    }
}

/// Sizes that are worth a pool's waking, by rows and by columns; some threads get no share.
#[test]
fn dense_layers_on_any_number_of_threads() {
    let mut r = SplitMix64::new(90);
    let pools = [1, 2, 3, 8].map(|threads| Pool::new(threads).unwrap());
    for (rows, inputs, outputs, bias) in [
        (1, 515, 2049, true),
        (1, 31_001, 35, false),
        (5, 601, 1777, true),
        (17, 257, 1031, false),
        (131, 130, 331, true),
    ] {
        let what = format!("{rows} rows of {inputs}, {outputs} features");
        // As docs/threads.md counts.
        assert!(rows.max(4) * inputs * outputs >= 4_194_304, "{what}: too small for a team");
        let (x, mut expected) = (r.values_f32(rows * inputs, 1.0), vec![f32::NAN; rows * outputs]);
        let layer = |isa| {
            let mut dense = Dense::with_isa(inputs, outputs, bias, isa).unwrap();
            dense.init(7);
            dense
        };
        let scalar = layer(Isa::Scalar);
        for (x, y) in x.chunks(inputs).zip(expected.chunks_mut(outputs)) {
            scalar.forward(None, x, y).unwrap();
        }
        for isa in Isa::available() {
            let dense = layer(isa);
            for pool in &pools {
                let mut y = vec![f32::NAN; expected.len()];
                dense.forward(Some(&mut Session::with_pool(pool)), &x, &mut y).unwrap();
                assert_same_bits(&y, &expected, &format!("{what} on {}, {pool:?}", isa.name()));
            }
        }
    }
}

/// A problem whose input is drawn from a table, NaN past the sequences' ends, and the words, there without rows.
fn from_a_table(r: &mut SplitMix64, p: &Problem) -> (Problem, Embedding, Vec<u32>) {
    let (mut p, words, features) = (p.clone(), 7, p.config.input_size);
    let table = r.values_f32(words * features, 1.5);
    let embedding = Embedding::from_table(words, features, Some(0), &table).unwrap();
    let mut indices = vec![u32::MAX; p.batch * p.seq_len];
    p.x.fill(f32::NAN);
    for b in 0..p.batch {
        for t in 0..p.length(b) {
            let word = r.between(0, words - 1);
            indices[p.row(t, b, 1).start] = word as u32;
            let row = p.row(t, b, features);
            p.x[row].copy_from_slice(&table[word * features..][..features]);
        }
    }
    (p, embedding, indices)
}

/// Words give what the rows of their table give, copied: outputs, and all gradients from the tape, also after the table has
/// changed.
#[test]
fn words_are_the_rows_of_their_table() {
    let mut r = SplitMix64::new(91);
    let mut problems: Vec<_> = cases().iter().map(|case| case.problem.clone()).collect();
    // Work for threads: layers at once, units, sequences, directions.
    for (direction, num_layers, batch) in [
        (Direction::Forward, 3, 1),
        (Direction::Reverse, 1, 1),
        (Direction::Forward, 1, 19),
        (Direction::Bidirectional, 2, 5),
    ] {
        let config = RnnConfig { direction, num_layers, ..RnnConfig::new(Cell::Lstm, 70, 150) };
        let lengths = (batch == 5).then(|| random_lengths(&mut r, batch, 30));
        problems.push(Problem::random(&mut r, &config, batch, 30 + 70 / batch, lengths));
    }
    let pool = Pool::new(2).unwrap();
    for p in problems {
        let (p, mut embedding, indices) = from_a_table(&mut r, &p);
        for isa in Isa::available() {
            let what = format!("{} on {}", p.describe(), isa.name());
            let (expected, expected_gradients) = p.run(isa);
            let rnn = p.model(isa);
            let plain = p.forward(&rnn, &mut Session::new());
            for session in [Session::new(), Session::with_pool(&pool)] {
                let (mut session, mut tape, mut out) = (session, Tape::new(), p.room());
                let tokens = Some(embedding.tokens(&indices));
                let args = ForwardArgs { x: &[], tokens, ..p.args(&mut out) };
                rnn.forward(&mut session, &p.batch(), args).unwrap();
                out.assert_same_bits(&plain, &what);
                out = p.room();
                let args = ForwardArgs { x: &[], tokens, ..p.args(&mut out) };
                rnn.forward_train(&mut session, &mut tape, &p.batch(), args, DropoutPosition::default()).unwrap();
                out.assert_same_bits(&expected, &what);
                let before = embedding.table().to_vec();
                embedding.table_mut().fill(f32::NAN);
                p.backward(&rnn, &mut session, &tape).assert_same_bits(&expected_gradients, &what);
                embedding.table_mut().copy_from_slice(&before);
            }
        }
    }
}
