//! Sparse gradients: which values an update has to visit.

use crate::buffer::AlignedBuf;
use crate::error::Result;
use std::ops::Range;

/// Gradients of rows that have none.
static ZEROS: [f32; 1024] = [0.0; 1024];

/// Where the gradients are.
#[derive(Clone, Copy)]
pub(super) enum Gradients<'a> {
    Dense(&'a [f32]),
    /// `values` holds the gradient of each of the ascending `rows`; all other rows have a zero gradient.
    Rows {
        row_len: usize,
        rows: &'a [u32],
        values: &'a [f32],
    },
}

/// Rows whose state may be other than zero, one bit a row: without gradient, the others can be left out by rules that
/// rest on zeros. So a large table costs what its used rows cost.
pub(super) struct ActiveRows {
    /// 0: not known.
    row_len: usize,
    bits: AlignedBuf<u32>,
}

impl ActiveRows {
    pub(super) fn new() -> Self {
        Self { row_len: 0, bits: AlignedBuf::new() }
    }

    /// Something else than rows was updated.
    pub(super) fn forget(&mut self) {
        self.row_len = 0;
    }

    /// Adds `rows`; before, where nothing is known about rows of this length, those with a state that is not zero.
    pub(super) fn add(
        &mut self,
        row_len: usize,
        rows: &[u32],
        count: usize,
        state: &[AlignedBuf<f32>; 3],
    ) -> Result<()> {
        if self.row_len != row_len {
            let mut bits = AlignedBuf::zeroed(count.div_ceil(32))?;
            for tensor in state.iter().filter(|t| !t.is_empty()) {
                for (row, values) in tensor.chunks_exact(row_len).enumerate() {
                    // By bits: a negative zero would change.
                    if values.iter().any(|v| v.to_bits() != 0) {
                        bits[row / 32] |= 1 << (row % 32);
                    }
                }
            }
            self.bits = bits;
            self.row_len = row_len;
        }
        for &row in rows {
            self.bits[row as usize / 32] |= 1 << (row % 32);
        }
        Ok(())
    }

    pub(super) fn bits(&self) -> &[u32] {
        &self.bits
    }
}

#[inline(always)]
fn is_set(bits: &[u32], row: usize) -> bool {
    bits.get(row / 32).is_some_and(|word| word >> (row % 32) & 1 == 1)
}

/// The first row of `row..end` whose bit is set, or `end`.
#[inline(always)]
fn next_set(bits: &[u32], row: usize, end: usize) -> usize {
    let mut word = bits.get(row / 32).map_or(0, |w| w & (u32::MAX << (row % 32)));
    let mut base = row - row % 32;
    while word == 0 {
        base += 32;
        if base >= end {
            return end;
        }
        word = bits.get(base / 32).copied().unwrap_or(0);
    }
    (base + word.trailing_zeros() as usize).min(end)
}

/// The gradients as runs of values, each with its start, ascending. Rows without a gradient are runs of zeros.
pub(super) struct Runs<'a> {
    gradients: Gradients<'a>,
    /// Of the rows without a gradient only those with a bit are visited; none: all are.
    active: Option<&'a [u32]>,
    next: usize,
    end: usize,
}

impl<'a> Runs<'a> {
    /// The runs in `range` of a tensor's values; it ends between rows.
    pub(super) fn new(gradients: Gradients<'a>, active: Option<&'a [u32]>, range: Range<usize>) -> Self {
        let gradients = match gradients {
            Gradients::Dense(g) => Gradients::Dense(&g[range.clone()]),
            Gradients::Rows { row_len, .. } if row_len == 0 => gradients,
            Gradients::Rows { row_len, rows, values } => {
                let place = |value: usize| rows.partition_point(|&row| (row as usize) < value / row_len);
                let (first, end) = (place(range.start), place(range.end));
                Gradients::Rows { row_len, rows: &rows[first..end], values: &values[first * row_len..end * row_len] }
            }
        };
        Self { gradients, active, next: range.start, end: range.end }
    }
}

