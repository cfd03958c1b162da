//! Committed SHA-256 of what a seeded set of models gives, forward and backward: every instruction set, machine, thread
//! count, batch, padding, cutting and rounding of subnormals has to reproduce `tests/hashes.txt`.
//!
//! `SIMDRNN_BLESS=1 cargo test --test hashes` writes the file anew from the scalar path, which only a change of the
//! promised arithmetic (the chains, the activations) may ask for; it belongs in the changelog.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::sync::OnceLock;

use common::problem::{DIRECTIONS, Gradients, Outputs, Problem, random_lengths, variants};
use common::random::SplitMix64;
use sha2::{Digest, Sha256};
use simdrnn::rnn::{Direction, DropoutPosition, RnnConfig, Session, Stream, Tape};
use simdrnn::{Isa, Pool};

/// The models with their names in the file. Never change one: add another.
fn problems() -> &'static [(String, Problem)] {
    static PROBLEMS: OnceLock<Vec<(String, Problem)>> = OnceLock::new();
    PROBLEMS.get_or_init(|| {
        let mut r = SplitMix64::new(0x5EED);
        let mut all = Vec::new();
        let mut add = |config: RnnConfig, batch, seq_len, ragged: bool| {
            let lengths = ragged.then(|| random_lengths(&mut r, batch, seq_len));
            let problem = Problem::random(&mut r, &config, batch, seq_len, lengths);
            let name = problem.describe().replace(", ", " ").replace(' ', "_");
            all.push((name, problem));
        };
        for (cell, projection) in variants() {
            for direction in DIRECTIONS {
                for num_layers in [1, 3] {
                    for ragged in [false, true] {
                        let (input, hidden) = if ragged { (5, 33) } else { (18, 19) };
                        let config = RnnConfig {
                            direction,
                            num_layers,
                            batch_first: ragged,
                            bias: num_layers == 1 || ragged,
                            proj_size: if projection { 7 } else { 0 },
                            ..RnnConfig::new(cell, input, hidden)
                        };
                        add(config, 5, 12, ragged);
                    }
                }
            }
            // Wide enough for threads to split.
            let config = RnnConfig {
                direction: Direction::Bidirectional,
                proj_size: if projection { 40 } else { 0 },
                ..RnnConfig::new(cell, 33, 130)
            };
            add(config, 17, 6, true);
        }
        all
    })
}

/// What the sequences of a batch gave, one after the other.
type Parts = Vec<Outputs>;

/// Hashes of one model: forward results, gradients of inputs and initial states, gradients of weights.
#[derive(Clone, Debug, PartialEq)]
struct Hashes([String; 3]);

fn hash<'a>(arrays: impl Iterator<Item = &'a Vec<f32>>) -> String {
    let bytes: Vec<u8> = arrays.flatten().flat_map(|v| v.to_bits().to_le_bytes()).collect();
    Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn forward_hash(parts: &[Outputs]) -> String {
    hash(parts.iter().flat_map(|p| [&p.y, &p.hn, &p.cn]))
}

fn input_hash(parts: &[Gradients]) -> String {
    hash(parts.iter().flat_map(|p| [&p.dx, &p.dh0, &p.dc0]))
}

fn parts(p: &Problem, out: &Outputs) -> Parts {
    (0..p.batch).map(|b| p.outputs_of(out, b)).collect()
}

fn gradient_parts(p: &Problem, gradients: &Gradients) -> Vec<Gradients> {
    (0..p.batch).map(|b| p.gradients_of(gradients, b)).collect()
}

fn train(p: &Problem, isa: Isa, session: &mut Session) -> (Outputs, Gradients) {
    let (rnn, mut tape) = (p.model(isa), Tape::new());
    let out = p.forward_train(&rnn, session, &mut tape, DropoutPosition::default());
    let gradients = p.backward(&rnn, session, &tape);
    (out, gradients)
}

fn hashes(p: &Problem, isa: Isa, session: &mut Session) -> Hashes {
    let (out, gradients) = train(p, isa, session);
    assert!(out.y.iter().chain(&gradients.dx).chain(&gradients.params).all(|v| v.is_finite()));
    let weights = hash([&gradients.params].into_iter());
    Hashes([forward_hash(&parts(p, &out)), input_hash(&gradient_parts(p, &gradients)), weights])
}

/// The file's hashes, by name.
fn committed() -> &'static BTreeMap<String, Hashes> {
    static COMMITTED: OnceLock<BTreeMap<String, Hashes>> = OnceLock::new();
    COMMITTED.get_or_init(|| {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hashes.txt");
        if std::env::var_os("SIMDRNN_BLESS").is_some() {
            let line = |(name, p): &(String, Problem)| {
                format!("{name}\n  {}\n", hashes(p, Isa::Scalar, &mut Session::new()).0.join("\n  "))
            };
            fs::write(&path, problems().iter().map(line).collect::<String>()).unwrap();
        }
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let entry = |l: &[&str]| (l[0].to_owned(), Hashes([l[1], l[2], l[3]].map(str::to_owned)));
        lines.chunks_exact(4).map(entry).collect()
    })
}

