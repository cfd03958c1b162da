//! Random shapes through the Rust API against the equations in f64: outputs, every gradient, dropout, gradient flow.

mod common;

use common::bounds::{LAMBDA, backward_bound, forward_bound, time_major, user_layout};
use common::masks::Mask;
use common::problem::{DIRECTIONS, Problem, random_lengths, variants};
use common::random::SplitMix64;
use common::reference::cells::{Step, step};
use common::reference::nn::sigmoid;
use common::reference::params::PassParams;
use common::reference::{self, Cotangents, Inputs, Weights};
use common::{relative_error, widen};
use simdrnn::Isa;
use simdrnn::rnn::{
    BackwardArgs, Cell, Direction, DropoutPosition, ForwardArgs, GradientFlow, Grads, Rnn, RnnConfig, Session, Tape,
};

/// Which cotangents a loss has.
#[derive(Clone, Copy, Debug)]
struct Given {
    dy: bool,
    dhn: bool,
    dcn: bool,
}

const ALL: Given = Given { dy: true, dhn: true, dcn: true };

/// Widened inputs, for the lifetimes of [`Inputs`].
struct Wide {
    weights: Weights,
    x: Vec<f64>,
    h0: Vec<f64>,
    c0: Vec<f64>,
    dy: Vec<f64>,
    dhn: Vec<f64>,
    dcn: Vec<f64>,
}

impl Wide {
    fn new(p: &Problem) -> Self {
        Self {
            weights: Weights::from_f32(&p.params),
            x: time_major(p, &p.x, p.config.input_size),
            h0: widen(&p.h0),
            c0: widen(&p.c0),
            dy: time_major(p, &p.dy, p.config.output_size()),
            dhn: widen(&p.dhn),
            dcn: widen(&p.dcn),
        }
    }

    fn inputs<'a>(&'a self, p: &'a Problem, dropout: Option<reference::DropoutFactor<'a>>) -> Inputs<'a> {
        let c0 = p.is_lstm().then_some(&self.c0[..]);
        let lengths = p.lengths.as_deref();
        Inputs { lengths, h0: Some(&self.h0), c0, dropout, ..Inputs::new(&self.x, p.batch, p.seq_len) }
    }

    fn cotangents(&self, p: &Problem, given: Given) -> Cotangents<'_> {
        Cotangents {
            dy: given.dy.then_some(&self.dy[..]),
            dhn: given.dhn.then_some(&self.dhn[..]),
            dcn: (given.dcn && p.is_lstm()).then_some(&self.dcn[..]),
        }
    }
}

/// The worst errors relative to their bounds, for the record.
#[derive(Default)]
struct Worst {
    forward: f64,
    backward: f64,
}

/// Runs `p` on `isa` and compares everything with the reference.
fn check(p: &Problem, isa: Isa, position: DropoutPosition, given: Given, worst: &mut Worst) {
    let what = format!("{} on {} {given:?}", p.describe(), isa.name());
    let wide = Wide::new(p);
    let mask = Mask { position, p: p.config.dropout };
    let factor = |layer: usize, t: usize, b: usize, feature: usize| mask.factor(layer, t, b, feature);
    let inputs = wide.inputs(p, (p.config.dropout > 0.0).then_some(&factor));
    let expected = reference::forward(&p.config, &wide.weights, &inputs);

    let rnn = p.model(isa);
    let (mut session, mut tape) = (Session::new(), Tape::new());
    let out = p.forward_train(&rnn, &mut session, &mut tape, position);
    let y = user_layout(p, &expected.y, p.config.output_size());
    for (name, found, expected) in [("y", &out.y, &y), ("hn", &out.hn, &expected.hn), ("cn", &out.cn, &expected.cn)] {
        let (error, bound) = (relative_error(&widen(found), expected), forward_bound(p));
        assert!(error <= bound, "{what}: {name} off by {error:e}, allowed {bound:e}");
        worst.forward = worst.forward.max(error / bound);
    }

    let expected = reference::backward(&p.config, &wide.weights, &inputs, &wide.cotangents(p, given));
    let lstm = p.is_lstm();
    let (mut dx, mut dh0, mut dc0) =
        (vec![f32::NAN; p.x.len()], vec![f32::NAN; p.h0.len()], vec![f32::NAN; p.c0.len()]);
    let mut grads = Grads::new(&rnn).unwrap();
    let args = BackwardArgs {
        dy: given.dy.then_some(&p.dy[..]),
        dhn: given.dhn.then_some(&p.dhn[..]),
        dcn: (given.dcn && lstm).then_some(&p.dcn[..]),
        dx: Some(&mut dx),
        dh0: Some(&mut dh0),
        dc0: lstm.then_some(&mut dc0[..]),
    };
    rnn.backward(&mut session, &tape, args, Some(&mut grads), None).unwrap();
    let expected_dx = user_layout(p, &expected.x, p.config.input_size);
    let mut checks = vec![
        ("dx".to_string(), &dx[..], &expected_dx[..]),
        ("dh0".to_string(), &dh0[..], &expected.h0[..]),
        ("dc0".to_string(), &dc0[..], &expected.c0[..]),
    ];
    for (i, spec) in rnn.param_specs().iter().enumerate() {
        checks.push((spec.name(), grads.param(i).unwrap(), &expected.weights[spec.range()]));
    }
    for (name, found, expected) in checks {
        let (error, bound) = (relative_error(&widen(found), expected), backward_bound(p));
        assert!(error <= bound, "{what}: gradient of {name} off by {error:e}, allowed {bound:e}");
        worst.backward = worst.backward.max(error / bound);
    }
}

