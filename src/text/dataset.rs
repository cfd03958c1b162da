//! Labelled texts: files of `label<TAB>text` lines, and what they become.

use super::lines::Lines;
use super::push;
use super::tokenizer::Tokenizer;
use super::vocab::{Vocab, WordCounts};
use crate::buffer::{try_format, try_string, try_strings, try_vec, try_with_capacity};
use crate::error::{Result, ensure, err};
use crate::io::buffered::Reader;
use crate::io::{Excerpt, Shown};
use crate::words::Words;
use std::fs::File;
use std::io::BufRead;
use std::ops::Range;
use std::path::Path;

/// Bytes of a label that an error's text shows.
const SHOWN: usize = 80;

/// How a line's label field is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelMode {
    /// One label, whatever it contains.
    Single,
    /// One or more different labels, separated by commas.
    Multi,
}

/// Labelled texts as numbers, all in a few flat arrays.
#[derive(Clone, Debug)]
pub struct Dataset {
    labels: Vec<String>,
    mode: LabelMode,
    tokens: Flat,
    targets: Flat,
}

/// Lists of numbers, end to end.
#[derive(Clone, Debug, Default)]
struct Flat {
    values: Vec<u32>,
    ends: Vec<usize>,
}

impl Flat {
    fn range(&self, i: usize) -> Range<usize> {
        let start = if i == 0 { 0 } else { self.ends[i - 1] };
        start..self.ends[i]
    }

    fn get(&self, i: usize) -> &[u32] {
        &self.values[self.range(i)]
    }

    /// Ends the list that begins where the last one ended.
    fn close(&mut self) -> Result<()> {
        push(&mut self.ends, self.values.len())
    }
}

impl Dataset {
    /// Reads a training file and builds the vocabulary and the labels (in byte order) from it; `min_count` and `max_size`
    /// are those of [`Vocab::from_counts`].
    ///
    /// The file is UTF-8 with one `label<TAB>text` a line; LF or CR LF ends a line and may be missing after the last; a
    /// byte order mark is skipped; spaces around a label do not count.
    ///
    /// # Errors
    /// `Io`; `OutOfMemory`; `InvalidArgument` from the vocabulary's limits; `InvalidData`, with the line's number, for a
    /// line without a tab, with an empty label, a label repeated within the line, no token in the text, a NUL, more than
    /// 64 MiB, or bytes that are not UTF-8; and for a file without lines or with fewer than two different labels.
    pub fn train(
        path: impl AsRef<Path>,
        tokenizer: &Tokenizer,
        mode: LabelMode,
        min_count: u64,
        max_size: usize,
    ) -> Result<(Self, Vocab)> {
        let (reader, name) = open(path.as_ref())?;
        Self::train_from(reader, &name, tokenizer, mode, min_count, max_size)
    }

    /// [`Dataset::train`] on a reader; `name` stands for the file in error texts.
    ///
    /// # Errors
    /// As [`Dataset::train`].
    pub fn train_from(
        reader: impl BufRead,
        name: &str,
        tokenizer: &Tokenizer,
        mode: LabelMode,
        min_count: u64,
        max_size: usize,
    ) -> Result<(Self, Vocab)> {
        let mut lines = Lines::new(reader, name)?;
        let (mut counts, mut labels) = (WordCounts::new(), Words::default());
        // Numbers in the order of appearance, until all are known.
        let (mut tokens, mut targets) = (Flat::default(), Flat::default());
        while lines.advance()? {
            example(
                lines.text()?,
                mode,
                &mut targets,
                |label| labels.intern(label).map(|(number, _)| number),
                |text| tokenizer.for_each(text, |token| push(&mut tokens.values, counts.add(token)?)),
            )
            .and_then(|()| end_text(&mut tokens))
            .map_err(|e| lines.locate(&e))?;
        }
        let whole = check_labels(lines.number(), &labels);
        whole.map_err(|e| lines.name(&e))?;

        let vocab = Vocab::from_counts(&counts, min_count, max_size)?;
        let mut ids = try_with_capacity(counts.len())?;
        ids.extend(counts.words().map(|word| vocab.id(word)));
        tokens.values.iter_mut().for_each(|t| *t = ids[*t as usize]);

        let mut order: Vec<(&str, usize)> = try_with_capacity(labels.len())?;
        order.extend(labels.iter().zip(0..));
        order.sort_unstable();
        let mut ranks = try_vec(order.len(), 0)?;
        let mut names = try_with_capacity(order.len())?;
        for (label, seen) in order {
            ranks[seen] = names.len() as u32;
            names.push(try_string(label)?);
        }
        targets.values.iter_mut().for_each(|t| *t = ranks[*t as usize]);
        for i in 0..targets.ends.len() {
            let range = targets.range(i);
            targets.values[range].sort_unstable();
        }
        Ok((Self { labels: names, mode, tokens, targets }, vocab))
    }

    /// Reads a file against the labels and the vocabulary of training: a target is an index into `labels`.
    ///
    /// # Errors
    /// As [`Dataset::train`], but a single label is enough; `InvalidData` also for a label that is not in `labels`.
    pub fn open(
        path: impl AsRef<Path>,
        tokenizer: &Tokenizer,
        mode: LabelMode,
        vocab: &Vocab,
        labels: &[String],
    ) -> Result<Self> {
        let (reader, name) = open(path.as_ref())?;
        Self::open_from(reader, &name, tokenizer, mode, vocab, labels)
    }