/// Calls `check` with every model, its hashes and every instruction set; prints how many comparisons that were.
fn for_each(what: &str, mut check: impl FnMut(&Problem, &Hashes, Isa, &str)) {
    for isa in Isa::available() {
        for (name, p) in problems() {
            check(p, &committed()[name], isa, &format!("{name} on {}, {what}", isa.name()));
        }
        println!("{what} on {}: {} models", isa.name(), problems().len());
    }
}

#[test]
fn the_file_has_each_model_once() {
    let names: Vec<&String> = problems().iter().map(|(name, _)| name).collect();
    assert_eq!(committed().len(), names.len());
    assert!(names.iter().all(|name| committed().contains_key(*name)), "{names:?}");
    let mut hashes: Vec<&String> = committed().values().flat_map(|h| &h.0).collect();
    hashes.sort();
    hashes.dedup();
    assert_eq!(hashes.len(), 3 * names.len());
}

#[test]
fn every_isa() {
    for_each("whole", |p, expected, isa, what| {
        assert_eq!(hashes(p, isa, &mut Session::new()), *expected, "{what}");
        let out = p.forward(&p.model(isa), &mut Session::new());
        assert_eq!(forward_hash(&parts(p, &out)), expected.0[0], "{what}: forward alone");
    });
}

#[test]
fn any_threads() {
    for threads in [1, 2, 3, 8] {
        let mut session = Session::with_pool(&Pool::new(threads).unwrap());
        for_each(&format!("{threads} threads"), |p, expected, isa, what| {
            assert_eq!(hashes(p, isa, &mut session), *expected, "{what}");
            let out = p.forward(&p.model(isa), &mut session);
            assert_eq!(forward_hash(&parts(p, &out)), expected.0[0], "{what}: forward alone");
        });
    }
}

#[test]
fn alone() {
    for_each("alone", |p, expected, isa, what| {
        let all = (0..p.batch).map(|b| {
            let one = p.select(&[b], p.length(b));
            let (out, gradients) = train(&one, isa, &mut Session::new());
            (one.outputs_of(&out, 0), one.gradients_of(&gradients, 0))
        });
        let (out, gradients): (Parts, Vec<Gradients>) = all.unzip();
        assert_eq!(forward_hash(&out), expected.0[0], "{what}");
        assert_eq!(input_hash(&gradients), expected.0[1], "{what}");
    });
}

/// Backwards, between other mates, in longer buffers with NaN in the padding.
#[test]
fn shuffled_and_padded() {
    for_each("shuffled and padded", |p, expected, isa, what| {
        let places: Vec<usize> = (0..p.batch).rev().chain([1, 0, 1]).collect();
        let other = p.select(&places, p.seq_len + 3);
        let (out, gradients) = train(&other, isa, &mut Session::new());
        let at = |b: usize| p.batch - 1 - b;
        let out: Parts = (0..p.batch).map(|b| other.outputs_of(&out, at(b))).collect();
        let gradients: Vec<Gradients> = (0..p.batch).map(|b| other.gradients_of(&gradients, at(b))).collect();
        assert_eq!(forward_hash(&out), expected.0[0], "{what}");
        assert_eq!(input_hash(&gradients), expected.0[1], "{what}");
        // In their order, the weights' gradients are the same too.
        let padded = p.select(&(0..p.batch).collect::<Vec<_>>(), p.seq_len + 2);
        assert_eq!(hashes(&padded, isa, &mut Session::new()), *expected, "{what}");
    });
}

/// Each sequence in two calls with carried states, cut somewhere, which two directions at once cannot.
#[test]
fn chunked() {
    for_each("chunked", |p, expected, isa, what| {
        if p.config.direction == Direction::Bidirectional {
            return;
        }
        let (rnn, mut session) = (p.model(isa), Session::new());
        let whole = |b: usize| {
            let one = p.select(&[b], p.length(b));
            let cut = (b * 5 + 2) % (one.seq_len + 1);
            let mut chunks = [0..cut, cut..one.seq_len];
            let mut ys = [vec![], vec![]];
            let order = if p.config.direction == Direction::Reverse { [1, 0] } else { [0, 1] };
            let mut chunk = Problem { lengths: None, ..one.clone() };
            for i in order {
                let steps = std::mem::take(&mut chunks[i]);
                chunk.seq_len = steps.len();
                chunk.x = one.x[steps.start * p.config.input_size..steps.end * p.config.input_size].to_vec();
                chunk.dy = vec![0.0; steps.len() * p.config.output_size()];
                let out = chunk.forward(&rnn, &mut session);
                (ys[i], chunk.h0, chunk.c0) = (out.y, out.hn, out.cn);
            }
            Outputs { y: ys.concat(), hn: chunk.h0, cn: chunk.c0 }
        };
        let out: Parts = (0..p.batch).map(whole).collect();
        assert_eq!(forward_hash(&out), expected.0[0], "{what}");
    });
}