/// A random small layer of that kind.
fn random_problem(r: &mut SplitMix64, cell: Cell, projection: bool, direction: Direction, ragged: bool) -> Problem {
    let mut config = RnnConfig::new(cell, r.between(1, 24), r.between(2, 40));
    config.direction = direction;
    config.num_layers = r.between(1, 3);
    config.bias = r.between(0, 3) > 0;
    config.batch_first = r.between(0, 1) == 1;
    config.flush_small_states = r.between(0, 2) == 0;
    config.proj_size = if projection { r.between(1, config.hidden_size - 1) } else { 0 };
    let (batch, seq_len) = (r.between(1, 9), r.between(1, 14));
    let lengths = ragged.then(|| random_lengths(r, batch, seq_len));
    Problem::random(r, &config, batch, seq_len, lengths)
}

fn print(what: &str, worst: &Worst) {
    println!("{what}: at worst {:.2} of forward's bound, {:.2} of backward's", worst.forward, worst.backward);
}

#[test]
fn random_shapes() {
    let mut r = SplitMix64::new(11);
    for (cell, projection) in variants() {
        let mut worst = Worst::default();
        for direction in DIRECTIONS {
            for ragged in [false, true] {
                for _ in 0..4 {
                    let p = random_problem(&mut r, cell, projection, direction, ragged);
                    for isa in Isa::available() {
                        check(&p, isa, DropoutPosition::default(), ALL, &mut worst);
                    }
                }
            }
        }
        print(&format!("{} projection {projection}", cell.name()), &worst);
    }
}

/// Long enough for several blocks of rows in forward and in backward.
#[test]
fn many_rows() {
    let mut r = SplitMix64::new(12);
    for (cell, projection) in variants() {
        let mut worst = Worst::default();
        for direction in DIRECTIONS {
            let mut config = RnnConfig::new(cell, 5, 12);
            (config.direction, config.num_layers) = (direction, 2);
            config.proj_size = if projection { 7 } else { 0 };
            let lengths = random_lengths(&mut r, 17, 40);
            let p = Problem::random(&mut r, &config, 17, 40, Some(lengths));
            for isa in Isa::available() {
                check(&p, isa, DropoutPosition::default(), ALL, &mut worst);
            }
        }
        print(&format!("{} projection {projection}", cell.name()), &worst);
    }
}

#[test]
fn absent_cotangents_are_zeros() {
    let mut r = SplitMix64::new(13);
    let mut worst = Worst::default();
    for (cell, projection) in variants() {
        for direction in DIRECTIONS {
            let p = random_problem(&mut r, cell, projection, direction, true);
            for bits in 0..8 {
                let given = Given { dy: bits & 1 > 0, dhn: bits & 2 > 0, dcn: bits & 4 > 0 };
                for isa in Isa::available() {
                    check(&p, isa, DropoutPosition::default(), given, &mut worst);
                }
            }
        }
    }
    print("absent cotangents", &worst);
}

