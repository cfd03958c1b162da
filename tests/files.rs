//! What stands at a path: readers take regular files and nothing else, say what they found instead, and never wait.
#![cfg(all(feature = "text", feature = "vectors"))]
#![cfg(unix)]

use simdrnn::io::safetensors::TensorFile;
use simdrnn::io::vectors::ReadOptions;
use simdrnn::nn::vectors::WordVectors;
use simdrnn::nn::{Optimizer, OptimizerConfig};
use simdrnn::rnn::{Cell, Rnn, RnnConfig};
use simdrnn::text::{Dataset, DatasetOptions, TextClassifier, Tokenizer, Vocab, VocabOptions};
use simdrnn::{Error, ErrorKind};
use std::ffi::CString;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

/// A directory that is removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("simdrnn-files-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A reader of a path.
type Reader = (&'static str, fn(&Path) -> Result<(), Error>);

/// All that take one.
fn readers() -> Vec<Reader> {
    fn rnn() -> Rnn {
        Rnn::new(&RnnConfig::new(Cell::Gru, 1, 1)).unwrap()
    }
    vec![
        ("tensors", |path| TensorFile::open(path).map(drop)),
        ("layers", |path| rnn().load_safetensors(path, "")),
        ("optimizer", |path| {
            Optimizer::new(&OptimizerConfig::Adam(Default::default())).unwrap().load_safetensors(path)
        }),
        ("classifier", |path| TextClassifier::load(path).map(drop)),
        ("vectors", |path| WordVectors::open(path, &ReadOptions::default()).map(drop)),
        ("some vectors", |path| WordVectors::open_for(path, &["a"], &ReadOptions::default()).map(drop)),
        ("training data", |path| Dataset::train(path, &DatasetOptions::default(), &VocabOptions::default()).map(drop)),
        ("data", |path| {
            let (vocab, labels) = (Vocab::from_words([], &Tokenizer::default()).unwrap(), ["x".to_owned()]);
            Dataset::open(path, &DatasetOptions::default(), &vocab, &labels).map(drop)
        }),
    ]
}

/// What the reader says, without waiting for ever where it does.
fn outcome(read: fn(&Path) -> Result<(), Error>, path: &Path) -> Result<(), Error> {
    let (done, wait) = mpsc::channel();
    let path = path.to_owned();
    std::thread::spawn(move || done.send(read(&path)));
    wait.recv_timeout(Duration::from_secs(60)).expect("the reader waits")
}

#[test]
fn what_is_no_regular_file_is_named_and_not_waited_for() {
    let dir = Scratch::new("kinds");
    let (fifo, socket, link) = (dir.0.join("fifo"), dir.0.join("socket"), dir.0.join("link"));
    let name = CString::new(fifo.to_str().unwrap()).unwrap();
    // SAFETY: the name ends with a NUL.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    let _listener = UnixListener::bind(&socket).unwrap();
    std::os::unix::fs::symlink(&fifo, &link).unwrap();
    for (reader, read) in readers() {
        for (path, what) in [
            (&fifo, "a FIFO (named pipe)"),
            (&link, "a FIFO (named pipe)"),
            (&socket, "a socket"),
            (&dir.0, "a directory"),
            (&PathBuf::from("/dev/zero"), "a character device"),
            (&PathBuf::from("/dev/null"), "a character device"),
        ] {
            for _ in 0..2 {
                let e = outcome(read, path).unwrap_err();
                assert_eq!(e.kind(), ErrorKind::Io, "{reader}: {e}");
                let text = format!("{}: cannot read: it is {what}, expected a regular file", path.display());
                assert_eq!(e.message(), text, "{reader}");
            }
        }
        let e = outcome(read, &dir.0.join("absent")).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Io, "{reader}: {e}");
    }
    // They are as they were.
    assert!(std::fs::metadata(&fifo).unwrap().file_type() != std::fs::metadata(&socket).unwrap().file_type());
}
