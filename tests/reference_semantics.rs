//! What the f64 reference promises beyond its equations: lengths, directions, stacking, absent tensors, gradient flow.

mod common;

use common::random::SplitMix64;
use common::reference::{Cotangents, Gradients, Inputs, Outputs, Weights, backward, forward, transpose_batch_first};
use common::relative_error;
use simdrnn::rnn::{Cell, Direction, RnnConfig};

const BATCH: usize = 4;
const SEQ_LEN: usize = 5;
const LENGTHS: [usize; BATCH] = [3, 0, 5, 1];

/// Random tensors of a stack, time-major.
struct Data {
    config: RnnConfig,
    weights: Weights,
    x: Vec<f64>,
    h0: Vec<f64>,
    c0: Vec<f64>,
    dy: Vec<f64>,
    dhn: Vec<f64>,
    dcn: Vec<f64>,
}

impl Data {
    fn new(config: RnnConfig) -> Self {
        let mut r = SplitMix64::new(11);
        let h = config.passes() * BATCH * config.state_size();
        let c = if config.cell.has_cell_state() { config.passes() * BATCH * config.hidden_size } else { 0 };
        let weights = config.param_specs().unwrap().last().unwrap().range().end;
        Self {
            weights: Weights { values: r.values(weights, 0.8) },
            x: r.values(SEQ_LEN * BATCH * config.input_size, 1.0),
            h0: r.values(h, 1.0),
            c0: r.values(c, 1.0),
            dy: r.values(SEQ_LEN * BATCH * config.output_size(), 1.0),
            dhn: r.values(h, 1.0),
            dcn: r.values(c, 1.0),
            config,
        }
    }

    fn inputs(&self) -> Inputs<'_> {
        Inputs { h0: Some(&self.h0), c0: Some(&self.c0), ..Inputs::new(&self.x, BATCH, SEQ_LEN) }
    }

    fn cotangents(&self) -> Cotangents<'_> {
        Cotangents { dy: Some(&self.dy), dhn: Some(&self.dhn), dcn: Some(&self.dcn) }
    }

    fn run(&self, inputs: &Inputs<'_>) -> (Outputs, Gradients) {
        let out = forward(&self.config, &self.weights, inputs);
        (out, backward(&self.config, &self.weights, inputs, &self.cotangents()))
    }
}

/// Every cell, and an LSTM with projection; `change` sets the rest.
fn stacks(change: impl Fn(&mut RnnConfig)) -> Vec<RnnConfig> {
    let mut all: Vec<RnnConfig> = Cell::ALL.into_iter().map(|cell| RnnConfig::new(cell, 3, 4)).collect();
    let mut projected = RnnConfig::new(Cell::Lstm, 3, 4);
    projected.proj_size = 2;
    all.push(projected);
    all.iter_mut().for_each(change);
    all
}

/// Row `index` of a tensor with `width` features.
fn row(values: &[f64], index: usize, width: usize) -> &[f64] {
    &values[index * width..][..width]
}

/// Column `b` of a (first, BATCH, features) tensor, the first `count` rows.
fn of_sequence(values: &[f64], b: usize, count: usize, width: usize) -> Vec<f64> {
    (0..count).flat_map(|i| row(values, i * BATCH + b, width).to_vec()).collect()
}

