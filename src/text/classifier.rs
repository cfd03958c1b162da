//! The text classifier: tokens, embedding, recurrent layers, pooling, dropout, dense layer, softmax or sigmoid.

use super::dataset::LabelMode;
use super::tokenizer::Tokenizer;
use super::vocab::Vocab;
use crate::buffer::{AlignedBuf, try_with_capacity};
use crate::error::{Result, check_len, ensure, err, product};
use crate::nn::{Dense, Dropout, Embedding, sigmoid, softmax};
use crate::rnn::{Batch, Cell, Direction, DropoutPosition, ForwardArgs, Init, Rnn, RnnConfig, Session, Tape, Tokens};

/// How the outputs of all steps become one vector.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
            .ok_or_else(|| err!(InvalidArgument, "unknown pooling '{name:.40}', expected last, mean or max"))
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
    /// Whether texts are lower-cased.
    pub lowercase: bool,
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
            lowercase: true,
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

    /// Features that pooling leaves.
    pub(super) fn pooled_size(&self) -> usize {
        self.hidden_size * if self.bidirectional { 2 } else { 1 }
    }
}

/// A classifier of texts: everything that turns a text into probabilities of labels. Evaluation borrows it shared, from
/// any number of threads; training needs it exclusively.
pub struct TextClassifier {
    pub(super) config: ClassifierConfig,
    tokenizer: Tokenizer,
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
    /// Tokens of the longest text.
    pub(super) steps: usize,
    /// Embedded tokens, where they are changed before the layers read them.
    x: AlignedBuf<f32>,
    /// Tokens, (texts, steps), otherwise.
    indices: AlignedBuf<u32>,
    pub(super) y: AlignedBuf<f32>,
    pub(super) hn: AlignedBuf<f32>,
    pub(super) pooled: AlignedBuf<f32>,
    /// For pooling by maximum, the step of each maximum.
    pub(super) best: AlignedBuf<u32>,
    tokens: Vec<u32>,
    logits: AlignedBuf<f32>,
}

impl ClassifierSession {
    /// Empty memory; work is spread over `session`'s pool, if it has one.
    pub fn new(session: Session) -> Self {
        Self { session, ..Self::default() }
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
        ensure!(config.embedding_dim > 0, InvalidArgument, "embedding_dim is 0, expected at least 1");
        let rnn = Rnn::new(&config.rnn())?;
        Ok(Self {
            tokenizer: Tokenizer { lowercase: config.lowercase },
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

    /// How it cuts texts.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The token table, to start from pretrained vectors or to freeze it.
    pub fn embedding_mut(&mut self) -> &mut Embedding {
        &mut self.embedding
    }

    /// Bytes of weights and their packed forms.
    pub fn bytes(&self) -> usize {
        self.rnn.bytes() + 4 * self.embedding.table().len() + 8 * self.dense.values().len()
    }

    /// Probabilities of the labels of one text; a text without a token counts as one unknown word.
    ///
    /// # Errors
    /// With nothing written: `ShapeMismatch` if `probabilities` has not one value a label; `OutOfMemory`.
    pub fn classify(&self, session: &mut ClassifierSession, text: &str, probabilities: &mut [f32]) -> Result<()> {
        let mut tokens = std::mem::take(&mut session.tokens);
        tokens.clear();
        let done = self.vocab.encode(text, &self.tokenizer, &mut tokens).and_then(|()| {
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
        self.pooled(session, None, texts)?;
        // Not in the caller's memory, which stays as it is if something fails.
        let ClassifierSession { session, pooled, logits, .. } = session;
        logits.resize(probabilities.len())?;
        self.dense.forward(Some(session), pooled, logits)?;
        match self.config.labels {
            LabelMode::Multi => {
                probabilities.copy_from_slice(logits);
                sigmoid(self.rnn.isa(), probabilities);
                Ok(())
            }
            LabelMode::Single => softmax(self.rnn.isa(), classes, logits, probabilities),
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
        s.steps = steps;
        s.pooled.resize(batch * size)?;
        let dropout = training.as_ref().filter(|_| self.config.dropout > 0.0).map(|(_, seed)| *seed);
        // Rows past a text's end are never read.
        if let Some(seed) = dropout {
            s.x.resize(product("the texts", &[batch, steps, dim])?)?;
            for (text, rows) in texts.iter().zip(s.x.chunks_exact_mut(steps * dim)) {
                self.embedding.forward(text, &mut rows[..text.len() * dim])?;
            }
            self.drop_embedded(seed, &s.lengths, &mut s.x)?;
        } else {
            s.indices.resize(product("the texts", &[batch, steps])?)?;
            for (text, row) in texts.iter().zip(s.indices.chunks_exact_mut(steps)) {
                row[..text.len()].copy_from_slice(text);
            }
        }
        let x = dropout.map_or(&[][..], |_| &s.x[..]);
        let tokens = dropout.is_none().then_some(Tokens { embedding: &self.embedding, indices: &s.indices });
        let wants_last = self.config.pooling == Pooling::Last;
        if wants_last {
            s.hn.resize(passes * batch * self.config.hidden_size)?;
        } else {
            s.y.resize(product("the outputs", &[batch, steps, size])?)?;
        }
        let args = ForwardArgs {
            x,
            tokens,
            y: (!wants_last).then_some(&mut s.y[..]),
            hn: wants_last.then_some(&mut s.hn[..]),
            ..ForwardArgs::default()
        };
        let shape = Batch { batch_size: batch, seq_len: steps, lengths: Some(&s.lengths) };
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
                for (b, row) in s.pooled.chunks_exact_mut(size).enumerate() {
                    row.fill(0.0);
                    let length = s.lengths[b];
                    for step in s.y[b * steps * size..].chunks_exact(size).take(length) {
                        row.iter_mut().zip(step).for_each(|(sum, v)| *sum += v);
                    }
                    row.iter_mut().for_each(|sum| *sum /= length as f32);
                }
            }
            Pooling::Max => {
                s.best.resize(batch * size)?;
                let rows = s.pooled.chunks_exact_mut(size).zip(s.best.chunks_exact_mut(size));
                for (b, (row, best)) in rows.enumerate() {
                    let outputs = &s.y[b * steps * size..];
                    row.copy_from_slice(&outputs[..size]);
                    best.fill(0);
                    for (t, step) in outputs.chunks_exact(size).take(s.lengths[b]).enumerate().skip(1) {
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
    /// Applies the dropout of embedded tokens, (texts, steps, features), or of their gradient.
    pub(super) fn drop_embedded(&self, seed: u64, lengths: &[usize], x: &mut [f32]) -> Result<()> {
        let dropout = Dropout::new(f64::from(self.config.dropout), seed)?;
        let row = x.len() / lengths.len();
        for (b, (rows, length)) in x.chunks_exact_mut(row).zip(lengths).enumerate() {
            // Each text has positions of its own, whatever the padding.
            let first = (b as u64 + 1) << 32;
            dropout.apply(self.rnn.isa(), first, &mut rows[..length * self.config.embedding_dim]);
        }
        Ok(())
    }
}
