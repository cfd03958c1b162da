//! The text classifier: tokens, embedding, recurrent layers, pooling, dropout, dense layer, softmax or sigmoid.

use super::options::LabelMode;
use super::tokenizer::Tokenizer;
use super::vocab::Vocab;
use crate::buffer::{AlignedBuf, try_with_capacity};
use crate::error::{Result, check_len, ensure, err, product};
use crate::kernel::activation::sigmoid;
use crate::nn::{Dense, Dropout, Embedding, softmax_on};
use crate::parallel::Pool;
use crate::rnn::{Batch, Cell, Direction, DropoutPosition, ForwardArgs, Init, Rnn, RnnConfig, Session, Tape};
use crate::shown::Excerpt;

/// How the outputs of all steps become one vector.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pooling {
    /// The final hidden states of the last layer, both directions side by side.
    Last = 0,
    /// The mean of the last layer's outputs over a text's tokens.
    Mean = 1,
    /// Their maximum.
    Max = 2,
}

impl Pooling {
    const ALL: [Pooling; 3] = [Pooling::Last, Pooling::Mean, Pooling::Max];

    /// The pooling with that number.
    pub fn from_number(number: i32) -> Result<Pooling> {
        Pooling::ALL
            .into_iter()
            .find(|&p| p as i32 == number)
            .ok_or_else(|| err!(InvalidArgument, "unknown pooling {number}, expected 0 (last), 1 (mean) or 2 (max)"))
    }

    /// `last`, `mean` or `max`.
    pub fn name(self) -> &'static str {
        match self {
            Pooling::Last => "last",
            Pooling::Mean => "mean",
            Pooling::Max => "max",
        }
    }

    /// The pooling with that name.
    pub fn from_name(name: &str) -> Result<Pooling> {
        Pooling::ALL
            .into_iter()
            .find(|p| p.name() == name)
            .ok_or_else(|| err!(InvalidArgument, "unknown pooling '{}', expected last, mean or max", Excerpt(name, 40)))
    }
}

/// The shape of a classifier.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassifierConfig {
    /// The recurrent cell.
    pub cell: Cell,
    /// Features of a token.
    pub embedding_dim: usize,
    /// Features of a hidden state, per direction.
    pub hidden_size: usize,
    /// Recurrent layers.
    pub num_layers: usize,
    /// Whether layers read the text in both directions.
    pub bidirectional: bool,
    /// How steps become one vector.
    pub pooling: Pooling,
    /// Dropout, in training, of embedded tokens, between layers, and before the dense layer.
    pub dropout: f32,
    /// One label a text (softmax) or any number (a sigmoid each).
    pub labels: LabelMode,
    /// The most tokens that are read of a text, in training and in use; `None` for all. What is cut is counted.
    pub max_tokens: Option<usize>,
}

impl Default for ClassifierConfig {
    fn default() -> Self {
        Self {
            cell: Cell::Lstm,
            embedding_dim: 64,
            hidden_size: 64,
            num_layers: 1,
            bidirectional: true,
            pooling: Pooling::Last,
            dropout: 0.3,
            labels: LabelMode::Single,
            max_tokens: None,
        }
    }
}

impl ClassifierConfig {
    pub(super) fn rnn(&self) -> RnnConfig {
        let mut config = RnnConfig::new(self.cell, self.embedding_dim, self.hidden_size);
        config.num_layers = self.num_layers;
        config.batch_first = true;
        config.dropout = self.dropout;
        config.direction = if self.bidirectional { Direction::Bidirectional } else { Direction::Forward };
        config
    }

    /// What is read of a text.
    pub(super) fn read<'t>(&self, text: &'t [u32]) -> &'t [u32] {
        &text[..text.len().min(self.max_tokens.unwrap_or(usize::MAX))]
    }

    /// Features that pooling leaves.
    pub(super) fn pooled_size(&self) -> usize {
        self.hidden_size * if self.bidirectional { 2 } else { 1 }
    }
}

/// A classifier of texts: everything that turns a text into probabilities of labels. Evaluation borrows it shared, from
/// any number of threads; training needs it exclusively.
pub struct TextClassifier {
    pub(super) config: ClassifierConfig,
    vocab: Vocab,
    labels: Vec<String>,
    pub(super) embedding: Embedding,
    pub(super) rnn: Rnn,
    pub(super) dense: Dense,
}

/// One caller's memory for running a classifier; reused from call to call.
#[derive(Default)]
pub struct ClassifierSession {
    pub(super) session: Session,
    pub(super) lengths: Vec<usize>,
    /// Embedded tokens, where they are changed before the layers read them.
    x: AlignedBuf<f32>,
    /// Tokens, one text after another, otherwise.
    indices: AlignedBuf<u32>,
    pub(super) y: AlignedBuf<f32>,
    pub(super) hn: AlignedBuf<f32>,
    pub(super) pooled: AlignedBuf<f32>,
    /// For pooling by maximum, the step of each maximum.
    pub(super) best: AlignedBuf<u32>,
    tokens: Vec<u32>,
    logits: AlignedBuf<f32>,
    truncated: u64,
}

