//! Training of a [`TextClassifier`]: gradients of a batch, clipping, optimizer step; and evaluation.

use super::batches::Batches;
use super::classifier::{ClassifierSession, Pooling, TextClassifier};
use super::dataset::Dataset;
use super::options::LabelMode;
use crate::buffer::{AlignedBuf, try_with_capacity};
use crate::error::{Result, check_len, ensure, err, product};
use crate::nn::{
    BceWithLogits, CrossEntropy, Dropout, EmbeddingGrads, NonFinite, Optimizer, OptimizerConfig, clip_grad_norm,
};
use crate::parallel::Pool;
use crate::rnn::{BackwardArgs, Grads, Session, Tape};
use crate::shown::Excerpt;

/// How a classifier is trained.
#[derive(Clone, Debug)]
pub struct TrainerConfig {
    /// The optimizer and its learning rate.
    pub optimizer: OptimizerConfig,
    /// Gradients are scaled down to this global norm; infinite for no clipping.
    pub clip_norm: f64,
    /// Decides dropout.
    pub seed: u64,
    /// What a step does whose loss or gradients' norm is NaN or infinite.
    pub non_finite: NonFinite,
}

impl Default for TrainerConfig {
    /// Adam with its usual learning rate, clipping at norm 1, a stop where the loss is no number.
    fn default() -> Self {
        let optimizer = OptimizerConfig::Adam(crate::nn::AdamConfig::default());
        Self { optimizer, clip_norm: 1.0, seed: 0, non_finite: NonFinite::Stop }
    }
}

/// What one training step found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// The mean loss over the batch, before the step.
    pub loss: f64,
    /// The gradients' global norm before clipping.
    pub grad_norm: f64,
    /// Texts whose most probable class was right, or of which all labels were.
    pub correct: usize,
    /// Tokens read of the batch.
    pub tokens: usize,
    /// Texts of which only the first [`ClassifierConfig::max_tokens`](super::ClassifierConfig::max_tokens) were read.
    pub truncated: usize,
    /// Whether the step was left out, because loss or norm is not finite and [`NonFinite::Skip`] is chosen.
    pub skipped: bool,
}

/// The optimizer's slots.
pub(super) const EMBEDDING: usize = 0;
pub(super) const RNN: usize = 1;
pub(super) const DENSE: usize = 2;

/// The state of a training run: optimizer, gradients, and memory that is reused from step to step.
///
/// ```
/// use simdrnn::rnn::Session;
/// use simdrnn::text::{
///     Batches, ClassifierConfig, ClassifierSession, Dataset, DatasetOptions, TextClassifier, Trainer, TrainerConfig, VocabOptions,
/// };
///
/// let lines = "pos\tgood\nneg\tbad\npos\tvery good\nneg\tvery bad\n";
/// let (data, vocab) =
///     Dataset::train_from(lines.as_bytes(), "lines", &DatasetOptions::default(), &VocabOptions::default())?;
/// let config = ClassifierConfig { embedding_dim: 8, hidden_size: 8, dropout: 0.0, ..ClassifierConfig::default() };
/// let mut model = TextClassifier::new(&config, vocab, data.labels().to_vec(), 1)?;
/// let mut trainer = Trainer::new(&model, &TrainerConfig::default(), Session::new())?;
/// trainer.optimizer_mut().set_lr(0.05)?;
/// for epoch in 0..30 {
///     for batch in Batches::shuffled((0..data.len()).map(|i| data.token_count(i)), 2, 1, epoch)?.iter() {
///         trainer.step(&mut model, &data, batch)?;
///     }
/// }
/// let mut p = [0.0; 2]; // of neg and pos
/// model.classify(&mut ClassifierSession::new(Session::new()), "very good", &mut p)?;
/// assert!(p[1] > 0.9);
/// # Ok::<(), simdrnn::Error>(())
/// ```
pub struct Trainer {
    pub(super) config: TrainerConfig,
    pub(super) optimizer: Optimizer,
    /// Steps left out.
    pub(super) skipped: u64,
    memory: ClassifierSession,
    tape: Tape,
    embedding_grads: EmbeddingGrads,
    rnn_grads: Grads,
    dense_grads: AlignedBuf<f32>,
    logits: AlignedBuf<f32>,
    dlogits: AlignedBuf<f32>,
    dpooled: AlignedBuf<f32>,
    dx: AlignedBuf<f32>,
    targets: Vec<i64>,
    target_flags: AlignedBuf<f32>,
}

