//! # Sessions

use super::args::Arrays;
use super::call;
use super::error::{srnn_error, srnn_status};
use super::handle;
use super::pool::{self, srnn_pool};
use crate::rnn::Session;

/// One caller's scratch memory. It grows to what a call needs and is kept: a call of a shape that fitted before
/// allocates nothing. A session serves any number of models, one call at a time; give each thread its own.
pub struct srnn_session(pub(super) Session);

/// Creates a session that works on the caller's thread. The caller destroys it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_session_create(session: *mut *mut srnn_session, error: *mut srnn_error) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let session = unsafe { Arrays::new().out("session", session) }?;
        session.write(handle::create(srnn_session(Session::new()))?);
        Ok(())
    })
}

/// Destroys a session. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_session_destroy(session: *mut srnn_session) {
    // SAFETY: the header's contract.
    unsafe { handle::destroy(session) }
}

/// Spreads the session's work over the threads of `pool` from now on; NULL for the caller's thread alone. The pool may be
/// destroyed before the session. The number of threads changes no bit.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_session_set_pool(
    session: *mut srnn_session,
    pool: *const srnn_pool,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (session, pool) = unsafe { (handle::exclusive("session", session)?, pool::optional(pool)?) };
        session.0.set_pool(pool);
        Ok(())
    })
}

/// Bytes of scratch memory held; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_session_bytes(session: *const srnn_session) -> usize {
    // SAFETY: the header's contract.
    unsafe { handle::get(session, 0, |s| s.0.bytes()) }
}