/// A sequence in a ragged batch gets, bit for bit, what it gets alone; what lies past its end is not read and is zero.
#[test]
fn lengths_cut_sequences_out_of_the_batch() {
    for config in stacks(|c| {
        c.direction = Direction::Bidirectional;
        c.num_layers = 2;
    }) {
        let mut data = Data::new(config.clone());
        let (input, output, state, hidden) =
            (config.input_size, config.output_size(), config.state_size(), config.hidden_size);
        for t in 0..SEQ_LEN {
            for b in (0..BATCH).filter(|&b| t >= LENGTHS[b]) {
                data.x[(t * BATCH + b) * input..][..input].fill(f64::NAN);
                data.dy[(t * BATCH + b) * output..][..output].fill(f64::NAN);
            }
        }
        let (out, gradients) = data.run(&Inputs { lengths: Some(&LENGTHS), ..data.inputs() });
        let mut weights = vec![0.0; gradients.weights.len()];
        let mut squared_norms = vec![0.0; gradients.dh_norms.len()];
        for (b, length) in LENGTHS.into_iter().enumerate() {
            let passes = config.passes();
            let c = if data.c0.is_empty() { 0 } else { passes };
            let x = of_sequence(&data.x, b, length, input);
            let (h0, c0) = (of_sequence(&data.h0, b, passes, state), of_sequence(&data.c0, b, c, hidden));
            let dy = of_sequence(&data.dy, b, length, output);
            let (dhn, dcn) = (of_sequence(&data.dhn, b, passes, state), of_sequence(&data.dcn, b, c, hidden));
            let alone = Inputs { h0: Some(&h0), c0: Some(&c0), ..Inputs::new(&x, 1, length) };
            let cotangents = Cotangents { dy: Some(&dy), dhn: Some(&dhn), dcn: Some(&dcn) };
            let expected = forward(&config, &data.weights, &alone);
            assert_eq!(of_sequence(&out.y, b, length, output), expected.y);
            assert_eq!(of_sequence(&out.hn, b, passes, state), expected.hn);
            assert_eq!(of_sequence(&out.cn, b, c, hidden), expected.cn);
            let expected = backward(&config, &data.weights, &alone, &cotangents);
            assert_eq!(of_sequence(&gradients.x, b, length, input), expected.x);
            assert_eq!(of_sequence(&gradients.h0, b, passes, state), expected.h0);
            assert_eq!(of_sequence(&gradients.c0, b, c, hidden), expected.c0);
            weights.iter_mut().zip(&expected.weights).for_each(|(w, e)| *w += e);
            for pass in 0..passes {
                for t in 0..length {
                    squared_norms[pass * SEQ_LEN + t] += expected.dh_norms[pass * length + t].powi(2);
                }
            }
            if length == 0 {
                assert_eq!(of_sequence(&out.hn, b, passes, state), h0);
                assert_eq!(of_sequence(&gradients.h0, b, passes, state), dhn);
            }
            for t in length..SEQ_LEN {
                assert!(row(&out.y, t * BATCH + b, output).iter().all(|&v| v == 0.0));
                assert!(row(&gradients.x, t * BATCH + b, input).iter().all(|&v| v == 0.0));
            }
        }
        assert!(relative_error(&gradients.weights, &weights) < 1e-14);
        let norms: Vec<f64> = squared_norms.into_iter().map(f64::sqrt).collect();
        assert!(relative_error(&gradients.dh_norms, &norms) < 1e-14);
    }
}

/// No sequence reaches the last step: its norms are zero, the others are not.
#[test]
fn gradient_norms_end_with_the_longest_sequence() {
    let data = Data::new(RnnConfig::new(Cell::Lstm, 3, 4));
    let (_, gradients) = data.run(&Inputs { lengths: Some(&[2, 0, 3, 1]), ..data.inputs() });
    assert!(gradients.dh_norms[..3].iter().all(|&n| n > 0.0));
    assert_eq!(gradients.dh_norms[3..], [0.0, 0.0]);
}

/// The rows of a (time, batch, features) tensor with each sequence turned around within its length.
fn turned(values: &[f64], width: usize) -> Vec<f64> {
    let mut out = values.to_vec();
    for b in 0..BATCH {
        for t in 0..LENGTHS[b] {
            let from = row(values, (LENGTHS[b] - 1 - t) * BATCH + b, width);
            out[(t * BATCH + b) * width..][..width].copy_from_slice(from);
        }
    }
    out
}

#[test]
fn reverse_is_forward_over_turned_sequences() {
    for config in stacks(|c| c.num_layers = 2) {
        let data = Data::new(config.clone());
        let inputs = Inputs { lengths: Some(&LENGTHS), ..data.inputs() };
        let mut reverse = Data::new(config.clone());
        reverse.config.direction = Direction::Reverse;
        let (out, gradients) = reverse.run(&inputs);
        let (x, dy) = (turned(&data.x, config.input_size), turned(&data.dy, config.output_size()));
        let cotangents = Cotangents { dy: Some(&dy), ..data.cotangents() };
        let turned_inputs = Inputs { x: &x, ..inputs };
        let expected = forward(&config, &data.weights, &turned_inputs);
        assert_eq!(out.hn, expected.hn);
        assert_eq!(out.cn, expected.cn);
        assert_eq!(out.y, turned(&expected.y, config.output_size()));
        assert_ne!(out.y, expected.y);
        let expected = backward(&config, &data.weights, &turned_inputs, &cotangents);
        assert_eq!(gradients.x, turned(&expected.x, config.input_size));
        assert_eq!((gradients.h0, gradients.c0), (expected.h0, expected.c0));
        assert!(relative_error(&gradients.weights, &expected.weights) < 1e-14);
    }
}

