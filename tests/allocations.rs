//! What allocates and what does not: an allocator that counts each thread's calls.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell as Counter;

use common::problem::{DIRECTIONS, Problem, random_lengths, variants};
use common::random::SplitMix64;
use simdrnn::nn::{
    AdamConfig, CrossEntropy, Dense, Embedding, EmbeddingGrads, Optimizer, OptimizerConfig, RmsPropConfig, SgdConfig,
    clip_grad_norm,
};
use simdrnn::rnn::{
    BackwardArgs, Batch, Cell, Direction, DropoutPosition, ForwardArgs, GradientFlow, Grads, RnnConfig, Session,
    Stream, Tape, TruncatedBptt,
};
use simdrnn::{Isa, Pool};

struct Counting;

thread_local! {
    // Initialized without an allocation, so that the allocator may use it.
    static CALLS: Counter<usize> = const { Counter::new(0) };
    /// The sum of what [`weight`] makes of all layouts taken and not given back.
    static HELD: Counter<u64> = const { Counter::new(0) };
}

/// A number that another size or alignment would not give, however many are added up.
fn weight(layout: Layout) -> u64 {
    (layout.size() as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_mul(2 * layout.align() as u64 + 1)
}

fn hold(taken: u64, given: u64) {
    let _ = HELD.try_with(|held| held.set(held.get().wrapping_add(taken).wrapping_sub(given)));
}

fn count() {
    // A thread that is ending has no counter any more, and no test runs in it.
    let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        hold(weight(layout), 0);
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        hold(weight(layout), 0);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise.
        hold(weight(unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) }), weight(layout));
        // SAFETY: as above.
        unsafe { System.realloc(ptr, layout, new_size) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // Giving memory back is no business of a real-time call either.
        count();
        hold(0, weight(layout));
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Calls of the allocator by this thread during `work`.
fn calls(work: impl FnOnce()) -> usize {
    let before = CALLS.with(Counter::get);
    work();
    CALLS.with(Counter::get) - before
}

/// Every layout that comes back is one that was asked for, of buffers from a few bytes to those that start at a huge page.
#[test]
fn memory_is_given_back_as_it_was_taken() {
    for (input, hidden) in [(3, 5), (17, 33), (700, 900)] {
        let before = HELD.get();
        let mut r = SplitMix64::new(5);
        let problem = Problem::random(&mut r, &RnnConfig::new(Cell::Lstm, input, hidden), 2, 3, None);
        let rnn = problem.model(Isa::available().last().unwrap());
        let (mut session, mut tape) = (Session::new(), Tape::new());
        drop(problem.forward_train(&rnn, &mut session, &mut tape, DropoutPosition::default()));
        drop(problem.backward(&rnn, &mut session, &tape));
        drop(Stream::new(&rnn, 3).unwrap());
        assert_ne!(HELD.get(), before);
        drop((problem, rnn, session, tape));
        assert_eq!(HELD.get(), before, "LSTM {input} -> {hidden}: memory was given back as another layout");
    }
}

#[test]
fn the_allocator_counts() {
    assert_eq!(calls(|| {}), 0);
    assert_eq!(calls(|| drop(std::hint::black_box(vec![1u8; 100]))), 2);
    let mut grown = Vec::with_capacity(1);
    grown.push(1u8);
    assert!(calls(|| grown.extend_from_slice(&[0; 100])) > 0);
    std::hint::black_box(grown);
}

/// Layers of every kind, small.
fn configs() -> Vec<RnnConfig> {
    let mut all = Vec::new();
    for (cell, projection) in variants() {
        for direction in DIRECTIONS {
            for batch_first in [false, true] {
                let mut config = RnnConfig::new(cell, 6, 19);
                (config.num_layers, config.direction, config.batch_first) = (2, direction, batch_first);
                config.proj_size = if projection { 7 } else { 0 };
                config.flush_small_states = batch_first;
                config.dropout = 0.25;
                all.push(config);
            }
        }
    }
    all
}

#[test]
fn streams() {
    for isa in Isa::available() {
        for config in configs().into_iter().filter(|c| c.direction == Direction::Forward) {
            for lanes in [1, 5] {
                let p = Problem::random(&mut SplitMix64::new(51), &config, lanes, 150, None);
                let rnn = p.model(isa);
                let mut stream = Stream::new(&rnn, lanes).unwrap();
                let mut y = vec![0.0; p.dy.len()];
                let (mut h, mut c) = (p.h0.clone(), p.c0.clone());
                let found = calls(|| {
                    // The very first call, one step, then more steps than fit one block of rows.
                    for steps in [1, 150, 0, 3] {
                        let (x, y) = (&p.x[..steps * lanes * 6], &mut y[..steps * lanes * config.output_size()]);
                        stream.process(&rnn, steps, x, Some(y)).unwrap();
                        stream.process(&rnn, steps, x, None).unwrap();
                    }
                    stream.step(&rnn, &p.x[..lanes * 6], &mut y[..lanes * config.output_size()]).unwrap();
                    stream.state(Some(&mut h), p.is_lstm().then_some(&mut c[..])).unwrap();
                    stream.set_state(Some(&h), p.is_lstm().then_some(&c[..])).unwrap();
                    stream.reset_lane(lanes - 1).unwrap();
                    stream.reset();
                    // Nor do errors, whose text lies inline.
                    assert!(stream.step(&rnn, &p.x[1..lanes * 6], &mut y).is_err());
                });
                assert_eq!(found, 0, "{} on {}", p.describe(), isa.name());
            }
        }
    }
}

/// Where threads share steps, too.
#[test]
fn streams_on_a_pool() {
    let config = RnnConfig { num_layers: 2, ..RnnConfig::new(Cell::Lstm, 6, 300) };
    let p = Problem::random(&mut SplitMix64::new(54), &config, 1, 20, None);
    let (rnn, mut y) = (p.model(Isa::available().last().unwrap()), vec![0.0; p.dy.len()]);
    let mut stream = Stream::new(&rnn, 1).unwrap();
    stream.set_pool(Some(&Pool::new(2).unwrap())).unwrap();
    let found = calls(|| {
        stream.step(&rnn, &p.x[..6], &mut y[..300]).unwrap();
        stream.process(&rnn, 20, &p.x, Some(&mut y)).unwrap();
        stream.step(&rnn, &p.x[..6], &mut y[..300]).unwrap();
    });
    assert_eq!(found, 0);
}

fn forward(p: &Problem, rnn: &simdrnn::rnn::Rnn, session: &mut Session, y: &mut [f32], hn: &mut [f32]) {
    let args = ForwardArgs { x: &p.x, h0: Some(&p.h0), y: Some(y), hn: Some(hn), ..ForwardArgs::default() };
    rnn.forward(session, &p.batch(), args).unwrap();
}

#[test]
fn forward_of_a_shape_that_fitted_before() {
    let mut r = SplitMix64::new(52);
    for isa in Isa::available() {
        for config in configs() {
            let lengths = random_lengths(&mut r, 7, 40);
            let ragged = Problem::random(&mut r, &config, 7, 40, Some(lengths));
            let mut full = ragged.clone();
            full.lengths = None;
            let rnn = full.model(isa);
            let mut session = Session::new();
            let (mut y, mut hn) = (vec![0.0; full.dy.len()], vec![0.0; full.h0.len()]);
            let what = format!("{} on {}", full.describe(), isa.name());
            let first = calls(|| forward(&full, &rnn, &mut session, &mut y, &mut hn));
            assert!(first > 0, "{what}: nothing was counted");
            let held = session.bytes();
            // At the least, the pre-activations of a step.
            assert!(
                held >= 4 * 7 * config.cell.gates() * config.hidden_size,
                "{what}: {held} bytes are said to be held"
            );
            assert_eq!(calls(|| forward(&full, &rnn, &mut session, &mut y, &mut hn)), 0, "{what}: again");
            assert_eq!(session.bytes(), held, "{what}: again");
            forward(&ragged, &rnn, &mut session, &mut y, &mut hn);
            assert_eq!(calls(|| forward(&ragged, &rnn, &mut session, &mut y, &mut hn)), 0, "{what}: with lengths");
            assert_eq!(calls(|| forward(&full, &rnn, &mut session, &mut y, &mut hn)), 0, "{what}: without again");
            let mut smaller = full.select(&[3, 1], full.seq_len);
            smaller.lengths = Some(vec![4, 33]);
            let (y, hn) = (&mut y[..smaller.dy.len()], &mut hn[..smaller.h0.len()]);
            assert_eq!(calls(|| forward(&smaller, &rnn, &mut session, y, hn)), 0, "{what}: smaller");
        }
    }
}

#[test]
fn training_steps_of_the_same_shape() {
    let optimizers = [
        OptimizerConfig::Sgd(SgdConfig { momentum: 0.9, ..SgdConfig::default() }),
        OptimizerConfig::Adam(AdamConfig::adamw()),
        OptimizerConfig::RmsProp(RmsPropConfig::default()),
    ];
    let mut r = SplitMix64::new(53);
    for isa in Isa::available() {
        for (i, config) in configs().into_iter().enumerate() {
            // Rows for more than one block of backward.
            let lengths = random_lengths(&mut r, 9, 50);
            let mut p = Problem::random(&mut r, &config, 9, 50, Some(lengths));
            let mut rnn = p.model(isa);
            let (mut session, mut tape) = (Session::new(), Tape::new());
            let (mut grads, mut flow) = (Grads::new(&rnn).unwrap(), GradientFlow::new());
            let mut optimizer = Optimizer::new(&optimizers[i % 3]).unwrap();
            let (mut y, mut dx, mut dh0) = (vec![0.0; p.dy.len()], vec![0.0; p.x.len()], vec![0.0; p.h0.len()]);
            let mut step = |p: &Problem| {
                let args = ForwardArgs { x: &p.x, h0: Some(&p.h0), y: Some(&mut y), ..ForwardArgs::default() };
                let position = DropoutPosition { seed: 1, ..DropoutPosition::default() };
                rnn.forward_train(&mut session, &mut tape, &p.batch(), args, position).unwrap();
                grads.zero();
                let args = BackwardArgs {
                    dy: Some(&p.dy),
                    dhn: Some(&p.dhn),
                    dx: Some(&mut dx),
                    dh0: Some(&mut dh0),
                    ..BackwardArgs::default()
                };
                rnn.backward(&mut session, &tape, args, Some(&mut grads), Some(&mut flow)).unwrap();
                clip_grad_norm(&mut [grads.values_mut()], 1.0, true).unwrap();
                optimizer.begin_step();
                rnn.update(|values| optimizer.update(0, values, grads.values()).unwrap());
            };
            let what = format!("{} on {}", p.describe(), isa.name());
            assert!(calls(|| step(&p)) > 0, "{what}: nothing was counted");
            assert_eq!(calls(|| step(&p)), 0, "{what}: the second step");
            // Other lengths of no larger a sum.
            if let Some(lengths) = &mut p.lengths {
                lengths.reverse();
                lengths.iter_mut().for_each(|n| *n = n.saturating_sub(1));
            }
            assert_eq!(calls(|| step(&p)), 0, "{what}: a step with other lengths");
        }
    }
}

/// The model of a text classifier: everything around the recurrent layer as well.
#[test]
fn a_whole_model() {
    for isa in Isa::available() {
        let (batch, seq_len, vocab, width, hidden, classes) = (4, 9, 50, 6, 17, 3);
        let config = RnnConfig { direction: Direction::Bidirectional, ..RnnConfig::new(Cell::Lstm, width, hidden) };
        let mut r = SplitMix64::new(54);
        let p = Problem::random(&mut r, &config, batch, seq_len, None);
        let mut rnn = p.model(isa);
        let mut embedding = Embedding::new(vocab, width, Some(0)).unwrap();
        embedding.init_normal(1);
        let mut dense = Dense::with_isa(2 * hidden, classes, true, isa).unwrap();
        dense.init(2);
        let mut optimizer = Optimizer::new(&OptimizerConfig::Adam(AdamConfig::default())).unwrap();
        let (mut session, mut tape, mut grads) = (Session::new(), Tape::new(), Grads::new(&rnn).unwrap());
        let mut embedding_grads = EmbeddingGrads::new(&embedding).unwrap();
        let mut dense_grads = vec![0.0; dense.values().len()];
        let mut tokens = vec![0u32; batch * seq_len];
        let (mut x, mut hn, mut dhn) = (p.x.clone(), p.h0.clone(), p.h0.clone());
        let (mut logits, mut dlogits) = (vec![0.0; batch * classes], vec![0.0; batch * classes]);
        let mut dx = vec![0.0; x.len()];
        let labels = [0, 2, 1, 1];
        let mut step = |tokens: &[u32]| {
            embedding.forward(tokens, &mut x).unwrap();
            let args = ForwardArgs { x: &x, hn: Some(&mut hn), ..ForwardArgs::default() };
            let extents = Batch::new(batch, seq_len);
            rnn.forward_train(&mut session, &mut tape, &extents, args, DropoutPosition::default()).unwrap();
            // Which features meet in a row does not matter here.
            dense.forward(Some(&mut session), &hn, &mut logits).unwrap();
            CrossEntropy::default().evaluate(classes, &logits, &labels, Some(&mut dlogits)).unwrap();
            grads.zero();
            embedding_grads.clear();
            dense_grads.fill(0.0);
            dense.backward(&mut session, &hn, &dlogits, Some(&mut dhn), Some(&mut dense_grads)).unwrap();
            let args = BackwardArgs { dhn: Some(&dhn), dx: Some(&mut dx), ..BackwardArgs::default() };
            rnn.backward(&mut session, &tape, args, Some(&mut grads), None).unwrap();
            embedding_grads.accumulate(tokens, &dx).unwrap();
            let mut all = [embedding_grads.values_mut(), grads.values_mut(), &mut dense_grads[..]];
            clip_grad_norm(&mut all, 0.5, true).unwrap();
            optimizer.begin_step();
            embedding.optimize(&mut optimizer, 0, &embedding_grads).unwrap();
            rnn.update(|values| optimizer.update(1, values, grads.values()).unwrap());
            dense.update(|values| optimizer.update(2, values, &dense_grads).unwrap());
        };
        for i in 0..5 {
            // Other words in every step, few at first.
            let most = if i == 0 { 3 } else { vocab - 1 };
            tokens.iter_mut().for_each(|t| *t = r.between(0, most) as u32);
            let found = calls(|| step(&tokens));
            assert_eq!(found > 0, i == 0, "step {i} on {}: {found}", isa.name());
        }
    }
}

#[test]
fn truncated_backpropagation() {
    for isa in Isa::available() {
        for config in configs().into_iter().filter(|c| c.direction == Direction::Forward) {
            let p = Problem::random(&mut SplitMix64::new(55), &config, 3, 4, None);
            let rnn = p.model(isa);
            let (mut session, mut grads) = (Session::new(), Grads::new(&rnn).unwrap());
            let mut bptt = TruncatedBptt::new(&rnn, 3, 4, 12).unwrap();
            let mut step = || {
                bptt.forward(&rnn, &mut session, 4, &p.x, None, 1).unwrap();
                bptt.backward(&rnn, &mut session, &p.dy, None, &mut grads).unwrap();
            };
            // Until every tape has been used.
            let found: Vec<usize> = (0..8).map(|_| calls(&mut step)).collect();
            assert!(found[..3].iter().all(|&n| n > 0), "{found:?}");
            assert!(found[3..].iter().all(|&n| n == 0), "{} on {}: {found:?}", p.describe(), isa.name());
        }
    }
}