    /// [`Dataset::open`] on a reader; `name` stands for the file in error texts.
    ///
    /// # Errors
    /// As [`Dataset::open`].
    pub fn open_from(
        reader: impl BufRead,
        name: &str,
        tokenizer: &Tokenizer,
        mode: LabelMode,
        vocab: &Vocab,
        labels: &[String],
    ) -> Result<Self> {
        let mut known = Words::default();
        for label in labels {
            let (_, new) = known.intern(label)?;
            ensure!(new, InvalidArgument, "the label '{}' is given twice", Excerpt(label, SHOWN));
        }
        let mut lines = Lines::new(reader, name)?;
        let (mut tokens, mut targets) = (Flat::default(), Flat::default());
        while lines.advance()? {
            example(
                lines.text()?,
                mode,
                &mut targets,
                |label| {
                    known.find(label).ok_or_else(|| {
                        let (label, n) = (Excerpt(label, SHOWN), labels.len());
                        err!(InvalidData, "the label '{label}' is not among the {n} of the training file")
                    })
                },
                |text| vocab.encode(text, tokenizer, &mut tokens.values),
            )
            .and_then(|()| end_text(&mut tokens))
            .map_err(|e| lines.locate(&e))?;
        }
        ensure_lines(lines.number()).map_err(|e| lines.name(&e))?;
        Ok(Self { labels: try_strings(labels)?, mode, tokens, targets })
    }

    /// Examples; never 0.
    #[allow(clippy::len_without_is_empty)] // a file without lines is an error
    pub fn len(&self) -> usize {
        self.tokens.ends.len()
    }

    /// The names of the classes: a target is an index into them.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// How the label fields were read.
    pub fn mode(&self) -> LabelMode {
        self.mode
    }

    /// The word numbers of example `i`, at least one.
    ///
    /// # Panics
    /// If `i` is not below the length.
    pub fn tokens(&self, i: usize) -> &[u32] {
        self.tokens.get(i)
    }

    /// The number of tokens of example `i`.
    ///
    /// # Panics
    /// If `i` is not below the length.
    pub fn token_count(&self, i: usize) -> usize {
        self.tokens.range(i).len()
    }

    /// The classes of example `i`, ascending: exactly one with [`LabelMode::Single`], at least one otherwise.
    ///
    /// # Panics
    /// If `i` is not below the length.
    pub fn targets(&self, i: usize) -> &[u32] {
        self.targets.get(i)
    }
}

fn open(path: &Path) -> Result<(Reader<File>, String)> {
    let (file, _) = crate::io::open::open(path)?;
    Ok((Reader::new(file, 1 << 17)?, try_format(format_args!("{}", Shown(path)))?))
}

/// Reads one line: appends its classes to `targets` and hands its text to `text`.
fn example(
    line: &str,
    mode: LabelMode,
    targets: &mut Flat,
    mut class: impl FnMut(&str) -> Result<u32>,
    text: impl FnOnce(&str) -> Result<()>,
) -> Result<()> {
    let Some((field, content)) = line.split_once('\t') else {
        return Err(err!(InvalidData, "no tab, expected label<TAB>text, found '{}'", Excerpt(line, SHOWN)));
    };
    let start = targets.values.len();
    let mut number = |label: &str| {
        let label = label.trim();
        ensure!(!label.is_empty(), InvalidData, "the label is empty, expected label<TAB>text");
        class(label)
    };
    match mode {
        LabelMode::Single => push(&mut targets.values, number(field)?)?,
        LabelMode::Multi => {
            for label in field.split(',') {
                push(&mut targets.values, number(label)?)?;
            }
            let these = &mut targets.values[start..];
            these.sort_unstable();
            if let Some(pair) = these.windows(2).find(|pair| pair[0] == pair[1]) {
                let twice =
                    field.split(',').find(|label| number(label).is_ok_and(|n| n == pair[0])).unwrap_or_default();
                return Err(err!(InvalidData, "the label '{}' comes twice", Excerpt(twice.trim(), SHOWN)));
            }
        }
    }
    targets.close()?;
    text(content)
}

/// Ends a text, which must have a token.
fn end_text(tokens: &mut Flat) -> Result<()> {
    ensure!(
        tokens.values.len() > tokens.ends.last().copied().unwrap_or(0),
        InvalidData,
        "the text is empty, expected label<TAB>text"
    );
    tokens.close()
}

fn ensure_lines(lines: u64) -> Result<()> {
    ensure!(lines > 0, InvalidData, "the file is empty, expected lines of label<TAB>text");
    Ok(())
}

fn check_labels(lines: u64, labels: &Words) -> Result<()> {
    ensure_lines(lines)?;
    ensure!(
        labels.len() > 1,
        InvalidData,
        "all {lines} lines have the one label '{}', expected at least two labels",
        Excerpt(labels.get(0).unwrap_or_default(), SHOWN)
    );
    Ok(())
}

#[cfg(test)]
#[path = "dataset_tests.rs"]
mod tests;
