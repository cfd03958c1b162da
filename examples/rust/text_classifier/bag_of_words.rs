//! Multinomial logistic regression on word counts: the baseline that a sequence model has to beat.
//!
//! It minimizes the mean cross-entropy plus `l2 / 2` times the sum of squared word weights (biases are free), by L-BFGS
//! on all examples (Liu and Nocedal 1989). The minimum is the same as that of scikit-learn's `LogisticRegression` with
//! `C = 1 / (l2 · examples)`. Everything is f64 in one fixed order with portable exp and log: the same bits on every
//! machine, with nothing random in it.

use simdrnn::text::{Confusion, Dataset, LabelMode};
use simdrnn::{Error, ErrorKind, Result};
use std::fmt;

/// Steps whose curvature L-BFGS remembers.
const MEMORY: usize = 6;
/// Training ends when no partial derivative is larger than this.
const TOLERANCE: f64 = 1e-5;

/// A trained model.
pub(crate) struct BagOfWords {
    classes: usize,
    /// A row of `classes` for each word, and one more for the biases.
    weights: Vec<f64>,
    #[cfg_attr(not(test), expect(dead_code, reason = "for tests"))]
    objective: f64,
    converged: bool,
}

impl BagOfWords {
    /// Trains on word counts, to convergence or for at most `epochs` passes over the examples.
    ///
    /// Memory: about 16 × 8 bytes for each pair of word and class.
    ///
    /// # Errors
    /// `InvalidArgument` if the examples have several labels, `l2` is negative or not finite, or a word number is not
    /// below `vocab_len`.
    pub(crate) fn train(data: &Dataset, vocab_len: usize, l2: f64, epochs: usize) -> Result<Self> {
        ensure(l2 >= 0.0 && l2.is_finite(), format_args!("l2 is {l2}, expected a number from 0 on"))?;
        let counts = Counts::new(data, vocab_len)?;
        let classes = data.labels().len();
        let size = (vocab_len + 1) * classes;
        let mut problem = Problem { counts, classes, words: size - classes, l2, scores: vec![0.0; classes] };
        let mut weights = vec![0.0; size];
        let (objective, converged) = minimize(&mut problem, &mut weights, epochs);
        Ok(Self { classes, weights, objective, converged })
    }

    /// The minimized value: mean cross-entropy in nats, plus the penalty.
    #[cfg(test)]
    fn objective(&self) -> f64 {
        self.objective
    }

    /// Whether training reached its minimum before `epochs` ran out.
    pub(crate) fn converged(&self) -> bool {
        self.converged
    }

    /// The classes' probabilities, given a text's word numbers; unknown numbers add nothing.
    ///
    /// # Errors
    /// `InvalidArgument` if `out` has not one value per class.
    pub(crate) fn probabilities(&self, tokens: &[u32], out: &mut [f64]) -> Result<()> {
        ensure(out.len() == self.classes, format_args!("out has {} values, expected {}", out.len(), self.classes))?;
        let (words, biases) = self.weights.split_at(self.weights.len() - self.classes);
        out.copy_from_slice(biases);
        for &t in tokens {
            if let Some(row) = words.chunks_exact(self.classes).nth(t as usize) {
                add_scaled(out, 1.0, row);
            }
        }
        softmax(out);
        Ok(())
    }

    /// Counts the predictions for all examples; of equally probable classes the first is predicted.
    ///
    /// # Errors
    /// `InvalidArgument` if the examples have several labels or not the classes of training.
    pub(crate) fn evaluate(&self, data: &Dataset) -> Result<Confusion> {
        check_mode(data)?;
        let n = data.labels().len();
        ensure(n == self.classes, format_args!("the examples have {n} classes, expected {}", self.classes))?;
        let mut confusion = Confusion::new(n)?;
        let mut p = vec![0.0; n];
        for i in 0..data.len() {
            self.probabilities(data.tokens(i), &mut p)?;
            let best = (1..n).fold(0, |best, c| if p[c] > p[best] { c } else { best });
            confusion.add(data.targets(i)[0], best as u32)?;
        }
        Ok(confusion)
    }

