//! One step of each cell, forward and backward, for one sequence.
//!
//! `W`, `b` are `weight_ih`, `bias_ih`; `U`, `d` are `weight_hh`, `bias_hh`; `.` between vectors is elementwise. In the
//! backward equations `dv` stands for the derivative of the loss with respect to `v`. Derivatives of saturated gates
//! are taken from the pre-activations: `s(a) (1 - s(a))` would cancel where `s(a)` is close to 1.

use super::nn::{relu, sigmoid, sigmoid_derivative, tanh_derivative};
use super::params::{Matrix, PassParams};
use simdrnn::rnn::Cell;

/// What a step computed, and what its backward step needs.
#[derive(Clone, Debug)]
pub struct Step {
    /// The input.
    pub x: Vec<f64>,
    /// The hidden state before the step.
    pub h_prev: Vec<f64>,
    /// The LSTM's cell state before the step.
    pub c_prev: Vec<f64>,
    /// Pre-activations of the gates, one gate after another in PyTorch's order.
    pub a: Vec<f64>,
    /// GRU with reset after the product: `U_n h + d_n`, which the reset gate scales.
    pub un: Vec<f64>,
    /// The hidden state after the step (projected, if the LSTM has a projection).
    pub h: Vec<f64>,
    /// The LSTM's cell state after the step.
    pub c: Vec<f64>,
}

/// What a backward step passes on.
#[derive(Clone, Debug)]
pub struct StepGradients {
    /// With respect to the step's input.
    pub x: Vec<f64>,
    /// With respect to the hidden state before the step.
    pub h_prev: Vec<f64>,
    /// With respect to the LSTM's cell state before the step; empty for other cells.
    pub c_prev: Vec<f64>,
    /// With respect to the LSTM's cell state after the step, by every path; empty for other cells.
    pub c: Vec<f64>,
}

/// One step; `c` is empty unless the cell is an LSTM.
pub fn step(cell: Cell, p: &PassParams, x: &[f64], h: &[f64], c: &[f64]) -> Step {
    match cell {
        Cell::ElmanTanh => elman(p, x, h, f64::tanh),
        Cell::ElmanRelu => elman(p, x, h, relu),
        Cell::Lstm => lstm(p, x, h, c),
        Cell::Gru => gru_reset_after(p, x, h),
        Cell::GruResetBefore => gru_reset_before(p, x, h),
        other => unimplemented!("the equations of {}", other.name()),
    }
}

/// The backward step: from `dh`, `dc` (what the loss, the layer above and the next step say about the states after the
/// step) to the gradients of what went in; adds the parameters' gradients to `g`. `dc` is empty unless an LSTM's.
pub fn step_backward(
    cell: Cell,
    p: &PassParams,
    step: &Step,
    dh: &[f64],
    dc: &[f64],
    g: &mut PassParams,
) -> StepGradients {
    match cell {
        Cell::ElmanTanh => elman_backward(p, step, dh, tanh_derivative, g),
        Cell::ElmanRelu => elman_backward(p, step, dh, |a| if a > 0.0 { 1.0 } else { 0.0 }, g),
        Cell::Lstm => lstm_backward(p, step, dh, dc, g),
        Cell::Gru => gru_reset_after_backward(p, step, dh, g),
        Cell::GruResetBefore => gru_reset_before_backward(p, step, dh, g),
        other => unimplemented!("the equations of {}", other.name()),
    }
}

/// Elman, "Finding structure in time", 1990, with PyTorch's two biases:
/// `h' = f(W x + b + U h + d)`, f = tanh or relu.
fn elman(p: &PassParams, x: &[f64], h: &[f64], f: fn(f64) -> f64) -> Step {
    let a = sum(&affine(&p.weight_ih, x, &p.bias_ih), &affine(&p.weight_hh, h, &p.bias_hh));
    let h_next = map(&a, f);
    Step { x: x.to_vec(), h_prev: h.to_vec(), c_prev: vec![], a, un: vec![], h: h_next, c: vec![] }
}

