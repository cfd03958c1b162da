//! The schedule: how the work of a pass is split over a team, from sizes alone.
//!
//! Costs are counted in multiply-adds. A step's product reads its weights once whatever the number of rows, which costs
//! as much as some rows, more where the weights are far; with fewer rows for each thread it is better to split units than
//! sequences, although the members then meet at every step. `docs/threads.md` tells it at length.

use super::team::Team;
use std::ops::Range;

/// Multiply-adds below which a share of the work is not worth handing to a thread that is awake.
pub(crate) const FEWEST_PRODUCTS: usize = 1 << 17;
/// Values below which a share of copying is not.
pub(crate) const FEWEST_COPIES: usize = 1 << 14;
/// Weights that a core keeps near it: a megabyte.
pub(crate) const NEAR_VALUES: usize = 1 << 18;
/// Half rows of a step up to which reading the weights takes as long as multiplying, where they are near and where not.
const FEW_HALF_ROWS: [usize; 2] = [3, 16];
/// Multiply-adds in the time that a member needs for a value that another has computed.
const EXCHANGE: usize = 112;
/// Sequences that threads share at most: each has memory for this many.
pub(crate) const MOST_SHARED: usize = 16;
/// Multiply-adds that one activation costs as much as.
const ACTIVATION: usize = 64;
/// Multiply-adds in the time that one round of a meeting takes, the members' unevenness included.
const MEETING: usize = 1 << 15;
/// Blocks of a wavefront for each of its stages: in the first and the last waves threads idle.
const BLOCKS_PER_STAGE: usize = 8;
/// Rows of its blocks at least: as many as make a full tile, or are worth reading a layer's weights for, where these are near
/// and where not.
const FEWEST_WAVE_ROWS: [usize; 2] = [8, 48];
/// Rows of its blocks at most: as many as stay in the cache.
const MOST_WAVE_ROWS: usize = 96;
/// Multiply-adds in the time that it takes to wake a thread and to wait for its end.
const WAKING: usize = 1 << 22;

/// The work of a pass over some steps.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) gates: usize,
    pub(crate) units: usize,
    /// Features of the state and of the input.
    pub(crate) state: usize,
    pub(crate) input: usize,
    pub(crate) steps: usize,
    /// Rows of all steps.
    pub(crate) rows: usize,
    /// Rows of the step that has most.
    pub(crate) most: usize,
    /// Parts that units can be cut into.
    pub(crate) pieces: usize,
    /// Times that members who share a sequence meet in a step.
    pub(crate) meetings: usize,
    /// Values of a row that they compute for each other in a step.
    pub(crate) exchanged: usize,
}

/// How many ways sequences are split, and in each part the units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Split {
    pub(crate) sequences: usize,
    pub(crate) units: usize,
}

impl Load {
    /// The recurrent part of one row.
    fn row(&self) -> usize {
        self.gates * self.units * (self.state + ACTIVATION)
    }

    /// Rows of a step, on the average.
    fn rows_per_step(&self) -> usize {
        self.rows.div_ceil(self.steps.max(1))
    }

    /// The time of all of it on one thread.
    pub(crate) fn cost(&self) -> usize {
        let row = self.gates * self.units * self.input;
        self.time(Split::NONE) + product_cost(self.rows, row, row)
    }

    /// The input product.
    fn input_products(&self) -> usize {
        self.rows * self.gates * self.units * self.input
    }

    /// The time of the steps under `split`.
    fn time(&self, split: Split) -> usize {
        let rows = self.rows_per_step().div_ceil(split.sequences);
        let own = |all: usize| all.div_ceil(self.pieces) * self.pieces.div_ceil(split.units);
        let weights = own(self.gates * self.units * self.state);
        let share = own(product_cost(rows, weights, self.row()));
        let rounds = split.units.next_power_of_two().trailing_zeros() as usize;
        let exchange = EXCHANGE * rows * self.exchanged * (split.units - 1) / split.units;
        self.steps * (share + self.meetings * rounds * MEETING + exchange)
    }
}

impl Split {
    pub(crate) const NONE: Split = Split { sequences: 1, units: 1 };

    /// The best split over `threads`; none where shares are too small.
    pub(crate) fn choose(threads: usize, load: &Load) -> Split {
        let threads = threads.min(load.rows * load.row() / FEWEST_PRODUCTS);
        if threads < 2 {
            return Self::NONE;
        }
        let mut best = (Self::NONE, load.time(Self::NONE));
        for units in 1..=threads.min(load.pieces) {
            let sequences = (threads / units).min(load.rows_per_step()).max(1);
            if units > 1 && load.most.div_ceil(sequences) > MOST_SHARED {
                break;
            }
            let split = Split { sequences, units };
            let time = load.time(split);
            if time < best.1 {
                best = (split, time);
            }
        }
        best.0
    }

