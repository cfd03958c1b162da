//! Writing word vectors.

use super::own;
use crate::error::{Result, ensure};
use crate::io::atomic::write_atomic;
use crate::io::safetensors::TensorWriter;
use crate::nn::vectors::WordVectors;
use crate::shown::Excerpt;
use std::path::Path;

impl WordVectors {
    /// Writes Word2Vec's text form: two counts, then a word and its numbers a line, with as many digits as bring back the
    /// same bits. n-grams of a fastText model are not written.
    ///
    /// # Errors
    /// `Io`; `InvalidData` for values that are not finite and for a word with a space or control character, which that form cannot hold. A failed save leaves
    /// an existing file as it was.
    pub fn save_word2vec_text(&self, path: impl AsRef<Path>) -> Result<()> {
        self.check_words()?;
        write_atomic(path.as_ref(), |file| {
            writeln!(file, "{} {}", self.len(), self.dim())?;
            self.iter().try_for_each(|(word, values)| {
                file.write_all(word)?;
                values.iter().try_for_each(|v| write!(file, " {v:?}"))?;
                file.write_all(b"\n")
            })
        })
    }

    /// Writes Word2Vec's binary form, as gensim does: no line feed after a vector.
    ///
    /// # Errors
    /// As [`WordVectors::save_word2vec_text`].
    pub fn save_word2vec_binary(&self, path: impl AsRef<Path>) -> Result<()> {
        self.check_words()?;
        write_atomic(path.as_ref(), |file| {
            writeln!(file, "{} {}", self.len(), self.dim())?;
            self.iter().try_for_each(|(word, values)| {
                file.write_all(word)?;
                file.write_all(b" ")?;
                values.iter().try_for_each(|v| file.write_all(&v.to_le_bytes()))
            })
        })
    }

    /// Writes simdrnn's own form, a safetensors file that holds any word.
    ///
    /// # Errors
    /// Those of [`TensorWriter::save`]. A failed save leaves an existing file as it was.
    pub fn save_safetensors(&self, path: impl AsRef<Path>) -> Result<()> {
        let words = own::to_text(self.iter().map(|(word, _)| word))?;
        let mut writer = TensorWriter::new();
        writer.metadata("format", own::FORMAT)?;
        writer.metadata("words", &words)?;
        writer.tensor("vectors", &[self.len(), self.dim()], self.values())?;
        writer.save(path)
    }

    /// Values need no look: reading refuses those that are not finite.
    fn check_words(&self) -> Result<()> {
        for (i, (word, _)) in self.iter().enumerate() {
            ensure!(
                !word.is_empty() && !word.iter().any(|&b| b <= b' ' || b == 0x7F),
                InvalidData,
                "word {i}, '{}', is empty or has a space or control character, which Word2Vec's forms cannot hold",
                Excerpt(word, 80)
            );
        }
        Ok(())
    }
}
