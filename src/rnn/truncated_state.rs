//! Saving truncated backpropagation and going on from what was saved, bit for bit, on any instruction set.
//!
//! Bytes: `MAGIC`; then u64s, little-endian: the numbers of `shape`, the steps done, whether the newest chunk's errors are
//! due, the chunks in the window, and for each, oldest first, its steps and its dropout's seed and first step; then f32s,
//! little-endian: the carried states, and of each chunk, layer by layer, its input, the hidden and cell states before the
//! chunk and after each step, and the pre-activations.

use super::batch::{Batch, Plan};
use super::config::RnnConfig;
use super::dropout::DropoutPosition;
use super::history::{History, Kept, Strides};
use super::tape::{Recorded, Tape};
use super::truncated::TruncatedBptt;
use crate::buffer::{AlignedBuf, try_vec, try_with_capacity};
use crate::error::{Result, check_len, ensure, err};
use crate::kernel::panel::{Geometry, slot_vector};
use crate::simd::Isa;
use std::ops::Range;

const MAGIC: &[u8; 8] = b"srnnbptt";

/// What has to be the same in both places, by name.
const SHAPE: [&str; 12] = [
    "cell",
    "input_size",
    "hidden_size",
    "num_layers",
    "proj_size",
    "bias",
    "batch_first",
    "dropout",
    "flush_small_states",
    "batch_size",
    "k1",
    "k2",
];

/// The numbers before those of chunks: the shape, the steps done, whether errors are due, the chunks.
const HEAD: usize = SHAPE.len() + 3;
/// Numbers of a chunk.
const CHUNK: usize = 3;

impl TruncatedBptt {
    fn shape(&self) -> [u64; SHAPE.len()] {
        let c = &self.config;
        let sizes = [c.cell as usize, c.input_size, c.hidden_size, c.num_layers, c.proj_size];
        let [cell, input, hidden, layers, proj] = sizes.map(|n| n as u64);
        let [batch, k1, k2] = [self.batch_size, self.k1, self.k1 * self.window].map(|n| n as u64);
        let flags = [c.bias, c.batch_first, c.flush_small_states].map(u64::from);
        let dropout = c.dropout.to_bits().into();
        [cell, input, hidden, layers, proj, flags[0], flags[1], dropout, flags[2], batch, k1, k2]
    }

    /// Steps of the chunks in the window, oldest first.
    fn chunks(&self) -> impl Iterator<Item = &Tape> {
        (0..self.recorded).rev().map(|back| self.chunk(back))
    }

    /// Bytes of what [`TruncatedBptt::save`] gives now.
    pub fn saved_len(&self) -> usize {
        let steps = self.chunks().map(|tape| tape.plan.steps as u128);
        let values = (self.h[0].len() + self.c[0].len()) as u128 + values(&self.config, self.batch_size, steps);
        // What is in memory fits.
        (MAGIC.len() + 8 * (HEAD + CHUNK * self.recorded)) + 4 * values as usize
    }

    /// All that later calls depend on: carried states, dropout's place and the chunks of the last `k2` steps. Where no chunk
    /// is needed any more, [`TruncatedBptt::set_state`] does with less.
    pub fn save(&self) -> Result<Vec<u8>> {
        let mut bytes = try_vec(self.saved_len(), 0)?;
        self.save_to(&mut bytes)?;
        Ok(bytes)
    }

