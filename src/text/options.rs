//! How files of labelled texts are read.

use crate::error::{Result, ensure};

/// How a label field is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelMode {
    /// One label, whatever it contains.
    Single = 0,
    /// One or more different labels, separated by commas.
    Multi = 1,
}

/// A column of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Column {
    /// By its place, from 0.
    Index(usize),
    /// By its name in the header; spaces around it do not count.
    Name(String),
}

/// How a file of labelled texts is read. The default is a `label<TAB>text` a line, with one label and no header.
///
/// The file is UTF-8; LF or CR LF ends a line and may be missing after the last; a byte order mark and lines with nothing
/// but spaces are skipped; spaces around a label do not count. Every line has as many columns as the first one, except that
/// without `quotes` a text in the last column may have delimiters in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatasetOptions {
    /// How the label column is read.
    pub mode: LabelMode,
    /// The byte between two columns, in ASCII: a tab, a comma, a semicolon.
    pub delimiter: u8,
    /// Whether columns may stand in double quotes (RFC 4180), and then have delimiters, line ends and doubled quotes in
    /// them; otherwise a quote is a character as any other.
    pub quotes: bool,
    /// Whether the first line has the columns' names.
    pub header: bool,
    /// Where the label is.
    pub label: Column,
    /// Where the text is.
    pub text: Column,
    /// Whether lines that cannot be used are left out and counted instead of being an error: another number of columns, an
    /// empty label, one that comes twice, one that is not among those of training, no token in the text, a NUL, or bytes
    /// that are not UTF-8.
    pub skip_bad_lines: bool,
    /// Tokens of a text that are kept, from its start on, those that are cut being counted; `None` for all.
    pub max_tokens: Option<usize>,
}

impl Default for DatasetOptions {
    fn default() -> Self {
        Self {
            mode: LabelMode::Single,
            delimiter: b'\t',
            quotes: false,
            header: false,
            label: Column::Index(0),
            text: Column::Index(1),
            skip_bad_lines: false,
            max_tokens: None,
        }
    }
}

impl DatasetOptions {
    /// Columns separated by commas, in quotes where needed, below a header that names `label` and `text`.
    pub fn csv() -> Self {
        let name = |name: &str| Column::Name(name.to_owned());
        Self {
            delimiter: b',',
            quotes: true,
            header: true,
            label: name("label"),
            text: name("text"),
            ..Self::default()
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        let d = self.delimiter;
        let usable = d.is_ascii() && !matches!(d, b'\n' | b'\r' | 0) && !(self.quotes && d == b'"');
        ensure!(
            usable,
            InvalidArgument,
            "the delimiter is byte {d}, expected one of ASCII that is no NUL, line end or quote"
        );
        ensure!(self.max_tokens != Some(0), InvalidArgument, "max_tokens is 0, expected at least 1");
        for column in [&self.label, &self.text] {
            let unnamed = self.header || matches!(column, Column::Index(_));
            ensure!(unnamed, InvalidArgument, "a column is given by name, expected its number: there is no header");
        }
        if let (Column::Index(label), Column::Index(text)) = (&self.label, &self.text) {
            ensure!(
                label != text && *label < MOST && *text < MOST,
                InvalidArgument,
                "the label is in column {label} and the text in column {text} from 0, expected two below {MOST}"
            );
        }
        Ok(())
    }
}

/// Columns that a file may have.
const MOST: usize = 1 << 20;