    /// Share of right predictions.
    ///
    /// # Errors
    /// As [`BagOfWords::evaluate`].
    pub(crate) fn accuracy(&self, data: &Dataset) -> Result<f64> {
        Ok(self.evaluate(data)?.accuracy())
    }
}

fn ensure(holds: bool, otherwise: fmt::Arguments<'_>) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::new(ErrorKind::InvalidArgument, otherwise)) }
}

fn check_mode(data: &Dataset) -> Result<()> {
    ensure(data.mode() == LabelMode::Single, format_args!("the examples have several labels, expected one each"))?;
    Ok(())
}

/// How often each example has which word: sparse rows.
struct Counts {
    words: Vec<u32>,
    counts: Vec<f64>,
    ends: Vec<usize>,
    targets: Vec<u32>,
}

impl Counts {
    fn new(data: &Dataset, vocab_len: usize) -> Result<Self> {
        check_mode(data)?;
        let n = data.len();
        let mut s =
            Self { words: Vec::new(), counts: Vec::new(), ends: Vec::with_capacity(n), targets: Vec::with_capacity(n) };
        let mut sorted = Vec::new();
        for i in 0..n {
            sorted.clear();
            sorted.extend_from_slice(data.tokens(i));
            sorted.sort_unstable();
            let largest = sorted.last().map_or(0, |&t| t as usize);
            ensure(largest < vocab_len, format_args!("example {i}: word {largest}, expected below {vocab_len}"))?;
            for same in sorted.chunk_by(|a, b| a == b) {
                s.words.push(same[0]);
                s.counts.push(same.len() as f64);
            }
            s.ends.push(s.words.len());
            s.targets.push(data.targets(i)[0]);
        }
        Ok(s)
    }
}

/// What is minimized.
struct Problem {
    counts: Counts,
    classes: usize,
    /// Weights that are penalized: all but the biases behind them.
    words: usize,
    l2: f64,
    scores: Vec<f64>,
}

impl Problem {
    /// The objective at `weights`, its gradient into `gradient`.
    fn evaluate(&mut self, weights: &[f64], gradient: &mut [f64]) -> f64 {
        let (k, scores) = (self.classes, &mut self.scores[..]);
        let n = self.counts.ends.len() as f64;
        for (g, w) in gradient[..self.words].iter_mut().zip(weights) {
            *g = self.l2 * w;
        }
        gradient[self.words..].fill(0.0);
        let mut loss = 0.0;
        let mut start = 0;
        for (&end, &target) in self.counts.ends.iter().zip(&self.counts.targets) {
            let row = || self.counts.words[start..end].iter().zip(&self.counts.counts[start..end]);
            scores.copy_from_slice(&weights[self.words..]);
            for (&word, &count) in row() {
                add_scaled(scores, count, &weights[word as usize * k..][..k]);
            }
            let score = scores[target as usize];
            loss += softmax(scores) - score;
            scores[target as usize] -= 1.0;
            for (&word, &count) in row() {
                add_scaled(&mut gradient[word as usize * k..][..k], count / n, scores);
            }
            add_scaled(&mut gradient[self.words..], 1.0 / n, scores);
            start = end;
        }
        let penalized = &weights[..self.words];
        loss / n + 0.5 * self.l2 * dot(penalized, penalized)
    }
}

/// Scores become probabilities; the logarithm of the sum of their exponentials is returned.
fn softmax(scores: &mut [f64]) -> f64 {
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut sum = 0.0;
    for s in scores.iter_mut() {
        *s = libm::exp(*s - largest);
        sum += *s;
    }
    scores.iter_mut().for_each(|s| *s /= sum);
    largest + libm::log(sum)
}

