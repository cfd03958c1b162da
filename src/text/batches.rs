//! Batches of examples of similar length, in an order that a seed decides.

use crate::buffer::try_with_capacity;
use crate::error::{Result, ensure};
use crate::random::Random;

/// Batches whose examples are sorted together: enough that lengths within a batch are close, few enough that a batch's
/// mates change from epoch to epoch.
const CHUNK: usize = 64;

/// Keeps this use of a seed apart from others of the same seed.
const STREAM: u64 = 0x6261_7463_6865_7300;

/// Where a run over shuffled batches stands: what [`Batches::shuffled`] needs to make them again, and the next to come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrainingPosition {
    /// Examples in a batch.
    pub batch_size: u64,
    /// Decides the order.
    pub seed: u64,
    /// The epoch, from 0.
    pub epoch: u32,
    /// The batch of this epoch that comes next, in the order of visit, from 0; their number once the epoch is done.
    pub batch: u64,
}

/// One epoch's batches: every example's index exactly once.
#[derive(Clone, Debug)]
pub struct Batches {
    order: Vec<u32>,
    /// Where each batch starts in `order`, in the order of visit.
    starts: Vec<usize>,
    batch_size: usize,
}

impl Batches {
    /// Batches for training: shuffled, sorted by length within chunks of 64 batches, cut, and the batches shuffled. The
    /// same on every machine for the same lengths, size, seed and epoch. Only one batch is smaller than `batch_size`, and
    /// only if it does not divide the number of examples. `lengths[i]` is the number of tokens of example `i`.
    ///
    /// # Errors
    /// `InvalidArgument` if `batch_size` is 0; `SizeOverflow` for more than 2^32 - 1 examples; `OutOfMemory`.
    pub fn shuffled(
        lengths: impl ExactSizeIterator<Item = usize>,
        batch_size: usize,
        seed: u64,
        epoch: u32,
    ) -> Result<Self> {
        let mut keys = keys(lengths, batch_size)?;
        let mut random = Random::new(seed, STREAM ^ u64::from(epoch) << 32);
        random.shuffle(&mut keys);
        for chunk in keys.chunks_mut(batch_size.saturating_mul(CHUNK)) {
            // The place breaks ties, so that equally long examples stay shuffled whatever the sort does.
            sort(chunk)?;
        }
        let mut batches = Self::cut(&keys, batch_size)?;
        random.shuffle(&mut batches.starts);
        Ok(batches)
    }

    /// Batches for evaluation: all examples from the shortest to the longest, equally long ones as they come.
    ///
    /// # Errors
    /// As [`Batches::shuffled`].
    pub fn sorted(lengths: impl ExactSizeIterator<Item = usize>, batch_size: usize) -> Result<Self> {
        let mut keys = keys(lengths, batch_size)?;
        sort(&mut keys)?;
        Self::cut(&keys, batch_size)
    }

    fn cut(keys: &[(usize, u32)], batch_size: usize) -> Result<Self> {
        let mut order = try_with_capacity(keys.len())?;
        order.extend(keys.iter().map(|&(_, example)| example));
        let mut starts = try_with_capacity(keys.len().div_ceil(batch_size))?;
        starts.extend((0..keys.len()).step_by(batch_size));
        Ok(Self { order, starts, batch_size })
    }

    /// Batches.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether there are none: there were no examples.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// The batches in the order of visit, each as indices of examples, short texts first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u32]> {
        self.starts.iter().map(|&s| &self.order[s..self.order.len().min(s.saturating_add(self.batch_size))])
    }
}

/// Length and index of every example.
fn keys(lengths: impl ExactSizeIterator<Item = usize>, batch_size: usize) -> Result<Vec<(usize, u32)>> {
    ensure!(batch_size > 0, InvalidArgument, "batch_size is 0, expected at least 1");
    let n = lengths.len();
    ensure!(u32::try_from(n).is_ok(), SizeOverflow, "{n} examples, expected at most {}", u32::MAX);
    let mut keys = try_with_capacity(n)?;
    keys.extend(lengths.zip(0..));
    Ok(keys)
}

