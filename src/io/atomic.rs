//! Writing a file so that a reader, or a crash, sees the old content or the new, never a part.

use super::buffered::Writer;
use super::io_error;
use crate::buffer::{reserve_text, try_format};
use crate::error::{Error, Result, ensure, err};
use crate::shown::lossy;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The unfinished file, locked while its save lives; removed unless it was renamed.
struct Temporary {
    path: PathBuf,
    file: File,
    renamed: bool,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // The lock ends after this, so that nobody else has removed it and taken its name.
        if !self.renamed {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Calls `write` with a buffered writer on a new file beside `path`, flushes that to the disk, renames it to `path` and
/// flushes the directory. On any failure before the renaming `path` is as it was and nothing new is left behind; the file
/// that a killed save left is removed by the next one. An existing file's permissions are kept, and nobody else can read
/// the new one before it has them. A symbolic link keeps pointing to the file that gets the new content, also if that does
/// not exist yet.
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
    let target = resolve(path)?;
    let Some(name) = target.file_name() else {
        return Err(err!(InvalidArgument, "'{}' names no file", super::Shown(path)));
    };
    let directory = match target.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };

    let mut temporary = create(directory, name, old.is_some(), path)?;
    let mut buffered = Writer::new(&temporary.file, 1 << 16)?;
    write(&mut buffered).map_err(|e| fail("write", &e))?;
    buffered.finish().map_err(|e| fail("write", &e))?;
    if let Some(old) = old {
        keep_permissions(&temporary.file, &old).map_err(|e| fail("keep the permissions", &e))?;
    }
    temporary.file.sync_all().map_err(|e| fail("flush to the disk", &e))?;
    fs::rename(&temporary.path, &target).map_err(|e| fail("rename the new file", &e))?;
    temporary.renamed = true;
    #[cfg(unix)]
    flush_directory(directory).map_err(|e| fail("flush its directory to the disk, but the new file is there", &e))?;
    Ok(())
}

/// Makes the renaming last. Systems that cannot do so, or let nobody read the directory, are taken as they are.
#[cfg(unix)]
fn flush_directory(directory: &Path) -> io::Result<()> {
    use io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    match File::open(directory).and_then(|directory| directory.sync_all()) {
        Err(e) if !matches!(e.kind(), InvalidInput | PermissionDenied | Unsupported) => Err(e),
        _ => Ok(()),
    }
}

/// Gives the new file the old one's permissions and, as far as the process may, its owner and group. A group's rights are
/// not given to another group.
#[cfg(unix)]
fn keep_permissions(file: &File, old: &Metadata) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let (new, mut mode) = (file.metadata()?, old.mode());
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
        // SAFETY: the file is open.
        let give = |uid| unsafe { libc::fchown(file.as_raw_fd(), uid, old.gid()) == 0 };
        if !give(old.uid()) && !give(libc::uid_t::MAX) && new.gid() != old.gid() {
            mode &= !0o070;
        }
    }
    file.set_permissions(fs::Permissions::from_mode(mode & 0o7777))
}

#[cfg(not(unix))]
fn keep_permissions(file: &File, old: &Metadata) -> io::Result<()> {
    file.set_permissions(old.permissions())
}

/// The path that a chain of symbolic links leads to, which need not exist. Links of directories are the system's matter.
fn resolve(path: &Path) -> Result<PathBuf> {
    let mut target = joined(&[path])?;
    // As many links as Linux follows; a circle has been refused before.
    for _ in 0..40 {
        match fs::symlink_metadata(&target) {
            Ok(about) if about.is_symlink() => {
                let link = read_link(&target).map_err(|e| e.context(format_args!("{}", super::Shown(path))))?;
                target = joined(&[target.parent().unwrap_or(Path::new("")), &link])?;
            }
            _ => return Ok(target),
        }
    }
    Err(err!(Io, "{}: cannot write: too many symbolic links", super::Shown(path)))
}

