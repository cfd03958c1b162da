//! All golden cases through the Rust API, on every instruction set this CPU has.

mod common;

use common::golden::{GoldenCase, all_cases};
use common::{relative_error, widen};
use simdrnn::Isa;
use simdrnn::rnn::{BackwardArgs, Batch, DropoutPosition, ForwardArgs, Grads, Rnn, Session, Tape};

fn model(case: &GoldenCase, isa: Isa) -> Rnn {
    let mut rnn = Rnn::with_isa(&case.config, isa).unwrap();
    assert_eq!(rnn.isa(), isa);
    rnn.update(|values| values.copy_from_slice(&case.params));
    rnn
}

fn batch(case: &GoldenCase) -> Batch<'_> {
    Batch { batch_size: case.batch, seq_len: case.seq_len, lengths: case.lengths.as_deref() }
}

/// Forward may differ from float64 by at most this, relative to the tensor's largest magnitude.
const FORWARD: f64 = 2e-6;

#[test]
fn forward() {
    let cases = all_cases();
    for isa in Isa::available() {
        let mut session = Session::new();
        let mut worst = (0.0f64, String::new());
        for case in &cases {
            let rnn = model(case, isa);
            let (mut y, mut hn, mut cn) =
                (vec![f32::NAN; case.y.len()], vec![f32::NAN; case.hn.len()], vec![f32::NAN; case.cn.len()]);
            let lstm = case.config.cell.has_cell_state();
            let args = ForwardArgs {
                x: &case.x,
                tokens: None,
                h0: Some(&case.h0),
                c0: lstm.then_some(&case.c0[..]),
                y: Some(&mut y),
                hn: Some(&mut hn),
                cn: lstm.then_some(&mut cn[..]),
            };
            rnn.forward(&mut session, &batch(case), args).unwrap();
            for (what, found, expected) in [("y", &y, &case.y), ("hn", &hn, &case.hn), ("cn", &cn, &case.cn)] {
                if expected.is_empty() {
                    continue;
                }
                let error = relative_error(&widen(found), expected);
                assert!(error <= FORWARD, "{} {what} on {}: {error:e}", case.name, isa.name());
                if error > worst.0 {
                    worst = (error, format!("{} {what}", case.name));
                }
            }
        }
        println!("forward, {}: {} cases, worst {:.2e} ({})", isa.name(), cases.len(), worst.0, worst.1);
    }
}

/// Gradients may differ from float64 by at most this, relative to the tensor's largest magnitude.
const BACKWARD: f64 = 2e-5;

#[test]
fn backward() {
    let cases = all_cases();
    for isa in Isa::available() {
        let (mut session, mut tape) = (Session::new(), Tape::new());
        let mut worst = (0.0f64, String::new());
        for case in &cases {
            let rnn = model(case, isa);
            let lstm = case.config.cell.has_cell_state();
            let mut y = vec![f32::NAN; case.y.len()];
            let args = ForwardArgs {
                x: &case.x,
                h0: Some(&case.h0),
                c0: lstm.then_some(&case.c0[..]),
                y: Some(&mut y),
                ..ForwardArgs::default()
            };
            rnn.forward_train(&mut session, &mut tape, &batch(case), args, DropoutPosition::default()).unwrap();
            let error = relative_error(&widen(&y), &case.y);
            assert!(error <= FORWARD, "{} y of the training forward on {}: {error:e}", case.name, isa.name());

            let (mut dx, mut dh0, mut dc0) =
                (vec![f32::NAN; case.x.len()], vec![f32::NAN; case.h0.len()], vec![f32::NAN; case.c0.len()]);
            let mut grads = Grads::new(&rnn).unwrap();
            let args = BackwardArgs {
                dy: Some(&case.gy),
                dhn: Some(&case.ghn),
                dcn: lstm.then_some(&case.gcn[..]),
                dx: Some(&mut dx),
                dh0: Some(&mut dh0),
                dc0: lstm.then_some(&mut dc0[..]),
            };
            rnn.backward(&mut session, &tape, args, Some(&mut grads), None).unwrap();
            let mut checks = vec![
                ("x".to_string(), &dx[..], &case.grad_x[..]),
                ("h0".to_string(), &dh0, &case.grad_h0),
                ("c0".to_string(), &dc0, &case.grad_c0),
            ];
            for (i, spec) in rnn.param_specs().iter().enumerate() {
                checks.push((spec.name(), grads.param(i).unwrap(), &case.grad_params[spec.range()]));
            }
            for (what, found, expected) in checks {
                if expected.is_empty() {
                    continue;
                }
                let error = relative_error(&widen(found), expected);
                assert!(error <= BACKWARD, "{} grad {what} on {}: {error:e}", case.name, isa.name());
                if error > worst.0 {
                    worst = (error, format!("{} {what}", case.name));
                }
            }
        }
        println!("backward, {}: {} cases, worst {:.2e} ({})", isa.name(), cases.len(), worst.0, worst.1);
    }
}