impl Trainer {
    /// A trainer for `model`, or for another of the same shape. Work is spread over `session`'s pool, if it has one; the
    /// number of threads changes no bit.
    ///
    /// # Errors
    /// `InvalidArgument` for a configuration that makes no sense; `OutOfMemory`.
    pub fn new(model: &TextClassifier, config: &TrainerConfig, session: Session) -> Result<Self> {
        ensure!(config.clip_norm > 0.0, InvalidArgument, "clip_norm is {}, expected more than 0", config.clip_norm);
        let mut optimizer = Optimizer::new(&config.optimizer)?;
        optimizer.set_pool(session.pool());
        // A step looks at all gradients together, before.
        optimizer.set_non_finite(NonFinite::Continue);
        Ok(Self {
            optimizer,
            skipped: 0,
            config: config.clone(),
            memory: ClassifierSession::new(session),
            tape: Tape::new(),
            embedding_grads: EmbeddingGrads::new(&model.embedding)?,
            rnn_grads: Grads::new(&model.rnn)?,
            dense_grads: AlignedBuf::zeroed(model.dense.values().len())?,
            logits: AlignedBuf::new(),
            dlogits: AlignedBuf::new(),
            dpooled: AlignedBuf::new(),
            dx: AlignedBuf::new(),
            targets: Vec::new(),
            target_flags: AlignedBuf::new(),
        })
    }

    /// Goes on with what a file held.
    pub(super) fn take_state(&mut self, mut optimizer: Optimizer, skipped: u64) {
        optimizer.set_pool(self.memory.session.pool());
        optimizer.set_non_finite(NonFinite::Continue);
        (self.optimizer, self.skipped) = (optimizer, skipped);
    }

    /// Spreads the work over the threads of `pool` from now on, or with `None` over no others. The number of threads changes
    /// no bit.
    pub fn set_pool(&mut self, pool: Option<&Pool>) {
        self.memory.set_pool(pool);
        self.optimizer.set_pool(pool);
    }

    /// How it trains, with the present learning rate.
    pub fn config(&self) -> TrainerConfig {
        TrainerConfig { optimizer: *self.optimizer.config(), ..self.config.clone() }
    }

    /// The optimizer.
    pub fn optimizer(&self) -> &Optimizer {
        &self.optimizer
    }

    /// The optimizer, for its learning rate.
    pub fn optimizer_mut(&mut self) -> &mut Optimizer {
        &mut self.optimizer
    }

    /// Steps that [`NonFinite::Skip`] left out.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// One step on the examples `batch` (their numbers in `data`).
    ///
    /// Whether loss and gradients are finite is seen before anything changes. A step that [`NonFinite::Skip`] leaves out
    /// changes neither model nor optimizer and does not count as one of the optimizer's, but the next step draws other
    /// dropout masks, so that the same batch may come again with a better end.
    ///
    /// # Errors
    /// After each, trainer and model are as if the call had not been made. `InvalidArgument` if the batch is empty or names
    /// an example that is not there, if `data` has other labels than the model or was read with another
    /// vocabulary;
    /// `ShapeMismatch` for a model of another shape than the trainer's; `NonFinite`; `OutOfMemory`.
    pub fn step(&mut self, model: &mut TextClassifier, data: &Dataset, batch: &[u32]) -> Result<StepReport> {
        let texts = self.check(model, data, batch)?;
        // Every step has its own masks: the words of one seed are told apart by the position.
        let step = self.optimizer.step_count().wrapping_add(self.skipped);
        let seed = self.config.seed ^ step.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        model.pooled(&mut self.memory, Some((&mut self.tape, seed)), &texts)?;
        let dropout = Dropout::new(f64::from(model.config.dropout), seed)?;
        let isa = model.rnn.isa();
        dropout.apply_on(isa, 0, &mut self.memory.pooled);

        let classes = model.labels().len();
        self.logits.resize(batch.len() * classes)?;
        self.dlogits.resize(batch.len() * classes)?;
        model.dense.forward(Some(&mut self.memory.session), &self.memory.pooled, &mut self.logits)?;
        let (loss, correct) = self.loss(model, data, batch)?;

        self.dpooled.resize(self.memory.pooled.len())?;
        self.dense_grads.fill(0.0);
        model.dense.backward(
            &mut self.memory.session,
            &self.memory.pooled,
            &self.dlogits,
            Some(&mut self.dpooled),
            Some(&mut self.dense_grads),
        )?;
        dropout.apply_on(isa, 0, &mut self.dpooled);
        self.backward_rnn(model)?;
        model.drop_embedded(seed, &self.memory.lengths, &mut self.dx)?;
        self.embedding_grads.clear();
        let dim = model.config.embedding_dim;
        // A frozen table has no gradient, which would count in the norm.
        if !model.embedding.is_frozen() {
            let mut rest = &self.dx[..];
            for text in &texts {
                let (rows, others) = rest.split_at(text.len() * dim);
                self.embedding_grads.accumulate(text, rows)?;
                rest = others;
            }
        }

        let mut all = [self.embedding_grads.values_mut(), self.rnn_grads.values_mut(), &mut self.dense_grads[..]];
        let grad_norm = clip_grad_norm(&mut all, self.config.clip_norm, false)?;
        let tokens = texts.iter().map(|t| t.len()).sum();
        let whole = batch.iter().map(|&i| data.token_count(i as usize));
        let truncated = whole.zip(&texts).filter(|(count, text)| *count > text.len()).count();
        let report = StepReport { loss, grad_norm, correct, tokens, truncated, skipped: false };
        if !(loss.is_finite() && grad_norm.is_finite()) {
            match self.config.non_finite {
                NonFinite::Stop => {
                    return Err(err!(
                        NonFinite,
                        "the loss is {loss} and the gradients' norm {grad_norm}, expected finite numbers: no step was taken"
                    ));
                }
                NonFinite::Skip => {
                    self.skipped += 1;
                    return Ok(StepReport { skipped: true, ..report });
                }
                NonFinite::Continue => {}
            }
        }
        // From here on nothing fails: `check` has looked at the shapes and made room.
        self.optimizer.begin_step();
        model.embedding.optimize(&mut self.optimizer, EMBEDDING, &self.embedding_grads)?;
        model.rnn.optimize(&mut self.optimizer, RNN, &self.rnn_grads)?;
        model.dense.optimize(&mut self.optimizer, DENSE, &self.dense_grads)?;
        Ok(report)
    }