#[cfg(unix)]
fn read_link(path: &Path) -> Result<PathBuf> {
    // The standard library's own ends the process where memory is short.
    use std::os::unix::ffi::OsStrExt;
    let name = super::open::c_path(path)?;
    let mut room = crate::buffer::try_vec(libc::PATH_MAX as usize, 0u8)?;
    // SAFETY: the path ends with a NUL, and the buffer is as large as is said.
    let length = unsafe { libc::readlink(name.as_ptr().cast(), room.as_mut_ptr().cast(), room.len()) };
    if length < 0 {
        return Err(io_error(path, "follow the link", &io::Error::last_os_error()));
    }
    joined(&[Path::new(OsStr::from_bytes(&room[..length as usize]))])
}

#[cfg(not(unix))]
fn read_link(path: &Path) -> Result<PathBuf> {
    fs::read_link(path).map_err(|e| io_error(path, "follow the link", &e))
}

/// The parts one below the other.
fn joined(parts: &[&Path]) -> Result<PathBuf> {
    let mut path = PathBuf::new();
    let bytes = parts.iter().map(|part| part.as_os_str().len() + 1).sum();
    path.try_reserve_exact(bytes).map_err(|_| err!(OutOfMemory, "could not allocate a path of {bytes} bytes"))?;
    parts.iter().for_each(|part| path.push(part));
    Ok(path)
}

/// Names that are looked at for what killed saves left.
const PROBED: usize = 8;
/// Saves to one file at the same time.
const MOST: usize = 1000;

/// A new file in `directory` under a name that no other save uses, made of `name`; `path` is for error texts. Names are
/// numbered: one whose file nobody has locked is of a save that was killed, and is free again.
fn create(directory: &Path, name: &OsStr, private: bool, path: &Path) -> Result<Temporary> {
    // A cut name keeps the temporary one within the file system's limit.
    const SHOWN: usize = 40;
    let mut shown = String::new();
    reserve_text(&mut shown, SHOWN * char::MAX.len_utf8())?;
    shown.extend(lossy(name.as_encoded_bytes()).take(SHOWN));
    let numbered = |number: usize| {
        let unique = try_format(format_args!(".{shown}.simdrnn-{number}.tmp"))?;
        joined(&[directory, Path::new(&unique)])
    };
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    // What replaces a private file is private while it grows; what is new is as the process's mask has it.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, if private { 0o600 } else { 0o666 });
    #[cfg(not(unix))]
    let _ = private;
    for number in 0..MOST {
        let unique = numbered(number)?;
        // Again where a file that was in the way, or the new one before it was locked, has been removed.
        for _ in 0..4 {
            match options.open(&unique) {
                Ok(file) if is_mine(&file) => {
                    let temporary = Temporary { path: unique, file, renamed: false };
                    for other in number + 1..PROBED {
                        remove_abandoned(&numbered(other)?);
                    }
                    return Ok(temporary);
                }
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                    if !remove_abandoned(&unique) {
                        break;
                    }
                }
                Err(e) => return Err(io_error(path, "create a file beside it", &e)),
            }
        }
    }
    Err(err!(Io, "{}: cannot create a file beside it: {MOST} unfinished ones are there", super::Shown(path)))
}

/// Locks a new file; false if another save took it for an abandoned one meanwhile. Where the system has no locks, nobody
/// does.
#[cfg(unix)]
fn is_mine(file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    match lock(file) {
        Err(e) => e.kind() != io::ErrorKind::WouldBlock,
        Ok(()) => file.metadata().is_ok_and(|about| about.nlink() > 0),
    }
}

#[cfg(unix)]
fn lock(file: &File) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    // SAFETY: the file is open.
    match unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Removes what a killed save of this user left under that name; false if there is no such thing. Who removes a file holds
/// its lock, as its save does, so that the name is still this file's.
#[cfg(unix)]
fn remove_abandoned(path: &Path) -> bool {
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let Ok(file) = OpenOptions::new().read(true).custom_flags(flags).open(path) else { return false };
    let (Ok(about), Ok(())) = (file.metadata(), lock(&file)) else { return false };
    // SAFETY: no arguments.
    let own = about.is_file() && about.uid() == unsafe { libc::geteuid() };
    let named = fs::symlink_metadata(path).is_ok_and(|now| (now.dev(), now.ino()) == (about.dev(), about.ino()));
    own && named && fs::remove_file(path).is_ok()
}

