//! Writing a file so that a reader, or a crash, sees the old content or the new, never a part.

use super::buffered::Writer;
use super::{io_error, lossy};
use crate::buffer::{reserve_text, try_format};
use crate::error::{Error, Result, ensure, err};
use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// The unfinished file; removed unless it was renamed.
struct Temporary {
    path: PathBuf,
    renamed: bool,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.renamed {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Calls `write` with a buffered writer on a new file beside `path`, flushes that to the disk and renames it to `path`.
/// On any failure `path` is as it was and nothing new is left behind. An existing file's permissions are kept, and a
/// symbolic link keeps pointing to the file that gets the new content.
///
/// # Errors
/// `InvalidArgument` if `path` names no file or something that is not a regular file; `Io`; `OutOfMemory`; what `write`
/// returns.
pub(crate) fn write_atomic(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let fail = |action: &str, e: &io::Error| -> Error { io_error(path, action, e) };
    let old = match fs::metadata(path) {
        Ok(m) => Some(m),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(fail("write", &e)),
    };
    // Renaming over a device or a directory would replace or lose it.
    ensure!(
        old.as_ref().is_none_or(|m| m.is_file()),
        InvalidArgument,
        "{}: cannot write: not a regular file",
        super::Shown(path)
    );
    let target = if old.is_some() { Cow::Owned(resolve(path)?) } else { Cow::Borrowed(path) };
    let Some(name) = target.file_name() else {
        return Err(err!(InvalidArgument, "'{}' names no file", super::Shown(path)));
    };
    let directory = match target.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };

    let (file, mut temporary) = create(directory, name, path)?;
    let mut buffered = Writer::new(file, 1 << 16)?;
    write(&mut buffered).map_err(|e| fail("write", &e))?;
    let file = buffered.finish().map_err(|e| fail("write", &e))?;
    if let Some(old) = old {
        file.set_permissions(old.permissions()).map_err(|e| fail("keep the permissions", &e))?;
    }
    file.sync_all().map_err(|e| fail("flush to the disk", &e))?;
    drop(file);
    fs::rename(&temporary.path, &target).map_err(|e| fail("rename the new file", &e))?;
    temporary.renamed = true;
    // The rename is done; where a directory cannot be flushed, only a power cut right now could undo it.
    #[cfg(unix)]
    if let Ok(d) = File::open(directory) {
        let _ = d.sync_all();
    }
    Ok(())
}

/// The path of an existing file without links.
fn resolve(path: &Path) -> Result<PathBuf> {
    // The standard library's own ends the process where memory is short.
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        let text = super::open::c_path(path)?;
        // SAFETY: the path ends with a NUL; without a buffer the result is allocated.
        let resolved = unsafe { libc::realpath(text.as_ptr().cast(), std::ptr::null_mut()) };
        if resolved.is_null() {
            return Err(io_error(path, "resolve", &io::Error::last_os_error()));
        }
        // SAFETY: a text that ends with a NUL.
        let copy = unsafe { std::ffi::CStr::from_ptr(resolved) };
        let copy = joined(&[Path::new(OsStr::from_bytes(copy.to_bytes()))]);
        // SAFETY: what `realpath` gave is the caller's to free; nothing refers to it any more.
        unsafe { libc::free(resolved.cast()) };
        copy
    }
    #[cfg(not(unix))]
    fs::canonicalize(path).map_err(|e| io_error(path, "resolve", &e))
}

/// The parts one below the other.
fn joined(parts: &[&Path]) -> Result<PathBuf> {
    let mut path = PathBuf::new();
    let bytes = parts.iter().map(|part| part.as_os_str().len() + 1).sum();
    path.try_reserve_exact(bytes).map_err(|_| err!(OutOfMemory, "could not allocate a path of {bytes} bytes"))?;
    parts.iter().for_each(|part| path.push(part));
    Ok(path)
}

/// A new file in `directory` under a name that nobody else uses, made of `name`; `path` is for error texts.
fn create(directory: &Path, name: &OsStr, path: &Path) -> Result<(File, Temporary)> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    // A cut name keeps the temporary one within the file system's limit.
    const SHOWN: usize = 40;
    let mut shown = String::new();
    reserve_text(&mut shown, SHOWN * char::MAX.len_utf8())?;
    shown.extend(lossy(name.as_encoded_bytes()).take(SHOWN));
    loop {
        let (process, count) = (std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        let unique = try_format(format_args!(".{shown}.{process}-{count}.tmp"))?;
        let unique = joined(&[directory, Path::new(&unique)])?;
        match OpenOptions::new().write(true).create_new(true).open(&unique) {
            Ok(file) => return Ok((file, Temporary { path: unique, renamed: false })),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(io_error(path, "create a file beside it", &e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::io::TempDir;

    #[test]
    fn a_failed_write_keeps_the_old_file() {
        let dir = TempDir::new();
        let path = dir.join("model");
        write_atomic(&path, |w| w.write_all(b"old")).unwrap();
        let e = write_atomic(&path, |w| {
            w.write_all(&[1; 1 << 18])?;
            Err(io::Error::other("the disk is full"))
        })
        .unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Io);
        assert!(e.message().contains("model") && e.message().contains("the disk is full"), "{e}");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(dir.names(), ["model"]);
        write_atomic(&path, |w| w.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(dir.names(), ["model"]);
    }

    #[test]
    fn a_panic_leaves_no_temporary() {
        let dir = TempDir::new();
        let path = dir.join("model");
        let caught = std::panic::catch_unwind(|| write_atomic(&path, |_| panic!("on purpose")));
        assert!(caught.is_err());
        assert!(dir.names().is_empty());
    }

    #[test]
    fn places_that_cannot_be_written() {
        let dir = TempDir::new();
        let file = dir.join("file");
        fs::write(&file, "x").unwrap();
        for (path, kind) in [
            (file.join("below"), ErrorKind::Io),
            (dir.join("absent").join("below"), ErrorKind::Io),
            (dir.0.clone(), ErrorKind::InvalidArgument),
            (PathBuf::from(""), ErrorKind::InvalidArgument),
            (PathBuf::from(".."), ErrorKind::InvalidArgument),
            (dir.join(&"n".repeat(300)), ErrorKind::Io),
        ] {
            let e = write_atomic(&path, |w| w.write_all(b"y")).unwrap_err();
            assert_eq!(e.kind(), kind, "{}: {e}", path.display());
        }
        assert_eq!(dir.names(), ["file"]);
    }

    #[cfg(unix)]
    #[test]
    fn links_and_permissions_stay() {
        use std::os::unix::fs::PermissionsExt;
        let dir = TempDir::new();
        let (file, link) = (dir.join("file"), dir.join("link"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write_atomic(&link, |w| w.write_all(b"new")).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    }
}
