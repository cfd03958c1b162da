//! Recurrent layers: configuration, parameters, forward, backward, streaming, gradient flow.

mod config;
mod init;
mod model;
mod weights;

pub use config::{Cell, Direction, ParamSpec, RnnConfig};
pub use init::Init;
pub use model::Rnn;