#[cfg(not(unix))]
fn is_mine(_: &File) -> bool {
    true
}

#[cfg(not(unix))]
fn remove_abandoned(_: &Path) -> bool {
    false
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

    #[cfg(unix)]
    #[test]
    fn a_link_to_nothing_leads_to_the_new_file() {
        let dir = TempDir::new();
        fs::create_dir(dir.join("below")).unwrap();
        let (link, between) = (dir.join("link"), dir.join("below").join("between"));
        std::os::unix::fs::symlink("below/between", &link).unwrap();
        std::os::unix::fs::symlink("../file", &between).unwrap();
        for content in [b"new", b"two"] {
            write_atomic(&link, |w| w.write_all(content)).unwrap();
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
            assert!(fs::symlink_metadata(&between).unwrap().is_symlink());
            assert_eq!(fs::read(dir.join("file")).unwrap(), content);
            assert_eq!(dir.names(), ["below", "file", "link"]);
        }
        std::os::unix::fs::symlink("circle", dir.join("circle")).unwrap();
        assert_eq!(write_atomic(&dir.join("circle"), |_| Ok(())).unwrap_err().kind(), ErrorKind::Io);
    }

    #[cfg(unix)]
    #[test]
    fn nobody_reads_what_replaces_a_private_file() {
        use std::os::unix::fs::PermissionsExt;
        let dir = TempDir::new();
        let (file, temporary) = (dir.join("file"), dir.join(".file.simdrnn-0.tmp"));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        for own in [0o600, 0o400, 0o640, 0o644] {
            let _ = fs::remove_file(&file);
            fs::write(&file, "old").unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(own)).unwrap();
            write_atomic(&file, |w| {
                assert_eq!(mode(&temporary), 0o600);
                w.write_all(b"new")
            })
            .unwrap();
            assert_eq!(mode(&file), own);
        }
    }

    #[cfg(unix)]
    #[test]
    fn what_killed_saves_left_is_removed_and_what_lives_is_not() {
        let dir = TempDir::new();
        let left = |number: usize| dir.join(&format!(".file.simdrnn-{number}.tmp"));
        let path = dir.join("file");
        for number in [0, 2, 5] {
            fs::write(left(number), "a part").unwrap();
        }
        fs::write(dir.join(".other.simdrnn-0.tmp"), "another's").unwrap();
        write_atomic(&path, |outer| {
            assert_eq!(dir.names(), [".file.simdrnn-0.tmp", ".other.simdrnn-0.tmp"]);
            outer.write_all(b"outer")?;
            // A save within the save: as another thread's or process's.
            write_atomic(&path, |inner| {
                assert_eq!(dir.names(), [".file.simdrnn-0.tmp", ".file.simdrnn-1.tmp", ".other.simdrnn-0.tmp"]);
                inner.write_all(b"inner")
            })
            .unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"inner");
            assert!(left(0).exists(), "a living save's file was removed");
            Ok(())
        })
        .unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"outer");
        assert_eq!(dir.names(), [".other.simdrnn-0.tmp", "file"]);
        // What is no file of ours stays and is passed by.
        fs::create_dir(left(0)).unwrap();
        std::os::unix::fs::symlink("file", left(1)).unwrap();
        write_atomic(&path, |w| w.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert!(left(0).is_dir() && fs::symlink_metadata(left(1)).unwrap().is_symlink() && !left(2).exists());
    }

    /// Many savers of one file at once: each succeeds, the file is always one of theirs, nothing is left.
    #[test]
    fn savers_do_not_meet() {
        let dir = TempDir::new();
        let path = dir.join("file");
        std::thread::scope(|scope| {
            for saver in 0..6u8 {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..50 {
                        write_atomic(path, |w| w.write_all(&[saver; 100])).unwrap();
                        let found = fs::read(path).unwrap();
                        assert!(found.len() == 100 && found.iter().all(|&b| b == found[0]), "a part of a file");
                    }
                });
            }
        });
        assert_eq!(dir.names(), ["file"]);
    }
}
