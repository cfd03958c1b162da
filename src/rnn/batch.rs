//! A batch of sequences, and the order in which its time steps are worked on.
//!
//! Inside, sequences are sorted by length, longest first, and the rows (step, sequence) of all steps are packed one
//! after another: at step t the sequences still running are a prefix, so time follows the sum of the lengths.

use super::config::RnnConfig;
use crate::buffer::AlignedBuf;
use crate::error::{Result, ensure, product};
use std::cmp::Reverse;
use std::ops::Range;

/// The extents of a batch: `batch_size` sequences in buffers of `seq_len` steps each.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Number of sequences; may be 0.
    pub batch_size: usize,
    /// Time steps that the buffers have room for; may be 0.
    pub seq_len: usize,
    /// The length of each sequence, in any order, 0 to `seq_len`; `None` if all are `seq_len` long.
    pub lengths: Option<&'a [usize]>,
    /// Whether arrays with a row for every step hold only steps that are there: all of the first sequence, then all of the
    /// second, and so on, whatever `batch_first` is. So one long sequence takes no room beside short ones.
    pub packed: bool,
}

impl Batch<'_> {
    /// Rows that arrays have for steps.
    pub(crate) fn rows(&self) -> Result<usize> {
        let all = product("batch_size times seq_len", &[self.batch_size, self.seq_len])?;
        // No sum of lengths that are no longer than `seq_len` overflows then; others are refused with the plan.
        let sum = |lengths: &[usize]| lengths.iter().fold(0usize, |sum, &length| sum.saturating_add(length));
        Ok(self.lengths.filter(|_| self.packed).map_or(all, sum))
    }

    /// Sequences that are all `seq_len` long.
    pub fn new(batch_size: usize, seq_len: usize) -> Self {
        Self { batch_size, seq_len, lengths: None, packed: false }
    }

    fn check(&self) -> Result<()> {
        let Batch { batch_size, seq_len, lengths, .. } = *self;
        product("batch_size times seq_len", &[batch_size, seq_len])?;
        let Some(lengths) = lengths else { return Ok(()) };
        ensure!(
            lengths.len() == batch_size,
            ShapeMismatch,
            "lengths has {} entries, expected one for each of {batch_size} sequences",
            lengths.len()
        );
        for (i, &length) in lengths.iter().enumerate() {
            ensure!(length <= seq_len, InvalidArgument, "lengths[{i}] is {length}, expected at most seq_len {seq_len}");
        }
        Ok(())
    }
}

/// The packed order of a batch's rows.
pub(crate) struct Plan {
    /// Sequences planned.
    pub(crate) batch: usize,
    /// Sequences in the user's arrays: more, where a thread's plan has a part of them.
    pub(crate) in_arrays: usize,
    pub(crate) seq_len: usize,
    /// Steps of the longest sequence.
    pub(crate) steps: usize,
    /// Rows of all steps: the sum of the lengths.
    pub(crate) rows: usize,
    /// The sequence, of the user's arrays, at each sorted place.
    pub(crate) order: AlignedBuf<usize>,
    /// Lengths in sorted order.
    pub(crate) lengths: AlignedBuf<usize>,
    /// The first row of each step and the end; only where lengths differ.
    starts: AlignedBuf<usize>,
    uniform: bool,
    /// The first row of each sequence of the user's arrays, and the end, where these hold the sequences one after another.
    packed: AlignedBuf<usize>,
}

impl Default for Plan {
    fn default() -> Self {
        Self::new()
    }
}

impl Plan {
    pub(crate) const fn new() -> Self {
        Self {
            batch: 0,
            in_arrays: 0,
            seq_len: 0,
            steps: 0,
            rows: 0,
            order: AlignedBuf::new(),
            lengths: AlignedBuf::new(),
            starts: AlignedBuf::new(),
            uniform: true,
            packed: AlignedBuf::new(),
        }
    }

