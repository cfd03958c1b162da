//! # States
//!
//! The states of a stream, or those that truncated backpropagation carries, as a call reads or writes them.

use super::args::Arrays;
use super::structs::{self, Growing};
use crate::error::Result;
use std::ptr::{null, null_mut};

/// Recurrent states that a call reads, of streams and of truncated backpropagation. With L layers, D directions and S the state size (proj_size
/// if there is a projection, else hidden_size):
///
/// - h: (L * D, batch, S); a stream's lanes are the batch
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

/// Recurrent states that a call writes: shaped as in srnn_state. An array that is NULL with length 0
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
