//! A call that fails changes nothing: for every call of layers and optimizers that can fail, each of its allocations is made
//! to fail in turn, and all results, those of the handles' later calls too, are compared by bits with a run in which the failed
//! call never happened.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell as Counter;

use common::problem::{DIRECTIONS, Problem, variants};
use common::random::SplitMix64;
use simdrnn::nn::{
    AdamConfig, CrossEntropy, Dense, Embedding, EmbeddingGrads, Optimizer, OptimizerConfig, RmsPropConfig, SgdConfig,
    clip_grad_norm,
};
use simdrnn::rnn::{
    BackwardArgs, Batch, Cell, Direction, DropoutPosition, ForwardArgs, GradientFlow, Grads, Init, Rnn, RnnConfig,
    Session, Stream, Tape, TruncatedBptt,
};
use simdrnn::{ErrorKind, Isa, Pool, Result};

struct Failing;

thread_local! {
    // Initialized without an allocation, so that the allocator may use it: allocations that still succeed, or -1 for all.
    static LEFT: Counter<i64> = const { Counter::new(-1) };
    /// Bytes of the allocation that failed, 0 for none.
    static FAILED: Counter<usize> = const { Counter::new(0) };
}

/// Whether this allocation, of so many bytes, is the one that fails.
fn fails(bytes: usize) -> bool {
    LEFT.try_with(|left| {
        match left.get() {
            -1 => return false,
            0 => FAILED.set(bytes),
            _ => (),
        }
        left.set(left.get() - 1);
        left.get() == -1
    })
    .unwrap_or(false)
}

/// What a test does within a call, none of whose allocations fails.
fn aside<T>(work: impl FnOnce() -> T) -> T {
    let left = LEFT.replace(-1);
    let result = work();
    LEFT.set(left);
    result
}

// SAFETY: a call fails as it may, or goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Failing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those that `System` asks for.
        if fails(layout.size()) { std::ptr::null_mut() } else { unsafe { System.alloc(layout) } }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        if fails(layout.size()) { std::ptr::null_mut() } else { unsafe { System.alloc_zeroed(layout) } }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: as above.
        if fails(new_size) { std::ptr::null_mut() } else { unsafe { System.realloc(ptr, layout, new_size) } }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Failing = Failing;

/// What to do to one call of a run.
#[derive(Clone, Copy)]
enum Fault {
    /// Its allocation of this number, from 0, fails.
    Allocation(usize),
    None,
}

/// A run of calls: one of them fails first, then succeeds.
struct Run {
    fault: Fault,
    /// The number of the call that is to fail, and calls so far.
    at: usize,
    calls: usize,
    /// Whether the allocation that was to fail came at all.
    failed: bool,
    results: Vec<u64>,
}

impl Run {
    /// Makes a call, twice if it is the one that has to fail: what both were given has to be the same. `outputs` are what
    /// the caller sees of it.
    fn call<T>(
        &mut self,
        what: &str,
        outputs: &mut [&mut [f32]],
        mut call: impl FnMut(&mut [&mut [f32]]) -> Result<T>,
    ) -> T {
        self.calls += 1;
        if let (Fault::Allocation(n), true) = (self.fault, self.at == self.calls - 1) {
            let before: Vec<Vec<u32>> = outputs.iter().map(|values| bits(values)).collect();
            LEFT.set(n as i64);
            FAILED.set(0);
            let result = call(outputs);
            LEFT.set(-1);
            self.failed = FAILED.get() > 0;
            if self.failed {
                let e = result.err().unwrap_or_else(|| panic!("{what}: allocation {n} failed, but the call did not"));
                assert_eq!(e.kind(), ErrorKind::OutOfMemory, "{what}: {e}");
                for (i, (values, before)) in outputs.iter().zip(&before).enumerate() {
                    assert!(bits(values) == *before, "{what}: output {i} was written, allocation {n} failed");
                }
            } else {
                // Nothing was left to fail.
                return self.done(what, outputs, result);
            }
        }
        let result = call(outputs);
        self.done(what, outputs, result)
    }

