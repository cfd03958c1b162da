//! The records of a file of labelled texts, cut into columns.

use super::lines::{Lines, MAX_LINE, checked, is_utf16};
use super::options::{Column, DatasetOptions};
use crate::buffer::{push, try_format, try_vec};
use crate::error::{Error, Result, ensure, err};
use crate::shown::{Excerpt, Reason};
use std::fmt;
use std::io::{self, BufRead};

/// Bytes of a file's content that an error's text shows.
pub(super) const SHOWN: usize = 80;

/// Records one after another, and where in them label and text stand.
pub(super) struct Records<R> {
    source: Source<R>,
    delimiter: u8,
    /// Of the first record, which all others must have.
    columns: usize,
    label: usize,
    text: usize,
    /// Lines without anything.
    pub(super) blank: u64,
    /// Whether the record that was read last is yet to be given out.
    waiting: bool,
}

/// A record may be a line, or lines where quotes hold them together.
#[allow(clippy::large_enum_variant)] // there is one of them at a time
enum Source<R> {
    Lines(Lines<R>),
    Quoted(Quoted<R>),
}

impl<R: BufRead> Records<R> {
    /// Reads the first record: the header, or what tells the number of columns.
    pub(super) fn new(reader: R, name: &str, options: &DatasetOptions) -> Result<Self> {
        options.check()?;
        let source = match options.quotes {
            false => Source::Lines(Lines::new(reader, name)?),
            true => Source::Quoted(Quoted::new(reader, name, options.delimiter)?),
        };
        let mut records =
            Self { source, delimiter: options.delimiter, columns: 0, label: 0, text: 0, blank: 0, waiting: false };
        if records.read()? {
            records.lay_out(options).map_err(|e| records.locate(&e))?;
            records.waiting = !options.header;
        }
        Ok(records)
    }

    /// Finds the columns in the first record.
    fn lay_out(&mut self, options: &DatasetOptions) -> Result<()> {
        self.columns = self.count();
        let place = |what: &str, column: &Column| match column {
            Column::Index(index) => Ok(*index),
            Column::Name(name) => {
                let mut found = None;
                for i in 0..self.columns {
                    if self.field(i)?.trim() == name.trim() {
                        ensure!(found.is_none(), InvalidData, "two columns have the name '{}'", Excerpt(name, SHOWN));
                        found = Some(i);
                    }
                }
                let name = Excerpt(name, SHOWN);
                found.ok_or_else(|| {
                    err!(InvalidData, "no column '{name}' for the {what}, expected one of '{}'", self.shown())
                })
            }
        };
        let (label, text) = (place("label", &options.label)?, place("text", &options.text)?);
        ensure!(label != text, InvalidArgument, "label and text are both column {}, expected two columns", label + 1);
        (self.label, self.text) = (label, text);
        let needed = 1 + label.max(text);
        let enough = self.columns >= needed || !options.header;
        ensure!(enough, InvalidData, "{}", self.miscounted(self.columns, needed, " or more"));
        // A first line that has too few is as bad as any other.
        self.columns = self.columns.max(needed);
        Ok(())
    }

    /// Reads the next record that is not blank; `false` at the end of the file.
    pub(super) fn advance(&mut self) -> Result<bool> {
        match std::mem::take(&mut self.waiting) {
            true => Ok(true),
            false => self.read(),
        }
    }

    fn read(&mut self) -> Result<bool> {
        loop {
            let (more, blank) = match &mut self.source {
                Source::Lines(lines) => (lines.advance()?, lines.is_blank()),
                Source::Quoted(quoted) => (quoted.advance()?, quoted.is_blank()),
            };
            if !more || !blank {
                return Ok(more);
            }
            self.blank += 1;
        }
    }

    /// Label and text of the record.
    pub(super) fn parts(&self) -> Result<(&str, &str)> {
        let found = self.count();
        // A text at the end of a line may have what parts columns in it.
        let open = matches!(self.source, Source::Lines(_)) && self.text + 1 == self.columns;
        let right = found == self.columns || open && found > self.columns;
        ensure!(right, InvalidData, "{}", self.miscounted(found, self.columns, ""));
        Ok((self.field(self.label)?, self.field(self.text)?))
    }

    fn miscounted(&self, found: usize, expected: usize, how: &str) -> Error {
        let (s, delimiter, shown) = (if found == 1 { "" } else { "s" }, Delimiter(self.delimiter), self.shown());
        err!(InvalidData, "{found} column{s}, expected {expected}{how} separated by {delimiter}, found '{shown}'")
    }

    fn count(&self) -> usize {
        match &self.source {
            Source::Lines(lines) => 1 + lines.bytes().iter().filter(|&&b| b == self.delimiter).count(),
            Source::Quoted(quoted) => quoted.ends.len(),
        }
    }

    fn field(&self, index: usize) -> Result<&str> {
        match &self.source {
            Source::Lines(lines) => {
                let columns = if self.text + 1 == self.columns { self.columns } else { usize::MAX };
                let field = lines.text()?.splitn(columns, char::from(self.delimiter)).nth(index);
                Ok(field.unwrap_or_default())
            }
            Source::Quoted(quoted) => {
                checked(quoted.field(index)).map_err(|e| e.context(format_args!("column {}", index + 1)))
            }
        }
    }

