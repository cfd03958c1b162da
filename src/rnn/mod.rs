//! Recurrent layers: configuration, parameters, forward, backward, streaming, gradient flow.

mod config;

pub use config::{Cell, Direction, ParamSpec, RnnConfig};