    fn done<T>(&mut self, what: &str, outputs: &mut [&mut [f32]], result: Result<T>) -> T {
        let value = result.unwrap_or_else(|e| panic!("{what}: {e}"));
        for values in outputs.iter() {
            self.see(values);
        }
        value
    }

    /// Something that has to be the same in all runs.
    fn see(&mut self, values: &[f32]) {
        self.results.extend(values.iter().map(|v| u64::from(v.to_bits())));
    }

    fn new(fault: Fault, at: usize) -> Self {
        Self { fault, at, calls: 0, failed: false, results: Vec::new() }
    }

    /// All that measurements tell.
    fn seen(flow: &GradientFlow) -> Vec<u64> {
        let mut run = Self::new(Fault::None, 0);
        run.see_flow(flow);
        run.results
    }

    fn see_flow(&mut self, flow: &GradientFlow) {
        let sizes = [flow.passes(), flow.steps(), flow.gates()];
        self.results.extend(sizes.map(|n| n as u64));
        for pass in 0..flow.passes() {
            self.results.extend(flow.state_norms(pass).unwrap().iter().map(|v| v.to_bits()));
            let cells = flow.cell_norms(pass).unwrap_or_default();
            self.results.extend(cells.iter().map(|v| v.to_bits()));
            for gate in 0..flow.gates() {
                self.results.push(flow.largest_singular_value(pass, gate).unwrap().to_bits());
                let saturation = flow.saturation(pass, gate).unwrap();
                self.results.extend([saturation.low, saturation.high].map(|v| u64::from(v.to_bits())));
            }
        }
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// Makes every allocation of every call of `run` fail, one in each run, and compares. Gives the number of failures.
fn check(what: &str, run: impl Fn(&mut Run)) -> usize {
    let go = |fault, at| {
        let mut state = Run::new(fault, at);
        run(&mut state);
        state
    };
    let expected = go(Fault::None, 0);
    let mut failures = 0;
    for at in 0..expected.calls {
        for n in 0.. {
            let found = go(Fault::Allocation(n), at);
            assert!(
                found.results == expected.results,
                "{what}: call {at} failed at allocation {n}, and later results differ"
            );
            if !found.failed {
                break;
            }
            failures += 1;
        }
    }
    failures
}

/// Layers of every kind, small.
fn configs() -> Vec<RnnConfig> {
    let mut all = Vec::new();
    for (i, (cell, projection)) in variants().into_iter().enumerate() {
        for (j, direction) in DIRECTIONS.into_iter().enumerate() {
            let mut config = RnnConfig::new(cell, 3, 5);
            (config.num_layers, config.direction, config.batch_first) = (2 + j % 2, direction, (i + j) % 2 == 1);
            config.proj_size = if projection { 2 } else { 0 };
            config.dropout = 0.25;
            all.push(config);
        }
    }
    all
}

/// As large as a pool is worth waking for.
fn wider(config: &RnnConfig) -> RnnConfig {
    RnnConfig { input_size: 40, hidden_size: 48, proj_size: config.proj_size * 12, ..config.clone() }
}

/// The calls of training and use on one session: shapes that grow, and one that shrinks.
fn train(run: &mut Run, problems: &[&Problem], rnn: &mut Rnn, session: &mut Session) {
    let mut tape = Tape::new();
    let (mut flow, mut optimizer) =
        (GradientFlow::new(), Optimizer::new(&OptimizerConfig::Adam(AdamConfig::default())).unwrap());
    for (i, p) in problems.iter().enumerate() {
        let lstm = p.is_lstm();
        let mut out = p.room();
        let mut outputs = [&mut out.y[..], &mut out.hn[..], &mut out.cn[..]];
        let batch = p.batch();
        run.call("forward", &mut outputs, |outputs| {
            let [y, hn, cn] = outputs else { unreachable!() };
            let (h0, c0) = (Some(&p.h0[..]), lstm.then_some(&p.c0[..]));
            let cn = lstm.then_some(&mut **cn);
            let args = ForwardArgs { x: &p.x, h0, c0, y: Some(y), hn: Some(hn), cn, ..ForwardArgs::default() };
            rnn.forward(session, &batch, args)
        });
        let position = DropoutPosition { seed: i as u64, ..DropoutPosition::default() };
        let mut backward = |run: &mut Run, rnn: &Rnn, session: &mut Session, p: &Problem, tape: &Tape| {
            let mut grads = Grads::new(rnn).unwrap();
            grads.values_mut().fill(0.5);
            let (mut dx, mut dh0, mut dc0) = (vec![7.0; p.x.len()], vec![7.0; p.h0.len()], vec![7.0; p.c0.len()]);
            let outputs = &mut [&mut dx[..], &mut dh0[..], &mut dc0[..]];
            run.call("backward", outputs, |outputs| {
                let before = aside(|| (bits(grads.values()), Run::seen(&flow)));
                let [dx, dh0, dc0] = outputs else { unreachable!() };
                let dcn = lstm.then_some(&p.dcn[..]);
                let args = BackwardArgs {
                    dy: Some(&p.dy),
                    dhn: Some(&p.dhn),
                    dcn,
                    dx: Some(dx),
                    dh0: Some(dh0),
                    dc0: lstm.then_some(&mut **dc0),
                };
                let result = rnn.backward(session, tape, args, Some(&mut grads), Some(&mut flow));
                if result.is_err() {
                    let after = aside(|| (bits(grads.values()), Run::seen(&flow)));
                    assert!(after == before, "gradients or measurements were changed");
                }
                result
            });
            run.see(grads.values());
            run.see_flow(&flow);
            grads
        };
        // The tape holds the last problem's forward while this one's fails.
        let mut outputs = [&mut out.y[..], &mut out.hn[..], &mut out.cn[..]];
        run.call("forward_train", &mut outputs, |outputs| {
            let [y, hn, cn] = outputs else { unreachable!() };
            let (h0, c0) = (Some(&p.h0[..]), lstm.then_some(&p.c0[..]));
            let cn = lstm.then_some(&mut **cn);
            let args = ForwardArgs { x: &p.x, h0, c0, y: Some(y), hn: Some(hn), cn, ..ForwardArgs::default() };
            let result = rnn.forward_train(session, &mut tape, &batch, args, position);
            if let (Err(_), Some(before)) = (&result, i.checked_sub(1)) {
                aside(|| {
                    let (old, mut fresh) = (problems[before], Tape::new());
                    let position = DropoutPosition { seed: before as u64, ..DropoutPosition::default() };
                    old.forward_train(rnn, &mut Session::new(), &mut fresh, position);
                    let expected = old.backward(rnn, &mut Session::new(), &fresh);
                    let found = old.backward(rnn, &mut Session::new(), &tape);
                    found.assert_same_bits(&expected, "the tape of the forward before");
                });
            }
            result
        });
        let grads = backward(run, rnn, session, p, &tape);
        if i + 1 == problems.len() {
            run.call("init", &mut [], |_| rnn.init(Init::XavierOrthogonalForgetOne, 3));
            run.see(rnn.values());
            optimizer.begin_step();
            run.call("optimize", &mut [], |_| rnn.optimize(&mut optimizer, 0, &grads));
            run.see(rnn.values());
            run.see(&p.forward(rnn, session).y);
        }
    }
}

#[test]
fn training() {
    let pool = Pool::new(2).unwrap();
    let mut failures = 0;
    // Which instruction set it is changes sizes alone.
    let isa = Isa::available().last().unwrap();
    for config in configs() {
        for with_pool in [false, true] {
            // Of layers on a pool one of each way to share them: apart, directions at once.
            if with_pool
                && (config.cell != Cell::Lstm || config.proj_size > 0 || config.direction == Direction::Reverse)
            {
                continue;
            }
            let (config, steps) = if with_pool { (wider(&config), 40) } else { (config.clone(), 6) };
            let mut r = SplitMix64::new(71);
            let problems = [
                Problem::random(&mut r, &config, 2, 3, None),
                Problem::random(&mut r, &config, 4, steps, Some(vec![steps, 1, 0, steps - 1])),
                Problem::random(&mut r, &config, 3, 2, None),
            ];
            let what = format!("{} on {}, pool {with_pool}", problems[0].describe(), isa.name());
            let failed = check(&what, |run| {
                let mut rnn = problems[0].model(isa);
                let mut session = if with_pool { Session::with_pool(&pool) } else { Session::new() };
                train(run, &problems.each_ref(), &mut rnn, &mut session);
            });
            println!("{what}: {failed} failed allocations");
            failures += failed;
        }
    }
    println!("training: {failures} failed allocations");
    assert!(failures > 1000);
}

/// Chunks of 4, 1 and 4 steps in a window of three, also saved and restored.
#[test]
fn truncated_backpropagation() {
    let mut failures = 0;
    let isa = Isa::available().last().unwrap();
    for config in configs().into_iter().filter(|c| c.direction == Direction::Forward) {
        let p = Problem::random(&mut SplitMix64::new(72), &config, 2, 4, None);
        let short = p.steps(0, 1);
        failures += check(&format!("truncated {} on {}", p.describe(), isa.name()), |run| {
            let rnn = p.model(isa);
            let mut session = Session::new();
            let mut grads = Grads::new(&rnn).unwrap();
            let mut bptt = run.call("new", &mut [], |_| TruncatedBptt::new(&rnn, 2, 4, 12));
            for (i, p) in [&p, &short, &p, &p, &p].into_iter().enumerate() {
                let (mut y, mut dx) = (vec![7.0; p.dy.len()], vec![7.0; p.x.len()]);
                run.call("forward", &mut [&mut y[..]], |outputs| {
                    bptt.forward(&rnn, &mut session, p.seq_len, &p.x, Some(outputs[0]), 5)
                });
                if i == 3 {
                    let saved = run.call("save", &mut [], |_| bptt.save());
                    run.call("restore", &mut [], |_| bptt.restore(&saved));
                }
                // A second session finds no memory of an earlier call in any chunk.
                let mut fresh = Session::new();
                run.call("backward", &mut [&mut dx[..]], |outputs| {
                    let before = aside(|| bits(grads.values()));
                    let result = bptt.backward(&rnn, &mut fresh, &p.dy, Some(outputs[0]), &mut grads);
                    let after = aside(|| bits(grads.values()));
                    assert!(result.is_ok() || after == before, "gradients were added");
                    result
                });
                run.see(grads.values());
                run.see(bptt.hidden());
                run.see(bptt.cell());
            }
        });
    }
    println!("truncated: {failures} failed allocations");
    assert!(failures > 500);
}

#[test]
fn streams_and_models() {
    let pool = Pool::new(2).unwrap();
    let mut failures = 0;
    for isa in Isa::available() {
        for config in configs().into_iter().filter(|c| c.direction == Direction::Forward) {
            let p = Problem::random(&mut SplitMix64::new(73), &config, 3, 7, None);
            failures += check(&format!("stream {} on {}", p.describe(), isa.name()), |run| {
                let mut rnn = run.call("Rnn::with_isa", &mut [], |_| Rnn::with_isa(&config, isa));
                rnn.update(|values| values.copy_from_slice(&p.params));
                let rnn = run.call("try_clone", &mut [], |_| rnn.try_clone());
                let grads = run.call("Grads::new", &mut [], |_| Grads::new(&rnn));
                run.see(grads.values());
                let mut stream = run.call("Stream::new", &mut [], |_| Stream::new(&rnn, 3));
                let mut y = vec![7.0; p.dy.len()];
                let one = 3 * config.output_size();
                for i in 0..3 {
                    let (x, y) = (&p.x[..3 * config.input_size], &mut y[..]);
                    run.call("step", &mut [&mut y[..one]], |outputs| stream.step(&rnn, x, outputs[0]));
                    run.call("process", &mut [&mut y[..]], |outputs| stream.process(&rnn, 7, &p.x, Some(outputs[0])));
                    run.call("reset_lane", &mut [], |_| stream.reset_lane(i));
                    run.call("set_pool", &mut [], |_| stream.set_pool((i == 0).then_some(&pool)));
                }
                let (mut h, mut c) = (p.h0.clone(), p.c0.clone());
                run.call("state", &mut [&mut h[..], &mut c[..]], |outputs| {
                    let [h, c] = outputs else { unreachable!() };
                    stream.state(Some(h), p.is_lstm().then_some(&mut **c))
                });
                run.call("set_state", &mut [], |_| stream.set_state(Some(&p.h0), None));
                run.call("process", &mut [&mut y[..]], |outputs| stream.process(&rnn, 7, &p.x, Some(outputs[0])));
            });
        }
    }
    println!("streams and models: {failures} failed allocations");
    assert!(failures > 100);
}

const CLASSES: usize = 5;

/// Four steps of classification by words, without recurrent layers.
fn learn(run: &mut Run, config: &OptimizerConfig) {
    let mut r = SplitMix64::new(74);
    let mut o = Optimizer::new(config).unwrap();
    let mut embedding = run.call("Embedding::new", &mut [], |_| Embedding::new(40, 3, Some(0)));
    embedding.init_normal(1);
    let mut table_grads = run.call("EmbeddingGrads::new", &mut [], |_| EmbeddingGrads::new(&embedding));
    let mut dense = run.call("Dense::new", &mut [], |_| Dense::new(3, CLASSES, true));
    dense.init(2);
    let (mut early, mut late) = (r.values_f32(30, 1.0), r.values_f32(17, 1.0));
    let mut dense_grads = vec![0.5; dense.values().len()];
    // More rows than are summed at once, every other time.
    for (step, rows) in [7, 300, 20, 300].into_iter().enumerate() {
        o.begin_step();
        if step % 2 == 0 {
            table_grads.clear();
        }
        gradients(run, &mut r, rows, (&embedding, &dense), &mut table_grads, &mut dense_grads);
        let (g, late_g) = (r.values_f32(30, 1.0), r.values_f32(17, 1.0));
        // By rows in between, which needs a map of rows.
        run.call("update", &mut [&mut early[..]], |out| match step {
            2 => o.update_rows(5, out[0], 3, &[1, 4], &g[..6]),
            _ => o.update(5, out[0], &g),
        });
        // Slots that come later, before and behind the first in the optimizer's order; one pauses.
        if step == 1 || step == 3 {
            run.call("late update", &mut [&mut late[..]], |out| o.update(2, out[0], &late_g));
        }
        if step >= 1 {
            run.call("embedding", &mut [], |_| {
                let before = aside(|| bits(embedding.table()));
                let result = embedding.optimize(&mut o, 9, &table_grads);
                assert!(result.is_ok() || aside(|| before == bits(embedding.table())), "the table changed");
                result
            });
            run.call("dense", &mut [], |_| dense.optimize(&mut o, 7, &dense_grads));
        }
        run.see(embedding.table());
        run.see(dense.values());
        for tensor in o.state_tensors() {
            run.results.push(tensor.slot as u64);
            run.see(tensor.values);
        }
        run.results.extend([2, 5, 7, 9].map(|slot| o.updates(slot)));
    }
}

/// Adds a batch's gradients to those of table and dense layer, and clips them.
fn gradients(
    run: &mut Run,
    r: &mut SplitMix64,
    rows: usize,
    (embedding, dense): (&Embedding, &Dense),
    table_grads: &mut EmbeddingGrads,
    dense_grads: &mut [f32],
) {
    let words: Vec<u32> = (0..rows).map(|_| r.between(0, 39) as u32).collect();
    let targets: Vec<i64> = (0..rows).map(|_| r.between(0, CLASSES - 1) as i64).collect();
    let (mut x, mut logits) = (vec![7.0; rows * 3], vec![7.0; rows * CLASSES]);
    let (mut dlogits, mut dx) = (logits.clone(), x.clone());
    run.call("lookup", &mut [&mut x[..]], |out| embedding.forward(&words, out[0]));
    // A session without memory of an earlier call.
    let mut session = Session::new();
    run.call("dense", &mut [&mut logits[..]], |out| dense.forward(Some(&mut session), &x, out[0]));
    let loss = run.call("loss", &mut [&mut dlogits[..]], |out| {
        CrossEntropy::default().evaluate(CLASSES, &logits, &targets, Some(out[0]))
    });
    run.results.push(loss.to_bits());
    run.call("dense backward", &mut [&mut dx[..], &mut dense_grads[..]], |out| {
        let [dx, grads] = out else { unreachable!() };
        dense.backward(&mut session, &x, &dlogits, Some(dx), Some(grads))
    });
    run.call("accumulate", &mut [], |_| {
        let before = aside(|| (table_grads.rows().to_vec(), bits(table_grads.values())));
        let result = table_grads.accumulate(&words, &dx);
        let same = aside(|| before == (table_grads.rows().to_vec(), bits(table_grads.values())));
        assert!(result.is_ok() || same, "gradients were added");
        result
    });
    run.results.extend(table_grads.rows().iter().map(|&row| u64::from(row)));
    let norm = run.call("clip", &mut [&mut dense_grads[..]], |out| {
        clip_grad_norm(&mut [table_grads.values_mut(), &mut *out[0]], 0.5, true)
    });
    run.results.push(norm.to_bits());
}

/// Every rule, with slots that come late, by values and by rows; dense layers, embeddings, losses and clipping.
#[test]
fn optimizers_and_layers() {
    let rms = RmsPropConfig { momentum: 0.5, centered: true, ..RmsPropConfig::default() };
    let configs = [
        OptimizerConfig::Sgd(SgdConfig::default()),
        OptimizerConfig::Sgd(SgdConfig { momentum: 0.9, ..SgdConfig::default() }),
        OptimizerConfig::Adam(AdamConfig::default()),
        OptimizerConfig::Adam(AdamConfig::adamw()),
        OptimizerConfig::RmsProp(RmsPropConfig::default()),
        OptimizerConfig::RmsProp(rms),
    ];
    let mut failures = 0;
    for config in configs {
        let failed = check(&format!("{config:?}"), |run| learn(run, &config));
        println!("{}: {failed} failed allocations", config.name());
        failures += failed;
    }
    println!("optimizers and layers: {failures} failed allocations");
    assert!(failures > 100);
}

/// What a size claims is refused before any of it is filled: the first request is for all of it.
#[test]
fn what_cannot_be_had_is_refused_at_once() {
    let refused = |before: i64, bytes: usize, call: &dyn Fn() -> Option<simdrnn::Error>| {
        LEFT.set(before);
        FAILED.set(0);
        let result = call();
        assert_eq!(LEFT.replace(-1), -1);
        assert_eq!(result.unwrap().kind(), ErrorKind::OutOfMemory);
        assert!(FAILED.get() >= bytes, "{} bytes were asked for, expected {bytes} at once", FAILED.get());
    };
    for isa in Isa::available() {
        let config = RnnConfig { num_layers: 1024, ..RnnConfig::new(Cell::Lstm, 1, 1 << 12) };
        let values = config.param_specs().unwrap().last().unwrap().range().end;
        // After the parameters' names, all weights and their packed form.
        refused(1, 8 * values, &|| Rnn::with_isa(&config, isa).err());
        let rnn = Rnn::with_isa(&RnnConfig::new(Cell::Lstm, 1, 64), isa).unwrap();
        let (lanes, states) = (1 << 20, (4 * 64) << 20);
        // Two kinds of states and four gates, before and after a step; three sets of states.
        refused(0, 6 * states, &|| Stream::new(&rnn, lanes).err());
        refused(0, 3 * 2 * states, &|| TruncatedBptt::new(&rnn, lanes, 1, 1).err());
        assert!(rnn.forward(&mut Session::new(), &Batch::new(1, 0), ForwardArgs::default()).is_ok());
    }
}
