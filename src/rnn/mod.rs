//! Recurrent layers: configuration, parameters, forward, backward, streaming, gradient flow.

mod batch;
mod config;
mod init;
mod model;
mod pass;
mod session;
mod weights;

pub use batch::Batch;
pub use config::{Cell, Direction, ParamSpec, RnnConfig};
pub use init::Init;
pub use model::Rnn;
pub use session::{ForwardArgs, Session};
