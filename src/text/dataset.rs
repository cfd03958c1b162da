//! Labelled texts: what files of them become.

use super::options::{DatasetOptions, LabelMode};
use super::push;
use super::records::{Records, SHOWN};
use super::tokenizer::Tokenizer;
use super::vocab::{Vocab, VocabId, VocabOptions, WordCounts, check_size};
use crate::buffer::{try_format, try_string, try_strings, try_vec, try_with_capacity};
use crate::error::{Error, ErrorKind, Result, ensure, err};
use crate::io::buffered::Reader;
use crate::shown::{Excerpt, Shown};
use crate::words::Words;
use std::fs::File;
use std::io::BufRead;
use std::ops::Range;
use std::path::Path;

/// What reading a file found, beside the examples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatasetSummary {
    /// Lines with nothing but spaces, which are no examples; with `quotes` only those that have a space.
    pub blank_lines: u64,
    /// Lines that could not be used and were left out, as `skip_bad_lines` allows.
    pub skipped_lines: u64,
    /// The number, from 1, of the first of them; 0 if there are none.
    pub first_skipped_line: u64,
    /// Texts that lost tokens to `max_tokens`.
    pub cut_texts: u64,
    /// Tokens that they lost.
    pub cut_tokens: u64,
    /// Labels that exactly one example has.
    pub labels_once: u64,
    /// Whether nine of ten labels of a training file, or more, are had by one example only, of at least ten labels:
    /// the label's and the text's columns may have been mistaken for one another.
    pub labels_nearly_unique: bool,
    /// Whether the first line's label is the only one that only one example has, in a file without a header, of at least
    /// three labels: it may be a header.
    pub header_suspected: bool,
}

/// Labelled texts as numbers, all in a few flat arrays.
#[derive(Clone, Debug)]
pub struct Dataset {
    labels: Vec<String>,
    mode: LabelMode,
    tokens: Flat,
    targets: Flat,
    summary: DatasetSummary,
    skip_reason: Option<Error>,
    /// What the tokens are numbers of.
    vocab: VocabId,
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
    /// Reads a training file and builds the vocabulary and the labels (in byte order) from it.
    ///
    /// # Errors
    /// `Io`; `OutOfMemory`; `InvalidArgument` for options that make no sense; `InvalidData`, with the line's number, for a
    /// line that [`DatasetOptions::skip_bad_lines`] does not leave out, one of more than 64 MiB, a quote that is never closed
    /// or a header without the columns' names; and for a file without examples or with fewer than two different labels.
    pub fn train(
        path: impl AsRef<Path>,
        options: &DatasetOptions,
        vocab_options: &VocabOptions,
    ) -> Result<(Self, Vocab)> {
        let (reader, name) = open(path.as_ref())?;
        Self::train_from(reader, &name, options, vocab_options)
    }

    /// [`Dataset::train`] on a reader; `name` stands for the file in error texts.
    ///
    /// # Errors
    /// As [`Dataset::train`].
    pub fn train_from(
        reader: impl BufRead,
        name: &str,
        options: &DatasetOptions,
        vocab_options: &VocabOptions,
    ) -> Result<(Self, Vocab)> {
        let VocabOptions { tokenizer, min_count, max_size } = vocab_options;
        // Not after a long file.
        check_size(*max_size)?;
        let mut examples = Examples::new(Records::new(reader, name, options)?, options);
        let (mut counts, mut labels) = (WordCounts::new(tokenizer), Words::default());
        // Numbers in the order of appearance, until all are known.
        let mut class = |label: &str| labels.intern(label).map(|(number, _)| number);
        let mut word = |token: &str| counts.add(token);
        while examples.read(tokenizer, &mut class, &mut word)? {}
        check_labels(examples.targets.ends.len(), &labels).map_err(|e| examples.records.name(&e))?;

        let vocab = Vocab::from_counts(&counts, *min_count, *max_size)?;
        let mut ids = try_with_capacity(counts.len())?;
        ids.extend(counts.words().map(|word| vocab.id(word)));
        examples.tokens.values.iter_mut().for_each(|t| *t = ids[*t as usize]);

        let mut order: Vec<(&str, usize)> = try_with_capacity(labels.len())?;
        order.extend(labels.iter().zip(0..));
        order.sort_unstable();
        let mut ranks = try_vec(order.len(), 0)?;
        let mut names = try_with_capacity(order.len())?;
        for (label, seen) in order {
            ranks[seen] = names.len() as u32;
            names.push(try_string(label)?);
        }
        let targets = &mut examples.targets;
        targets.values.iter_mut().for_each(|t| *t = ranks[*t as usize]);
        for i in 0..targets.ends.len() {
            let range = targets.range(i);
            targets.values[range].sort_unstable();
        }
        let mut data = examples.finish(names, &vocab)?;
        data.look_at_labels(!options.header)?;
        Ok((data, vocab))
    }

