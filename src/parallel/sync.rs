//! What signals and meetings are built of: the standard library's parts, in `tests/team_model.rs` a model checker's.

pub(super) use std::hint::spin_loop;
pub(super) use std::sync::atomic::{AtomicUsize, Ordering};
pub(super) use std::sync::{Condvar, Mutex};
pub(super) use std::thread::yield_now;