/// Sorts by length, equal lengths in their present order.
fn sort(keys: &mut [(usize, u32)]) -> Result<()> {
    let mut placed: Vec<(usize, u32, u32)> = try_with_capacity(keys.len())?;
    placed.extend(keys.iter().zip(0..).map(|(&(length, example), place)| (length, place, example)));
    placed.sort_unstable();
    for (key, (length, _, example)) in keys.iter_mut().zip(placed) {
        *key = (length, example);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn lengths(n: usize) -> Vec<usize> {
        let mut random = Random::new(5, 0);
        (0..n).map(|_| 1 + random.below(100) as usize).collect()
    }

    fn collected(b: &Batches) -> Vec<Vec<u32>> {
        b.iter().map(<[u32]>::to_vec).collect()
    }

    #[test]
    fn every_example_once() {
        for (n, size) in [(0, 4), (1, 4), (4, 4), (5, 4), (10_000, 32), (10_001, 32), (100, 1), (7, usize::MAX)] {
            let l = lengths(n);
            for b in [
                Batches::shuffled(l.iter().copied(), size, 1, 0).unwrap(),
                Batches::sorted(l.iter().copied(), size).unwrap(),
            ] {
                assert_eq!((b.len(), b.is_empty()), (n.div_ceil(size), n == 0));
                assert!(b.iter().filter(|x| x.len() < size).count() <= 1);
                let mut all = collected(&b).concat();
                all.sort_unstable();
                assert!(all.into_iter().eq(0..n as u32));
                assert!(b.iter().all(|x| x.is_sorted_by_key(|&i| l[i as usize])));
            }
        }
    }

    #[test]
    fn lengths_within_a_batch_are_close() {
        let l = lengths(64 * 32 * 5);
        let b = Batches::shuffled(l.iter().copied(), 32, 1, 0).unwrap();
        let padded: usize = b.iter().map(|x| x.len() * x.iter().map(|&i| l[i as usize]).max().unwrap()).sum();
        let real: usize = l.iter().sum();
        // Random batches of this kind would waste nine tenths.
        assert!(padded as f64 / (real as f64) < 1.05, "{padded} {real}");
    }

    #[test]
    fn seed_and_epoch_decide() {
        let l = lengths(1000);
        let make = |seed, epoch| collected(&Batches::shuffled(l.iter().copied(), 16, seed, epoch).unwrap());
        assert_eq!(make(1, 0), make(1, 0));
        assert_ne!(make(1, 0), make(1, 1));
        assert_ne!(make(1, 0), make(2, 0));
        // Not only the batches' order: their members change too.
        let sets = |b: Vec<Vec<u32>>| {
            b.into_iter()
                .map(|mut x| {
                    x.sort_unstable();
                    x
                })
                .collect::<Vec<_>>()
        };
        let (one, two) = (sets(make(1, 0)), sets(make(1, 1)));
        assert!(one.iter().filter(|x| two.contains(x)).count() < 4);
        // Short texts do not come first.
        let firsts: Vec<usize> = make(1, 0).iter().map(|x| l[x[0] as usize]).collect();
        assert!(!firsts.is_sorted());
    }

    /// These very numbers on every machine and in every version.
    #[test]
    fn fixed_order() {
        let b = Batches::shuffled([3, 1, 2, 3, 1, 2, 3, 1, 2, 9].into_iter(), 3, 42, 7).unwrap();
        assert_eq!(collected(&b), [vec![4, 1, 7], vec![9], vec![5, 8, 2], vec![0, 3, 6]]);
    }

    #[test]
    fn sizes_are_checked() {
        assert_eq!(Batches::sorted([1].into_iter(), 0).unwrap_err().kind(), ErrorKind::InvalidArgument);
        assert_eq!(Batches::shuffled([1].into_iter(), 0, 1, 1).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
}