impl ClassifierSession {
    /// Empty memory; work is spread over `session`'s pool, if it has one.
    pub fn new(session: Session) -> Self {
        Self { session, ..Self::default() }
    }

    /// Spreads the work over the threads of `pool` from now on, or with `None` over no others.
    pub fn set_pool(&mut self, pool: Option<&Pool>) {
        self.session.set_pool(pool);
    }

    /// Texts so far of which only the first [`ClassifierConfig::max_tokens`] tokens were read.
    pub fn truncated(&self) -> u64 {
        self.truncated
    }
}

impl TextClassifier {
    /// A classifier with random weights, the same for the same `seed` on every machine. `labels` are the classes' names.
    ///
    /// # Errors
    /// `InvalidArgument` for fewer than two labels or a configuration that makes no sense; `OutOfMemory`.
    pub fn new(config: &ClassifierConfig, vocab: Vocab, labels: Vec<String>, seed: u64) -> Result<Self> {
        let mut model = Self::zeroed(config, vocab, labels)?;
        model.embedding.init_normal(seed);
        model.rnn.init(Init::TorchUniform, seed.wrapping_add(1))?;
        model.dense.init(seed.wrapping_add(2));
        Ok(model)
    }

    pub(super) fn zeroed(config: &ClassifierConfig, vocab: Vocab, labels: Vec<String>) -> Result<Self> {
        ensure!(labels.len() >= 2, InvalidArgument, "{} labels, expected at least 2", labels.len());
        ensure!(config.max_tokens != Some(0), InvalidArgument, "max_tokens is 0, expected at least 1");
        ensure!(config.embedding_dim > 0, InvalidArgument, "embedding_dim is 0, expected at least 1");
        let rnn = Rnn::new(&config.rnn())?;
        Ok(Self {
            embedding: Embedding::new(vocab.len(), config.embedding_dim, Some(0))?,
            dense: Dense::with_isa(config.pooled_size(), labels.len(), true, rnn.isa())?,
            rnn,
            config: config.clone(),
            vocab,
            labels,
        })
    }

    /// Its configuration.
    pub fn config(&self) -> &ClassifierConfig {
        &self.config
    }

    /// Its words.
    pub fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    /// Its classes.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// How it cuts and normalizes texts: as its vocabulary says.
    pub fn tokenizer(&self) -> &Tokenizer {
        self.vocab.tokenizer()
    }

    /// The token table, to start from pretrained vectors or to freeze it.
    pub fn embedding_mut(&mut self) -> &mut Embedding {
        &mut self.embedding
    }

    /// Bytes of weights and their packed forms.
    pub fn bytes(&self) -> usize {
        self.rnn.bytes() + 4 * self.embedding.table().len() + self.dense.bytes()
    }

    /// Probabilities of the labels of one text; a text without a token counts as one unknown word.
    ///
    /// # Errors
    /// With nothing written: `ShapeMismatch` if `probabilities` has not one value a label; `OutOfMemory`.
    pub fn classify(&self, session: &mut ClassifierSession, text: &str, probabilities: &mut [f32]) -> Result<()> {
        let mut tokens = std::mem::take(&mut session.tokens);
        tokens.clear();
        let done = self.vocab.encode(text, &mut tokens).and_then(|()| {
            if tokens.is_empty() {
                super::push(&mut tokens, super::vocab::UNKNOWN)?;
            }
            self.probabilities(session, &[&tokens], probabilities)
        });
        session.tokens = tokens;
        done
    }

    /// Probabilities, (texts, labels), of texts given as word numbers.
    ///
    /// # Errors
    /// As [`TextClassifier::classify`]; `InvalidArgument` for a text without tokens or a number that is not a word's.
    pub fn probabilities(
        &self,
        session: &mut ClassifierSession,
        texts: &[&[u32]],
        probabilities: &mut [f32],
    ) -> Result<()> {
        let classes = self.labels.len();
        check_len("probabilities", probabilities.len(), product("probabilities", &[texts.len(), classes])?)?;
        if texts.is_empty() {
            return Ok(());
        }
        let mut read: Vec<&[u32]> = try_with_capacity(texts.len())?;
        read.extend(texts.iter().map(|text| self.config.read(text)));
        self.pooled(session, None, &read)?;
        // Not in the caller's memory, which stays as it is if something fails.
        let ClassifierSession { session, pooled, logits, truncated, .. } = session;
        logits.resize(probabilities.len())?;
        self.dense.forward(Some(session), pooled, logits)?;
        *truncated += texts.iter().zip(&read).filter(|(text, read)| text.len() > read.len()).count() as u64;
        match self.config.labels {
            LabelMode::Multi => {
                probabilities.copy_from_slice(logits);
                sigmoid(self.rnn.isa(), probabilities);
                Ok(())
            }
            LabelMode::Single => softmax_on(self.rnn.isa(), classes, logits, probabilities),
        }
    }