    /// The record for an error's text.
    fn shown(&self) -> Excerpt<'_, [u8]> {
        match &self.source {
            Source::Lines(lines) => Excerpt(lines.bytes(), SHOWN),
            Source::Quoted(quoted) => Excerpt(quoted.bytes(), SHOWN),
        }
    }

    /// The number of the record's first line.
    pub(super) fn number(&self) -> u64 {
        match &self.source {
            Source::Lines(lines) => lines.number(),
            Source::Quoted(quoted) => quoted.line,
        }
    }

    /// The error with the file's name and the record's first line before it.
    pub(super) fn locate(&self, error: &Error) -> Error {
        match &self.source {
            Source::Lines(lines) => lines.locate(error),
            Source::Quoted(quoted) => quoted.locate(error),
        }
    }

    /// The error with the file's name before it.
    pub(super) fn name(&self, error: &Error) -> Error {
        match &self.source {
            Source::Lines(lines) => lines.name(error),
            Source::Quoted(quoted) => error.context(format_args!("{}", quoted.name)),
        }
    }
}

struct Delimiter(u8);

impl fmt::Display for Delimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            b'\t' => f.write_str("tabs"),
            b => write!(f, "'{}'", Excerpt(&[b], SHOWN)),
        }
    }
}

/// Records as spreadsheets write them: a field in quotes may have delimiters, line ends and doubled quotes.
struct Quoted<R> {
    reader: R,
    /// The file's name in error texts.
    name: String,
    parser: csv_core::Reader,
    /// The file's first bytes, unless they are a byte order mark.
    head: [u8; 3],
    head_len: usize,
    stage: Stage,
    /// The fields of a record end to end, and more room.
    room: Vec<u8>,
    ends: Vec<usize>,
    /// The record's first line.
    line: u64,
}

/// What the parser is given next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Head,
    File,
    /// A line end, which ends the last record unless it stands in quotes.
    LineEnd,
    Nothing,
}

impl<R: BufRead> Quoted<R> {
    fn new(mut reader: R, name: &str, delimiter: u8) -> Result<Self> {
        let name = try_format(format_args!("{}", Excerpt(name, 160)))?;
        let (mut head, mut head_len) = ([0; 3], 0);
        while head_len < head.len() {
            let available = available(&mut reader).map_err(|e| e.context(format_args!("{name}:1")))?;
            let count = available.len().min(head.len() - head_len);
            if count == 0 {
                break;
            }
            head[head_len..head_len + count].copy_from_slice(&available[..count]);
            head_len += count;
            reader.consume(count);
        }
        ensure!(!is_utf16(&head), InvalidData, "{name}:1: a byte order mark of UTF-16, expected UTF-8");
        // The parser would take an input of nothing but the mark for the end.
        if head == *b"\xEF\xBB\xBF" {
            head_len = 0;
        }
        let parser = csv_core::ReaderBuilder::new().delimiter(delimiter).build();
        Ok(Self {
            reader,
            name,
            parser,
            head,
            head_len,
            stage: Stage::Head,
            room: try_vec(256, 0)?,
            ends: vec![],
            line: 1,
        })
    }

    fn advance(&mut self) -> Result<bool> {
        self.line = self.parser.line();
        self.ends.clear();
        self.read().map_err(|e| self.locate(&e))
    }

    fn read(&mut self) -> Result<bool> {
        use csv_core::ReadRecordResult as Found;
        let (mut used, mut ends) = (0, [0; 16]);
        let mut head_used = 0;
        loop {
            let input = match self.stage {
                Stage::Head => &self.head[head_used..self.head_len],
                Stage::File => available(&mut self.reader)?,
                Stage::LineEnd => b"\n",
                Stage::Nothing => b"",
            };
            // An empty input would end the file.
            if input.is_empty() && self.stage != Stage::Nothing {
                self.stage = if self.stage == Stage::Head { Stage::File } else { Stage::LineEnd };
                continue;
            }
            let stage = self.stage;
            let (found, read, written, ended) = self.parser.read_record(input, &mut self.room[used..], &mut ends);
            match stage {
                Stage::Head => head_used += read,
                Stage::File => self.reader.consume(read),
                Stage::LineEnd if read > 0 => self.stage = Stage::Nothing,
                Stage::LineEnd | Stage::Nothing => {}
            }
            used += written;
            for &end in &ends[..ended] {
                push(&mut self.ends, end)?;
            }
            match found {
                Found::InputEmpty | Found::OutputEndsFull => {}
                Found::OutputFull => {
                    ensure!(used < MAX_LINE, InvalidData, "the record is longer than {MAX_LINE} bytes");
                    let more = used.max(256);
                    self.room
                        .try_reserve(more)
                        .map_err(|_| err!(OutOfMemory, "no memory for a record of more than {used} bytes"))?;
                    self.room.resize(used + more, 0);
                }
                Found::Record => {
                    ensure!(stage != Stage::Nothing, InvalidData, "a quote that begins here is never closed");
                    if stage == Stage::Head {
                        self.head.copy_within(head_used.., 0);
                        self.head_len -= head_used;
                    }
                    return Ok(true);
                }
                Found::End => return Ok(false),
            }
        }
    }

    fn field(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends.get(index - 1).copied().unwrap_or(0) };
        self.ends.get(index).map_or(&[], |&end| &self.room[start..end])
    }

    fn bytes(&self) -> &[u8] {
        &self.room[..self.ends.last().copied().unwrap_or(0)]
    }

    fn is_blank(&self) -> bool {
        self.ends.len() == 1 && self.bytes().iter().all(|&b| b == b' ')
    }

    fn locate(&self, error: &Error) -> Error {
        error.context(format_args!("{}:{}", self.name, self.line))
    }
}

/// What can be read at once; nothing at the end.
pub(super) fn available<R: BufRead>(reader: &mut R) -> Result<&[u8]> {
    // Twice, since a result that is returned stays borrowed.
    loop {
        match reader.fill_buf() {
            Ok(_) => break,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(err!(Io, "cannot read: {}", Reason(&e))),
        }
    }
    reader.fill_buf().map_err(|e| err!(Io, "cannot read: {}", Reason(&e)))
}