    pub(crate) fn threads(self) -> usize {
        self.sequences * self.units
    }

    /// Where part `i` begins if parts are consecutive: shares are of the `average` step's sequences, as some may end
    /// within the block, and the last one takes the rest of all.
    pub(crate) fn cut(self, i: usize, average: usize, all: usize) -> usize {
        if i == self.sequences { all } else { average * i / self.sequences }
    }
}

/// Whether both directions of a layer run at once, half of the threads each, rather than one after the other.
pub(crate) fn directions_at_once(threads: usize, load: &Load) -> bool {
    let one = |threads| load.time(Split::choose(threads, load)) + load.input_products() / threads;
    threads > 1 && one(threads / 2) <= 2 * one(threads)
}

/// A wavefront over layers: each stage has some consecutive layers, and works on a block of steps while the stage below
/// works on the next one.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Wavefront {
    pub(crate) stages: usize,
    /// Steps of a block.
    pub(crate) steps: usize,
}

impl Wavefront {
    /// The wavefront over `layers` layers of about this load, if it is better than one layer after the other.
    pub(crate) fn choose(threads: usize, layers: usize, load: &Load) -> Option<Self> {
        let stages = threads.min(layers);
        if stages < 2 || load.rows == 0 {
            return None;
        }
        let is_far = load.gates * load.units * (load.state + load.input) > NEAR_VALUES;
        if is_far && Split::choose(threads, load).units > 1 {
            // Those who share units read a part of the weights each.
            return None;
        }
        let fewest = FEWEST_WAVE_ROWS[usize::from(is_far)];
        let rows = (load.rows / (BLOCKS_PER_STAGE * stages)).clamp(fewest, MOST_WAVE_ROWS);
        let steps = rows.div_ceil(load.rows_per_step());
        let blocks = load.steps.div_ceil(steps);
        let time = |threads| load.time(Split::choose(threads, load)) + load.input_products() / threads;
        let waves = layers.div_ceil(stages) * (time(threads / stages) / blocks) * (blocks + stages - 1);
        (waves < layers * time(threads)).then_some(Self { stages, steps })
    }

    /// Blocks of the steps `all`.
    pub(crate) fn blocks(self, all: &Range<usize>) -> usize {
        all.len().div_ceil(self.steps)
    }

    /// The steps of block `k`, counted from the end of `all` if time is `reverse`.
    pub(crate) fn block(self, all: &Range<usize>, reverse: bool, k: usize) -> Range<usize> {
        let (near, far) = (k * self.steps, all.len().min((k + 1) * self.steps));
        if reverse { all.end - far..all.end - near } else { all.start + near..all.start + far }
    }