    /// Embeds `texts`, runs the recurrent layers and pools their outputs into `session.pooled`, (texts, pooled size). In
    /// training, records on a tape and drops with the given seed; pooled values are left whole.
    pub(super) fn pooled(
        &self,
        session: &mut ClassifierSession,
        training: Option<(&mut Tape, u64)>,
        texts: &[&[u32]],
    ) -> Result<()> {
        let (batch, dim) = (texts.len(), self.config.embedding_dim);
        let (size, passes) = (self.config.pooled_size(), self.rnn.config().passes());
        let steps = texts.iter().map(|t| t.len()).max().unwrap_or(0);
        let s = session;
        if s.lengths.capacity() < batch {
            s.lengths = try_with_capacity(batch)?;
        }
        s.lengths.clear();
        for (i, text) in texts.iter().enumerate() {
            ensure!(!text.is_empty(), InvalidArgument, "text {i} has no tokens, expected at least 1");
            s.lengths.push(text.len());
        }
        s.pooled.resize(batch * size)?;
        let dropout = training.as_ref().filter(|_| self.config.dropout > 0.0).map(|(_, seed)| *seed);
        // One text after another: a long one takes no room beside short ones.
        let tokens: usize = s.lengths.iter().sum();
        if let Some(seed) = dropout {
            s.x.resize(product("the texts", &[tokens, dim])?)?;
            let mut rest = &mut s.x[..];
            for text in texts {
                let (rows, others) = rest.split_at_mut(text.len() * dim);
                self.embedding.forward(text, rows)?;
                rest = others;
            }
            self.drop_embedded(seed, &s.lengths, &mut s.x)?;
        } else {
            s.indices.resize(tokens)?;
            let mut rest = &mut s.indices[..];
            for text in texts {
                let (row, others) = rest.split_at_mut(text.len());
                row.copy_from_slice(text);
                rest = others;
            }
        }
        let x = dropout.map_or(&[][..], |_| &s.x[..]);
        let indices = dropout.is_none().then(|| self.embedding.tokens(&s.indices));
        let wants_last = self.config.pooling == Pooling::Last;
        if wants_last {
            s.hn.resize(passes * batch * self.config.hidden_size)?;
        } else {
            s.y.resize(product("the outputs", &[tokens, size])?)?;
        }
        let args = ForwardArgs {
            x,
            tokens: indices,
            y: (!wants_last).then_some(&mut s.y[..]),
            hn: wants_last.then_some(&mut s.hn[..]),
            ..ForwardArgs::default()
        };
        let shape = Batch { batch_size: batch, seq_len: steps, lengths: Some(&s.lengths), packed: true };
        match training {
            Some((tape, seed)) => {
                let dropout = DropoutPosition { seed, ..DropoutPosition::default() };
                self.rnn.forward_train(&mut s.session, tape, &shape, args, dropout)?;
            }
            None => self.rnn.forward(&mut s.session, &shape, args)?,
        }
        match self.config.pooling {
            Pooling::Last => {
                let hidden = self.config.hidden_size;
                let directions = size / hidden;
                let last = &s.hn[(passes - directions) * batch * hidden..];
                for (b, row) in s.pooled.chunks_exact_mut(size).enumerate() {
                    for (d, part) in row.chunks_exact_mut(hidden).enumerate() {
                        part.copy_from_slice(&last[(d * batch + b) * hidden..][..hidden]);
                    }
                }
            }
            Pooling::Mean => {
                let mut steps = s.y.chunks_exact(size);
                for (row, &length) in s.pooled.chunks_exact_mut(size).zip(&s.lengths) {
                    row.fill(0.0);
                    for step in steps.by_ref().take(length) {
                        row.iter_mut().zip(step).for_each(|(sum, v)| *sum += v);
                    }
                    row.iter_mut().for_each(|sum| *sum /= length as f32);
                }
            }
            Pooling::Max => {
                s.best.resize(batch * size)?;
                let rows = s.pooled.chunks_exact_mut(size).zip(s.best.chunks_exact_mut(size));
                let mut rest = &s.y[..];
                for ((row, best), &length) in rows.zip(&s.lengths) {
                    let (outputs, others) = rest.split_at(length * size);
                    rest = others;
                    row.copy_from_slice(&outputs[..size]);
                    best.fill(0);
                    for (t, step) in outputs.chunks_exact(size).enumerate().skip(1) {
                        for ((max, at), &v) in row.iter_mut().zip(best.iter_mut()).zip(step) {
                            // A NaN wins, so that it is not hidden.
                            if v > *max || v.is_nan() {
                                (*max, *at) = (v, t as u32);
                            }
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

impl TextClassifier {
    /// Applies the dropout of embedded tokens, one text after another, or of their gradient.
    pub(super) fn drop_embedded(&self, seed: u64, lengths: &[usize], mut x: &mut [f32]) -> Result<()> {
        let dropout = Dropout::new(f64::from(self.config.dropout), seed)?;
        for (b, length) in lengths.iter().enumerate() {
            let (rows, others) = x.split_at_mut(length * self.config.embedding_dim);
            x = others;
            // Each text has positions of its own, whatever the others' lengths.
            let first = (b as u64 + 1) << 32;
            dropout.apply_on(self.rnn.isa(), first, rows);
        }
        Ok(())
    }
}