#[test]
fn bidirectional_is_forward_beside_reverse() {
    for config in stacks(|c| c.direction = Direction::Bidirectional) {
        let data = Data::new(config.clone());
        let inputs = Inputs { lengths: Some(&LENGTHS), ..data.inputs() };
        let out = forward(&config, &data.weights, &inputs);
        let state = config.state_size();
        for (d, direction) in [Direction::Forward, Direction::Reverse].into_iter().enumerate() {
            let one_way = RnnConfig { direction, ..config.clone() };
            let half = |values: &[f64]| values[d * values.len() / 2..][..values.len() / 2].to_vec();
            let weights = Weights { values: half(&data.weights.values) };
            let (h0, c0) = (half(&data.h0), half(&data.c0));
            let expected = forward(&one_way, &weights, &Inputs { h0: Some(&h0), c0: Some(&c0), ..inputs });
            let y: Vec<f64> = out.y.chunks(2 * state).flat_map(|y| y[d * state..][..state].to_vec()).collect();
            assert_eq!(y, expected.y);
            assert_eq!(half(&out.hn), expected.hn);
            assert_eq!(half(&out.cn), expected.cn);
        }
    }
}

/// Absent tensors mean zeros, absent lengths whole sequences, and no dropout factors of 1.
#[test]
fn absent_is_neutral() {
    for config in stacks(|c| c.num_layers = 2) {
        let mut data = Data::new(config);
        for values in [&mut data.h0, &mut data.c0, &mut data.dhn, &mut data.dcn] {
            values.fill(0.0);
        }
        let all_kept = |_: usize, _: usize, _: usize, _: usize| 1.0;
        let (out, gradients) =
            data.run(&Inputs { lengths: Some(&[SEQ_LEN; BATCH]), dropout: Some(&all_kept), ..data.inputs() });
        let absent = Inputs::new(&data.x, BATCH, SEQ_LEN);
        let only_dy = Cotangents { dy: Some(&data.dy), ..Cotangents::default() };
        assert_eq!(out, forward(&data.config, &data.weights, &absent));
        assert_eq!(gradients, backward(&data.config, &data.weights, &absent, &only_dy));
        data.dy.fill(0.0);
        let nothing = backward(&data.config, &data.weights, &absent, &Cotangents::default());
        assert_eq!(nothing, data.run(&absent).1);
        assert!(nothing.weights.iter().all(|&g| g == 0.0));
    }
}

/// dL/dh_t of a single forward layer is dy_t plus the initial-state gradient of the steps after t.
#[test]
fn gradient_norms_are_those_of_the_remaining_steps() {
    for config in stacks(|_| ()) {
        let data = Data::new(config.clone());
        let (_, gradients) = data.run(&data.inputs());
        let (input, state) = (config.input_size, config.state_size());
        for t in 0..SEQ_LEN {
            let cut = (t + 1) * BATCH;
            let begun =
                forward(&config, &data.weights, &Inputs { x: &data.x[..cut * input], seq_len: t + 1, ..data.inputs() });
            let rest = Inputs {
                h0: Some(&begun.hn),
                c0: Some(&begun.cn),
                ..Inputs::new(&data.x[cut * input..], BATCH, SEQ_LEN - t - 1)
            };
            let cotangents = Cotangents { dy: Some(&data.dy[cut * state..]), ..data.cotangents() };
            let after = backward(&config, &data.weights, &rest, &cotangents).h0;
            let dy = &data.dy[t * BATCH * state..cut * state];
            let norm = after.iter().zip(dy).map(|(a, b)| (a + b).powi(2)).sum::<f64>().sqrt();
            assert!((gradients.dh_norms[t] / norm - 1.0).abs() < 1e-13, "{:?} step {t}", config.cell);
        }
    }
}