#[test]
fn dropout() {
    let mut r = SplitMix64::new(14);
    let mut worst = Worst::default();
    for (cell, projection) in variants() {
        for direction in DIRECTIONS {
            for probability in [0.25, 0.6] {
                let mut p = random_problem(&mut r, cell, projection, direction, probability < 0.5);
                let (hidden, proj) = (p.config.hidden_size, p.config.proj_size);
                p = {
                    let mut config = p.config.clone();
                    (config.num_layers, config.dropout) = (r.between(2, 3), probability);
                    (config.hidden_size, config.proj_size) = (hidden, proj);
                    Problem::random(&mut r, &config, p.batch, p.seq_len, p.lengths)
                };
                let position =
                    DropoutPosition { seed: r.next_u64(), first_step: u32::MAX - 3, first_sequence: 5, off: false };
                for isa in Isa::available() {
                    check(&p, isa, position, ALL, &mut worst);
                }
            }
        }
    }
    print("dropout", &worst);
}

/// Chunks of steps and slices of the batch, each told where it stands, drop what the whole drops.
#[test]
fn dropout_of_parts_is_that_of_the_whole() {
    let mut r = SplitMix64::new(15);
    let mut config = RnnConfig::new(Cell::Gru, 6, 19);
    (config.num_layers, config.dropout) = (3, 0.4);
    let p = Problem::random(&mut r, &config, 5, 7, None);
    let position = DropoutPosition { seed: 77, first_step: 10, first_sequence: 20, off: false };
    for isa in Isa::available() {
        let rnn = p.model(isa);
        let (mut session, mut tape) = (Session::new(), Tape::new());
        let whole = p.forward_train(&rnn, &mut session, &mut tape, position);
        for b in 0..5 {
            let alone = p.select(&[b], 7);
            let part = DropoutPosition { first_sequence: 20 + b as u32, ..position };
            let out = alone.forward_train(&rnn, &mut session, &mut tape, part);
            alone.outputs_of(&out, 0).assert_same_bits(&p.outputs_of(&whole, b), "a sequence alone");
        }
        let mut late = p.clone();
        late.seq_len = 4;
        let mut early = late.clone();
        early.seq_len = 3;
        early.x.truncate(3 * 5 * 6);
        early.dy.truncate(3 * 5 * 19);
        let first = early.forward_train(&rnn, &mut session, &mut tape, position);
        late.x.drain(..3 * 5 * 6);
        late.dy.truncate(4 * 5 * 19);
        late.h0 = first.hn;
        let part = DropoutPosition { first_step: 13, ..position };
        let second = late.forward_train(&rnn, &mut session, &mut tape, part);
        common::problem::assert_same_bits(&[first.y, second.y].concat(), &whole.y, "two chunks");
        let other = p.forward_train(&rnn, &mut session, &mut tape, DropoutPosition { seed: 78, ..position });
        assert_ne!(other.y, whole.y);
        // Inference drops nothing.
        let mut plain = p.clone();
        plain.config.dropout = 0.0;
        let expected = plain.forward(&plain.model(isa), &mut session);
        p.forward(&rnn, &mut session).assert_same_bits(&expected, "inference");
    }
}