    /// [`TruncatedBptt::save`] into memory of the caller, of [`TruncatedBptt::saved_len`] bytes.
    pub fn save_to(&self, bytes: &mut [u8]) -> Result<()> {
        check_len("bytes", bytes.len(), self.saved_len())?;
        let mut at = 0;
        let mut put = |part: &[u8]| {
            bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        };
        put(MAGIC);
        let counts = [u64::from(self.steps_done), u64::from(self.pending), self.recorded as u64];
        self.shape().into_iter().chain(counts).for_each(|n| put(&n.to_le_bytes()));
        for tape in self.chunks() {
            let dropout = tape.recorded.as_ref().map_or(DropoutPosition::default(), |recorded| recorded.dropout);
            let numbers = [tape.plan.steps as u64, dropout.seed, dropout.first_step.into()];
            numbers.into_iter().for_each(|n| put(&n.to_le_bytes()));
        }
        self.h[0].iter().chain(self.c[0].iter()).for_each(|v| put(&v.to_le_bytes()));
        for tape in self.chunks() {
            for_each_run(&self.config, self.isa, self.batch_size, tape.plan.steps, |layer, which, run| {
                let buffer = match which {
                    Which::Input => &tape.inputs[layer],
                    Which::Hidden => &tape.histories[layer].h,
                    Which::Cell => &tape.histories[layer].c,
                    Which::Pre => &tape.histories[layer].pre,
                };
                buffer[run].iter().for_each(|v| put(&v.to_le_bytes()));
            });
        }
        Ok(())
    }

    /// Becomes what was saved: later calls give the bits that they would have given there. Both are for the same
    /// configuration, batch size, `k1` and `k2`; instruction sets may differ.
    ///
    /// Errors, with nothing changed: `InvalidData` for bytes that `save` has not written, `ShapeMismatch` for those of
    /// another configuration, `OutOfMemory`.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<()> {
        let bad = || {
            err!(InvalidData, "these {} bytes are no saved truncated backpropagation, or a part of one", bytes.len())
        };
        let (magic, rest) = bytes.split_first_chunk::<8>().ok_or_else(bad)?;
        ensure!(magic == MAGIC, InvalidData, "the bytes begin with {magic:?}, expected {MAGIC:?}");
        let (words, _) = rest.as_chunks::<8>();
        let word = |i: usize| words.get(i).map(|&word| u64::from_le_bytes(word)).ok_or_else(bad);
        for (i, (name, expected)) in SHAPE.iter().zip(self.shape()).enumerate() {
            let found = word(i)?;
            ensure!(found == expected, ShapeMismatch, "{name} is {found} in what was saved, expected {expected}");
        }
        let [steps_done, pending, recorded] = [word(HEAD - 3)?, word(HEAD - 2)?, word(HEAD - 1)?];
        let is_sound = steps_done <= u32::MAX.into()
            && recorded <= (self.window.min(words.len())) as u64
            && pending <= u64::from(recorded > 0);
        ensure!(
            is_sound,
            InvalidData,
            "the counts {steps_done}, {pending} and {recorded} are no truncated backpropagation's"
        );
        let recorded = recorded as usize;
        let mut chunks = try_with_capacity(recorded)?;
        for numbers in (HEAD..).step_by(CHUNK).take(recorded) {
            let [steps, seed, first_step] = [word(numbers)?, word(numbers + 1)?, word(numbers + 2)?];
            let is_sound = (1..=self.k1 as u64).contains(&steps) && first_step <= u32::MAX.into();
            ensure!(is_sound, InvalidData, "a chunk has {steps} steps from {first_step} on, expected 1 to {}", self.k1);
            let position = DropoutPosition { seed, first_step: first_step as u32, ..DropoutPosition::default() };
            chunks.push((steps as usize, position));
        }
        // The bytes are there before memory is taken for them.
        let counts = chunks.iter().map(|chunk| chunk.0 as u128);
        let states = self.h[0].len() + self.c[0].len();
        let expected = 4 * (states as u128 + values(&self.config, self.batch_size, counts));
        let floats = rest.get(8 * (HEAD + CHUNK * recorded)..).ok_or_else(bad)?;
        let found = floats.len();
        ensure!(found as u128 == expected, InvalidData, "{found} bytes of values were saved, expected {expected}");
        let (floats, _) = floats.as_chunks::<4>();
        let mut values = floats.iter().map(|&bytes| f32::from_le_bytes(bytes));
        let mut take = |to: &mut [f32]| to.iter_mut().zip(&mut values).for_each(|(to, value)| *to = value);