/// `da = dh' . f'(a)`. The derivative of relu at 0 is 0, as PyTorch's.
fn elman_backward(
    p: &PassParams,
    s: &Step,
    dh: &[f64],
    f_derivative: fn(f64) -> f64,
    g: &mut PassParams,
) -> StepGradients {
    let da = product(dh, &map(&s.a, f_derivative));
    let (x, h_prev) = linear_backward(p, s, &da, &da, g);
    StepGradients { x, h_prev, c_prev: vec![], c: vec![] }
}

/// Hochreiter and Schmidhuber, "Long short-term memory", 1997, with the forget gate of Gers, Schmidhuber and Cummins,
/// "Learning to forget", 2000, and without peepholes:
///
/// ```text
/// (a_i, a_f, a_g, a_o) = W x + b + U h + d
/// c' = s(a_f) . c + s(a_i) . tanh(a_g)
/// m  = s(a_o) . tanh(c')
/// h' = m,   or R m with the projection of Sak, Senior and Beaufays 2014
/// ```
fn lstm(p: &PassParams, x: &[f64], h: &[f64], c: &[f64]) -> Step {
    let a = sum(&affine(&p.weight_ih, x, &p.bias_ih), &affine(&p.weight_hh, h, &p.bias_hh));
    let [ai, af, ag, ao] = split(&a);
    let c_next = sum(&product(&map(af, sigmoid), c), &product(&map(ai, sigmoid), &map(ag, f64::tanh)));
    let m = product(&map(ao, sigmoid), &map(&c_next, f64::tanh));
    let h_next = p.weight_hr.as_ref().map_or(m.clone(), |r| r.mul(&m));
    Step { x: x.to_vec(), h_prev: h.to_vec(), c_prev: c.to_vec(), a, un: vec![], h: h_next, c: c_next }
}

/// ```text
/// dm   = R^T dh'  (dh' without projection),   dR += dh' m^T
/// dc'' = dc' + dm . s(a_o) . tanh'(c')
/// da_i = dc'' . tanh(a_g) . s'(a_i)     da_f = dc'' . c . s'(a_f)
/// da_g = dc'' . s(a_i) . tanh'(a_g)     da_o = dm . tanh(c') . s'(a_o)
/// dc   = dc'' . s(a_f)
/// ```
fn lstm_backward(p: &PassParams, s: &Step, dh: &[f64], dc: &[f64], g: &mut PassParams) -> StepGradients {
    let [ai, af, ag, ao] = split(&s.a);
    let o = map(ao, sigmoid);
    let tanh_c = map(&s.c, f64::tanh);
    let dm = match &p.weight_hr {
        Some(r) => {
            g.weight_hr.as_mut().expect("a projection").add_outer(dh, &product(&o, &tanh_c));
            r.mul_transposed(dh)
        }
        None => dh.to_vec(),
    };
    let dc = sum(dc, &product(&product(&dm, &o), &map(&s.c, tanh_derivative)));
    let di = product(&product(&dc, &map(ag, f64::tanh)), &map(ai, sigmoid_derivative));
    let df = product(&product(&dc, &s.c_prev), &map(af, sigmoid_derivative));
    let dg = product(&product(&dc, &map(ai, sigmoid)), &map(ag, tanh_derivative));
    let do_ = product(&product(&dm, &tanh_c), &map(ao, sigmoid_derivative));
    let da = [di, df, dg, do_].concat();
    let (x, h_prev) = linear_backward(p, s, &da, &da, g);
    StepGradients { x, h_prev, c_prev: product(&dc, &map(af, sigmoid)), c: dc }
}