    /// Checks `batch` and plans it. After an error the plan is not usable.
    pub(crate) fn set(&mut self, batch: &Batch<'_>) -> Result<()> {
        batch.check()?;
        let Batch { batch_size, seq_len, lengths, packed } = *batch;
        (self.batch, self.in_arrays, self.seq_len) = (batch_size, batch_size, seq_len);
        self.order.resize(batch_size)?;
        self.lengths.resize(batch_size)?;
        self.order.iter_mut().enumerate().for_each(|(i, o)| *o = i);
        self.packed.resize(if packed { batch_size + 1 } else { 0 })?;
        if packed {
            self.packed[0] = 0;
            for i in 0..batch_size {
                self.packed[i + 1] = self.packed[i] + lengths.map_or(seq_len, |l| l[i]);
            }
        }
        if let Some(lengths) = lengths {
            // Ties keep their order; an unstable sort needs no memory.
            self.order.sort_unstable_by_key(|&i| (Reverse(lengths[i]), i));
        }
        for (sorted, &i) in self.lengths.iter_mut().zip(self.order.iter()) {
            *sorted = lengths.map_or(seq_len, |l| l[i]);
        }
        self.set_rows()
    }

    /// Becomes `other` once `then` has succeeded; else nothing changes.
    pub(crate) fn become_after(&mut self, other: &Plan, then: impl FnOnce() -> Result<()>) -> Result<()> {
        let order = self.order.grown(other.order.len())?;
        let lengths = self.lengths.grown(other.lengths.len())?;
        let starts = self.starts.grown(other.starts.len())?;
        let packed = self.packed.grown(other.packed.len())?;
        then()?;
        let Plan { batch, in_arrays, seq_len, steps, rows, uniform, .. } = *other;
        (self.batch, self.in_arrays, self.seq_len, self.steps) = (batch, in_arrays, seq_len, steps);
        (self.rows, self.uniform) = (rows, uniform);
        for (own, grown, other) in [
            (&mut self.order, order, &other.order),
            (&mut self.lengths, lengths, &other.lengths),
            (&mut self.starts, starts, &other.starts),
            (&mut self.packed, packed, &other.packed),
        ] {
            own.adopt(grown, other.len());
            own.copy_from_slice(other);
        }
        Ok(())
    }

    /// Plans every `stride`-th of the sorted sequences of `whole` from `first` on: parts have as many running sequences at
    /// every step, give or take one. After an error the plan is not usable.
    pub(crate) fn set_part(&mut self, whole: &Plan, first: usize, stride: usize) -> Result<()> {
        let batch_size = whole.batch.saturating_sub(first).div_ceil(stride);
        ensure!(batch_size > 0, InvalidArgument, "part {first} of {stride} of {} sequences is empty", whole.batch);
        (self.batch, self.in_arrays, self.seq_len) = (batch_size, whole.in_arrays, whole.seq_len);
        self.order.resize(batch_size)?;
        self.lengths.resize(batch_size)?;
        for i in 0..batch_size {
            self.order[i] = whole.order[first + i * stride];
            self.lengths[i] = whole.lengths[first + i * stride];
        }
        self.packed.resize(whole.packed.len())?;
        self.packed.copy_from_slice(&whole.packed);
        self.set_rows()
    }

    /// Numbers the rows of the sequences in `lengths`.
    fn set_rows(&mut self) -> Result<()> {
        let batch_size = self.batch;
        self.steps = self.lengths.first().copied().unwrap_or(0);
        self.rows = self.lengths.iter().sum();
        self.uniform = self.lengths.last().is_none_or(|&shortest| shortest == self.steps);
        if !self.uniform {
            self.starts.resize(self.steps + 1)?;
            let (mut row, mut active) = (0, batch_size);
            for t in 0..self.steps {
                while self.lengths[active - 1] <= t {
                    active -= 1;
                }
                self.starts[t] = row;
                row += active;
            }
            self.starts[self.steps] = row;
        }
        Ok(())
    }

    pub(crate) fn bytes(&self) -> usize {
        self.order.bytes() + self.lengths.bytes() + self.starts.bytes() + self.packed.bytes()
    }

    /// The first row of step `t`.
    #[inline]
    pub(crate) fn start(&self, t: usize) -> usize {
        if self.uniform { t * self.batch } else { self.starts[t] }
    }

    /// Sequences that are running at step `t`.
    #[inline]
    pub(crate) fn count(&self, t: usize) -> usize {
        if self.uniform { self.batch } else { self.starts[t + 1] - self.starts[t] }
    }

    /// Rows of some steps.
    pub(crate) fn rows_of(&self, block: &Range<usize>) -> usize {
        self.start(block.end) - self.start(block.start)
    }