/// Two calls into the same gradients add up; nothing else of a call does.
#[test]
fn weight_gradients_accumulate() {
    let mut r = SplitMix64::new(16);
    for (cell, projection) in variants() {
        let p = random_problem(&mut r, cell, projection, Direction::Bidirectional, true);
        let q = Problem { params: p.params.clone(), ..random_like(&mut r, &p.config) };
        for isa in Isa::available() {
            let rnn = p.model(isa);
            let (mut session, mut tape) = (Session::new(), Tape::new());
            let mut grads = Grads::new(&rnn).unwrap();
            let mut expected = vec![0.0; p.params.len()];
            for problem in [&p, &q] {
                problem.forward_train(&rnn, &mut session, &mut tape, DropoutPosition::default());
                let mut dx = vec![f32::NAN; problem.x.len()];
                let mut alone = vec![f32::NAN; problem.x.len()];
                for (grads, dx) in [(Some(&mut grads), &mut dx), (None, &mut alone)] {
                    let lstm = problem.is_lstm();
                    let args = BackwardArgs {
                        dy: Some(&problem.dy),
                        dhn: Some(&problem.dhn),
                        dcn: lstm.then_some(&problem.dcn[..]),
                        dx: Some(dx),
                        ..BackwardArgs::default()
                    };
                    rnn.backward(&mut session, &tape, args, grads, None).unwrap();
                }
                common::problem::assert_same_bits(&dx, &alone, "dx, with and without weight gradients");
                let wide = Wide::new(problem);
                let inputs = wide.inputs(problem, None);
                let cotangents = wide.cotangents(problem, ALL);
                let one = reference::backward(&problem.config, &wide.weights, &inputs, &cotangents);
                expected.iter_mut().zip(one.weights).for_each(|(sum, v)| *sum += v);
            }
            let bound = backward_bound(&p) + backward_bound(&q);
            for spec in rnn.param_specs() {
                let error = relative_error(&widen(&grads.values()[spec.range()]), &expected[spec.range()]);
                assert!(error <= bound, "{}, {}: off by {error:e}", p.describe(), spec.name());
            }
            grads.zero();
            assert!(grads.values().iter().all(|v| v.to_bits() == 0));
        }
    }
}

fn random_like(r: &mut SplitMix64, config: &RnnConfig) -> Problem {
    Problem::random(r, config, 3, 5, None)
}

/// States that decay from an initial value to nothing: with flushing none is left below 2^-50, and nothing else
/// differs.
#[test]
fn small_states_are_flushed() {
    let tiny = 2f32.powi(-50);
    for (cell, projection) in variants() {
        let mut config = RnnConfig::new(cell, 1, 9);
        config.proj_size = if projection { 4 } else { 0 };
        let mut r = SplitMix64::new(17);
        let mut p = Problem::random(&mut r, &config, 2, 400, None);
        // Biases would keep the states away from zero.
        for spec in config.param_specs().unwrap().iter().filter(|s| !s.is_matrix) {
            p.params[spec.range()].fill(0.0);
        }
        // Recurrent weights this small leave the gates at about a half: every step keeps at most about half the state,
        // which is below 2^-50 long before the end.
        p.params.iter_mut().for_each(|w| *w *= 0.1);
        p.x.fill(0.0);
        for isa in Isa::available() {
            let plain = p.forward(&p.model(isa), &mut Session::new());
            let mut flushing = p.clone();
            flushing.config.flush_small_states = true;
            let flushed = flushing.forward(&flushing.model(isa), &mut Session::new());
            let trained =
                flushing.forward_train(&flushing.model(isa), &mut Session::new(), &mut Tape::new(), Default::default());
            trained.assert_same_bits(&flushed, "training");
            let small = |v: &f32| *v != 0.0 && v.abs() < tiny;
            assert!(plain.y.iter().any(small), "{}: nothing to flush", p.describe());
            for v in flushed.y.iter().chain(&flushed.hn).chain(&flushed.cn) {
                assert!(*v == 0.0 || v.abs() >= tiny, "{}: {v:e}", p.describe());
            }
            assert!(flushed.hn.iter().all(|&v| v == 0.0), "{}", p.describe());
            for (a, b) in flushed.y.iter().zip(&plain.y) {
                // A flushed state is wrong by less than 2^-50, and later ones by half of it, a quarter, ...
                assert!((a - b).abs() <= 4.0 * tiny, "{}: {a:e} {b:e}", p.describe());
            }
        }
    }
}

/// The largest singular value by Jacobi rotations of the columns (Hestenes 1958).
fn largest_singular_value(matrix: &[f64], cols: usize) -> f64 {
    let mut columns: Vec<Vec<f64>> = (0..cols).map(|c| matrix.chunks_exact(cols).map(|row| row[c]).collect()).collect();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    for _ in 0..60 {
        let mut rotated = false;
        for i in 0..cols {
            for j in i + 1..cols {
                let (a, b, d) =
                    (dot(&columns[i], &columns[i]), dot(&columns[j], &columns[j]), dot(&columns[i], &columns[j]));
                if d.abs() <= 1e-15 * (a * b).sqrt() {
                    continue;
                }
                rotated = true;
                let zeta = (b - a) / (2.0 * d);
                let t = zeta.signum() / (zeta.abs() + zeta.hypot(1.0));
                let c = 1.0 / t.hypot(1.0);
                let s = c * t;
                for k in 0..columns[i].len() {
                    let (x, y) = (columns[i][k], columns[j][k]);
                    (columns[i][k], columns[j][k]) = (c * x - s * y, s * x + c * y);
                }
            }
        }
        if !rotated {
            break;
        }
    }
    columns.iter().map(|c| dot(c, c).sqrt()).fold(0.0, f64::max)
}