fn add_scaled(out: &mut [f64], scale: f64, values: &[f64]) {
    for (o, v) in out.iter_mut().zip(values) {
        *o += scale * v;
    }
}

/// Eight partial sums whatever the machine, so that it is quick and the same everywhere.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (x, y) in a.iter().zip(b) {
        for (s, (x, y)) in sums.iter_mut().zip(x.iter().zip(y)) {
            *s += x * y;
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum();
    sums.iter().sum::<f64>() + rest
}

/// A remembered step: how far the weights went, how the gradient changed, and 1 / their product.
struct Step {
    moved: Vec<f64>,
    change: Vec<f64>,
    scale: f64,
}

/// Moves `weights` to the minimum with at most `passes` evaluations; the value there, and whether it is the minimum.
fn minimize(problem: &mut Problem, weights: &mut Vec<f64>, passes: usize) -> (f64, bool) {
    let size = weights.len();
    let mut gradient = vec![0.0; size];
    let (mut next, mut next_gradient) = (vec![0.0; size], vec![0.0; size]);
    let mut direction = vec![0.0; size];
    let mut steps: Vec<Step> = Vec::with_capacity(MEMORY);
    let mut value = problem.evaluate(weights, &mut gradient);
    let mut used = 1;
    let mut converged = largest(&gradient) <= TOLERANCE;
    while !converged && used < passes {
        let slope = descend(&steps, &gradient, &mut direction);
        // The first step has no curvature to go by: unit length.
        let mut t = if steps.is_empty() { 1.0 / dot(&gradient, &gradient).sqrt() } else { 1.0 };

        // Weak Wolfe conditions by bisection (Lewis and Overton 2013).
        let (mut low, mut high) = (0.0, f64::INFINITY);
        let accepted = loop {
            if used == passes || t == low || t == high {
                break None;
            }
            next.copy_from_slice(weights);
            add_scaled(&mut next, t, &direction);
            let there = problem.evaluate(&next, &mut next_gradient);
            used += 1;
            // False for a NaN, which so leads to a shorter step.
            let lower = there <= value + 1e-4 * t * slope;
            if !lower {
                high = t;
            } else if dot(&next_gradient, &direction) < 0.9 * slope {
                low = t;
            } else {
                break Some(there);
            }
            t = if high.is_finite() { 0.5 * (low + high) } else { 2.0 * low };
        };
        let Some(there) = accepted else { break };

        let mut step = if steps.len() == MEMORY {
            steps.remove(0)
        } else {
            Step { moved: vec![0.0; size], change: vec![0.0; size], scale: 0.0 }
        };
        for i in 0..size {
            step.moved[i] = next[i] - weights[i];
            step.change[i] = next_gradient[i] - gradient[i];
        }
        step.scale = 1.0 / dot(&step.moved, &step.change);
        if step.scale.is_finite() && step.scale > 0.0 {
            steps.push(step);
        }
        std::mem::swap(weights, &mut next);
        std::mem::swap(&mut gradient, &mut next_gradient);
        value = there;
        converged = largest(&gradient) <= TOLERANCE;
    }
    (value, converged)
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |m, v| f64::max(m, v.abs()))
}

/// Two-loop recursion: minus the approximate inverse Hessian times the gradient; the slope along it is returned.
fn descend(steps: &[Step], gradient: &[f64], direction: &mut [f64]) -> f64 {
    for (d, g) in direction.iter_mut().zip(gradient) {
        *d = -g;
    }
    let mut taken = [0.0; MEMORY];
    for (step, taken) in steps.iter().zip(&mut taken).rev() {
        *taken = step.scale * dot(&step.moved, direction);
        add_scaled(direction, -*taken, &step.change);
    }
    if let Some(last) = steps.last() {
        let scale = 1.0 / (last.scale * dot(&last.change, &last.change));
        direction.iter_mut().for_each(|d| *d *= scale);
    }
    for (step, taken) in steps.iter().zip(&taken) {
        let back = taken - step.scale * dot(&step.change, direction);
        add_scaled(direction, back, &step.moved);
    }
    dot(gradient, direction)
}

