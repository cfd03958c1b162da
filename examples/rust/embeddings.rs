//! Looks into files of word vectors.
//!
//! ```text
//! cargo run --release --example embeddings -- glove.6B.100d.txt info
//! cargo run --release --example embeddings -- cc.ru.300.bin nearest кошка собака --count 5
//! cargo run --release --example embeddings -- cc.ru.300.bin nearest - < words.txt
//! cargo run --release --example embeddings -- GoogleNews-vectors-negative300.bin.gz analogy king -man woman
//! cargo run --release --example embeddings -- navec_hudlit_v1_12B_500K_300d_100q.tar similarity кот кошка
//! cargo run --release --example embeddings -- glove.6B.100d.txt save glove.safetensors
//! ```

use clap::{Parser, Subcommand, ValueEnum};
use simdrnn::io::vectors::{BadRows, ReadOptions};
use simdrnn::nn::vectors::{Neighbour, WordVectors};
use simdrnn::{Error, Pool};
use std::ffi::OsString;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Looks into a file of word vectors: Word2Vec, GloVe, fastText, Navec, or simdrnn's own.
#[derive(Parser)]
struct Options {
    /// The file; gzip, xz and zip are unpacked
    file: PathBuf,
    /// Only the first N words
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Neighbours to show
    #[arg(long, value_name = "N", default_value_t = 10)]
    count: usize,
    /// Threads; 0 for all cores
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Rows that cannot be used are left out and counted
    #[arg(long)]
    skip_bad_rows: bool,
    /// The member of a zip archive
    #[arg(long, value_name = "NAME")]
    member: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Format, words, values
    Info,
    /// The words nearest to each of some words, by cosine; `-` stands for the lines of standard input
    Nearest {
        #[arg(required = true)]
        words: Vec<String>,
    },
    /// The words nearest to a sum of words; a word after `-` is taken away
    #[command(allow_hyphen_values = true)]
    Analogy {
        #[arg(required = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// The cosine between two words
    Similarity { a: String, b: String },
    /// Writes the vectors in another form
    Save {
        path: PathBuf,
        #[arg(value_enum, default_value = "safetensors")]
        form: Form,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Form {
    Safetensors,
    Word2vecText,
    Word2vecBinary,
}

/// Options that may stand after the command too, and whether a value follows. A word of an analogy may start with `-`, so
/// the parser cannot tell them there.
const ANYWHERE: [(&str, bool); 5] =
    [("--limit", true), ("--count", true), ("--threads", true), ("--member", true), ("--skip-bad-rows", false)];

/// The arguments with such options in front; what follows `--` stays.
fn options_first(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let (mut front, mut rest) = (Vec::new(), Vec::new());
    let mut args = args.into_iter();
    front.extend(args.next());
    while let Some(arg) = args.next() {
        let name = arg.to_string_lossy().into_owned();
        if name == "--" {
            rest.push(arg);
            rest.extend(args);
            break;
        }
        match ANYWHERE.iter().find(|(option, _)| name == *option || name.starts_with(&format!("{option}="))) {
            Some((option, has_value)) => {
                front.push(arg);
                if *has_value && name == *option {
                    front.extend(args.next());
                }
            }
            None => rest.push(arg),
        }
    }
    front.extend(rest);
    front
}

/// Why nothing more is done.
enum Stop {
    /// Nobody reads what is written any more.
    Closed,
    Failed(String),
}

impl From<io::Error> for Stop {
    fn from(e: io::Error) -> Self {
        if e.kind() == io::ErrorKind::BrokenPipe { Stop::Closed } else { Stop::Failed(e.to_string()) }
    }
}

impl From<Error> for Stop {
    fn from(e: Error) -> Self {
        Stop::Failed(e.to_string())
    }
}

impl From<String> for Stop {
    fn from(e: String) -> Self {
        Stop::Failed(e)
    }
}

fn main() -> ExitCode {
    let options = Options::parse_from(options_first(std::env::args_os()));
    let mut out = io::BufWriter::new(io::stdout().lock());
    let result = run(&options, &mut io::stdin().lock(), &mut out).and_then(|all| Ok(out.flush().map(|()| all)?));
    // What could not be written is no business of the drop.
    let _ = out.into_parts();
    match result {
        Ok(true) | Err(Stop::Closed) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(Stop::Failed(message)) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all that was asked could be answered.
fn run(options: &Options, input: &mut dyn BufRead, out: &mut dyn Write) -> Result<bool, Stop> {
    let start = Instant::now();
    let bad_rows = if options.skip_bad_rows { BadRows::Skip } else { BadRows::Refuse };
    let read = ReadOptions { limit: options.limit, bad_rows, member: options.member.clone(), ..ReadOptions::default() };
    let vectors = WordVectors::open(&options.file, &read)?;
    eprintln!("read in {:.2} s", start.elapsed().as_secs_f64());
    if vectors.skipped_rows() > 0 {
        eprintln!("{} rows that cannot be used were left out", vectors.skipped_rows());
    }
    let pool = Pool::new(options.threads)?;
    let find = |word: &str| vectors.find(word).ok_or_else(|| format!("there is no '{word}'"));
    match &options.command {
        Command::Info => {
            writeln!(out, "{}: {} words, {} values", vectors.format().name(), vectors.len(), vectors.dim())?;
            writeln!(out, "{} repeated words left out", vectors.duplicates())?;
            writeln!(
                out,
                "vectors of unknown words: {}",
                if vectors.has_subwords() { "from subwords" } else { "none" }
            )?;
            writeln!(out, "{:.1} MB", vectors.bytes() as f64 / 1e6)?;
        }
        Command::Nearest { words } => return nearest(&vectors, words, options.count, &pool, input, out),
        Command::Analogy { words } => {
            let (mut plus, mut minus) = (Vec::new(), Vec::new());
            for word in words {
                match word.strip_prefix('-') {
                    Some(word) => minus.push(find(word)?),
                    None => plus.push(find(word)?),
                }
            }
            show(&vectors, &vectors.analogy(&plus, &minus, options.count, Some(&pool))?, out)?;
        }
        Command::Similarity { a, b } => writeln!(out, "{:.6}", vectors.similarity(find(a)?, find(b)?)?)?,
        Command::Save { path, form } => match form {
            Form::Safetensors => vectors.save_safetensors(path),
            Form::Word2vecText => vectors.save_word2vec_text(path),
            Form::Word2vecBinary => vectors.save_word2vec_binary(path),
        }?,
    }
    Ok(true)
}

/// Neighbours of words, and of the lines of `input` for `-`, one after another as they come. A word without a vector is
/// told, and the others are answered all the same; `false` where there was one.
fn nearest(
    vectors: &WordVectors,
    words: &[String],
    count: usize,
    pool: &Pool,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
) -> Result<bool, Stop> {
    let several = words.len() > 1 || words.iter().any(|word| word == "-");
    let mut all = true;
    let mut one = |word: &[u8], out: &mut dyn Write| -> Result<(), Stop> {
        let shown = String::from_utf8_lossy(word);
        let mut query = vec![0.0; vectors.dim()];
        if !vectors.vector_of(word, &mut query)? {
            eprintln!("there is no vector of '{}'", shown.escape_debug());
            all = false;
            return Ok(());
        }
        let itself: Vec<usize> = vectors.find(word).into_iter().collect();
        let found = vectors.nearest(&query, count, &itself, Some(pool))?;
        if several {
            writeln!(out, "{shown}:")?;
        }
        show(vectors, &found, out)
    };
    for word in words {
        if word != "-" {
            one(word.as_bytes(), out)?;
            continue;
        }
        let mut line = Vec::new();
        while input.read_until(b'\n', &mut line)? > 0 {
            let word = line.trim_ascii();
            if !word.is_empty() {
                one(word, out)?;
                out.flush()?;
            }
            line.clear();
        }
    }
    Ok(all)
}

fn show(vectors: &WordVectors, neighbours: &[Neighbour], out: &mut dyn Write) -> Result<(), Stop> {
    for n in neighbours {
        let word = String::from_utf8_lossy(vectors.word(n.index).unwrap_or_default());
        writeln!(out, "{:.4}  {word}", n.similarity)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(line: &str) -> Options {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/gensim.bin");
        let args = format!("embeddings {file} {line}");
        Options::try_parse_from(options_first(args.split(' ').map(OsString::from))).unwrap()
    }

    fn answers(line: &str, input: &[u8]) -> (bool, String) {
        let mut out = Vec::new();
        let all = run(&options(line), &mut &*input, &mut out).unwrap_or_else(|_| panic!("{line}"));
        (all, String::from_utf8(out).unwrap())
    }

    #[test]
    fn options_stand_anywhere() {
        for line in
            ["--count 3 nearest cat", "nearest cat --count 3", "nearest --count=3 cat", "analogy cat -dog --count 3"]
        {
            assert_eq!(answers(line, b"").1.lines().count(), 3, "{line}");
        }
        let o = options("analogy cat -dog --threads 1 --limit 5 --skip-bad-rows --member m");
        assert_eq!((o.threads, o.limit, o.skip_bad_rows, o.member.as_deref()), (1, Some(5), true, Some("m")));
        let Command::Analogy { words } = options("analogy cat -- --count").command else { panic!() };
        assert!(words.contains(&"--count".to_owned()));
    }

    #[test]
    fn a_line_that_cannot_be_answered_stops_no_other() {
        let (all, text) = answers("nearest - --count 1", b"cat\nzebra crossing\n\xff\xfe\n\ndog\n");
        assert!(!all && text.starts_with("cat:\n") && text.contains("\ndog:\n") && text.lines().count() == 4, "{text}");
        assert!(!answers("nearest zebra-crossing cat", b"").0);
        assert!(answers("nearest - --count 1", b"cat\n").0);
    }

    struct Broken;

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        for line in ["info", "nearest cat dog", "analogy cat", "similarity cat dog"] {
            assert!(matches!(run(&options(line), &mut &b""[..], &mut Broken), Err(Stop::Closed)), "{line}");
        }
    }
}
