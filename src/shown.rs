//! Names, texts and paths of unknown length and content, as error texts show them.

use crate::error::is_obeyed;
use std::fmt::{self, Write};
use std::path::Path;

/// A name or a text of unknown length and content, for an error's text: control characters escaped, what is not UTF-8
/// replaced, the middle left out of what would then be longer than so many bytes, so that what follows still fits.
pub(crate) struct Excerpt<'a, T: AsRef<[u8]> + ?Sized>(pub(crate) &'a T, pub(crate) usize);

impl<T: AsRef<[u8]> + ?Sized> fmt::Display for Excerpt<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (text, room) = (self.0.as_ref(), self.1);
        // No character is shown by fewer bytes than it has.
        let is_short = text.len() <= room;
        if is_short && lossy(text).map(shown_len).sum::<usize>() <= room {
            return lossy(text).try_for_each(|c| show(f, c));
        }
        let half = room / 2;
        let (mut head, mut tail) = if is_short { (text.len(), 0) } else { (half, text.len() - half) };
        let is_inside = |at: usize| text.get(at).is_some_and(|byte| byte & 0xC0 == 0x80);
        while head > 0 && is_inside(head) {
            head -= 1;
        }
        while is_inside(tail) {
            tail += 1;
        }
        let (head, tail) = (&text[..head], &text[tail..]);
        let mut used = 0;
        let fits = |&c: &char| {
            used += shown_len(c);
            used <= half
        };
        lossy(head).take_while(fits).try_for_each(|c| show(f, c))?;
        f.write_str("...")?;
        let mut left = lossy(tail).map(shown_len).sum::<usize>();
        let is_over = |&c: &char| {
            let is_over = left > half;
            left -= shown_len(c);
            is_over
        };
        lossy(tail).skip_while(is_over).try_for_each(|c| show(f, c))
    }
}

fn show(f: &mut fmt::Formatter<'_>, c: char) -> fmt::Result {
    if is_obeyed(c) { write!(f, "{}", c.escape_default()) } else { f.write_char(c) }
}

fn shown_len(c: char) -> usize {
    if is_obeyed(c) { c.escape_default().len() } else { c.len_utf8() }
}

/// The characters of a text; what is not UTF-8 is U+FFFD.
pub(crate) fn lossy(text: &[u8]) -> impl Iterator<Item = char> {
    text.utf8_chunks().flat_map(|chunk| {
        let invalid = (!chunk.invalid().is_empty()).then_some(char::REPLACEMENT_CHARACTER);
        chunk.valid().chars().chain(invalid)
    })
}

/// A path as error texts show it.
pub(crate) struct Shown<'a>(pub(crate) &'a Path);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Excerpt(self.0.as_os_str().as_encoded_bytes(), 160).fmt(f)
    }
}

/// An operating system's error as the standard library shows it, but without an allocation.
pub(crate) struct Reason<'a>(pub(crate) &'a std::io::Error);

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[cfg(unix)]
        if let Some(code) = self.0.raw_os_error() {
            let mut text = [0u8; 128];
            // SAFETY: the pointer has room for as many bytes as are said.
            let failed = unsafe { libc::strerror_r(code, text.as_mut_ptr().cast(), text.len()) };
            let text = std::ffi::CStr::from_bytes_until_nul(&text).ok().filter(|_| failed == 0);
            let text = text.and_then(|text| text.to_str().ok()).unwrap_or("unknown error");
            return write!(f, "{text} (os error {code})");
        }
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_keep_both_ends_and_escape() {
        assert_eq!(Excerpt("a\tb\0", 20).to_string(), "a\\tb\\u{0}");
        assert_eq!(Excerpt(b"a\xFFb\xD0", 20).to_string(), "a\u{FFFD}b\u{FFFD}");
        assert_eq!(Excerpt(&[0x80; 9], 4).to_string(), "...");
        let long = format!("start{}end", "ж".repeat(500));
        let shown = Excerpt(&long, 40).to_string();
        assert!(shown.starts_with("startжж") && shown.ends_with("жжend") && shown.contains("..."), "{shown}");
        assert!(shown.len() <= 43, "{}", shown.len());
        assert_eq!(Excerpt("\0\0a", 11).to_string(), "\\u{0}\\u{0}a");
        assert_eq!(Excerpt("\0\0a", 10).to_string(), "\\u{0}...a");
        // However a text is made, so many bytes are enough.
        for part in ["a", "\u{2028}", "\u{1b}", "\u{1F600}", "\n"] {
            for (times, room) in [(1, 40), (20, 40), (39, 40), (40, 40), (41, 41), (500, 80)] {
                let shown = Excerpt(&part.repeat(times), room).to_string();
                assert!(shown.len() <= room + 3, "{part:?} {times} {room}: {shown}");
            }
        }
        for room in [40, 80] {
            assert!(Excerpt(&[0xFF; 60], room).to_string().len() <= room + 3);
        }
    }

    #[test]
    fn reasons_are_those_of_the_standard_library() {
        for code in [1, 2, 12, 13, 28] {
            let error = std::io::Error::from_raw_os_error(code);
            assert_eq!(Reason(&error).to_string(), error.to_string());
        }
        let other = std::io::Error::other("the disk is on fire");
        assert_eq!(Reason(&other).to_string(), "the disk is on fire");
    }
}