/// The gated recurrent unit as in PyTorch and cuDNN: the reset gate scales the recurrent product, its bias included.
///
/// ```text
/// r = s(W_r x + b_r + U_r h + d_r)     z = s(W_z x + b_z + U_z h + d_z)
/// n = tanh(W_n x + b_n + r . (U_n h + d_n))
/// h' = (1 - z) . n + z . h
/// ```
///
/// The update gate keeps the old state where it is 1, as in Cho et al. 2014. Chung et al. 2014 write
/// `h' = (1 - z) . h + z . n`: the same family of functions with the sign of `a_z` turned, but weights of one
/// convention are wrong in the other.
fn gru_reset_after(p: &PassParams, x: &[f64], h: &[f64]) -> Step {
    let [xr, xz, xn] = split_owned(affine(&p.weight_ih, x, &p.bias_ih));
    let [hr, hz, un] = split_owned(affine(&p.weight_hh, h, &p.bias_hh));
    let (ar, az) = (sum(&xr, &hr), sum(&xz, &hz));
    let an = sum(&xn, &product(&map(&ar, sigmoid), &un));
    let h_next = interpolate(&az, &an, h);
    Step { x: x.to_vec(), h_prev: h.to_vec(), c_prev: vec![], a: [ar, az, an].concat(), un, h: h_next, c: vec![] }
}

/// ```text
/// da_n = dh' . (1 - z) . tanh'(a_n)    da_z = dh' . (h - n) . s'(a_z)    da_r = da_n . (U_n h + d_n) . s'(a_r)
/// through W, b: (da_r, da_z, da_n)     through U, d: (da_r, da_z, r . da_n)
/// dh = U^T (...) + dh' . z
/// ```
fn gru_reset_after_backward(p: &PassParams, s: &Step, dh: &[f64], g: &mut PassParams) -> StepGradients {
    let [ar, _, _] = split(&s.a);
    let (dz, dn) = interpolate_backward(s, dh);
    let dr = product(&product(&dn, &s.un), &map(ar, sigmoid_derivative));
    let dun = product(&map(ar, sigmoid), &dn);
    let da_x = [&dr[..], &dz, &dn].concat();
    let da_h = [&dr[..], &dz, &dun].concat();
    let (x, h_prev) = linear_backward(p, s, &da_x, &da_h, g);
    StepGradients { x, h_prev: sum(&h_prev, &kept(s, dh)), c_prev: vec![], c: vec![] }
}

/// The gated recurrent unit of Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014
/// (equations 5 to 8): the reset gate scales the state before the recurrent product.
///
/// ```text
/// r = s(W_r x + b_r + U_r h + d_r)     z = s(W_z x + b_z + U_z h + d_z)
/// n = tanh(W_n x + b_n + U_n (r . h) + d_n)
/// h' = (1 - z) . n + z . h
/// ```
fn gru_reset_before(p: &PassParams, x: &[f64], h: &[f64]) -> Step {
    let hidden = h.len();
    let [xr, xz, xn] = split_owned(affine(&p.weight_ih, x, &p.bias_ih));
    let gates = affine(&p.weight_hh.block(0, 2 * hidden), h, &p.bias_hh[..2 * hidden]);
    let (ar, az) = (sum(&xr, &gates[..hidden]), sum(&xz, &gates[hidden..]));
    let reset = product(&map(&ar, sigmoid), h);
    let an = sum(&xn, &affine(&p.weight_hh.block(2 * hidden, hidden), &reset, &p.bias_hh[2 * hidden..]));
    let h_next = interpolate(&az, &an, h);
    let a = [ar, az, an].concat();
    Step { x: x.to_vec(), h_prev: h.to_vec(), c_prev: vec![], a, un: vec![], h: h_next, c: vec![] }
}

