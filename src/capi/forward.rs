//! # Forward and backward
//!
//! One call runs the layers over a batch of sequences, for inference or, with a tape, for training; another takes gradients
//! back through what a tape has recorded. Shapes, with L layers, D directions, I the input size, S the state size (proj_size if
//! there is a projection, else hidden_size) and H the hidden size; error texts name arrays as they are named here:
//!
//! - x: (seq_len, batch, I), or (batch, seq_len, I) if batch_first; y the same with D * S features
//! - h0, hn: (L * D, batch, S)
//! - c0, cn: (L * D, batch, H), LSTM only
//!
//! A training step is srnn_modules_zero_grad; srnn_rnn_forward with a tape; a loss; srnn_rnn_backward, which adds to the gradients
//! of the weights; srnn_modules_clip_grad_norm; srnn_optimizer_step. Backward may run any number of times on one tape, as long
//! as the weights are those of the forward.

use super::args::{self, Arrays};
use super::call;
use super::embedding::srnn_embedding;
use super::error::{srnn_error, srnn_status};
use super::flow::srnn_gradient_flow;
use super::handle;
use super::rnn::srnn_rnn;
use super::session::srnn_session;
use super::structs::{self, Growing};
use super::train::{srnn_grads, srnn_tape};
use crate::error::{Result, ensure};
use crate::rnn::{BackwardArgs, Batch, DropoutPosition, ForwardArgs};
use std::ptr::{null, null_mut};

/// What a forward call takes: a batch of sequences, and its arrays. Fill it in with srnn_forward_args_init, then change fields.
/// An array that is NULL with length 0 is left out: initial states are zeros then, and results are not wanted.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct srnn_forward_args {
    /// Bytes of this struct as the caller knows it; set by the init function.
    pub struct_size: u32,
    /// 1 if arrays with a row for every step hold only steps that are there: all of the first sequence, then all of the
    /// second, and so on, whatever batch_first is. So one long sequence takes no room beside short ones. Default 0.
    pub packed: i32,
    /// Number of sequences.
    pub batch_size: usize,
    /// Time steps that the arrays have room for; may be 0.
    pub seq_len: usize,
    /// The length of each sequence, 0 to seq_len, in any order; NULL if all are seq_len long. Work follows the sum of the
    /// lengths.
    pub lengths: *const usize,
    /// batch_size if there are lengths, else 0.
    pub lengths_len: usize,
    /// Input, unless it is words.
    pub x: *const f32,
    /// Values of x.
    pub x_len: usize,
    /// Values from the start of a row of x to that of the next, at least I, for a view of a larger array; x_len then reaches at
    /// least to the end of the last row. Default 0: rows follow one another.
    pub x_row_stride: usize,
    /// Input as words, in place of x: a table of vectors of I values, which are read where they lie. The results are those of
    /// srnn_embedding_forward into x, bit for bit. A tape keeps the vectors, so that the table may change before backward.
    pub embedding: *const srnn_embedding,
    /// The row of every step, (seq_len, batch), or (batch, seq_len) if batch_first; past a sequence's end they may be anything.
    pub indices: *const u32,
    /// Number of indices.
    pub indices_len: usize,
    /// Receives the outputs of the last layer, zero past a sequence's end.
    pub y: *mut f32,
    /// Values of y.
    pub y_len: usize,
    /// As x_row_stride, for y. What lies between its rows stays as it is. Default 0.
    pub y_row_stride: usize,
    /// Hidden states before the first step.
    pub h0: *const f32,
    /// Values of h0.
    pub h0_len: usize,
    /// Cell states before the first step.
    pub c0: *const f32,
    /// Values of c0.
    pub c0_len: usize,
    /// Receives the hidden states after each sequence's last step. With hn the same array as h0 and cn the same as c0, states are
    /// updated in place.
    pub hn: *mut f32,
    /// Values of hn.
    pub hn_len: usize,
    /// Receives the cell states after each sequence's last step.
    pub cn: *mut f32,
    /// Values of cn.
    pub cn_len: usize,
    /// Decides dropout between layers, in training: use another one for every step. Default 0.
    pub dropout_seed: u64,
    /// For dropout: the step that the batch's first step is, in sequences that are cut into chunks. Default 0.
    pub first_step: u32,
    /// For dropout: the sequence that the batch's first one is, in batches that are cut into smaller ones. Default 0.
    pub first_sequence: u32,
    /// 1 to drop nothing in this call though it has a tape: gradients of a model as it is used. Default 0.
    pub no_dropout: i32,
    /// Zero.
    pub reserved0: u32,
    /// Zero.
    pub reserved: [u64; 4],
}

// SAFETY: numbers and pointers without padding, the size first.
unsafe impl Growing for srnn_forward_args {
    const NAME: &'static str = "srnn_forward_args";

