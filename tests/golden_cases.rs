//! All golden cases through the Rust API, on every instruction set this CPU has.

mod common;

use common::bounds::{backward_bound, forward_bound};
use common::golden::{GoldenCase, all_cases};
use common::problem::Problem;
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
    Batch { batch_size: case.batch, seq_len: case.seq_len, lengths: case.lengths.as_deref(), packed: false }
}

/// A case as a problem: what the bounds are made of.
fn problem(case: &GoldenCase) -> Problem {
    Problem {
        config: case.config.clone(),
        batch: case.batch,
        seq_len: case.seq_len,
        lengths: case.lengths.clone(),
        params: vec![],
        x: vec![],
        h0: vec![],
        c0: vec![],
        dy: vec![],
        dhn: vec![],
        dcn: vec![],
    }
}

/// Notes the largest error relative to its bound.
fn note(worst: &mut (f64, String), found: f64, what: String) {
    assert!(found <= 1.0, "{what}: {found:.2} of the bound");
    if found > worst.0 {
        *worst = (found, what);
    }
}

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
                ..ForwardArgs::default()
            };
            rnn.forward(&mut session, &batch(case), args).unwrap();
            for (what, found, expected) in [("y", &y, &case.y), ("hn", &hn, &case.hn), ("cn", &cn, &case.cn)] {
                if expected.is_empty() {
                    continue;
                }
                let error = relative_error(&widen(found), expected) / forward_bound(&problem(case));
                note(&mut worst, error, format!("{} {what} on {}", case.name, isa.name()));
            }
        }
        println!("forward, {}: {} cases, at worst {:.2} of the bound ({})", isa.name(), cases.len(), worst.0, worst.1);
    }
}

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
            let error = relative_error(&widen(&y), &case.y) / forward_bound(&problem(case));
            assert!(error <= 1.0, "{} y of the training forward on {}: {error:.2} of the bound", case.name, isa.name());

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
                let error = relative_error(&widen(found), expected) / backward_bound(&problem(case));
                note(&mut worst, error, format!("{} gradient of {what} on {}", case.name, isa.name()));
            }
        }
        println!("backward, {}: {} cases, at worst {:.2} of the bound ({})", isa.name(), cases.len(), worst.0, worst.1);
    }
}