    /// Runs `blocks` blocks through the layers: `work` gets the stage, its layers, the number of the block, and the threads of
    /// the stage. Layers count from the one that comes first. All meet after a wave, so of a block a stage finds all that
    /// those before it have done. In a forked child, whose team is smaller than the pool, stages take turns.
    pub(crate) fn run(
        self,
        team: Team<'_>,
        layers: usize,
        blocks: usize,
        work: &(impl Fn(usize, Range<usize>, usize, Team<'_>) + Sync),
    ) {
        let stages = self.stages;
        for wave in 0..blocks + stages - 1 {
            let part = |stage: usize, team: Team<'_>| {
                if (stage..stage + blocks).contains(&wave) {
                    work(stage, layers * stage / stages..layers * (stage + 1) / stages, wave - stage, team);
                }
            };
            if team.threads() < stages {
                (0..stages).for_each(|stage| part(stage, Team::one()));
            } else {
                team.run(stages, &part);
            }
        }
    }
}

/// What a product of `rows` rows costs, `row` multiply-adds each, where a thread reads so many weights for it.
pub(crate) fn product_cost(rows: usize, weights: usize, row: usize) -> usize {
    let fewest = FEW_HALF_ROWS[usize::from(weights > NEAR_VALUES)];
    if rows == 0 { 0 } else { (2 * rows).max(fewest) * row / 2 }
}

/// Whether work of this cost is enough for more than one thread.
pub(crate) fn is_worth_waking(cost: usize) -> bool {
    cost >= WAKING
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(gates: usize, units: usize, batch: usize, steps: usize) -> Load {
        let (rows, pieces) = (batch * steps, units.div_ceil(32));
        Load {
            gates,
            units,
            state: units,
            input: units,
            steps,
            rows,
            most: batch,
            pieces,
            meetings: 1,
            exchanged: units,
        }
    }

    fn split(threads: usize, load: Load) -> (usize, usize) {
        let split = Split::choose(threads, &load);
        assert!(split.threads() <= threads && split.units <= load.pieces);
        (split.sequences, split.units)
    }

    #[test]
    fn sequences_first_then_units() {
        assert_eq!(split(2, load(4, 256, 64, 50)), (2, 1));
        assert_eq!(split(2, load(4, 256, 8, 50)), (2, 1));
        assert_eq!(split(2, load(4, 256, 1, 50)), (1, 2));
        assert_eq!(split(8, load(4, 512, 1, 50)), (1, 8));
        assert_eq!(split(8, load(4, 512, 64, 50)), (8, 1));
        // Few rows, unless the weights of a share are near enough.
        assert_eq!(split(2, load(4, 128, 4, 50)), (2, 1));
        assert_eq!(split(2, load(4, 512, 4, 50)), (1, 2));
        assert_eq!(split(8, load(4, 512, 16, 50)), (2, 4));
        // A single panel cannot be shared, nor is little work.
        assert_eq!(split(8, load(4, 32, 1, 500)), (1, 1));
        assert_eq!(split(8, load(4, 16, 2, 2)), (1, 1));
        assert_eq!(split(1, load(4, 512, 16, 50)), (1, 1));
    }

    #[test]
    fn parts_follow_each_other() {
        for (sequences, average, all) in [(1, 3, 7), (2, 16, 33), (3, 8, 8), (5, 3, 19)] {
            let split = Split { sequences, units: 1 };
            let cuts: Vec<usize> = (0..=sequences).map(|i| split.cut(i, average, all)).collect();
            assert!(cuts.is_sorted() && cuts[0] == 0 && cuts[sequences] == all, "{cuts:?}");
            let even = cuts[..sequences].windows(2).all(|w| (w[1] - w[0]).abs_diff(average / sequences) <= 1);
            assert!(even, "{cuts:?}");
        }
    }

    #[test]
    fn far_weights_are_worth_waking_for() {
        let step = |units| is_worth_waking(load(4, units, 1, 1).cost());
        assert!(step(512) && !step(256) && is_worth_waking(load(4, 256, 1, 20).cost()));
    }

    #[test]
    fn blocks_of_a_wavefront_are_all_steps_in_order() {
        for (all, steps) in [(0..10, 3), (4..16, 4), (7..8, 5), (3..3, 2)] {
            let wavefront = Wavefront { stages: 2, steps };
            let all = &all;
            let blocks = |reverse| (0..wavefront.blocks(all)).map(move |k| wavefront.block(all, reverse, k));
            assert_eq!(blocks(false).flatten().collect::<Vec<_>>(), all.clone().collect::<Vec<_>>());
            let back = blocks(true).flat_map(|block| block.rev());
            assert_eq!(back.collect::<Vec<_>>(), all.clone().rev().collect::<Vec<_>>());
            assert!(blocks(true).all(|block| (1..=steps).contains(&block.len())));
        }
    }

    #[test]
    fn directions_and_layers() {
        assert!(directions_at_once(2, &load(4, 256, 16, 50)) && directions_at_once(4, &load(4, 64, 1, 50)));
        assert!(!directions_at_once(1, &load(4, 256, 16, 50)) && !directions_at_once(3, &load(4, 256, 64, 50)));
        let stages = |threads, layers, load| Wavefront::choose(threads, layers, &load).map(|w| w.stages);
        assert_eq!(stages(2, 4, load(4, 64, 1, 100)), Some(2));
        assert_eq!(stages(4, 3, load(4, 64, 1, 1000)), Some(3));
        assert_eq!(stages(2, 4, load(4, 256, 64, 50)), None);
        // Far weights, of which those who share units read a part each; or units that cannot be shared.
        assert_eq!(stages(2, 4, load(4, 256, 1, 100)), None);
        assert_eq!(stages(2, 4, Load { pieces: 1, ..load(4, 256, 1, 400) }), Some(2));
        assert_eq!(stages(2, 1, load(4, 64, 1, 100)), None);
        assert_eq!(stages(1, 4, load(4, 64, 1, 100)), None);
    }
}
