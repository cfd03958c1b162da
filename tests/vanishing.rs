//! The figures of docs/layers.md: how much of the last state's gradient reaches the first of 100 steps, by initialization.

mod common;

use common::random::SplitMix64;
use simdrnn::Isa;
use simdrnn::rnn::{
    BackwardArgs, Batch, Cell, DropoutPosition, ForwardArgs, GradientFlow, Init, Rnn, RnnConfig, Session, Tape,
};

const STEPS: usize = 100;
const HIDDEN: usize = 128;

/// The norm of the gradient at the first step relative to that at the last, of `h` and, for LSTM, of `c`.
fn kept(cell: Cell, change: impl FnOnce(&mut Rnn)) -> [f64; 2] {
    let config = RnnConfig::new(cell, 32, HIDDEN);
    let mut rnn = Rnn::with_isa(&config, Isa::Scalar).unwrap();
    change(&mut rnn);
    let mut r = SplitMix64::new(1);
    let (batch, x) = (4, r.values_f32(STEPS * 4 * 32, 1.7));
    let (mut session, mut tape, mut flow) = (Session::new(), Tape::new(), GradientFlow::new());
    let args = ForwardArgs { x: &x, ..ForwardArgs::default() };
    rnn.forward_train(&mut session, &mut tape, &Batch::new(batch, STEPS), args, DropoutPosition::default()).unwrap();
    let dhn = r.values_f32(batch * HIDDEN, 1.0);
    let args = BackwardArgs { dhn: Some(&dhn), ..BackwardArgs::default() };
    rnn.backward(&mut session, &tape, args, None, Some(&mut flow)).unwrap();
    let ratio = |norms: &[f64]| norms[0] / norms[STEPS - 1];
    [ratio(flow.state_norms(0).unwrap()), flow.cell_norms(0).map_or(f64::NAN, ratio)]
}

/// As `scheme` draws it, with other forget biases if they are given.
fn drawn(scheme: Init, forget: Option<f32>) -> impl Fn(&mut Rnn) {
    move |rnn| {
        rnn.init(scheme, 1).unwrap();
        if let Some(bias) = forget {
            let index = rnn.find_param("bias_ih_l0").unwrap();
            let mut values = rnn.param(index).unwrap().to_vec();
            values[HIDDEN..2 * HIDDEN].fill(bias);
            rnn.set_param(index, &values).unwrap();
        }
    }
}

#[test]
fn initializations() {
    use Init::{TorchUniform, XavierOrthogonal, XavierOrthogonalForgetOne};
    let mut rows = Vec::new();
    for cell in [Cell::ElmanTanh, Cell::Gru, Cell::Lstm] {
        for scheme in [TorchUniform, XavierOrthogonal] {
            rows.push((format!("{} {scheme:?}", cell.name()), kept(cell, drawn(scheme, None))));
        }
    }
    rows.push(("lstm forget 1".into(), kept(Cell::Lstm, drawn(XavierOrthogonalForgetOne, None))));
    for bias in [2.0, 3.0, 5.0] {
        rows.push((format!("lstm forget {bias}"), kept(Cell::Lstm, drawn(XavierOrthogonal, Some(bias)))));
        rows.push((format!("lstm torch forget {bias}"), kept(Cell::Lstm, drawn(TorchUniform, Some(bias)))));
    }
    for (what, [h, c]) in &rows {
        println!("{what}: {h:.1e} of dL/dh, {c:.1e} of dL/dc");
    }
    let of = |name: &str| rows.iter().find(|row| row.0 == name).unwrap().1;
    // PyTorch's: nothing that f32 could add to anything, with any cell.
    for cell in ["elman_tanh", "gru", "lstm"] {
        assert!(of(&format!("{cell} TorchUniform"))[0] < 1e-12, "{cell}");
    }
    assert!(of("lstm TorchUniform")[1] < 1e-12);
    // sigmoid(1)^99 is 3e-14, sigmoid(3)^99 8e-3, sigmoid(5)^99 0.5: what the cell states keep through the gate alone.
    for (name, least) in [("lstm forget 1", 1e-14), ("lstm forget 3", 1e-3), ("lstm forget 5", 0.1)] {
        assert!(of(name)[1] > least, "{name}: {:e}", of(name)[1]);
    }
}
