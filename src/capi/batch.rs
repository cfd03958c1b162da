//! # Batches and states
//!
//! Error texts call the states before the first step h0 and c0, those after the last one hn and cn.

use super::args::Arrays;
use super::structs::{self, Growing};
use crate::error::Result;
use crate::rnn::Batch;
use std::ptr::{null, null_mut};

/// The extents of a batch of sequences. Fill it in with srnn_batch_init, then change fields.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct srnn_batch {
    /// Bytes of this struct as the caller knows it; set by the init function.
    pub struct_size: u32,
    /// 1 if arrays with a row for every step hold only steps that are there: all of the first sequence, then all of the
    /// second, and so on, whatever batch_first is. So one long sequence takes no room beside short ones. Default 0.
    pub packed: i32,
    /// Number of sequences, at least 1.
    pub batch_size: usize,
    /// Time steps that the arrays have room for; may be 0.
    pub seq_len: usize,
    /// The length of each sequence, 0 to seq_len, in any order; NULL if all are seq_len long. Work follows the sum of the
    /// lengths.
    pub lengths: *const usize,
    /// batch_size if there are lengths, else 0.
    pub lengths_len: usize,
    /// For dropout: the step that the batch's first step is, in sequences that are cut into chunks. Default 0.
    pub first_step: u32,
    /// For dropout: the sequence that the batch's first one is, in batches that are cut into smaller ones. Default 0.
    pub first_sequence: u32,
    /// Zero.
    pub reserved: [u64; 2],
}

// SAFETY: numbers and pointers without padding, the size first.
unsafe impl Growing for srnn_batch {
    const NAME: &'static str = "srnn_batch";

    fn defaults() -> Self {
        Self {
            struct_size: size_of::<Self>() as u32,
            packed: 0,
            batch_size: 0,
            seq_len: 0,
            lengths: null(),
            lengths_len: 0,
            first_step: 0,
            first_sequence: 0,
            reserved: [0; 2],
        }
    }

    fn reserved_is_zero(&self) -> bool {
        self.reserved == [0; 2]
    }
}

impl srnn_batch {
    /// # Safety
    /// The struct's `lengths` are as the header says.
    pub(super) unsafe fn to_rust<'a>(self, arrays: &mut Arrays) -> Result<Batch<'a>> {
        // SAFETY: the caller's promise.
        let lengths = unsafe { arrays.read_optional("lengths", self.lengths, self.lengths_len) }?;
        let packed = super::args::flag("packed", self.packed)?;
        Ok(Batch { batch_size: self.batch_size, seq_len: self.seq_len, lengths, packed })
    }
}

/// Fills in `batch`: `batch_size` sequences of `seq_len` steps each. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_batch_init(batch: *mut srnn_batch, batch_size: usize, seq_len: usize) {
    // SAFETY: the header's contract.
    unsafe { structs::init(batch, srnn_batch { batch_size, seq_len, ..srnn_batch::defaults() }) }
}

/// Recurrent states that a call reads, or their gradients. With L layers, D directions and S the state size (proj_size
/// if there is a projection, else hidden_size):
///
/// - h: (L * D, batch, S)
/// - c: (L * D, batch, hidden_size), LSTM only
///
/// An array that is NULL with length 0 counts as zeros, as does a NULL srnn_state.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct srnn_state {
    /// Bytes of this struct as the caller knows it; set by the init function.
    pub struct_size: u32,
    /// Zero.
    pub reserved0: u32,
    /// Hidden states.
    pub h: *const f32,
    /// Values of h.
    pub h_len: usize,
    /// Cell states.
    pub c: *const f32,
    /// Values of c.
    pub c_len: usize,
    /// Zero.
    pub reserved: [u64; 2],
}

// SAFETY: numbers and pointers without padding, the size first.
unsafe impl Growing for srnn_state {
    const NAME: &'static str = "srnn_state";

    fn defaults() -> Self {
        let struct_size = size_of::<Self>() as u32;
        Self { struct_size, reserved0: 0, h: null(), h_len: 0, c: null(), c_len: 0, reserved: [0; 2] }
    }

    fn reserved_is_zero(&self) -> bool {
        self.reserved0 == 0 && self.reserved == [0; 2]
    }
}

/// Recurrent states that a call writes, or their gradients: shaped as in srnn_state. An array that is NULL with length 0
/// is not wanted, nor is either with a NULL srnn_state_out.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct srnn_state_out {
    /// Bytes of this struct as the caller knows it; set by the init function.
    pub struct_size: u32,
    /// Zero.
    pub reserved0: u32,
    /// Hidden states.
    pub h: *mut f32,
    /// Values of h.
    pub h_len: usize,
    /// Cell states.
    pub c: *mut f32,
    /// Values of c.
    pub c_len: usize,
    /// Zero.
    pub reserved: [u64; 2],
}

// SAFETY: numbers and pointers without padding, the size first.
unsafe impl Growing for srnn_state_out {
    const NAME: &'static str = "srnn_state_out";

    fn defaults() -> Self {
        let struct_size = size_of::<Self>() as u32;
        Self { struct_size, reserved0: 0, h: null_mut(), h_len: 0, c: null_mut(), c_len: 0, reserved: [0; 2] }
    }

    fn reserved_is_zero(&self) -> bool {
        self.reserved0 == 0 && self.reserved == [0; 2]
    }
}

/// Fills in `state` with two arrays, which stay the caller's. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_state_init(
    state: *mut srnn_state,
    h: *const f32,
    h_len: usize,
    c: *const f32,
    c_len: usize,
) {
    // SAFETY: the header's contract.
    unsafe { structs::init(state, srnn_state { h, h_len, c, c_len, ..srnn_state::defaults() }) }
}

/// Fills in `state` with two arrays, which stay the caller's. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_state_out_init(
    state: *mut srnn_state_out,
    h: *mut f32,
    h_len: usize,
    c: *mut f32,
    c_len: usize,
) {
    // SAFETY: the header's contract.
    unsafe { structs::init(state, srnn_state_out { h, h_len, c, c_len, ..srnn_state_out::defaults() }) }
}

/// The arrays of a state that is read.
///
/// # Safety
/// `state` and its arrays are as the header says.
pub(super) unsafe fn read_state<'a>(
    arrays: &mut Arrays,
    [h, c]: [&'static str; 2],
    state: *const srnn_state,
) -> Result<[Option<&'a [f32]>; 2]> {
    // SAFETY: the caller's promise.
    unsafe {
        let state = structs::read_optional(state)?;
        Ok([arrays.read_optional(h, state.h, state.h_len)?, arrays.read_optional(c, state.c, state.c_len)?])
    }
}

/// The arrays of a state that is written.
///
/// # Safety
/// `state` and its arrays are as the header says.
pub(super) unsafe fn write_state<'a>(
    arrays: &mut Arrays,
    [h, c]: [&'static str; 2],
    state: *const srnn_state_out,
) -> Result<[Option<&'a mut [f32]>; 2]> {
    // SAFETY: the caller's promise.
    unsafe {
        let state = structs::read_optional(state)?;
        Ok([arrays.write_optional(h, state.h, state.h_len)?, arrays.write_optional(c, state.c, state.c_len)?])
    }
}