/// Two layers are one layer on top of another, dropout between them, in the outputs, gradients and norms.
#[test]
fn stacking_composes() {
    for config in stacks(|c| {
        c.direction = Direction::Bidirectional;
        c.num_layers = 2;
    }) {
        let data = Data::new(config.clone());
        let width = config.output_size();
        let factor = |layer: usize, t: usize, b: usize, feature: usize| {
            assert_eq!(layer, 0);
            f64::from(((7 * t + 5 * b + 3 * feature) % 4) as u32) / 2.0
        };
        let scaled = |y: &[f64]| -> Vec<f64> {
            (0..y.len()).map(|i| y[i] * factor(0, i / width / BATCH, i / width % BATCH, i % width)).collect()
        };
        let (out, gradients) = data.run(&Inputs { dropout: Some(&factor), ..data.inputs() });

        let lower = RnnConfig { num_layers: 1, ..config.clone() };
        let upper = RnnConfig { input_size: width, ..lower.clone() };
        let cut = lower.param_specs().unwrap().last().unwrap().range().end;
        let lower_weights = Weights { values: data.weights.values[..cut].to_vec() };
        let upper_weights = Weights { values: data.weights.values[cut..].to_vec() };
        let (h0, c0) = (data.h0.split_at(data.h0.len() / 2), data.c0.split_at(data.c0.len() / 2));
        let (dhn, dcn) = (data.dhn.split_at(data.dhn.len() / 2), data.dcn.split_at(data.dcn.len() / 2));

        let lower_inputs = Inputs { h0: Some(h0.0), c0: Some(c0.0), ..data.inputs() };
        let between = scaled(&forward(&lower, &lower_weights, &lower_inputs).y);
        let upper_inputs = Inputs { h0: Some(h0.1), c0: Some(c0.1), ..Inputs::new(&between, BATCH, SEQ_LEN) };
        assert_eq!(out.y, forward(&upper, &upper_weights, &upper_inputs).y);

        let cotangents = Cotangents { dy: Some(&data.dy), dhn: Some(dhn.1), dcn: Some(dcn.1) };
        let above = backward(&upper, &upper_weights, &upper_inputs, &cotangents);
        let dy = scaled(&above.x);
        let cotangents = Cotangents { dy: Some(&dy), dhn: Some(dhn.0), dcn: Some(dcn.0) };
        let below = backward(&lower, &lower_weights, &lower_inputs, &cotangents);
        assert_eq!(gradients.x, below.x);
        assert_eq!(gradients.weights, [below.weights, above.weights].concat());
        assert_eq!(gradients.h0, [below.h0, above.h0].concat());
        assert_eq!(gradients.dh_norms, [below.dh_norms, above.dh_norms].concat());
    }
}

/// An update gate shut to 1 - 2e-18 in f64 is 1; the gradients through its complement still are e^-40 large.
#[test]
fn saturated_gates_keep_their_gradients() {
    for cell in [Cell::Gru, Cell::GruResetBefore] {
        let config = RnnConfig::new(cell, 1, 1);
        // Rows r, z, n: only the update gate's input bias is not zero.
        let mut weights = Weights { values: vec![0.0; 12] };
        weights.values[7] = 40.0;
        let inputs = Inputs { h0: Some(&[0.5]), ..Inputs::new(&[1.0], 1, 1) };
        let gradients = backward(&config, &weights, &inputs, &Cotangents { dy: Some(&[1.0]), ..Default::default() });
        let complement = (-40f64).exp();
        // n = 0: dh'/da_z = (h - n) s'(40) and dh'/da_n = 1 - z.
        assert!((gradients.weights[7] / (0.5 * complement) - 1.0).abs() < 1e-13, "{:e}", gradients.weights[7]);
        assert!((gradients.weights[8] / complement - 1.0).abs() < 1e-13, "{:e}", gradients.weights[8]);
    }
}

#[test]
fn transposing_twice_is_nothing() {
    // (2, 3, 2) as (batch, time, features).
    let values: Vec<u32> = (0..12).collect();
    let time_major = transpose_batch_first(&values, 2, 3, 2);
    assert_eq!(time_major, [0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11]);
    assert_eq!(transpose_batch_first(&time_major, 3, 2, 2), values);
}

#[test]
#[should_panic(expected = "a length is above seq_len")]
fn a_length_above_seq_len_panics() {
    let data = Data::new(RnnConfig::new(Cell::Gru, 3, 4));
    data.run(&Inputs { lengths: Some(&[1, 6, 1, 1]), ..data.inputs() });
}

#[test]
#[should_panic(expected = "h0 has 15 values, expected 16")]
fn a_short_state_panics() {
    let data = Data::new(RnnConfig::new(Cell::Gru, 3, 4));
    data.run(&Inputs { h0: Some(&data.h0[1..]), ..data.inputs() });
}
