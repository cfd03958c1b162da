//! Looks into files of word vectors.
//!
//! ```text
//! cargo run --release --example embeddings -- glove.6B.100d.txt info
//! cargo run --release --example embeddings -- cc.ru.300.bin nearest кошка собака
//! cargo run --release --example embeddings -- GoogleNews-vectors-negative300.bin.gz analogy king -man woman
//! cargo run --release --example embeddings -- navec_hudlit_v1_12B_500K_300d_100q.tar similarity кот кошка
//! cargo run --release --example embeddings -- glove.6B.100d.txt save glove.safetensors
//! ```

use clap::{Parser, Subcommand, ValueEnum};
use simdrnn::io::vectors::ReadOptions;
use simdrnn::nn::vectors::{Neighbour, WordVectors};
use simdrnn::{Error, Pool};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Looks into a file of word vectors: Word2Vec, GloVe, fastText, Navec, or simdrnn's own.
#[derive(Parser)]
struct Options {
    /// The file; gzip is unpacked
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
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Format, words, values
    Info,
    /// The words nearest to each of some words, by cosine
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

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), String> {
    let text = |e: Error| e.to_string();
    let start = Instant::now();
    let read = ReadOptions { limit: options.limit, ..ReadOptions::default() };
    let vectors = WordVectors::open(&options.file, &read).map_err(text)?;
    eprintln!("read in {:.2} s", start.elapsed().as_secs_f64());
    let pool = Pool::new(options.threads).map_err(text)?;
    let find = |word: &str| vectors.find(word).ok_or_else(|| format!("there is no '{word}'"));
    match &options.command {
        Command::Info => {
            println!("{}: {} words, {} values", vectors.format().name(), vectors.len(), vectors.dim());
            println!("{} repeated words left out", vectors.duplicates());
            println!("vectors of unknown words: {}", if vectors.has_subwords() { "from subwords" } else { "none" });
            println!("{:.1} MB", vectors.bytes() as f64 / 1e6);
        }
        Command::Nearest { words } => {
            let mut queries = vec![0.0; words.len() * vectors.dim()];
            for (word, query) in words.iter().zip(queries.chunks_mut(vectors.dim())) {
                if !vectors.vector_of(word, query).map_err(text)? {
                    return Err(format!("there is no vector of '{word}'"));
                }
            }
            let itself: Vec<Vec<usize>> = words.iter().map(|word| vectors.find(word).into_iter().collect()).collect();
            let without: Vec<&[usize]> = itself.iter().map(Vec::as_slice).collect();
            let found = vectors.nearest_batch(&queries, options.count, &without, Some(&pool)).map_err(text)?;
            for (word, neighbours) in words.iter().zip(&found) {
                if words.len() > 1 {
                    println!("{word}:");
                }
                show(&vectors, neighbours);
            }
        }
        Command::Analogy { words } => {
            let (mut plus, mut minus) = (Vec::new(), Vec::new());
            for word in words {
                match word.strip_prefix('-') {
                    Some(word) => minus.push(find(word)?),
                    None => plus.push(find(word)?),
                }
            }
            show(&vectors, &vectors.analogy(&plus, &minus, options.count, Some(&pool)).map_err(text)?);
        }
        Command::Similarity { a, b } => println!("{:.6}", vectors.similarity(find(a)?, find(b)?).map_err(text)?),
        Command::Save { path, form } => match form {
            Form::Safetensors => vectors.save_safetensors(path),
            Form::Word2vecText => vectors.save_word2vec_text(path),
            Form::Word2vecBinary => vectors.save_word2vec_binary(path),
        }
        .map_err(text)?,
    }
    Ok(())
}

fn show(vectors: &WordVectors, neighbours: &[Neighbour]) {
    for n in neighbours {
        println!("{:.4}  {}", n.similarity, String::from_utf8_lossy(vectors.word(n.index).unwrap_or_default()));
    }
}
