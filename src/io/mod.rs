//! Files: reading and writing weights. Nothing here computes.

pub(crate) mod atomic;
mod convert;
mod models;
pub mod safetensors;
pub mod vectors;

use crate::error::{Error, err};
use std::fmt::{self, Write};
use std::path::Path;

/// A name or a text of unknown length and content, for an error's text: control characters escaped, the middle of a
/// long one left out, so that what follows still fits.
pub(crate) struct Excerpt<'a>(pub(crate) &'a str, pub(crate) usize);

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Excerpt(text, room) = *self;
        if text.len() <= room {
            return show(f, text);
        }
        let (mut head, mut tail) = (room / 2, text.len() - room / 2);
        while !text.is_char_boundary(head) {
            head -= 1;
        }
        while !text.is_char_boundary(tail) {
            tail += 1;
        }
        show(f, &text[..head])?;
        f.write_str("...")?;
        show(f, &text[tail..])
    }
}

fn show(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    text.chars().try_for_each(|c| if c.is_control() { write!(f, "{}", c.escape_default()) } else { f.write_char(c) })
}

/// A path as error texts show it.
pub(crate) struct Shown<'a>(pub(crate) &'a Path);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Excerpt(&self.0.to_string_lossy(), 160).fmt(f)
    }
}

/// An operating system's error as the crate's own: the path, what was tried, and the system's text.
pub(crate) fn io_error(path: &Path, action: &str, error: &std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::OutOfMemory => err!(OutOfMemory, "{}: cannot {action}: memory is short", Shown(path)),
        _ => err!(Io, "{}: cannot {action}: {error}", Shown(path)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_keep_both_ends_and_escape() {
        assert_eq!(Excerpt("a\tb\0", 20).to_string(), "a\\tb\\u{0}");
        let long = format!("start{}end", "ж".repeat(500));
        let shown = Excerpt(&long, 40).to_string();
        assert!(shown.starts_with("startжж") && shown.ends_with("жжend") && shown.contains("..."), "{shown}");
        assert!(shown.len() <= 43, "{}", shown.len());
    }
}