/// All steps of all sequences of every pass, by the reference's own steps.
fn reference_steps(p: &Problem, wide: &Wide) -> Vec<Vec<Step>> {
    let (config, directions) = (&p.config, p.config.direction.count());
    let passes = PassParams::from_flat(config, &wide.weights.values);
    let mut all: Vec<Vec<Step>> = vec![vec![]; config.passes()];
    for b in 0..p.batch {
        let length = p.length(b);
        let width = config.input_size;
        let mut input: Vec<Vec<f64>> =
            (0..length).map(|t| wide.x[(t * p.batch + b) * width..][..width].to_vec()).collect();
        for layer in 0..config.num_layers {
            let mut output = vec![vec![]; length];
            for direction in 0..directions {
                let pass = layer * directions + direction;
                let (state, hidden) = (config.state_size(), config.hidden_size);
                let mut h = wide.h0[(pass * p.batch + b) * state..][..state].to_vec();
                let mut c =
                    if p.is_lstm() { wide.c0[(pass * p.batch + b) * hidden..][..hidden].to_vec() } else { vec![] };
                let reverse = direction == 1 || config.direction == Direction::Reverse;
                let mut outputs = vec![vec![]; length];
                for i in 0..length {
                    let t = if reverse { length - 1 - i } else { i };
                    let done = step(config.cell, &passes[pass], &input[t], &h, &c);
                    (h, c) = (done.h.clone(), done.c.clone());
                    outputs[t] = done.h.clone();
                    all[pass].push(done);
                }
                output.iter_mut().zip(outputs).for_each(|(row, h): (&mut Vec<f64>, _)| row.extend(h));
            }
            input = output;
        }
    }
    all
}

#[test]
fn gradient_flow() {
    let mut r = SplitMix64::new(18);
    // One for all: what it held before, of larger and smaller batches and other cells, is forgotten.
    let (mut flow, mut worst) = (GradientFlow::new(), 0.0f64);
    for (cell, projection) in variants() {
        for direction in DIRECTIONS {
            for ragged in [false, true] {
                let mut p = random_problem(&mut r, cell, projection, direction, ragged);
                if let Some(lengths) = p.lengths.as_mut().filter(|_| p.seq_len > 2) {
                    // Nobody reaches the last step: its norm is zero, whatever was measured there before.
                    lengths.iter_mut().for_each(|length| *length = (*length).min(p.seq_len - 1));
                }
                // Inputs large enough to saturate some gates.
                p.x.iter_mut().for_each(|v| *v *= 3.0);
                let wide = Wide::new(&p);
                let inputs = wide.inputs(&p, None);
                let expected = reference::backward(&p.config, &wide.weights, &inputs, &wide.cotangents(&p, ALL));
                let steps = reference_steps(&p, &wide);
                for isa in Isa::available() {
                    check_flow(&mut flow, &p, isa, &expected, &steps, &mut worst);
                }
            }
        }
    }
    println!("norms: at worst {worst:.2} of their bound");
}