// The library's, whose bits are the same everywhere.
#[cfg(test)]
#[allow(dead_code)]
#[path = "../../../src/random.rs"]
mod random;

#[cfg(test)]
mod tests {
    use super::random::Random;
    use super::*;
    use simdrnn::text::{DatasetOptions, Tokenizer, Vocab, VocabOptions};

    const AS_IS: VocabOptions =
        VocabOptions { tokenizer: Tokenizer { lowercase: false, nfc: false }, min_count: 1, max_size: usize::MAX };

    fn read(file: &str, mode: LabelMode) -> (Dataset, Vocab) {
        let options = DatasetOptions { mode, ..DatasetOptions::default() };
        Dataset::train_from(file.as_bytes(), "t", &options, &AS_IS).unwrap()
    }

    /// Three classes; each word of a text belongs to its class with probability 0.4.
    fn topics(n: usize, seed: u64) -> String {
        let mut random = Random::new(seed, 0);
        let mut file = String::new();
        for _ in 0..n {
            let class = random.below(3);
            file.push_str(&format!("c{class}\t"));
            for _ in 0..2 + random.below(8) {
                let topic = if random.below(10) < 4 { class } else { 3 };
                file.push_str(&format!("w{topic}x{} ", random.below(20)));
            }
            file.push('\n');
        }
        file
    }

    fn problem(data: &Dataset, vocab_len: usize, l2: f64) -> Problem {
        let classes = data.labels().len();
        let counts = Counts::new(data, vocab_len).unwrap();
        Problem { counts, classes, words: vocab_len * classes, l2, scores: vec![0.0; classes] }
    }

    #[test]
    fn gradient_is_that_of_the_objective() {
        let (data, vocab) = read("a\tx x y\nb\ty z\nc\tz\na\tx z", LabelMode::Single);
        let mut p = problem(&data, vocab.len(), 0.3);
        let mut random = Random::new(1, 0);
        let mut w: Vec<f64> = (0..(vocab.len() + 1) * 3).map(|_| random.normal()).collect();
        let (mut g, mut scratch) = (vec![0.0; w.len()], vec![0.0; w.len()]);
        p.evaluate(&w, &mut g);
        let h = 1e-5;
        for i in 0..w.len() {
            let old = w[i];
            w[i] = old + h;
            let up = p.evaluate(&w, &mut scratch);
            w[i] = old - h;
            let down = p.evaluate(&w, &mut scratch);
            w[i] = old;
            assert!(((up - down) / (2.0 * h) - g[i]).abs() < 1e-9, "{i}: {} {}", (up - down) / (2.0 * h), g[i]);
        }
    }

    #[test]
    fn without_usable_words_the_shares_of_the_classes_remain() {
        let (data, vocab) = read("a\tx\na\tx\na\tx\nb\tx\nb\tx\nc\tx", LabelMode::Single);
        let m = BagOfWords::train(&data, vocab.len(), 1.0, 100).unwrap();
        let mut p = [0.0; 3];
        m.probabilities(data.tokens(0), &mut p).unwrap();
        assert!(m.converged());
        for (found, expected) in p.iter().zip([3.0 / 6.0, 2.0 / 6.0, 1.0 / 6.0]) {
            assert!((found - expected).abs() < 1e-5, "{p:?}");
        }
    }

    #[test]
    fn of_equal_classes_the_first_is_predicted() {
        let (data, vocab) = read("a\tx\nb\tx\nc\tx", LabelMode::Single);
        let m = BagOfWords::train(&data, vocab.len(), 1.0, 100).unwrap();
        let mut p = [0.0; 3];
        m.probabilities(data.tokens(0), &mut p).unwrap();
        assert!(p[0] == p[1] && p[1] == p[2], "{p:?}");
        let confusion = m.evaluate(&data).unwrap();
        assert_eq!([0, 1, 2].map(|target| confusion.count(target, 0)), [1; 3]);
    }

