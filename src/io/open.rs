//! Opening a file that is to be read. Every reader of a path comes by here.

use super::io_error;
use crate::error::{Result, err};
use crate::shown::Shown;
use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

/// Opens a regular file; gives its length in bytes too. Nothing else is opened, as a device or a pipe may never end, and
/// opening a FIFO waits for its writer.
///
/// # Errors
/// `Io`, with what is there instead of a file where that is known; `InvalidArgument` for a path with a NUL; `OutOfMemory`.
pub(crate) fn open(path: &Path) -> Result<(File, u64)> {
    let file = open_without_waiting(path)?;
    let about = file.metadata().map_err(|e| io_error(path, "read", &e))?;
    // Something else may have taken its place meanwhile.
    if !about.is_file() {
        return Err(not_a_file(path, kind(&about)));
    }
    #[cfg(unix)]
    set_blocking(&file).map_err(|e| io_error(path, "read", &e))?;
    Ok((file, about.len()))
}

fn not_a_file(path: &Path, kind: &str) -> crate::Error {
    err!(Io, "{}: cannot read: it is {kind}, expected a regular file", Shown(path))
}

/// What something is that is no regular file.
fn kind(about: &Metadata) -> &'static str {
    #[cfg(unix)]
    {
        // The type's width differs between systems.
        kind_of(std::os::unix::fs::MetadataExt::mode(about) as libc::mode_t)
    }
    #[cfg(not(unix))]
    if about.is_dir() { "a directory" } else { "something else" }
}

#[cfg(unix)]
fn kind_of(mode: libc::mode_t) -> &'static str {
    match mode & libc::S_IFMT {
        libc::S_IFDIR => "a directory",
        libc::S_IFIFO => "a FIFO (named pipe)",
        libc::S_IFSOCK => "a socket",
        libc::S_IFCHR => "a character device",
        libc::S_IFBLK => "a block device",
        _ => "something else",
    }
}

/// The path as C has it. The standard library's own copy of a long one ends the process where memory is short.
#[cfg(unix)]
pub(crate) fn c_path(path: &Path) -> Result<Vec<u8>> {
    use std::os::unix::ffi::OsStrExt;
    let bytes = path.as_os_str().as_bytes();
    crate::error::ensure!(!bytes.contains(&0), InvalidArgument, "{}: a path cannot have a NUL", Shown(path));
    let mut text = crate::buffer::try_with_capacity(bytes.len() + 1)?;
    text.extend_from_slice(bytes);
    text.push(0);
    Ok(text)
}

#[cfg(unix)]
fn open_without_waiting(path: &Path) -> Result<File> {
    use std::os::fd::FromRawFd;
    let name = c_path(path)?;
    // Opening alone may already change a device, and a socket's error does not say what it is.
    let mut about = std::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the name ends with a NUL, and there is room for the answer.
    if unsafe { libc::stat(name.as_ptr().cast(), about.as_mut_ptr()) } == 0 {
        // SAFETY: `stat` succeeded, so that it wrote its answer.
        let mode = unsafe { about.assume_init() }.st_mode;
        if mode & libc::S_IFMT != libc::S_IFREG {
            return Err(not_a_file(path, kind_of(mode)));
        }
    }
    // Where `stat` fails, so does this, and tells why; a size that `stat` cannot tell in 32 bits is none of its reasons.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const LARGE: libc::c_int = libc::O_LARGEFILE;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const LARGE: libc::c_int = 0;
    let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY | LARGE;
    loop {
        // SAFETY: the name ends with a NUL.
        let file = unsafe { libc::open(name.as_ptr().cast(), flags) };
        if file >= 0 {
            // SAFETY: it was just opened and is nobody else's.
            return Ok(unsafe { File::from_raw_fd(file) });
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(io_error(path, "open", &error));
        }
    }
}

#[cfg(unix)]
fn set_blocking(file: &File) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    // SAFETY: the file is open, and its flags are nobody else's.
    unsafe {
        let flags = libc::fcntl(file.as_raw_fd(), libc::F_GETFL);
        if flags < 0 || libc::fcntl(file.as_raw_fd(), libc::F_SETFL, flags & !libc::O_NONBLOCK) < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

#[cfg(not(unix))]
fn open_without_waiting(path: &Path) -> Result<File> {
    File::open(path).map_err(|e| io_error(path, "open", &e))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::io::TempDir;
    use std::io::Read;
    use std::os::fd::AsRawFd;

    /// That every reader comes by here is among `tests/files.rs`.
    #[test]
    fn regular_files_open_as_they_always_did() {
        let dir = TempDir::new();
        let (file, link) = (dir.join("file"), dir.join("link"));
        std::fs::write(&file, "text").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        for path in [&file, &link] {
            let (mut opened, length) = open(path).unwrap();
            assert_eq!(length, 4);
            // SAFETY: the file is open.
            let (status, own) = unsafe {
                (libc::fcntl(opened.as_raw_fd(), libc::F_GETFL), libc::fcntl(opened.as_raw_fd(), libc::F_GETFD))
            };
            assert_eq!((status & libc::O_NONBLOCK, own & libc::FD_CLOEXEC), (0, libc::FD_CLOEXEC));
            let mut text = String::new();
            opened.read_to_string(&mut text).unwrap();
            assert_eq!(text, "text");
        }
    }

    #[test]
    fn paths_that_name_nothing() {
        let dir = TempDir::new();
        let long = dir.join(&"n".repeat(300));
        for (path, kind, part) in [
            (dir.join("absent").as_path(), ErrorKind::Io, "absent: cannot open: No such file"),
            (&long, ErrorKind::Io, "File name too long"),
            (Path::new(""), ErrorKind::Io, "No such file"),
            (Path::new("a\0b"), ErrorKind::InvalidArgument, "a\\u{0}b: a path cannot have a NUL"),
        ] {
            let e = open(path).unwrap_err();
            assert_eq!(e.kind(), kind, "{e}");
            assert!(e.message().contains(part), "{e}");
        }
    }
}
