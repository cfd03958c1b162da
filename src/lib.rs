//! Recurrent layers (Elman RNN, LSTM, GRU) on the CPU: forward and backward, batched and streaming, with
//! hand-vectorized kernels and a C ABI.
//!
//! # A tour
//!
//! | | |
//! |---|---|
//! | [`rnn`] | the layers: an [`Rnn`](rnn::Rnn) holds configuration and weights, a [`Session`](rnn::Session) one caller's memory. [`Rnn::forward`](rnn::Rnn::forward) runs batches, [`Stream`](rnn::Stream) goes step by step, [`Rnn::forward_train`](rnn::Rnn::forward_train) records on a [`Tape`](rnn::Tape) what [`Rnn::backward`](rnn::Rnn::backward) needs, [`TruncatedBptt`](rnn::TruncatedBptt) trains on sequences without an end |
//! | [`nn`] | what stands around them: [`Embedding`](nn::Embedding), [`Dense`](nn::Dense), [`Dropout`](nn::Dropout), activations, losses, [`Optimizer`](nn::Optimizer), clipping; [`nn::vectors`]: pretrained word vectors |
//! | [`text`] | from texts to labels: [`Tokenizer`](text::Tokenizer), [`Vocab`](text::Vocab), [`Dataset`](text::Dataset), [`TextClassifier`](text::TextClassifier), [`Trainer`](text::Trainer), metrics |
//! | [`io`] | safetensors files and files of word vectors |
//! | [`Pool`] | threads, for those who want some |
//!
//! Two sequences of different lengths through a bidirectional GRU:
//!
//! ```
//! use simdrnn::rnn::{Batch, Cell, Direction, ForwardArgs, Init, Rnn, RnnConfig, Session};
//!
//! let mut config = RnnConfig::new(Cell::Gru, 3, 8);
//! config.direction = Direction::Bidirectional;
//! let mut rnn = Rnn::new(&config)?;
//! rnn.init(Init::TorchUniform, 42)?; // or rnn.load_safetensors("encoder.safetensors", "gru.")?
//!
//! let (x, mut y) = ([0.5; 4 * 2 * 3], [0.0; 4 * 2 * 16]); // (time, batch, features)
//! let batch = Batch { lengths: Some(&[4, 2]), ..Batch::new(2, 4) };
//! rnn.forward(&mut Session::new(), &batch, ForwardArgs { x: &x, y: Some(&mut y), ..ForwardArgs::default() })?;
//! assert!(y[3 * 32 + 16..].iter().all(|&v| v == 0.0)); // past the end of the second
//! # Ok::<(), simdrnn::Error>(())
//! ```
//!
//! Training: the example at [`Tape`](rnn::Tape); a text classifier: at [`Trainer`](text::Trainer).
//!
//! # What holds everywhere
//!
//! Arrays are slices of f32, row-major, with the shapes that each call names. Every failure is an [`Error`], whose
//! [`kind`](Error::kind) is one of [`ErrorKind`] and whose text says what was found and what was expected; a call that fails
//! changes nothing, also where memory is short. Finite results have the same bits on every [`Isa`], for every number of threads
//! and every batch.

// Each room is whole, whichever of those above it are built.
#![cfg_attr(not(all(feature = "capi", feature = "text", feature = "vectors")), allow(dead_code, unused_imports))]

pub(crate) mod buffer;
#[cfg(feature = "capi")]
mod capi;
pub(crate) mod cell;
pub mod error;
pub mod io;
pub(crate) mod kernel;
pub mod nn;
pub(crate) mod parallel;
mod published;
pub(crate) mod random;
pub mod rnn;
mod shown;
pub(crate) mod simd;
#[cfg(feature = "text")]
pub mod text;
#[cfg(any(feature = "text", feature = "vectors"))]
pub(crate) mod words;

pub use error::{Error, ErrorKind, Result};
pub use parallel::Pool;
pub use simd::Isa;

/// The README's Rust program is compiled and run as a documentation test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