    /// The batch's texts, once all that a step may refuse later is known to be right and the optimizer has room.
    fn check<'d>(&mut self, model: &TextClassifier, data: &'d Dataset, batch: &[u32]) -> Result<Vec<&'d [u32]>> {
        ensure!(!batch.is_empty(), InvalidArgument, "the batch is empty, expected at least one example");
        ensure!(
            data.labels().len() == model.labels().len() && data.mode() == model.config.labels,
            InvalidArgument,
            "the data have {} labels and mode {:?}, expected the model's {} and {:?}",
            data.labels().len(),
            data.mode(),
            model.labels().len(),
            model.config.labels
        );
        let other = data.labels().iter().zip(model.labels()).find(|(found, expected)| found != expected);
        if let Some((found, expected)) = other {
            return Err(err!(
                InvalidArgument,
                "the data have the label '{}' where the model has '{}', expected the same labels",
                Excerpt(found, 80),
                Excerpt(expected, 80)
            ));
        }
        data.check_vocab(model.vocab())?;
        self.embedding_grads.check(&model.embedding)?;
        self.rnn_grads.check(&model.rnn)?;
        check_len("the gradient of the dense layer", self.dense_grads.len(), model.dense.values().len())?;
        let mut texts: Vec<&[u32]> = try_with_capacity(batch.len())?;
        for &i in batch {
            let i = i as usize;
            ensure!(i < data.len(), InvalidArgument, "example {i}, expected less than {}", data.len());
            texts.push(model.config.read(data.tokens(i)));
        }
        if !model.embedding.is_frozen() {
            let row = model.config.embedding_dim;
            self.optimizer.reserve(EMBEDDING, model.embedding.table().len(), Some(row))?;
        }
        self.optimizer.reserve(RNN, model.rnn.values().len(), None)?;
        self.optimizer.reserve(DENSE, model.dense.values().len(), None)?;
        Ok(texts)
    }

    /// The batch's mean loss, its gradient in `dlogits`, and how many texts were right.
    fn loss(&mut self, model: &TextClassifier, data: &Dataset, batch: &[u32]) -> Result<(f64, usize)> {
        let classes = model.labels().len();
        let examples = batch.iter().map(|&i| data.targets(i as usize));
        match model.config.labels {
            LabelMode::Single => {
                self.targets.clear();
                for targets in examples {
                    super::push(&mut self.targets, i64::from(targets[0]))?;
                }
                let loss = CrossEntropy::default().evaluate_on(
                    model.rnn.isa(),
                    classes,
                    &self.logits,
                    &self.targets,
                    Some(&mut self.dlogits),
                )?;
                let rows = self.logits.chunks_exact(classes).zip(&self.targets);
                Ok((loss, rows.filter(|(row, target)| argmax(row) as i64 == **target).count()))
            }
            LabelMode::Multi => {
                self.target_flags.resize(batch.len() * classes)?;
                self.target_flags.fill(0.0);
                for (row, targets) in self.target_flags.chunks_exact_mut(classes).zip(examples) {
                    targets.iter().for_each(|&t| row[t as usize] = 1.0);
                }
                let (logits, flags) = (&self.logits, &self.target_flags);
                let loss = BceWithLogits::default().evaluate(classes, logits, flags, Some(&mut self.dlogits))?;
                let rows = logits.chunks_exact(classes).zip(flags.chunks_exact(classes));
                let right =
                    |(row, flags): &(&[f32], &[f32])| row.iter().zip(*flags).all(|(v, f)| (*v > 0.0) == (*f > 0.5));
                Ok((loss, rows.filter(right).count()))
            }
        }
    }

    /// From `dpooled` through pooling and the recurrent layers to `dx`.
    fn backward_rnn(&mut self, model: &TextClassifier) -> Result<()> {
        let m = &mut self.memory;
        let (batch, size) = (m.lengths.len(), model.config.pooled_size());
        self.rnn_grads.zero();
        let tokens = m.lengths.iter().sum();
        self.dx.resize(product("the texts' gradient", &[tokens, model.config.embedding_dim])?)?;
        let mut args = BackwardArgs { dx: Some(&mut self.dx), ..BackwardArgs::default() };
        match model.config.pooling {
            Pooling::Last => {
                let hidden = model.config.hidden_size;
                let directions = size / hidden;
                m.hn.fill(0.0);
                let start = (model.rnn.config().passes() - directions) * batch * hidden;
                let last = &mut m.hn[start..];
                for (b, row) in self.dpooled.chunks_exact(size).enumerate() {
                    for (d, part) in row.chunks_exact(hidden).enumerate() {
                        last[(d * batch + b) * hidden..][..hidden].copy_from_slice(part);
                    }
                }
                args.dhn = Some(&m.hn);
            }
            Pooling::Mean => {
                let mut steps = m.y.chunks_exact_mut(size);
                for (row, &length) in self.dpooled.chunks_exact(size).zip(&m.lengths) {
                    for step in steps.by_ref().take(length) {
                        step.iter_mut().zip(row).for_each(|(dy, d)| *dy = d / length as f32);
                    }
                }
                args.dy = Some(&m.y);
            }
            Pooling::Max => {
                m.y.fill(0.0);
                let mut first = 0;
                for (b, row) in self.dpooled.chunks_exact(size).enumerate() {
                    let outputs = &mut m.y[first * size..][..m.lengths[b] * size];
                    first += m.lengths[b];
                    for (i, &d) in row.iter().enumerate() {
                        outputs[m.best[b * size + i] as usize * size + i] = d;
                    }
                }
                args.dy = Some(&m.y);
            }
        }
        model.rnn.backward(&mut m.session, &self.tape, args, Some(&mut self.rnn_grads), None)
    }

    /// Probabilities of all examples of `data`, (examples, labels), in batches of `batch_size`.
    ///
    /// # Errors
    /// As [`TextClassifier::probabilities`].
    pub fn predict(&mut self, model: &TextClassifier, data: &Dataset, batch_size: usize) -> Result<Vec<f32>> {
        predict(model, &mut self.memory, data, batch_size)
    }
}