    #[test]
    fn reaches_the_minimum() {
        let (data, vocab) = read(&topics(2000, 1), LabelMode::Single);
        let l2 = 1e-3;
        let m = BagOfWords::train(&data, vocab.len(), l2, 500).unwrap();
        assert!(m.converged());
        let mut p = problem(&data, vocab.len(), l2);
        let mut g = vec![0.0; m.weights.len()];
        assert_eq!(p.evaluate(&m.weights, &mut g).to_bits(), m.objective().to_bits());
        assert!(largest(&g) <= TOLERANCE);
        // With C = 0.1, 1 and 10, scikit-learn's LogisticRegression(tol=1e-10) arrives at these.
        for (c, expected) in [(0.1, 0.441278465), (1.0, 0.226706988), (10.0, 0.146111219)] {
            let m = BagOfWords::train(&data, vocab.len(), 1.0 / (c * data.len() as f64), 500).unwrap();
            assert!(m.converged() && (m.objective() - expected).abs() < 2e-6, "{c}: {}", m.objective());
        }
        // Too few passes are reported, and are worse.
        let short = BagOfWords::train(&data, vocab.len(), l2, 5).unwrap();
        assert!(!short.converged() && short.objective() > m.objective());
    }

    #[test]
    fn predicts_unseen_texts() {
        let (data, vocab) = read(&topics(3000, 1), LabelMode::Single);
        let test = topics(1000, 2);
        let test = Dataset::open_from(test.as_bytes(), "t", &DatasetOptions::default(), &vocab, data.labels());
        let m = BagOfWords::train(&data, vocab.len(), 1e-3, 200).unwrap();
        // 0.92 is possible at best: a text without a word of its class is a guess.
        let accuracy = m.accuracy(&test.unwrap()).unwrap();
        assert!(accuracy > 0.85, "{accuracy}");
    }

    /// These very bits on every machine.
    #[test]
    fn fixed_bits() {
        let (data, vocab) = read(&topics(200, 3), LabelMode::Single);
        let m = BagOfWords::train(&data, vocab.len(), 0.01, 100).unwrap();
        assert_eq!(format!("{:016x}", m.objective().to_bits()), "3fdfccf55a0083ef");
    }

    #[test]
    fn what_cannot_be_trained_on() {
        let (data, vocab) = read("a\tx\nb\ty", LabelMode::Single);
        let fails = |data: &Dataset, len, l2| BagOfWords::train(data, len, l2, 10).err().unwrap().kind();
        assert_eq!(fails(&data, vocab.len() - 1, 1.0), ErrorKind::InvalidArgument);
        assert_eq!(fails(&data, vocab.len(), -1.0), ErrorKind::InvalidArgument);
        assert_eq!(fails(&data, vocab.len(), f64::NAN), ErrorKind::InvalidArgument);
        let (several, _) = read("a,b\tx\nb\ty", LabelMode::Multi);
        assert_eq!(fails(&several, vocab.len(), 1.0), ErrorKind::InvalidArgument);
        let m = BagOfWords::train(&data, vocab.len(), 1.0, 10).unwrap();
        assert!(m.accuracy(&several).is_err());
        let (other, _) = read("a\tx\nb\ty\nc\tz", LabelMode::Single);
        assert!(m.accuracy(&other).is_err());
        assert!(m.probabilities(&[2], &mut [0.0; 3]).is_err());
        // A word number from elsewhere adds nothing.
        let (mut p, mut q) = ([0.0; 2], [0.0; 2]);
        m.probabilities(&[2, 99], &mut p).unwrap();
        m.probabilities(&[2], &mut q).unwrap();
        assert_eq!(p, q);
    }
}