fn check_flow(
    flow: &mut GradientFlow,
    p: &Problem,
    isa: Isa,
    expected: &reference::Gradients,
    steps: &[Vec<Step>],
    worst: &mut f64,
) {
    let what = format!("{} on {}", p.describe(), isa.name());
    let (config, rnn) = (&p.config, p.model(isa));
    let (mut session, mut tape) = (Session::new(), Tape::new());
    p.forward_train(&rnn, &mut session, &mut tape, DropoutPosition::default());
    let args = BackwardArgs {
        dy: Some(&p.dy),
        dhn: Some(&p.dhn),
        dcn: p.is_lstm().then_some(&p.dcn[..]),
        ..BackwardArgs::default()
    };
    rnn.backward(&mut session, &tape, args, None, Some(flow)).unwrap();
    let gates = config.cell.gates();
    assert_eq!((flow.passes(), flow.steps(), flow.gates()), (config.passes(), p.seq_len, gates), "{what}");
    let (mut saturated, mut free) = (0, 0);
    for (pass, steps) in steps.iter().enumerate() {
        let mut kinds = vec![("h", flow.state_norms(pass).unwrap(), &expected.dh_norms)];
        match p.is_lstm() {
            true => kinds.push(("c", flow.cell_norms(pass).unwrap(), &expected.dc_norms)),
            false => assert!(flow.cell_norms(pass).unwrap_err().message().contains("only an LSTM")),
        }
        for (kind, found, expected) in kinds {
            let expected = &expected[pass * p.seq_len..][..p.seq_len];
            let error = relative_error(found, expected);
            // A norm has its vector's relative error in the mean, not that of the worst value.
            let bound = backward_bound(p) / LAMBDA;
            assert!(error <= bound, "{what}: norms of {kind} in pass {pass} off by {error:e}, allowed {bound:e}");
            *worst = worst.max(error / bound);
        }

        let directions = config.direction.count();
        let spec = rnn
            .param_specs()
            .iter()
            .find(|s| s.kind == "weight_hh" && s.layer * directions + s.direction == pass)
            .unwrap();
        let (hidden, matrix) = (config.hidden_size, widen(&p.params[spec.range()]));
        for gate in 0..gates {
            let of_gate = &matrix[gate * hidden * spec.cols..(gate + 1) * hidden * spec.cols];
            let (found, expected) =
                (flow.largest_singular_value(pass, gate).unwrap(), largest_singular_value(of_gate, spec.cols));
            // Power iteration stops when a step changes less than 1e-12 of the value; it creeps where the two largest
            // values are close, and then cannot tell them apart.
            assert!((found / expected - 1.0).abs() < 1e-6, "{what}: singular value {found}, expected {expected}");

            let saturation = flow.saturation(pass, gate).unwrap();
            let (mut low, mut high) = (0usize, 0usize);
            for a in steps.iter().flat_map(|s| &s.a[gate * hidden..(gate + 1) * hidden]) {
                let (l, h) = match (config.cell, gate) {
                    (Cell::ElmanRelu, _) => (*a <= 0.0, false),
                    (Cell::ElmanTanh, _) | (Cell::Lstm | Cell::Gru | Cell::GruResetBefore, 2) => {
                        (a.tanh() < -0.9, a.tanh() > 0.9)
                    }
                    _ => (sigmoid(*a) < 0.1, sigmoid(*a) > 0.9),
                };
                low += usize::from(l);
                high += usize::from(h);
            }
            let total = (steps.len() * hidden).max(1) as f32;
            // No value of this data lies so close to a limit that f32 sees it on the other side.
            assert_eq!((saturation.low, saturation.high), (low as f32 / total, high as f32 / total), "{what}, {gate}");
            saturated += low + high;
            free += steps.len() * hidden - low - high;
        }
    }
    assert!(saturated > 0 && free > 0, "{what}: nothing to count");
    assert!(flow.state_norms(config.passes()).is_err() && flow.saturation(0, gates).is_err());
}

/// `y` may be left out in training too: backward does not read it from the caller.
#[test]
fn training_without_outputs() {
    let mut r = SplitMix64::new(19);
    for (cell, projection) in variants() {
        let p = random_problem(&mut r, cell, projection, Direction::Bidirectional, true);
        for isa in Isa::available() {
            let (_, expected) = p.run(isa);
            let rnn: Rnn = p.model(isa);
            let (mut session, mut tape) = (Session::new(), Tape::new());
            let args = ForwardArgs {
                x: &p.x,
                h0: Some(&p.h0),
                c0: p.is_lstm().then_some(&p.c0[..]),
                ..ForwardArgs::default()
            };
            rnn.forward_train(&mut session, &mut tape, &p.batch(), args, DropoutPosition::default()).unwrap();
            p.backward(&rnn, &mut session, &tape).assert_same_bits(&expected, "gradients without y");
        }
    }
}
