//! Recurrent layers: configuration, parameters, forward, backward, streaming, gradient flow.

mod backward;
mod backward_pass;
mod batch;
mod config;
mod dropout;
mod flow;
mod grads;
mod history;
mod init;
mod input;
mod model;
mod output;
mod pass;
mod row;
mod session;
mod stream;
mod tape;
mod truncated;
mod truncated_state;
mod weight_gradients;
mod weights;

pub use backward::BackwardArgs;
pub use batch::Batch;
pub use config::{Cell, Direction, ParamSpec, RnnConfig};
pub use dropout::DropoutPosition;
pub use flow::{GradientFlow, Saturation};
pub use grads::Grads;
pub use init::Init;
pub(crate) use init::uniform;
pub use input::{ForwardArgs, Tokens};
pub use model::Rnn;
pub use session::Session;
pub use stream::Stream;
pub use tape::Tape;
pub use truncated::TruncatedBptt;
