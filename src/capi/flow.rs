//! # Gradient flow
//!
//! The numbers behind vanishing and exploding gradients (Pascanu, Mikolov and Bengio 2013), measured by an
//! srnn_rnn_backward call that is given an srnn_gradient_flow. A pass is a layer in one direction: number
//! layer * directions + direction.
//!
//! PyTorch's uniform initialization makes all three cells forget alike: over 100 steps the gradient of the last state
//! vanishes in an LSTM and a GRU as it does in an Elman layer, since gates start half open. For long sequences start an LSTM
//! with its forget gate open: SRNN_INIT_XAVIER_ORTHOGONAL_FORGET_ONE, or larger forget biases for longer memory
//! (docs/layers.md has figures).

use super::args::Arrays;
use super::call;
use super::error::{srnn_error, srnn_status};
use super::handle;
use super::rnn::copy;
use crate::rnn::GradientFlow;

/// Measurements of a backward call.
pub struct srnn_gradient_flow(pub(super) GradientFlow);

/// Creates an empty one. The caller destroys it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_gradient_flow_create(
    flow: *mut *mut srnn_gradient_flow,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let flow = unsafe { Arrays::new().out("flow", flow) }?;
        flow.write(handle::create(srnn_gradient_flow(GradientFlow::new()))?);
        Ok(())
    })
}

/// Destroys measurements. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_gradient_flow_destroy(flow: *mut srnn_gradient_flow) {
    // SAFETY: the header's contract.
    unsafe { handle::destroy(flow) }
}

/// Passes that were measured; 0 before a measurement and for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_gradient_flow_pass_count(flow: *const srnn_gradient_flow) -> usize {
    // SAFETY: the header's contract.
    unsafe { handle::get(flow, 0, |f| f.0.passes()) }
}

/// Time steps that were measured; 0 before a measurement and for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_gradient_flow_step_count(flow: *const srnn_gradient_flow) -> usize {
    // SAFETY: the header's contract.
    unsafe { handle::get(flow, 0, |f| f.0.steps()) }
}

/// Gates of a pass, in PyTorch's order; 0 before a measurement and for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_gradient_flow_gate_count(flow: *const srnn_gradient_flow) -> usize {
    // SAFETY: the header's contract.
    unsafe { handle::get(flow, 0, |f| f.0.gates()) }
}

/// Copies, for each time step, the Euclidean norm, over the batch and the features, of the loss's gradient with respect
/// to the hidden state of `pass` to `norms`: srnn_gradient_flow_step_count of them. Zero past all sequences' ends.
///
/// Errors: SRNN_ERROR_INVALID_STATE before a measurement; SRNN_ERROR_INVALID_ARGUMENT for a pass that does not exist;
/// SRNN_ERROR_SHAPE_MISMATCH for the length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_gradient_flow_state_norms(
    flow: *const srnn_gradient_flow,
    pass: usize,
    norms: *mut f64,
    norms_len: usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (flow, norms) = unsafe { (handle::shared("flow", flow)?, Arrays::new().write("norms", norms, norms_len)?) };
        copy("norms", flow.0.state_norms(pass)?, norms)
    })
}

/// As srnn_gradient_flow_state_norms, with respect to the cell state of an LSTM: the path on which it carries gradients far,
/// since from step to step they shrink there by the forget gate alone.
///
/// Errors: SRNN_ERROR_INVALID_STATE before a measurement; SRNN_ERROR_INVALID_ARGUMENT for a pass that does not exist or a cell
/// without cell states; SRNN_ERROR_SHAPE_MISMATCH for the length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_gradient_flow_cell_norms(
    flow: *const srnn_gradient_flow,
    pass: usize,
    norms: *mut f64,
    norms_len: usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (flow, norms) = unsafe { (handle::shared("flow", flow)?, Arrays::new().write("norms", norms, norms_len)?) };
        copy("norms", flow.0.cell_norms(pass)?, norms)
    })
}

/// Writes the largest singular value of the recurrent matrix of a gate. For Elman with tanh, below 1 gradients must
/// vanish over time, and above 1 they can explode.
///
/// Errors: SRNN_ERROR_INVALID_STATE before a measurement; SRNN_ERROR_INVALID_ARGUMENT for a pass or a gate that does not
/// exist.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_gradient_flow_singular_value(
    flow: *const srnn_gradient_flow,
    pass: usize,
    gate: usize,
    value: *mut f64,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (flow, value) = unsafe { (handle::shared("flow", flow)?, Arrays::new().out("value", value)?) };
        value.write(flow.0.largest_singular_value(pass, gate)?);
        Ok(())
    })
}

/// Writes the shares of a gate's activations near its limits, over all steps and sequences: `low` below 0.1 (sigmoid) or
/// -0.9 (tanh) or at 0 (relu), `high` above 0.9 (0 for relu).
///
/// Errors: SRNN_ERROR_INVALID_STATE before a measurement; SRNN_ERROR_INVALID_ARGUMENT for a pass or a gate that does not
/// exist.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_gradient_flow_saturation(
    flow: *const srnn_gradient_flow,
    pass: usize,
    gate: usize,
    low: *mut f32,
    high: *mut f32,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (flow, low, high) = unsafe { (handle::shared("flow", flow)?, a.out("low", low)?, a.out("high", high)?) };
        let saturation = flow.0.saturation(pass, gate)?;
        low.write(saturation.low);
        high.write(saturation.high);
        Ok(())
    })
}
