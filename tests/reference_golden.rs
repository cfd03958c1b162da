//! The f64 reference against PyTorch's float64: every golden case, forward and every gradient.

mod common;

use common::golden::{GoldenCase, all_cases};
use common::reference::{Cotangents, Inputs, Weights, backward, forward, transpose_batch_first};
use common::{relative_error, widen};

/// Both sides round in f64 (2^-53 = 1.1e-16) but sum in different orders; chains of up to 110 terms a step, 9 steps and
/// 3 layers leave about a factor 1000 on a unit in the last place, and 100 more are for cancellation.
const BOUND: f64 = 1e-11;

/// (batch, time, features) to (time, batch, features) where the case is batch-first.
fn time_major(case: &GoldenCase, values: &[f64], features: usize) -> Vec<f64> {
    if case.config.batch_first {
        transpose_batch_first(values, case.batch, case.seq_len, features)
    } else {
        values.to_vec()
    }
}

#[test]
fn every_golden_case() {
    let mut worst = (0.0, String::new());
    for case in all_cases() {
        let (inputs, outputs) = (case.config.input_size, case.config.output_size());
        let has_c = case.config.cell.has_cell_state();
        assert_eq!(has_c, !case.cn.is_empty());
        let weights = Weights::from_f32(&case.params);
        let x = time_major(&case, &widen(&case.x), inputs);
        let (h0, c0) = (widen(&case.h0), widen(&case.c0));
        let input = Inputs {
            lengths: case.lengths.as_deref(),
            h0: Some(&h0),
            c0: Some(&c0),
            ..Inputs::new(&x, case.batch, case.seq_len)
        };
        let out = forward(&case.config, &weights, &input);
        let dy = time_major(&case, &widen(&case.gy), outputs);
        let (dhn, dcn) = (widen(&case.ghn), widen(&case.gcn));
        let cotangents = Cotangents { dy: Some(&dy), dhn: Some(&dhn), dcn: Some(&dcn) };
        let gradients = backward(&case.config, &weights, &input, &cotangents);

        let y = time_major(&case, &case.y, outputs);
        let grad_x = time_major(&case, &case.grad_x, inputs);
        let mut pairs = vec![
            ("y".to_owned(), &out.y[..], &y[..]),
            ("hn".to_owned(), &out.hn, &case.hn),
            ("cn".to_owned(), &out.cn, &case.cn),
            ("grad.x".to_owned(), &gradients.x, &grad_x),
            ("grad.h0".to_owned(), &gradients.h0, &case.grad_h0),
            ("grad.c0".to_owned(), &gradients.c0, &case.grad_c0),
        ];
        for spec in case.config.param_specs().unwrap() {
            let (found, expected) = (&gradients.weights[spec.range()], &case.grad_params[spec.range()]);
            pairs.push((format!("grad.{}", spec.name()), found, expected));
        }
        for (name, found, expected) in pairs {
            let error = relative_error(found, expected);
            assert!(error <= BOUND, "{}, {name}: relative error {error:e}", case.name);
            if error > worst.0 {
                worst = (error, format!("{}, {name}", case.name));
            }
        }
    }
    println!("worst relative error {:e} ({})", worst.0, worst.1);
}

/// The cases cover what they claim to: a loader that lost a setting would leave the comparison above vacuous.
#[test]
fn the_cases_cover_every_setting() {
    let cases = all_cases();
    for cell in simdrnn::rnn::Cell::ALL {
        let of_cell: Vec<&GoldenCase> = cases.iter().filter(|c| c.config.cell == cell).collect();
        assert!(of_cell.iter().any(|c| c.config.direction.count() == 2));
        assert!(of_cell.iter().any(|c| c.config.num_layers == 3));
        assert!(of_cell.iter().any(|c| c.config.batch_first && !c.config.bias));
        assert!(of_cell.iter().any(|c| c.lengths.is_some()));
        for case in of_cell {
            assert!(case.y.iter().any(|&v| v != 0.0) && case.grad_x.iter().any(|&v| v != 0.0), "{}", case.name);
            assert!(case.grad_params.iter().any(|&v| v != 0.0), "{}", case.name);
        }
    }
    assert!(cases.iter().any(|c| c.config.proj_size > 0 && c.config.direction.count() == 2));
}
