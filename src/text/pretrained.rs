//! A classifier that starts from pretrained word vectors.

use super::classifier::TextClassifier;
use super::dataset::Dataset;
use super::vocab::{PAD, Vocab};
use crate::buffer::{try_vec, try_with_capacity};
use crate::error::{Result, ensure};
use crate::io::vectors::ReadOptions;
use crate::nn::vectors::{Coverage, FillOptions, WordVectors};
use std::path::Path;

impl Vocab {
    /// All entries in order, as [`WordVectors::embedding`] and [`WordVectors::open_for`] take them.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub fn words(&self) -> Result<Vec<&str>> {
        let mut words = try_with_capacity(self.len())?;
        words.extend((0..self.len() as u32).map(|id| self.word(id).unwrap_or_default()));
        Ok(words)
    }
}

impl Dataset {
    /// How often each word of a vocabulary of `words` entries occurs in the texts.
    ///
    /// # Errors
    /// `InvalidArgument` if the texts have a word number beyond; `OutOfMemory`.
    pub fn word_counts(&self, words: usize) -> Result<Vec<u64>> {
        let mut counts = try_vec(words, 0)?;
        for i in 0..self.len() {
            for &id in self.tokens(i) {
                ensure!((id as usize) < words, InvalidArgument, "word {id}, expected less than {words}");
                counts[id as usize] += 1;
            }
        }
        Ok(counts)
    }
}

impl TextClassifier {
    /// Replaces the token table with the vectors of its vocabulary's words; `<pad>` stays zero, `<unk>` is a word as any
    /// other. Frozen or not, it stays so: [`embedding_mut`](Self::embedding_mut) and
    /// [`set_frozen`](crate::nn::Embedding::set_frozen) decide, for the first epochs or for ever. `counts` are the words'
    /// occurrences, for the report.
    ///
    /// # Errors
    /// `ShapeMismatch` if the vectors have not `embedding_dim` values, or those of [`WordVectors::embedding`]. The model is
    /// then as it was.
    pub fn set_embeddings(
        &mut self,
        vectors: &WordVectors,
        counts: Option<&[u64]>,
        options: &FillOptions,
    ) -> Result<Coverage> {
        let expected = self.config().embedding_dim;
        ensure!(
            vectors.dim() == expected,
            ShapeMismatch,
            "vectors have {} values, expected {expected} as the classifier's embedding_dim",
            vectors.dim()
        );
        let options = FillOptions { padding: Some(PAD as usize), ..*options };
        let (mut embedding, coverage) = vectors.embedding(&self.vocab().words()?, counts, &options)?;
        embedding.set_frozen(self.embedding.is_frozen());
        self.embedding = embedding;
        Ok(coverage)
    }

    /// [`set_embeddings`](Self::set_embeddings) from a file, of which only what the vocabulary needs is kept.
    ///
    /// # Errors
    /// As there, and those of [`WordVectors::open`]; `ShapeMismatch` if `read.dim` is other than the model's
    /// `embedding_dim`.
    pub fn load_embeddings(
        &mut self,
        path: impl AsRef<Path>,
        read: &ReadOptions,
        counts: Option<&[u64]>,
        fill: &FillOptions,
    ) -> Result<Coverage> {
        let expected = self.config().embedding_dim;
        if let Some(dim) = read.dim {
            ensure!(
                dim == expected,
                ShapeMismatch,
                "the options' dim is {dim}, expected {expected} as the classifier's embedding_dim"
            );
        }
        let read = ReadOptions { dim: Some(expected), fold_case: fill.fold_case, ..read.clone() };
        let vectors = WordVectors::open_for(path, &self.vocab().words()?, &read)?;
        self.set_embeddings(&vectors, counts, fill)
    }
}