        let mut h = AlignedBuf::zeroed(self.h[0].len())?;
        let mut c = AlignedBuf::zeroed(self.c[0].len())?;
        take(&mut h);
        take(&mut c);
        let mut tapes = try_with_capacity(recorded)?;
        for (steps, position) in chunks {
            tapes.push(self.restored_chunk(steps, position, &mut take)?);
        }
        (self.h[0], self.c[0], self.tapes) = (h, c, tapes);
        (self.steps_done, self.pending) = (steps_done as u32, pending == 1);
        (self.next, self.recorded) = (recorded % self.window, recorded);
        Ok(())
    }

    /// A tape as the forward left it, with what `take` gives.
    fn restored_chunk(&self, steps: usize, dropout: DropoutPosition, take: &mut dyn FnMut(&mut [f32])) -> Result<Tape> {
        let (config, isa) = (&self.config, self.isa);
        let (mut tape, mut plan) = (Tape::new(), Plan::new());
        plan.set(&Batch::new(self.batch_size, steps))?;
        tape.reserve(config, isa, &plan)?;
        for_each_run(config, isa, self.batch_size, steps, |layer, which, run| {
            let History { pre, h, c, .. } = &mut tape.histories[layer];
            take(match which {
                Which::Input => &mut tape.inputs[layer][run],
                Which::Hidden => &mut h[run],
                Which::Cell => &mut c[run],
                Which::Pre => &mut pre[run],
            });
        });
        for history in &mut tape.histories {
            history.kept = Kept { base: 0, steps: 0..steps };
        }
        // Older chunks are walked with any weights.
        tape.recorded = Some(Recorded { config: config.clone(), isa, version: 0, dropout });
        Ok(tape)
    }
}

/// A buffer of a layer on a tape.
enum Which {
    Input,
    Hidden,
    Cell,
    Pre,
}

/// Calls `f` with every run of a chunk's values, in an order that no instruction set changes: rows are padded, and slots of
/// pre-activations interleaved, as vectors are long.
fn for_each_run(
    config: &RnnConfig,
    isa: Isa,
    batch: usize,
    steps: usize,
    mut f: impl FnMut(usize, Which, Range<usize>),
) {
    let (lanes, units, rows) = (Geometry::of(isa).lanes, config.hidden_size, steps * batch);
    let (strides, slots) = (Strides::of(config, lanes), config.cell.properties().slots);
    let run = |start: usize, len: usize| start..start + len;
    for layer in 0..config.num_layers {
        f(layer, Which::Input, 0..rows * config.layer_input_size(layer));
        (0..batch + rows).for_each(|row| f(layer, Which::Hidden, run(row * strides.h, config.state_size())));
        if config.cell.has_cell_state() {
            (0..batch + rows).for_each(|row| f(layer, Which::Cell, run(row * strides.c, units)));
        }
        for row in 0..rows {
            for slot in 0..slots {
                for unit in (0..units).step_by(lanes) {
                    let start = row * strides.pre + slot_vector(lanes, slots, unit / lanes, slot);
                    f(layer, Which::Pre, run(start, lanes.min(units - unit)));
                }
            }
        }
    }
}

/// How many values chunks of so many steps have.
fn values(config: &RnnConfig, batch: usize, steps: impl Iterator<Item = u128>) -> u128 {
    let cells = if config.cell.has_cell_state() { config.hidden_size } else { 0 };
    let pre = config.cell.properties().slots * config.hidden_size;
    let (batch, states) = (batch as u128, (config.state_size() + cells) as u128);
    let of_layer = |layer: usize, steps: u128| {
        let rows = steps * batch;
        rows * (config.layer_input_size(layer) + pre) as u128 + (batch + rows) * states
    };
    steps.map(|steps| (0..config.num_layers).map(|layer| of_layer(layer, steps)).sum::<u128>()).sum()
}