#[test]
fn streamed() {
    for_each("streamed", |p, expected, isa, what| {
        if p.config.direction != Direction::Forward {
            return;
        }
        let rnn = p.model(isa);
        let steps = |b: usize| {
            let one = p.select(&[b], p.length(b));
            let mut stream = Stream::new(&rnn, 1).unwrap();
            stream.set_state(Some(&one.h0), p.is_lstm().then_some(&one.c0[..])).unwrap();
            let mut out = Outputs { y: vec![0.0; one.dy.len()], hn: one.h0.clone(), cn: one.c0.clone() };
            let rows = one.x.chunks_exact(p.config.input_size).zip(out.y.chunks_exact_mut(p.config.output_size()));
            rows.for_each(|(x, y)| stream.step(&rnn, x, y).unwrap());
            stream.state(Some(&mut out.hn), p.is_lstm().then_some(&mut out.cn[..])).unwrap();
            out
        };
        let out: Parts = (0..p.batch).map(steps).collect();
        assert_eq!(forward_hash(&out), expected.0[0], "{what}");
    });
}

/// NaN throughout one sequence leaves the bits of all others alone.
#[test]
fn beside_nan() {
    for_each("beside NaN", |p, expected, isa, what| {
        let patient = (0..p.batch).max_by_key(|&b| p.length(b)).unwrap();
        let mut ill = p.clone();
        for t in 0..p.length(patient) {
            let row = ill.row(t, patient, p.config.input_size);
            ill.x[row].fill(f32::NAN);
            let row = ill.row(t, patient, p.config.output_size());
            ill.dy[row].fill(f32::NAN);
        }
        let (out, gradients) = train(&ill, isa, &mut Session::new());
        let (healthy, healthy_gradients) = train(p, isa, &mut Session::new());
        let (mut out, mut gradients) = (parts(p, &out), gradient_parts(p, &gradients));
        assert!(out[patient].y.iter().all(|v| v.is_nan()) || p.config.proj_size > 0, "{what}");
        out[patient] = p.outputs_of(&healthy, patient);
        gradients[patient] = p.gradients_of(&healthy_gradients, patient);
        assert_eq!(forward_hash(&out), expected.0[0], "{what}");
        assert_eq!(input_hash(&gradients), expected.0[1], "{what}");
    });
}

/// The processor's flags that round subnormal results to zero and read subnormal operands as zero.
fn set_flush_to_zero(on: bool) {
    // SAFETY: only this thread's control word changes, in the bits for subnormals; audio programs run like this.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        let mut word = 0u32;
        std::arch::asm!("stmxcsr [{}]", in(reg) &mut word, options(nostack));
        word = if on { word | 0x8040 } else { word & !0x8040 };
        std::arch::asm!("ldmxcsr [{}]", in(reg) &word, options(nostack));
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        let mut word: u64;
        std::arch::asm!("mrs {}, fpcr", out(reg) word, options(nostack));
        word = if on { word | 1 << 24 } else { word & !(1 << 24) };
        std::arch::asm!("msr fpcr, {}", in(reg) word, options(nostack));
    }
}

/// Nothing in these models is subnormal, so the caller's flags change nothing.
#[test]
fn with_subnormals_flushed() {
    let product = || std::hint::black_box(f32::MIN_POSITIVE) * std::hint::black_box(0.5);
    for_each("subnormals flushed", |p, expected, isa, what| {
        set_flush_to_zero(true);
        let flushed = product();
        let (out, gradients) = train(p, isa, &mut Session::new());
        let again = p.forward(&p.model(isa), &mut Session::new());
        set_flush_to_zero(false);
        assert!(flushed == 0.0 && product() > 0.0, "the flag does not act");
        assert_eq!(forward_hash(&parts(p, &out)), expected.0[0], "{what}");
        assert_eq!(forward_hash(&parts(p, &again)), expected.0[0], "{what}");
        assert_eq!(input_hash(&gradient_parts(p, &gradients)), expected.0[1], "{what}");
        assert_eq!(hash([&gradients.params].into_iter()), expected.0[2], "{what}");
    });
}
