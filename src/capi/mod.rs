//! The C ABI: opaque handles, argument checks, the panic boundary and error texts; no arithmetic. It mirrors `src/` file
//! by file, and `include/simdrnn.h` is made from it: each file below is a section of the header, its first comment the
//! section's introduction, and the comments of its items are written for C readers.

#![allow(non_camel_case_types, reason = "types have their C names")]
#![allow(unreachable_pub, reason = "exported through their symbols")]

mod args;
mod cancel;
mod handle;
mod structs;

mod activation;
#[cfg(feature = "text")]
mod classifier;
mod clip;
#[cfg(feature = "text")]
mod dataset;
mod dense;
mod dropout;
mod embedding;
mod error;
mod flow;
mod forward;
mod isa;
mod loss;
#[cfg(feature = "text")]
mod metrics;
mod modules;
#[cfg(feature = "vectors")]
mod neighbours;
mod optimizer;
mod pool;
#[cfg(all(feature = "text", feature = "vectors"))]
mod pretrained;
mod rnn;
mod session;
mod state;
mod step;
mod stream;
mod tensors;
mod train;
#[cfg(feature = "text")]
mod trainer;
mod truncated;
#[cfg(feature = "vectors")]
mod vectors;
mod version;
#[cfg(feature = "text")]
mod vocab;

use cancel::Uncancelled;
use error::{srnn_error, srnn_status};

use crate::error::{Result, err};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs the body of a fallible entry: no panic gets out, no cancellation gets in, and `error`, if given, tells what happened.
#[inline]
fn call(error: *mut srnn_error, body: impl FnOnce() -> Result<()>) -> srnn_status {
    let _uncancelled = Uncancelled::new();
    compute(error, body)
}

/// [`call`] for steps of some hundred nanoseconds, which come by no place where a thread is cancelled.
#[inline]
fn compute(error: *mut srnn_error, body: impl FnOnce() -> Result<()>) -> srnn_status {
    // Success is reported inside, or the whole result, an error's text included, would be copied on its way out.
    let inside = AssertUnwindSafe(|| match body() {
        // SAFETY: callers promise that `error` is NULL or has room for an `srnn_error`.
        Ok(()) => unsafe { error::report(error, 0, "") },
        // SAFETY: as above.
        Err(e) => unsafe { error::report(error, e.kind() as i32, e.message()) },
    });
    catch_unwind(inside).unwrap_or_else(|panic| bug(error, panic))
}

/// Reports a panic.
#[cold]
fn bug(error: *mut srnn_error, panic: Box<dyn Any + Send>) -> srnn_status {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text");
    let e = err!(Internal, "a bug in simdrnn: {text}");
    // Its destructor is unknown code, which may panic in its turn.
    std::mem::forget(panic);
    // SAFETY: callers promise that `error` is NULL or has room for an `srnn_error`.
    unsafe { error::report(error, e.kind() as i32, e.message()) }
}

/// Runs the body of an entry that has no status: a panic gives `otherwise`.
fn infallible<T>(otherwise: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        std::mem::forget(panic);
        otherwise
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_become_a_status() {
        let mut error = srnn_error { status: 0, message: [1; 512] };
        let status = call(&mut error, || panic!("number {}", 7));
        assert_eq!((status, error.status), (11, 11));
        let text = error.message.iter().take_while(|&&c| c != 0).map(|&c| c as u8).collect::<Vec<_>>();
        assert_eq!(text, b"a bug in simdrnn: number 7");
        assert_eq!(call(&mut error, || Ok(())), 0);
        assert_eq!((error.status, error.message[0]), (0, 0));
        assert_eq!(infallible(3, || panic!("no status")), 3);
    }

    /// Handles that C may share between threads where the header says `const`.
    #[test]
    fn shared_handles_are_sync() {
        fn shared<T: Send + Sync>() {}
        shared::<rnn::srnn_rnn>();
        shared::<dense::srnn_dense>();
        shared::<embedding::srnn_embedding>();
        shared::<embedding::srnn_embedding_grads>();
        shared::<pool::srnn_pool>();
        shared::<session::srnn_session>();
        shared::<train::srnn_tape>();
        shared::<train::srnn_grads>();
        shared::<flow::srnn_gradient_flow>();
        shared::<stream::srnn_stream>();
        shared::<truncated::srnn_truncated_bptt>();
        shared::<optimizer::srnn_optimizer>();
        shared::<tensors::srnn_tensor_file>();
        shared::<tensors::srnn_tensor_writer>();
        shared::<vectors::srnn_vectors>();
        shared::<pretrained::srnn_coverage>();
        shared::<vocab::srnn_vocab>();
        shared::<dataset::srnn_dataset>();
        shared::<dataset::srnn_batches>();
        shared::<classifier::srnn_classifier>();
        shared::<classifier::srnn_classifier_session>();
        shared::<trainer::srnn_trainer>();
        shared::<metrics::srnn_metrics>();
    }
}