/// ```text
/// da_n = dh' . (1 - z) . tanh'(a_n)    da_z = dh' . (h - n) . s'(a_z)
/// dq   = U_n^T da_n, q = r . h         da_r = dq . h . s'(a_r)
/// dU_n += da_n q^T
/// dh = U_r^T da_r + U_z^T da_z + dq . r + dh' . z
/// ```
fn gru_reset_before_backward(p: &PassParams, s: &Step, dh: &[f64], g: &mut PassParams) -> StepGradients {
    let hidden = dh.len();
    let [ar, _, _] = split(&s.a);
    let r = map(ar, sigmoid);
    let reset = product(&r, &s.h_prev);
    let (dz, dn) = interpolate_backward(s, dh);
    let dreset = p.weight_hh.block(2 * hidden, hidden).mul_transposed(&dn);
    let dr = product(&product(&dreset, &s.h_prev), &map(ar, sigmoid_derivative));
    let da = [&dr[..], &dz, &dn].concat();

    g.weight_ih.add_outer(&da, &s.x);
    add(&mut g.bias_ih, &da);
    add(&mut g.bias_hh, &da);
    let nothing = vec![0.0; hidden];
    g.weight_hh.add_outer(&[&dr[..], &dz, &nothing].concat(), &s.h_prev);
    g.weight_hh.add_outer(&[&nothing[..], &nothing, &dn].concat(), &reset);

    let through_gates = p.weight_hh.block(0, 2 * hidden).mul_transposed(&da[..2 * hidden]);
    let h_prev = sum(&sum(&through_gates, &product(&dreset, &r)), &kept(s, dh));
    StepGradients { x: p.weight_ih.mul_transposed(&da), h_prev, c_prev: vec![], c: vec![] }
}

/// `h' = (1 - z) . n + z . h`, with `1 - s(a) = s(-a)`.
fn interpolate(az: &[f64], an: &[f64], h: &[f64]) -> Vec<f64> {
    (0..h.len()).map(|j| sigmoid(-az[j]) * an[j].tanh() + sigmoid(az[j]) * h[j]).collect()
}

/// `(da_z, da_n)` of [`interpolate`].
fn interpolate_backward(s: &Step, dh: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let [_, az, an] = split(&s.a);
    let dz = (0..dh.len()).map(|j| dh[j] * (s.h_prev[j] - an[j].tanh()) * sigmoid_derivative(az[j])).collect();
    let dn = (0..dh.len()).map(|j| dh[j] * sigmoid(-az[j]) * tanh_derivative(an[j])).collect();
    (dz, dn)
}

/// `dh' . z`: what reaches the old state of a GRU directly.
fn kept(s: &Step, dh: &[f64]) -> Vec<f64> {
    let [_, az, _] = split(&s.a);
    product(dh, &map(az, sigmoid))
}

/// Backward of `W x + b` and `U h + d`, given the derivatives of both: adds to the parameters' gradients and returns
/// `(dx, dh)`.
fn linear_backward(p: &PassParams, s: &Step, da_x: &[f64], da_h: &[f64], g: &mut PassParams) -> (Vec<f64>, Vec<f64>) {
    g.weight_ih.add_outer(da_x, &s.x);
    g.weight_hh.add_outer(da_h, &s.h_prev);
    add(&mut g.bias_ih, da_x);
    add(&mut g.bias_hh, da_h);
    (p.weight_ih.mul_transposed(da_x), p.weight_hh.mul_transposed(da_h))
}

fn affine(weight: &Matrix, x: &[f64], bias: &[f64]) -> Vec<f64> {
    sum(&weight.mul(x), bias)
}

fn map(v: &[f64], f: fn(f64) -> f64) -> Vec<f64> {
    v.iter().map(|&a| f(a)).collect()
}

fn sum(u: &[f64], v: &[f64]) -> Vec<f64> {
    assert_eq!(u.len(), v.len(), "a sum of vectors of different lengths");
    u.iter().zip(v).map(|(a, b)| a + b).collect()
}

fn product(u: &[f64], v: &[f64]) -> Vec<f64> {
    assert_eq!(u.len(), v.len(), "a product of vectors of different lengths");
    u.iter().zip(v).map(|(a, b)| a * b).collect()
}

fn add(u: &mut [f64], v: &[f64]) {
    assert_eq!(u.len(), v.len(), "a sum of vectors of different lengths");
    u.iter_mut().zip(v).for_each(|(a, b)| *a += b);
}

fn split<const GATES: usize>(a: &[f64]) -> [&[f64]; GATES] {
    let hidden = a.len() / GATES;
    std::array::from_fn(|gate| &a[gate * hidden..(gate + 1) * hidden])
}

fn split_owned<const GATES: usize>(a: Vec<f64>) -> [Vec<f64>; GATES] {
    split(&a).map(<[f64]>::to_vec)
}
