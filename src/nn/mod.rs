//! The layers and training parts around the recurrent ones: embedding, losses, optimizers, gradient clipping, dropout.

mod activation;
mod clip;
mod dense;
mod dropout;
mod embedding;
mod finite;
mod loss;
mod modules;
mod optimizer;
#[cfg(feature = "vectors")]
pub mod vectors;

pub(crate) use activation::softmax_on;
pub use activation::{log_softmax, relu, relu_backward, sigmoid, sigmoid_backward, softmax, tanh, tanh_backward};
pub use clip::{clip_grad_norm, clip_grad_value, grad_norm};
pub use dense::Dense;
pub use dropout::Dropout;
pub use embedding::{Embedding, EmbeddingGrads};
pub use finite::NonFinite;
pub use loss::{BceWithLogits, CrossEntropy, Reduction, mse_loss};
pub use modules::{Module, clip_module_grads, zero_grads};
pub use optimizer::{
    AdamConfig, Optimizer, OptimizerConfig, RmsPropConfig, SgdConfig, StateSink, StateSource, StateTensor,
};
pub(crate) use optimizer::{StateText, metadata_float, metadata_number, metadata_text};