    fn defaults() -> Self {
        Self {
            struct_size: size_of::<Self>() as u32,
            packed: 0,
            batch_size: 0,
            seq_len: 0,
            lengths: null(),
            lengths_len: 0,
            x: null(),
            x_len: 0,
            x_row_stride: 0,
            embedding: null(),
            indices: null(),
            indices_len: 0,
            y: null_mut(),
            y_len: 0,
            y_row_stride: 0,
            h0: null(),
            h0_len: 0,
            c0: null(),
            c0_len: 0,
            hn: null_mut(),
            hn_len: 0,
            cn: null_mut(),
            cn_len: 0,
            dropout_seed: 0,
            first_step: 0,
            first_sequence: 0,
            no_dropout: 0,
            reserved0: 0,
            reserved: [0; 4],
        }
    }

    fn reserved_is_zero(&self) -> bool {
        self.reserved0 == 0 && self.reserved == [0; 4]
    }
}

/// What a backward call takes, beside the tape: arrays with the shapes of its forward. Fill it in with srnn_backward_args_init,
/// then change fields. An array that is NULL with length 0 is left out: gradients that come in are zeros then, and those that
/// go out are not wanted.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct srnn_backward_args {
    /// Bytes of this struct as the caller knows it; set by the init function.
    pub struct_size: u32,
    /// Zero.
    pub reserved0: u32,
    /// Gradient of y, ignored past a sequence's end.
    pub dy: *const f32,
    /// Values of dy.
    pub dy_len: usize,
    /// Gradient of hn.
    pub dhn: *const f32,
    /// Values of dhn.
    pub dhn_len: usize,
    /// Gradient of cn.
    pub dcn: *const f32,
    /// Values of dcn.
    pub dcn_len: usize,
    /// Receives the gradient of x, zero past a sequence's end; where words came in, of their rows: srnn_embedding_grads_add takes it.
    pub dx: *mut f32,
    /// Values of dx.
    pub dx_len: usize,
    /// Receives the gradient of h0.
    pub dh0: *mut f32,
    /// Values of dh0.
    pub dh0_len: usize,
    /// Receives the gradient of c0.
    pub dc0: *mut f32,
    /// Values of dc0.
    pub dc0_len: usize,
    /// Gradients of the weights are added to these, if it is not NULL.
    pub grads: *mut srnn_grads,
    /// Filled with measurements, if it is not NULL.
    pub flow: *mut srnn_gradient_flow,
    /// Zero.
    pub reserved: [u64; 4],
}

// SAFETY: numbers and pointers without padding, the size first.
unsafe impl Growing for srnn_backward_args {
    const NAME: &'static str = "srnn_backward_args";

    fn defaults() -> Self {
        Self {
            struct_size: size_of::<Self>() as u32,
            reserved0: 0,
            dy: null(),
            dy_len: 0,
            dhn: null(),
            dhn_len: 0,
            dcn: null(),
            dcn_len: 0,
            dx: null_mut(),
            dx_len: 0,
            dh0: null_mut(),
            dh0_len: 0,
            dc0: null_mut(),
            dc0_len: 0,
            grads: null_mut(),
            flow: null_mut(),
            reserved: [0; 4],
        }
    }

    fn reserved_is_zero(&self) -> bool {
        self.reserved0 == 0 && self.reserved == [0; 4]
    }
}

/// Fills in `args`: `batch_size` sequences of `seq_len` steps each, without arrays. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_forward_args_init(args: *mut srnn_forward_args, batch_size: usize, seq_len: usize) {
    // SAFETY: the header's contract.
    unsafe { structs::init(args, srnn_forward_args { batch_size, seq_len, ..srnn_forward_args::defaults() }) }
}

/// Fills in `args` without arrays. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_backward_args_init(args: *mut srnn_backward_args) {
    // SAFETY: the header's contract.
    unsafe { structs::init(args, srnn_backward_args::defaults()) }
}

/// Runs the layers over a batch of sequences. With a `tape` (NULL for inference) it applies dropout between layers, if the
/// configuration has it, and records what backward needs.
///
/// For finite results every sequence's outputs depend on the model, its input and its initial state alone, bit for bit:
/// not on the other sequences, padding, threads, the instruction set, or how a sequence is cut into calls.
///
/// Errors, after which the tape holds what it held before: SRNN_ERROR_SHAPE_MISMATCH, naming the array, for a length;
/// SRNN_ERROR_INVALID_ARGUMENT for lengths above seq_len, cell states where the cell has none, an index without a row, both x
/// and words, or one kind of state updated in place without the other; SRNN_ERROR_SIZE_OVERFLOW; SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_rnn_forward(
    rnn: *const srnn_rnn,
    session: *mut srnn_session,
    tape: *mut srnn_tape,
    args: *const srnn_forward_args,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        unsafe {
            let (rnn, session) = (handle::shared("rnn", rnn)?, handle::exclusive("session", session)?);
            let (tape, given) = (handle::optional("tape", tape)?, structs::read(args)?);
            let (batch, args) = given.to_rust(&mut a)?;
            let dropout = given.dropout()?;
            match tape {
                None => rnn.0.forward(&mut session.0, &batch, args),
                Some(tape) => rnn.0.forward_train(&mut session.0, &mut tape.0, &batch, args, dropout),
            }
        }
    })
}

