//! The number of threads changes no bit in whatever floating-point environment the calling thread works: rounding, flushing of
//! subnormals. The pools are made before the environment is changed.
#![cfg(all(feature = "text", feature = "vectors"))]
#![cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]

mod common;
#[path = "../src/parallel/environment.rs"]
#[allow(dead_code, unreachable_pub)]
mod environment;

use common::problem::Problem;
use common::random::SplitMix64;
use environment::{Environment, tests::ALL};
use simdrnn::io::vectors::ReadOptions;
use simdrnn::nn::vectors::WordVectors;
use simdrnn::nn::{AdamConfig, Dense, Optimizer, OptimizerConfig, RmsPropConfig, SgdConfig};
use simdrnn::rnn::{Cell, Direction, RnnConfig, Session, Stream};
use simdrnn::text::{
    Batches, ClassifierConfig, ClassifierSession, Dataset, DatasetOptions, TextClassifier, Trainer, TrainerConfig,
    VocabOptions, trainer::predict,
};
use simdrnn::{Isa, Pool};
use std::sync::OnceLock;

/// Pools that were there before any test changed anything, and no pool.
fn pools() -> [(usize, Option<&'static Pool>); 3] {
    static POOLS: OnceLock<[Pool; 2]> = OnceLock::new();
    let [two, three] = POOLS.get_or_init(|| [2, 3].map(|threads| Pool::new(threads).unwrap()));
    [(1, None), (2, Some(two)), (3, Some(three))]
}

fn session(pool: Option<&Pool>) -> Session {
    pool.map_or_else(Session::new, Session::with_pool)
}

/// Compares what `run` gives with one, two and three threads in every environment. `run` takes the threads and the
/// pool, and returns bits.
fn check(what: &str, mut run: impl FnMut(Option<&Pool>) -> Vec<u32>) {
    let (mut compared, mut first, mut kinds) = (0, Vec::new(), Vec::new());
    let pools = pools();
    for (name, environment) in ALL {
        for (threads, pool) in pools {
            let found = {
                let _entered = environment.enter();
                run(pool)
            };
            if threads == 1 {
                first = found;
                continue;
            }
            assert_eq!(found.len(), first.len());
            let differ = found.iter().zip(&first).filter(|(a, b)| a != b).count();
            assert_eq!(differ, 0, "{what}, {name}: of {} values with {threads} threads", first.len());
            compared += first.len();
        }
        if !kinds.contains(&first) {
            kinds.push(std::mem::take(&mut first));
        }
    }
    // Else it would not matter in which environment the threads work.
    assert!(kinds.len() >= 3, "{what}: {} environments of {} differ", kinds.len(), ALL.len());
    println!("{what}: {compared} values compared, {} environments differ", kinds.len());
}

fn bits(values: &[f32]) -> impl Iterator<Item = u32> {
    values.iter().map(|v| v.to_bits())
}

fn problem(cell: Cell, input: usize, hidden: usize, layers: usize, batch: usize, steps: usize) -> Problem {
    let mut config = RnnConfig::new(cell, input, hidden);
    (config.num_layers, config.direction) = (layers, Direction::Forward);
    Problem::random(&mut SplitMix64::new(5), &config, batch, steps, None)
}

/// The case that an audio host meets: without a bias and a state, outputs of inputs near 1e-38 are subnormal.
#[test]
fn forward_of_tiny_inputs() {
    for isa in Isa::available().filter(|&isa| isa != Isa::Scalar) {
        let mut problem = problem(Cell::ElmanRelu, 64, 256, 1, 8, 40);
        problem.x.iter_mut().chain(&mut problem.h0).for_each(|v| *v *= 1e-38);
        problem.config.bias = false;
        problem.params.truncate(256 * (64 + 256));
        check(&format!("elman relu on {}", isa.name()), |pool| {
            let out = problem.forward(&problem.model(isa), &mut session(pool));
            bits(&out.y).chain(bits(&out.hn)).collect()
        });
    }
}

/// Sequences are shared, units are, layers are; forward and backward.
#[test]
fn passes() {
    let cells = [Cell::ElmanTanh, Cell::ElmanRelu, Cell::Lstm, Cell::Gru, Cell::GruResetBefore];
    let isa = Isa::choose().unwrap();
    for cell in cells {
        for (batch, steps, layers) in [(12, 12, 1), (1, 24, 3)] {
            let mut problem = problem(cell, 96, 128, layers, batch, steps);
            // Gradients that become subnormal on their way.
            problem.dy.iter_mut().chain(&mut problem.dhn).chain(&mut problem.dcn).for_each(|v| *v *= 1e-36);
            check(&format!("{} batch {batch}", cell.name()), |pool| {
                let rnn = problem.model(isa);
                let (mut session, mut tape) = (session(pool), simdrnn::rnn::Tape::new());
                let out = problem.forward_train(&rnn, &mut session, &mut tape, Default::default());
                let plain = problem.forward(&rnn, &mut session);
                let gradients = problem.backward(&rnn, &mut session, &tape);
                let parts = [&out.y, &out.hn, &plain.y, &gradients.dx, &gradients.dh0, &gradients.params];
                parts.into_iter().flat_map(|p| bits(p)).collect()
            });
        }
    }
}

#[test]
fn streams() {
    let problem = problem(Cell::Lstm, 64, 512, 1, 1, 12);
    let rnn = problem.model(Isa::choose().unwrap());
    check("stream", |pool| {
        let mut stream = Stream::new(&rnn, 1).unwrap();
        stream.set_pool(pool).unwrap();
        let mut y = vec![0.0; 24 * 512];
        for (x, y) in problem.x.chunks(64).zip(y.chunks_mut(512)) {
            stream.step(&rnn, x, y).unwrap();
        }
        stream.process(&rnn, 12, &problem.x, Some(&mut y[12 * 512..])).unwrap();
        bits(&y).collect()
    });
}

#[test]
fn dense_layers() {
    let mut r = SplitMix64::new(7);
    // Split by outputs, and by rows.
    for (rows, ins, outs) in [(3, 1100, 800), (600, 200, 120)] {
        let mut dense = Dense::new(ins, outs, true).unwrap();
        dense.init(3);
        let (x, dy) = (r.values_f32(rows * ins, 1.0), r.values_f32(rows * outs, 1.0));
        check(&format!("dense forward, {rows} rows"), |pool| {
            let mut y = vec![0.0; rows * outs];
            dense.forward(Some(&mut session(pool)), &x, &mut y).unwrap();
            bits(&y).collect()
        });
        check(&format!("dense backward, {rows} rows"), |pool| {
            let (mut dx, mut grads) = (vec![0.0; rows * ins], vec![0.0; dense.values().len()]);
            for _ in 0..2 {
                dense.backward(&mut session(pool), &x, &dy, Some(&mut dx), Some(&mut grads)).unwrap();
            }
            bits(&dx).chain(bits(&grads)).collect()
        });
    }
}

#[test]
fn optimizers() {
    let sgd = SgdConfig { momentum: 0.9, weight_decay: 0.01, ..SgdConfig::default() };
    let rms = RmsPropConfig { centered: true, momentum: 0.5, ..RmsPropConfig::default() };
    let configs = [
        OptimizerConfig::Sgd(SgdConfig { nesterov: true, ..sgd }),
        OptimizerConfig::Adam(AdamConfig::default()),
        OptimizerConfig::Adam(AdamConfig::adamw()),
        OptimizerConfig::RmsProp(rms),
    ];
    let mut r = SplitMix64::new(8);
    let (start, grads) = (r.values_f32(80_000, 1.0), r.values_f32(80_000, 1.0));
    let rows: Vec<u32> = (0..700).filter(|row| row % 3 != 1).collect();
    for config in configs {
        check(config.name(), |pool| {
            let mut optimizer = Optimizer::new(&config).unwrap();
            optimizer.set_pool(pool);
            let (mut values, mut table) = (start.clone(), start[..70_000].to_vec());
            for _ in 0..3 {
                optimizer.begin_step();
                optimizer.update(0, &mut values, &grads).unwrap();
                optimizer.update_rows(1, &mut table, 100, &rows, &grads[..rows.len() * 100]).unwrap();
            }
            let state: Vec<u32> = optimizer.state_tensors().flat_map(|t| bits(t.values)).collect();
            bits(&values).chain(bits(&table)).chain(state).collect()
        });
    }
}

#[test]
fn neighbours() {
    let text: String = (0..200_000u32).map(|i| format!("w{i} {}.37 {}.11 {}.73\n", i % 71, i % 113, i % 131)).collect();
    let vectors = WordVectors::read(text.as_bytes(), "words", None, &ReadOptions::default()).unwrap();
    check("nearest", |pool| {
        let found = vectors.nearest(&[1.0, 2.0, 3.3], 500, &[5], pool).unwrap();
        found.iter().flat_map(|n| [n.index as u32, n.similarity.to_bits()]).collect()
    });
}

#[test]
fn training_steps() {
    let text: String = (0..48u32)
        .map(|i| {
            let words: Vec<String> = (0..30).map(|k| format!("w{}", (i * 7 + k * k) % 90)).collect();
            format!("{}\t{}\n", ["a", "b"][i as usize % 2], words.join(" "))
        })
        .collect();
    let (options, vocab_options) = (DatasetOptions::default(), VocabOptions::default());
    let config =
        ClassifierConfig { cell: Cell::Gru, embedding_dim: 48, hidden_size: 96, ..ClassifierConfig::default() };
    check("trainer", |pool| {
        let (data, vocab) = Dataset::train_from(text.as_bytes(), "texts", &options, &vocab_options).unwrap();
        let mut model = TextClassifier::new(&config, vocab, data.labels().to_vec(), 3).unwrap();
        let mut trainer = Trainer::new(&model, &TrainerConfig::default(), session(pool)).unwrap();
        let batches = Batches::shuffled((0..data.len()).map(|i| data.token_count(i)), 16, 5, 0).unwrap();
        let mut found = Vec::new();
        for batch in batches.iter() {
            let report = trainer.step(&mut model, &data, batch).unwrap();
            found.extend([report.loss, report.grad_norm].map(|v| (v as f32).to_bits()));
        }
        found.extend(bits(&predict(&model, &mut ClassifierSession::new(session(pool)), &data, 16).unwrap()));
        found
    });
}

/// What a thread of a pool finds in its register is its own again after a call: the next caller's environment is the next
/// caller's.
#[test]
fn environments_of_callers_do_not_mix() {
    let problem = problem(Cell::ElmanTanh, 96, 128, 1, 12, 12);
    let rnn = problem.model(Isa::choose().unwrap());
    let run = |environment: Environment, pool: Option<&Pool>| {
        let _entered = environment.enter();
        bits(&problem.forward(&rnn, &mut session(pool)).y).collect::<Vec<_>>()
    };
    let [(_, none), (_, two), _] = pools();
    let expected = ALL.map(|(_, environment)| run(environment, none));
    std::thread::scope(|scope| {
        for (i, (name, environment)) in ALL.into_iter().enumerate() {
            let (run, expected) = (&run, &expected);
            scope.spawn(move || {
                for _ in 0..20 {
                    assert!(run(environment, two) == expected[i], "{name}");
                }
            });
        }
    });
}