    /// Reads a file against the labels and the vocabulary of training, which says how texts are cut and normalized: a target
    /// is an index into `labels`.
    ///
    /// # Errors
    /// As [`Dataset::train`], but a single label is enough; `InvalidData` also for a label that is not in `labels`.
    pub fn open(path: impl AsRef<Path>, options: &DatasetOptions, vocab: &Vocab, labels: &[String]) -> Result<Self> {
        let (reader, name) = open(path.as_ref())?;
        Self::open_from(reader, &name, options, vocab, labels)
    }

    /// [`Dataset::open`] on a reader; `name` stands for the file in error texts.
    ///
    /// # Errors
    /// As [`Dataset::open`].
    pub fn open_from(
        reader: impl BufRead,
        name: &str,
        options: &DatasetOptions,
        vocab: &Vocab,
        labels: &[String],
    ) -> Result<Self> {
        let mut known = Words::default();
        for label in labels {
            let (_, new) = known.intern(label)?;
            ensure!(new, InvalidArgument, "the label '{}' is given twice", Excerpt(label, SHOWN));
        }
        let mut examples = Examples::new(Records::new(reader, name, options)?, options);
        let mut class = |label: &str| {
            known.find(label).ok_or_else(|| {
                let (label, n) = (Excerpt(label, SHOWN), labels.len());
                err!(InvalidData, "the label '{label}' is not among the {n} of the training file")
            })
        };
        while examples.read(vocab.tokenizer(), &mut class, &mut |token: &str| Ok(vocab.id(token)))? {}
        ensure_examples(examples.targets.ends.len()).map_err(|e| examples.records.name(&e))?;
        let mut data = examples.finish(try_strings(labels)?, vocab)?;
        data.summary.labels_once = data.label_counts()?.iter().filter(|&&n| n == 1).count() as u64;
        Ok(data)
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

    /// What reading the file found.
    pub fn summary(&self) -> &DatasetSummary {
        &self.summary
    }

    /// Why the first line that was left out could not be used, with its number.
    pub fn skip_reason(&self) -> Option<&Error> {
        self.skip_reason.as_ref()
    }

    /// How many examples each label has.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub fn label_counts(&self) -> Result<Vec<u64>> {
        let mut counts = try_vec(self.labels.len(), 0)?;
        self.targets.values.iter().for_each(|&t| counts[t as usize] += 1);
        Ok(counts)
    }

    /// An error unless the texts have the numbers of that vocabulary.
    ///
    /// # Errors
    /// `InvalidArgument`, saying how they differ: in how texts are normalized, or in the words.
    pub fn check_vocab(&self, vocab: &Vocab) -> Result<()> {
        self.vocab.check(vocab)
    }