/// Probabilities of all examples of `data`, (examples, labels), in batches of `batch_size` texts of similar length.
///
/// # Errors
/// As [`TextClassifier::probabilities`]; `InvalidArgument` for data that were read with another vocabulary.
pub fn predict(
    model: &TextClassifier,
    memory: &mut ClassifierSession,
    data: &Dataset,
    batch_size: usize,
) -> Result<Vec<f32>> {
    data.check_vocab(model.vocab())?;
    let classes = model.labels().len();
    let mut all = crate::buffer::try_vec(product("the probabilities", &[data.len(), classes])?, 0.0)?;
    let mut texts: Vec<&[u32]> = try_with_capacity(batch_size.min(data.len()))?;
    let mut some = AlignedBuf::new();
    for batch in Batches::sorted((0..data.len()).map(|i| data.token_count(i)), batch_size)?.iter() {
        texts.clear();
        texts.extend(batch.iter().map(|&i| data.tokens(i as usize)));
        some.resize(batch.len() * classes)?;
        model.probabilities(memory, &texts, &mut some)?;
        for (&i, row) in batch.iter().zip(some.chunks_exact(classes)) {
            all[i as usize * classes..][..classes].copy_from_slice(row);
        }
    }
    Ok(all)
}

/// The place of the largest value, the first of equals.
pub fn argmax(row: &[f32]) -> usize {
    row.iter().enumerate().fold(0, |best, (i, v)| if *v > row[best] { i } else { best })
}
