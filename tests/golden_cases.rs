//! All golden cases through the Rust API, on every instruction set this CPU has.

mod common;

use common::golden::{GoldenCase, all_cases};
use common::{relative_error, widen};
use simdrnn::Isa;
use simdrnn::rnn::{Batch, ForwardArgs, Rnn, Session};

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