impl<'a> Iterator for Runs<'a> {
    type Item = (usize, &'a [f32]);
    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        let (start, run) = match &mut self.gradients {
            Gradients::Dense(g) => (self.next, std::mem::take(g)),
            Gradients::Rows { row_len, rows, values } => {
                let row_len = *row_len;
                let gap_end = rows.first().map_or(self.end, |&row| row as usize * row_len);
                let mut end = gap_end;
                if let Some(bits) = self.active
                    && self.next < gap_end
                {
                    let gap_end_row = gap_end / row_len;
                    let mut row = self.next / row_len;
                    if !is_set(bits, row) {
                        row = next_set(bits, row, gap_end_row);
                        self.next = row * row_len;
                    }
                    while row < gap_end_row && row * row_len < self.next + ZEROS.len() && is_set(bits, row) {
                        row += 1;
                    }
                    end = row * row_len;
                }
                if self.next < end {
                    (self.next, &ZEROS[..(end - self.next).min(ZEROS.len())])
                } else {
                    (_, *rows) = rows.split_first()?;
                    let (row, rest) = values.split_at(row_len);
                    *values = rest;
                    (gap_end, row)
                }
            }
        };
        self.next = start + run.len();
        (!run.is_empty()).then_some((start, run))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn runs_visit_what_they_should_once() {
        let mut r = Random::new(1, 0);
        for case in 0..400 {
            let row_len = [1, 3, 100, 1500][case % 4];
            let count = [0, 1, 31, 32, 33, 90][case / 4 % 6];
            let chance = [0, 1, 30, 64][case / 24 % 4];
            let pick = |r: &mut Random| (0..count as u32).filter(|_| r.below(64) < chance).collect::<Vec<_>>();
            let (rows, others) = (pick(&mut r), pick(&mut r));
            let values = vec![1f32; rows.len() * row_len];
            let mut active = ActiveRows::new();
            let state =
                [AlignedBuf::zeroed(0).unwrap(), AlignedBuf::zeroed(count * row_len).unwrap(), AlignedBuf::new()];
            active.add(row_len, &others, count, &state).unwrap();
            active.add(row_len, &rows, count, &state).unwrap();
            for bits in [None, Some(active.bits()), Some(&[][..])] {
                let gradients = Gradients::Rows { row_len, rows: &rows, values: &values };
                let mut visited = vec![0.0; count * row_len];
                let mut last = 0;
                // In two parts, which together are the whole.
                let cut = count / 3 * row_len;
                let parts = [0..cut, cut..count * row_len].map(|range| Runs::new(gradients, bits, range));
                for (start, run) in parts.into_iter().flatten() {
                    assert!(start >= last && !run.is_empty());
                    last = start + run.len();
                    for (v, g) in visited[start..last].iter_mut().zip(run) {
                        *v += 10.0 + g;
                    }
                }
                for (i, &v) in visited.iter().enumerate() {
                    let row = (i / row_len) as u32;
                    let zero = match bits {
                        None => 10.0,
                        Some([]) => 0.0,
                        Some(_) => 10.0 * f32::from(u8::from(others.contains(&row))),
                    };
                    let expected = if rows.contains(&row) { 11.0 } else { zero };
                    assert_eq!(v, expected, "case {case} value {i}");
                }
            }
        }
    }

    #[test]
    fn state_that_is_not_zero_is_active() {
        let mut state = [AlignedBuf::zeroed(120).unwrap(), AlignedBuf::zeroed(120).unwrap(), AlignedBuf::new()];
        state[0][5] = 1.0;
        state[1][119] = -0.0;
        let mut active = ActiveRows::new();
        active.add(3, &[4], 40, &state).unwrap();
        assert_eq!(active.bits(), [0b10010, 1 << 7]);
        active.add(3, &[0], 40, &state).unwrap();
        assert_eq!(active.bits(), [0b10011, 1 << 7]);
        active.add(60, &[], 2, &state).unwrap();
        assert_eq!(active.bits(), [0b11]);
        state[0][5] = 0.0;
        active.forget();
        active.add(60, &[], 2, &state).unwrap();
        assert_eq!(active.bits(), [0b10]);
    }
}