    /// Whether rows lie in memory as a time-major buffer has them.
    pub(crate) fn is_dense(&self) -> bool {
        self.uniform && self.batch == self.in_arrays && self.packed.is_empty()
    }

    /// Rows that the user's arrays have for steps.
    pub(crate) fn user_rows(&self) -> usize {
        self.packed.last().copied().unwrap_or(self.seq_len * self.in_arrays)
    }

    /// Where row (t, sorted place j) starts in a user's buffer of `features` per step.
    #[inline]
    pub(crate) fn user_offset(&self, config: &RnnConfig, t: usize, j: usize, features: usize) -> usize {
        let b = self.order[j];
        let row = match self.packed.get(b) {
            Some(first) => first + t,
            None if config.batch_first => b * self.seq_len + t,
            None => t * self.in_arrays + b,
        };
        row * features
    }

    /// The end of a block of steps from `t` on that has at least `rows` rows, if there are as many.
    pub(crate) fn block_end(&self, t: usize, rows: usize) -> usize {
        let mut end = t + 1;
        while end < self.steps && self.start(end) - self.start(t) < rows {
            end += 1;
        }
        end
    }

    /// The start of a block of steps up to `end` that has at least `rows` rows, if there are as many.
    pub(crate) fn block_start(&self, end: usize, rows: usize) -> usize {
        let mut t = end - 1;
        while t > 0 && self.start(end) - self.start(t) < rows {
            t -= 1;
        }
        t
    }

    /// Calls `f(t, sorted place)` for every step past a sequence's end.
    pub(crate) fn for_each_padding(&self, mut f: impl FnMut(usize, usize)) {
        if !self.packed.is_empty() {
            return;
        }
        for (j, &length) in self.lengths.iter().enumerate() {
            for t in length..self.seq_len {
                f(t, j);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_follow_the_sum_of_the_lengths() {
        let lengths = [2, 0, 5, 2, 1];
        let mut plan = Plan::new();
        plan.set(&Batch { batch_size: 5, seq_len: 6, lengths: Some(&lengths), packed: false }).unwrap();
        assert_eq!(&*plan.order, &[2, 0, 3, 4, 1]);
        assert_eq!((plan.steps, plan.rows), (5, 10));
        let counts: Vec<_> = (0..5).map(|t| (plan.start(t), plan.count(t))).collect();
        assert_eq!(counts, [(0, 4), (4, 3), (7, 1), (8, 1), (9, 1)]);
        assert_eq!((plan.block_end(0, 5), plan.block_start(5, 3)), (2, 2));
        let mut padding = 0;
        plan.for_each_padding(|t, j| {
            assert!(t >= plan.lengths[j]);
            padding += 1;
        });
        assert_eq!(padding, 5 * 6 - 10);
    }

    #[test]
    fn parts_take_turns_at_the_sorted_sequences() {
        let lengths = [2, 0, 5, 2, 1];
        let (mut plan, mut part) = (Plan::new(), Plan::new());
        plan.set(&Batch { batch_size: 5, seq_len: 6, lengths: Some(&lengths), packed: false }).unwrap();
        part.set_part(&plan, 1, 2).unwrap();
        assert_eq!((&*part.order, &*part.lengths), (&[0, 4][..], &[2, 1][..]));
        assert_eq!((part.batch, part.in_arrays, part.steps, part.rows), (2, 5, 2, 3));
        assert!(!part.is_dense() && part.set_part(&plan, 5, 6).is_err());
        // In time-major arrays of all five sequences.
        let config = RnnConfig::new(crate::cell::Cell::Lstm, 3, 4);
        assert_eq!(part.user_offset(&config, 1, 0, 3), 5 * 3);
    }

    #[test]
    fn bad_batches_are_refused() {
        let mut plan = Plan::new();
        assert!(plan.set(&Batch::new(usize::MAX, 3)).is_err());
        assert!(plan.set(&Batch { batch_size: 2, seq_len: 3, lengths: Some(&[1]), packed: false }).is_err());
        assert!(plan.set(&Batch { batch_size: 2, seq_len: 3, lengths: Some(&[1, 4]), packed: false }).is_err());
        for empty in
            [Batch::new(2, 0), Batch::new(0, 3), Batch { lengths: Some(&[]), packed: true, ..Batch::new(0, 3) }]
        {
            plan.set(&empty).unwrap();
            assert_eq!((plan.steps, plan.rows), (0, 0));
        }
    }
}