/// Backpropagation through time: gradients of a loss through the forward that `tape` recorded.
///
/// Finite gradients have the same bits for any number of threads and every instruction set.
///
/// Errors: SRNN_ERROR_INVALID_STATE if the tape holds nothing, was recorded by another configuration, or the weights have
/// changed since; SRNN_ERROR_SHAPE_MISMATCH, naming the array, for a length or another model's grads;
/// SRNN_ERROR_INVALID_ARGUMENT for cell states where the cell has none; SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_rnn_backward(
    rnn: *const srnn_rnn,
    session: *mut srnn_session,
    tape: *const srnn_tape,
    args: *const srnn_backward_args,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        unsafe {
            let (rnn, session) = (handle::shared("rnn", rnn)?, handle::exclusive("session", session)?);
            let (tape, args) = (handle::shared("tape", tape)?, structs::read(args)?);
            let dy = a.read_optional("dy", args.dy, args.dy_len)?;
            let dhn = a.read_optional("dhn", args.dhn, args.dhn_len)?;
            let dcn = a.read_optional("dcn", args.dcn, args.dcn_len)?;
            let dx = a.write_optional("dx", args.dx, args.dx_len)?;
            let dh0 = a.write_optional("dh0", args.dh0, args.dh0_len)?;
            let dc0 = a.write_optional("dc0", args.dc0, args.dc0_len)?;
            let grads = handle::optional("grads", args.grads)?.map(|g| &mut g.0);
            if let Some(grads) = &grads {
                a.owned("grads", grads.values())?;
            }
            let flow = handle::optional("flow", args.flow)?.map(|f| &mut f.0);
            let args = BackwardArgs { dy, dhn, dcn, dx, dh0, dc0 };
            rnn.0.backward(&mut session.0, &tape.0, args, grads, flow)
        }
    })
}

impl srnn_forward_args {
    /// # Safety
    /// The struct's arrays and its embedding are as the header says.
    unsafe fn to_rust<'a>(self, a: &mut Arrays) -> Result<(Batch<'a>, ForwardArgs<'a>)> {
        // Nothing is where nothing is.
        let same = |read: *const f32, read_len, written: *mut f32, written_len| {
            !read.is_null() && read == written.cast_const() && read_len == written_len
        };
        let in_place = same(self.h0, self.h0_len, self.hn, self.hn_len);
        let c_in_place = same(self.c0, self.c0_len, self.cn, self.cn_len);
        ensure!(
            in_place == c_in_place || (self.c0.is_null() && self.cn.is_null()),
            InvalidArgument,
            "one of hidden and cell states is updated in place and the other is not, expected both or neither"
        );
        // SAFETY: the caller's promise.
        unsafe {
            let lengths = a.read_optional("lengths", self.lengths, self.lengths_len)?;
            let packed = args::flag("packed", self.packed)?;
            let x = a.read("x", self.x, self.x_len)?;
            let indices = a.read("indices", self.indices, self.indices_len)?;
            let tokens = handle::shared_optional("embedding", self.embedding)?
                .map(|embedding: &srnn_embedding| embedding.0.tokens(indices));
            ensure!(
                tokens.is_some() || indices.is_empty(),
                InvalidArgument,
                "there are indices but no embedding, expected both or neither"
            );
            let y = a.write_optional("y", self.y, self.y_len)?;
            let (mut h0, mut c0) = (None, None);
            if !in_place {
                h0 = a.read_optional("h0", self.h0, self.h0_len)?;
                c0 = a.read_optional("c0", self.c0, self.c0_len)?;
            }
            let hn = a.write_optional("hn", self.hn, self.hn_len)?;
            let cn = a.write_optional("cn", self.cn, self.cn_len)?;
            let Self { batch_size, seq_len, x_row_stride, y_row_stride, .. } = self;
            let batch = Batch { batch_size, seq_len, lengths, packed };
            Ok((batch, ForwardArgs { x, x_row_stride, tokens, h0, c0, y, y_row_stride, hn, cn, in_place }))
        }
    }

    fn dropout(&self) -> Result<DropoutPosition> {
        let Self { dropout_seed: seed, first_step, first_sequence, .. } = *self;
        Ok(DropoutPosition { seed, first_step, first_sequence, off: args::flag("no_dropout", self.no_dropout)? })
    }
}
