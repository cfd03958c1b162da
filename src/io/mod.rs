//! Files: reading and writing weights. Nothing here computes.

pub(crate) mod atomic;
pub(crate) mod buffered;
mod convert;
pub(crate) mod json;
pub(crate) mod models;
pub(crate) mod open;
mod options;
#[cfg(all(test, feature = "text", feature = "vectors"))]
mod quoted_tests;
pub(crate) mod recognize;
pub mod safetensors;
#[cfg(feature = "vectors")]
pub mod vectors;

pub use options::{LoadOptions, SaveOptions};

use crate::error::{Error, err};
use crate::shown::{Excerpt, Reason, Shown};
use std::fmt;
use std::path::Path;

/// What a parser of JSON says: it quotes the texts that it did not expect, whole.
pub(crate) struct JsonFault<'a>(pub(crate) &'a serde_json::Error);

impl fmt::Display for JsonFault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Excerpt(&self.0.to_string(), 240).fmt(f)
    }
}

/// An operating system's error as the crate's own: the path, what was tried, and the system's text.
pub(crate) fn io_error(path: &Path, action: &str, error: &std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::OutOfMemory => err!(OutOfMemory, "{}: cannot {action}: memory is short", Shown(path)),
        _ => err!(Io, "{}: cannot {action}: {}", Shown(path), Reason(error)),
    }
}

/// A directory of a test's own, removed at the end.
#[cfg(test)]
pub(crate) struct TempDir(pub(crate) std::path::PathBuf);

#[cfg(test)]
impl TempDir {
    pub(crate) fn new() -> Self {
        use std::sync::atomic::{AtomicUsize, Ordering};
        static COUNTER: AtomicUsize = AtomicUsize::new(0);
        let unique = format!("simdrnn-{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(unique);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn join(&self, name: &str) -> std::path::PathBuf {
        self.0.join(name)
    }

    /// The names in the directory, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> =
            std::fs::read_dir(&self.0).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[cfg(test)]
impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
