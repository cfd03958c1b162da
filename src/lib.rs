//! Recurrent layers (Elman RNN, LSTM, GRU) on the CPU: forward and backward, batched and streaming, with
//! hand-vectorized kernels and a C ABI.

pub(crate) mod buffer;
mod capi;
pub mod error;
pub mod io;
pub(crate) mod kernel;
pub mod nn;
pub(crate) mod parallel;
mod published;
pub(crate) mod random;
pub mod reference;
pub mod rnn;
pub(crate) mod simd;
pub mod text;
pub(crate) mod words;

pub use error::{Error, ErrorKind, Result};
pub use parallel::Pool;
pub use simd::Isa;

/// The README's Rust program is compiled and run as a documentation test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
