//! What is looked at before hours of training: where results go, and that they replace nothing that is needed.

use crate::options::{Options, wrong};
use simdrnn::Error;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Refuses places that cannot be written, and those of files that are read.
pub(crate) fn check(options: &Options, checkpoint: &Path) -> Result<(), Error> {
    let outputs = [("--save", options.save.as_path()), ("--checkpoint", checkpoint)];
    let inputs = [("--train", &options.train), ("--test", &options.test), ("--embeddings", &options.embeddings)];
    for (output, path) in outputs {
        for (input, read) in inputs.iter().filter_map(|(name, path)| path.as_ref().map(|path| (name, path))) {
            if is_same(path, read) {
                return Err(wrong(&format!("{output} would overwrite {input}: {} is the same file", path.display())));
            }
        }
        try_to_write(path).map_err(|e| wrong(&format!("{output} {}: cannot write: {e}", path.display())))?;
    }
    if is_same(outputs[0].1, outputs[1].1) {
        return Err(wrong(&format!("--save and --checkpoint are the same file, {}", checkpoint.display())));
    }
    Ok(())
}

/// Whether both are one file, by whatever links and names.
fn is_same(a: &Path, b: &Path) -> bool {
    #[cfg(unix)]
    if let (Ok(a), Ok(b)) = (fs::metadata(a), fs::metadata(b)) {
        use std::os::unix::fs::MetadataExt;
        return (a.dev(), a.ino()) == (b.dev(), b.ino());
    }
    place(a).is_some_and(|a| Some(a) == place(b))
}

/// The path without links, also of a file that does not exist yet.
fn place(path: &Path) -> Option<PathBuf> {
    fs::canonicalize(path).ok().or_else(|| Some(fs::canonicalize(directory(path)).ok()?.join(path.file_name()?)))
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Saving makes a file beside the old one and gives it the old one's name: so does this, but for the name.
fn try_to_write(path: &Path) -> Result<(), String> {
    let target = match fs::metadata(path) {
        Ok(about) if !about.is_file() => return Err("it is no regular file".into()),
        Ok(_) => fs::canonicalize(path).map_err(|e| e.to_string())?,
        Err(e) if e.kind() == ErrorKind::NotFound => path.to_owned(),
        Err(e) => return Err(e.to_string()),
    };
    if target.file_name().is_none() {
        return Err("it names no file".into());
    }
    let probe = directory(&target).join(format!(".text_classifier-{}.probe", std::process::id()));
    fs::File::create_new(&probe).map_err(|e| format!("{}: {e}", directory(&target).display()))?;
    fs::remove_file(&probe).map_err(|e| e.to_string())
}