    /// Notes what the labels of a training file look like.
    fn look_at_labels(&mut self, may_have_header: bool) -> Result<()> {
        let counts = self.label_counts()?;
        let (labels, once) = (counts.len(), counts.iter().filter(|&&n| n == 1).count());
        let first = self.targets(0);
        self.summary.header_suspected =
            may_have_header && labels >= 3 && once == 1 && first.iter().any(|&t| counts[t as usize] == 1);
        self.summary.labels_once = once as u64;
        self.summary.labels_nearly_unique = labels >= 10 && 10 * once >= 9 * labels;
        Ok(())
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

/// Examples that are being read.
struct Examples<R> {
    records: Records<R>,
    mode: LabelMode,
    skip: bool,
    max_tokens: usize,
    tokens: Flat,
    targets: Flat,
    summary: DatasetSummary,
    skip_reason: Option<Error>,
}

impl<R: BufRead> Examples<R> {
    fn new(records: Records<R>, options: &DatasetOptions) -> Self {
        let max_tokens = options.max_tokens.unwrap_or(usize::MAX);
        let (tokens, targets, summary) = (Flat::default(), Flat::default(), DatasetSummary::default());
        let (mode, skip) = (options.mode, options.skip_bad_lines);
        Self { records, mode, skip, max_tokens, tokens, targets, summary, skip_reason: None }
    }

    /// Reads one record, `class` and `word` giving the numbers of labels and tokens; `false` at the end of the file.
    fn read(
        &mut self,
        tokenizer: &Tokenizer,
        class: &mut impl FnMut(&str) -> Result<u32>,
        word: &mut impl FnMut(&str) -> Result<u32>,
    ) -> Result<bool> {
        if !self.records.advance()? {
            return Ok(false);
        }
        let before = (self.tokens.values.len(), self.targets.values.len());
        let Err(error) = self.example(tokenizer, class, word) else { return Ok(true) };
        let error = self.records.locate(&error);
        if !self.skip || error.kind() != ErrorKind::InvalidData {
            return Err(error);
        }
        self.tokens.values.truncate(before.0);
        self.targets.values.truncate(before.1);
        self.summary.skipped_lines += 1;
        if self.skip_reason.is_none() {
            self.summary.first_skipped_line = self.records.number();
            self.skip_reason = Some(error);
        }
        Ok(true)
    }

    /// Everything that may be wrong with a record is looked at before `class` or `word` learn anything new from it.
    fn example(
        &mut self,
        tokenizer: &Tokenizer,
        class: &mut impl FnMut(&str) -> Result<u32>,
        word: &mut impl FnMut(&str) -> Result<u32>,
    ) -> Result<()> {
        let (field, text) = self.records.parts()?;
        check_field(field, self.mode)?;
        ensure!(tokenizer.finds_any(text), InvalidData, "the text is empty, expected at least one token");
        for label in labels_of(field, self.mode) {
            push(&mut self.targets.values, class(label)?)?;
        }
        let start = self.targets.ends.last().copied().unwrap_or(0);
        self.targets.values[start..].sort_unstable();

        let (mut kept, mut cut, max) = (0, 0, self.max_tokens);
        tokenizer.for_each(text, |token| {
            if kept == max {
                cut += 1;
                return Ok(());
            }
            kept += 1;
            push(&mut self.tokens.values, word(token)?)
        })?;
        self.summary.cut_texts += u64::from(cut > 0);
        self.summary.cut_tokens += cut;
        self.targets.close()?;
        self.tokens.close()
    }

    fn finish(self, labels: Vec<String>, vocab: &Vocab) -> Result<Dataset> {
        let summary = DatasetSummary { blank_lines: self.records.blank, ..self.summary };
        Ok(Dataset {
            labels,
            mode: self.mode,
            tokens: self.tokens,
            targets: self.targets,
            summary,
            skip_reason: self.skip_reason,
            vocab: vocab.identity(),
        })
    }
}

/// The labels of a field.
fn labels_of(field: &str, mode: LabelMode) -> impl Iterator<Item = &str> {
    let most = if mode == LabelMode::Single { 1 } else { usize::MAX };
    field.splitn(most, ',').map(str::trim)
}

fn check_field(field: &str, mode: LabelMode) -> Result<()> {
    ensure!(labels_of(field, mode).all(|label| !label.is_empty()), InvalidData, "the label is empty");
    let count = labels_of(field, mode).count();
    if count > 1 {
        let mut sorted = try_with_capacity(count)?;
        sorted.extend(labels_of(field, mode));
        sorted.sort_unstable();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(err!(InvalidData, "the label '{}' comes twice", Excerpt(pair[0], SHOWN)));
        }
    }
    Ok(())
}

fn ensure_examples(examples: usize) -> Result<()> {
    ensure!(examples > 0, InvalidData, "the file has no examples, expected lines with a label and a text");
    Ok(())
}

fn check_labels(examples: usize, labels: &Words) -> Result<()> {
    ensure_examples(examples)?;
    ensure!(
        labels.len() > 1,
        InvalidData,
        "all {examples} examples have the one label '{}', expected at least two labels",
        Excerpt(labels.get(0).unwrap_or_default(), SHOWN)
    );
    Ok(())
}

#[cfg(test)]
#[path = "dataset_tests.rs"]
mod tests;
