//! A table of pretrained word vectors: look-up, vectors of unknown words from subwords, an [`Embedding`](super::Embedding)
//! for a vocabulary with a report of what was found, and neighbours by cosine.

mod fill;
mod format;
mod nearest;
mod subwords;

pub use fill::{Coverage, FillOptions, Match, Unknown};
pub use format::Format;
pub use nearest::Neighbour;
pub(crate) use subwords::{NGrams, Subwords};

use crate::buffer::try_shrink;
use crate::error::{Result, check_len, ensure, product};
use crate::published::Published;
use crate::words::ByteWords;

/// Words and their vectors. Words are bytes: files hold some that are not UTF-8.
///
/// ```
/// use simdrnn::io::vectors::ReadOptions;
/// use simdrnn::nn::vectors::WordVectors;
///
/// # let path = std::env::temp_dir().join(format!("simdrnn-doc-{}.txt", std::process::id()));
/// # std::fs::write(&path, "king 1 0.2\nqueen 0.9 0.4\napple -0.3 1\n").unwrap();
/// let vectors = WordVectors::open(&path, &ReadOptions::default())?; // GloVe, Word2Vec, fastText, Navec, ...
/// let king = vectors.find("king").expect("a word of the file");
/// let found = vectors.nearest(vectors.vector(king).unwrap(), 1, &[king], None)?;
/// assert_eq!(vectors.word(found[0].index), Some(&b"queen"[..]));
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), simdrnn::Error>(())
/// ```
pub struct WordVectors {
    format: Format,
    dim: usize,
    words: ByteWords,
    /// `words.len()` × `dim`.
    values: Vec<f32>,
    subwords: Option<Subwords>,
    pub(crate) duplicates: u64,
    pub(crate) skipped_rows: u64,
    /// One over each vector's norm, made when first needed.
    inverse_norms: Published<Vec<f32>>,
}

impl WordVectors {
    pub(crate) fn from_parts(
        format: Format,
        dim: usize,
        words: ByteWords,
        values: Vec<f32>,
        subwords: Option<Subwords>,
    ) -> Result<Self> {
        check_len("vectors", values.len(), product("vectors", &[words.len(), dim])?)?;
        Ok(Self {
            format,
            dim,
            words,
            values: try_shrink(values),
            subwords,
            duplicates: 0,
            skipped_rows: 0,
            inverse_norms: Published::new(),
        })
    }

    /// The format of the file that they come from.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Words.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Values of a vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// All vectors, one after another.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Words of the file that came again and were left out.
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// Rows of the file that were left out since they cannot be used; see
    /// [`BadRows::Skip`](crate::io::vectors::BadRows::Skip).
    pub fn skipped_rows(&self) -> u64 {
        self.skipped_rows
    }

    /// Whether unknown words get vectors from their subwords.
    pub fn has_subwords(&self) -> bool {
        self.subwords.is_some()
    }

    /// Word number `index`, in the file's order.
    pub fn word(&self, index: usize) -> Option<&[u8]> {
        self.words.get(index)
    }

    /// The word's number.
    pub fn find(&self, word: impl AsRef<[u8]>) -> Option<usize> {
        self.words.find(word.as_ref()).map(|i| i as usize)
    }

    /// The vector of word number `index`.
    pub fn vector(&self, index: usize) -> Option<&[f32]> {
        (index < self.len()).then(|| &self.values[index * self.dim..][..self.dim])
    }

    /// Words and vectors, in the file's order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], &[f32])> {
        self.words.iter().zip(self.values.chunks_exact(self.dim.max(1)))
    }

    /// Writes the word's vector to `out`: from the table, else from its subwords, summed in f32 as fastText does. `false`,
    /// with `out` as it was, if the word is unknown; a table that was read for a list of words knows no subwords of others.
    ///
    /// # Errors
    /// `ShapeMismatch` if `out` has not [`dim`](Self::dim) values.
    pub fn vector_of(&self, word: impl AsRef<[u8]>, out: &mut [f32]) -> Result<bool> {
        let word = word.as_ref();
        check_len("out", out.len(), self.dim)?;
        if let Some(values) = self.find(word).and_then(|i| self.vector(i)) {
            out.copy_from_slice(values);
            return Ok(true);
        }
        Ok(self.subwords.as_ref().is_some_and(|subwords| subwords.vector(word, out)))
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        let subwords = self.subwords.as_ref().map_or(0, |s| s.values.len());
        4 * (self.values.len() + subwords) + self.words.bytes()
    }

    fn check_not_empty(&self) -> Result<()> {
        ensure!(!self.is_empty(), InvalidState, "there are no words");
        Ok(())
    }
}
