//! Matrix products on packed panels. Every output is one chain of fused multiply-adds with k ascending, so neither tile
//! shape nor blocking nor batch size changes a bit.

use super::lhs::Lhs;
use super::panel::{PanelView, Panels};
use crate::simd::Ops;
use std::ops::Range;

/// Where the chains of a product start.
#[derive(Clone, Copy)]
pub(crate) enum Start<'a> {
    /// At what the output holds.
    Output,
    /// At a vector in the layout of an output row, the same for every row.
    Row(&'a [f32]),
    /// At zero.
    Zero,
}

/// The output of a product: rows `stride` apart, valid for writing `len` values in all.
#[derive(Clone, Copy)]
pub(crate) struct Output {
    values: *mut f32,
    len: usize,
    stride: usize,
}

impl Output {
    pub(crate) fn new(values: &mut [f32], stride: usize) -> Self {
        Self { values: values.as_mut_ptr(), len: values.len(), stride }
    }

    /// An output within a buffer of which other rows are read meanwhile.
    ///
    /// # Safety
    /// `values` is valid for reading and writing `len` values while the product runs, and nothing else touches them.
    pub(crate) unsafe fn raw(values: *mut f32, len: usize, stride: usize) -> Self {
        Self { values, len, stride }
    }
}

/// Features a tile runs over before it moves on, at most: enough that starting a tile costs little, few enough that a panel's
/// block stays in the L2 cache.
const K_BLOCK: usize = 512;
/// Rows that share one pass over the panels, at most: their block of the left matrix stays in the L2 cache.
const ROW_BLOCK: usize = 96;
/// Features in a turn of the micro-tile's loop.
const UNROLLED: usize = 4;
/// Lines that are fetched ahead with each of them, at most.
const MOST_AHEAD: usize = 4;
/// Values in a cache line.
const LINE: usize = 16;
/// The widest panel and the tallest tile of any instruction set.
const MAX_TILE: usize = 8 * 32;
/// The most vectors a tile spans: panels read together times vectors in each.
pub(super) const MAX_VECTORS: usize = 16;

/// `out[r, offsets] (+)= a[r, :] * panels` for the panels in `range`, into rows laid out as
/// [`super::panel::padded_row`] says.
pub(crate) fn gemm_gates<S: Ops>(
    s: S,
    a: impl Lhs,
    b: PanelView<'_>,
    range: Range<usize>,
    start: Start<'_>,
    out: Output,
) {
    if a.count() == 0 || range.is_empty() {
        return;
    }
    assert!(range.end <= b.panels && b.offsets.is_some());
    check::<S>(&a, &b, b.row_len, start, &out);
    let product = Product { a, b, start: Source::new(start, &out), out };
    s.enter(
        #[inline(always)]
        // SAFETY: checked above: operands, starts and outputs lie within their buffers.
        || unsafe { product.run(s, range) },
    );
}

/// `out[r, 0..n] (+)= a[r, :] * b` for a plain matrix of `n` columns.
pub(crate) fn gemm<S: Ops>(s: S, a: impl Lhs, b: &Panels, start: Start<'_>, out: Output) {
    assert!(b.is_plain());
    gemm_view(s, a, PanelView { offsets: None, ..b.view() }, b.columns(), start, out);
}

/// As [`gemm`], on panels that need not belong to a [`Panels`].
pub(crate) fn gemm_view<S: Ops>(s: S, a: impl Lhs, b: PanelView<'_>, n: usize, start: Start<'_>, out: Output) {
    if a.count() == 0 || n == 0 {
        return;
    }
    check::<S>(&a, &b, n, start, &out);
    assert!(b.offsets.is_none() && n <= b.panels * S::PANEL_WIDTH);
    let product = Product { a, b, start: Source::new(start, &out), out };
    s.enter(
        #[inline(always)]
        // SAFETY: checked above; whole panels write columns below `n`, the cut one goes through a buffer of its own.
        || unsafe {
            let whole = n / S::PANEL_WIDTH;
            product.run(s, 0..whole);
            if whole * S::PANEL_WIDTH < n {
                product.run_cut_panel(s, whole, n - whole * S::PANEL_WIDTH);
            }
        },
    );
}

/// Panics unless a product with outputs below column `end` stays within its buffers.
fn check<S: Ops>(a: &impl Lhs, b: &PanelView<'_>, end: usize, start: Start<'_>, out: &Output) {
    assert!(a.width() == b.k, "the operands' inner sizes agree");
    assert!(b.panels * b.k * S::PANEL_WIDTH <= b.data.len(), "the panels have their data");
    assert!((a.count() - 1) * out.stride + end <= out.len, "the output fits its buffer");
    assert!(a.count() == 1 || end <= out.stride, "output rows do not overlap");
    if let Start::Row(row) = start {
        assert!(end <= row.len(), "the starting row covers the output");
    }
}

/// Where accumulators are loaded from: `None` for zero.
#[derive(Clone, Copy)]
struct Source {
    values: Option<*const f32>,
    stride: usize,
}

impl Source {
    fn new(start: Start<'_>, out: &Output) -> Self {
        match start {
            Start::Output => Self { values: Some(out.values), stride: out.stride },
            Start::Row(row) => Self { values: Some(row.as_ptr()), stride: 0 },
            Start::Zero => Self { values: None, stride: 0 },
        }
    }
}

/// Rows of a micro-tile of so many panels, at most.
const fn tile_rows<S: Ops>(panels: usize) -> usize {
    if panels == 1 { S::TALL_ROWS } else { S::TILE_ROWS }
}

/// Panels of a micro-tile of so many rows, at most: few rows have few chains in each, and several hide the latency.
const fn tile_panels<S: Ops>(rows: usize) -> usize {
    let panels = S::ROW_PANELS / rows;
    if panels > S::TILE_PANELS { panels } else { S::TILE_PANELS }
}

/// Whether there is such a micro-tile.
const fn fits<S: Ops>(rows: usize, panels: usize) -> bool {
    rows <= tile_rows::<S>(panels) && panels <= tile_panels::<S>(rows)
}

/// The largest of so many parts, as even as can be. One part is frequent, and a division takes as long as many multiply-adds.
#[inline(always)]
fn share(all: usize, parts: usize) -> usize {
    if parts <= 1 { all } else { all.div_ceil(parts) }
}

struct Product<'a, A> {
    a: A,
    b: PanelView<'a>,
    start: Source,
    out: Output,
}

/// One micro-tile's panels and rows.
struct Tile<'a, A> {
    left: &'a A,
    first_row: usize,
    rows: usize,
    panels: usize,
    /// Whether nothing needs the second half of a panel's vectors.
    half: bool,
    /// The features `k0 .. k0 + k`.
    k0: usize,
    k: usize,
    /// The first panel, at feature `k0`; the others are `panel_stride` apart.
    data: *const f32,
    panel_stride: usize,
    start: Option<*const f32>,
    start_stride: usize,
    out: *mut f32,
    out_stride: usize,
    /// Where each vector of the panels goes in a row.
    offsets: &'a [usize],
    /// What to bring closer meanwhile: with every [`UNROLLED`] features so many lines, up to [`MOST_AHEAD`].
    ahead: *const f32,
    ahead_lines: usize,
}

impl<A: Lhs> Product<'_, A> {
    /// The loops around the tiles, over whole panels.
    ///
    /// # Safety
    /// The vectors of the panels in `range` lie within each row of the start and of the output.
    #[inline(always)]
    unsafe fn run<S: Ops>(&self, s: S, range: Range<usize>) {
        let (rows, k) = (self.a.count(), self.b.k);
        let mut sequential = [0usize; MAX_VECTORS];
        for (v, offset) in sequential.iter_mut().enumerate() {
            *offset = v * S::LANES;
        }
        let row_block = share(rows, rows.div_ceil(ROW_BLOCK)).next_multiple_of(S::TILE_ROWS);
        let mut row0 = 0;
        while row0 < rows {
            let row1 = rows.min(row0 + row_block);
            let most = match row1 - row0 {
                // One tall tile reads the panels once.
                count if count > S::TILE_ROWS && count <= S::TALL_ROWS => 1,
                count => tile_panels::<S>(count),
            };
            let k_block = if row1 - row0 <= tile_rows::<S>(most) { k } else { share(k, k.div_ceil(K_BLOCK)) };
            // A last panel that is half empty, unless its rows are too few to hide the latency.
            let half_from = match range.end == self.b.panels && self.last_is_half::<S>() && row1 - row0 > 4 {
                true => range.end - 1,
                false => range.end,
            };
            let mut panel = range.start;
            while panel < range.end {
                let half = panel == half_from;
                let panels = if half { 1 } else { most.min(half_from - panel) };
                let (offsets, column) = match self.b.offsets {
                    Some(o) => (&o[panel * S::PANEL_VECTORS..(panel + panels) * S::PANEL_VECTORS], 0),
                    None => (&sequential[..panels * S::PANEL_VECTORS], panel * S::PANEL_WIDTH),
                };
                let mut k0 = 0;
                loop {
                    let kc = k_block.min(k - k0);
                    let source = if k0 == 0 {
                        self.start
                    } else {
                        Source { values: Some(self.out.values), stride: self.out.stride }
                    };
                    // The blocks that follow, the panels' next or the next panels' first, are fetched meanwhile, evenly:
                    // far caches give lines slowly.
                    let at =
                        |panel: usize, k0: usize| self.b.data.as_ptr().wrapping_add((panel * k + k0) * S::PANEL_WIDTH);
                    let block = at(panel, k0);
                    let mut row = row0;
                    let mut tiles = (row1 - row0).div_ceil(tile_rows::<S>(panels));
                    // What follows the last one may be another thread's.
                    let is_last = panel + panels == self.b.panels && k0 + kc == k;
                    let ahead_lines = match panels <= S::TILE_PANELS && !is_last {
                        true => share(UNROLLED * S::PANEL_WIDTH / LINE, tiles).min(MOST_AHEAD),
                        false => 0,
                    };
                    let mut ahead = if k0 + kc < k { at(panel, k0 + kc) } else { at(panel + panels, 0) };
                    while tiles > 0 {
                        // Rows are shared evenly, so that no tile is left with too few chains.
                        let count = share(row1 - row, tiles);
                        // SAFETY: rows, panels and features are within the operands; the caller vouches for the rest.
                        unsafe {
                            tile(
                                s,
                                &Tile {
                                    left: &self.a,
                                    first_row: row,
                                    rows: count,
                                    panels,
                                    half,
                                    k0,
                                    k: kc,
                                    data: block,
                                    panel_stride: k * S::PANEL_WIDTH,
                                    start: source.values.map(|p| p.add(row * source.stride + column)),
                                    start_stride: source.stride,
                                    out: self.out.values.add(row * self.out.stride + column),
                                    out_stride: self.out.stride,
                                    offsets,
                                    ahead,
                                    ahead_lines,
                                },
                            );
                        }
                        ahead = ahead.wrapping_add(kc / UNROLLED * ahead_lines * LINE);
                        row += count;
                        tiles -= 1;
                    }
                    k0 += kc;
                    if k0 >= k {
                        break;
                    }
                }
                panel += panels;
            }
            row0 = row1;
        }
    }

    /// Whether the last panel of gate columns has no vectors in its second half.
    fn last_is_half<S: Ops>(&self) -> bool {
        self.b.offsets.is_some() && 2 * (self.b.panels * S::PANEL_VECTORS - self.b.vectors) >= S::PANEL_VECTORS
    }

    /// A panel of which only `columns` columns exist in the output: tiles run in a buffer and are copied out.
    ///
    /// # Safety
    /// Each row of the start and of the output has `columns` values from the panel's first column on.
    #[inline(always)]
    unsafe fn run_cut_panel<S: Ops>(&self, s: S, panel: usize, columns: usize) {
        let (rows, width) = (self.a.count(), S::PANEL_WIDTH);
        let mut buffer = [0f32; MAX_TILE];
        let values = buffer.as_mut_ptr();
        let mut offsets = [0usize; MAX_VECTORS];
        for (v, offset) in offsets.iter_mut().enumerate() {
            *offset = v * S::LANES;
        }
        let mut row = 0;
        while row < rows {
            let count = tile_rows::<S>(1).min(rows - row);
            // SAFETY: `count * width` values fit the buffer; starts and outputs have `columns` values.
            unsafe {
                if let Some(start) = self.start.values {
                    for r in 0..count {
                        let from = start.add((row + r) * self.start.stride + panel * width);
                        std::ptr::copy_nonoverlapping(from, values.add(r * width), columns);
                    }
                }
                tile(
                    s,
                    &Tile {
                        left: &self.a,
                        first_row: row,
                        rows: count,
                        panels: 1,
                        half: columns <= width / 2,
                        k0: 0,
                        k: self.b.k,
                        data: self.b.data.as_ptr().add(panel * self.b.k * width),
                        panel_stride: self.b.k * width,
                        start: self.start.values.map(|_| values.cast_const()),
                        start_stride: width,
                        out: values,
                        out_stride: width,
                        offsets: &offsets[..S::PANEL_VECTORS],
                        ahead: self.b.data.as_ptr(),
                        ahead_lines: 0,
                    },
                );
                for r in 0..count {
                    let to = self.out.values.add((row + r) * self.out.stride + panel * width);
                    std::ptr::copy_nonoverlapping(values.add(r * width), to, columns);
                }
            }
            row += count;
        }
    }
}

/// Chooses the micro-tile of the right shape.
///
/// # Safety
/// The tile's rows, panels and features are within the operands, its vectors within its start and output rows.
#[inline(always)]
unsafe fn tile<S: Ops, A: Lhs>(s: S, t: &Tile<'_, A>) {
    macro_rules! shapes {
        ($vectors:literal: $(($rows:literal, $panels:literal))*) => {
            match (t.rows, t.panels) {
                // Constants, so that no code is made of shapes that an instruction set lacks.
                $(($rows, $panels) if const { fits::<S>($rows, $panels) } => {
                    // SAFETY: the caller's contract.
                    unsafe { micro::<S, A, $rows, $panels, $vectors>(s, t) }
                })*
                other => unreachable!("no tile of {other:?} rows and panels"),
            }
        };
    }
    match S::PANEL_VECTORS {
        // Half a panel for fewer rows has too few chains to hide the latency.
        2 if t.half && t.rows > 4 => shapes!(1: (5, 1) (6, 1) (7, 1) (8, 1)),
        4 if t.half && t.rows > 2 => shapes!(2: (3, 1) (4, 1) (5, 1) (6, 1)),
        2 => shapes!(2:
            (1, 1) (2, 1) (3, 1) (4, 1) (5, 1) (6, 1) (7, 1) (8, 1)
            (1, 2) (2, 2) (3, 2) (4, 2) (5, 2) (6, 2)
            (1, 3) (2, 3) (1, 4) (2, 4) (1, 5) (1, 6) (1, 7) (1, 8)),
        4 => shapes!(4: (1, 1) (2, 1) (3, 1) (4, 1) (5, 1) (6, 1) (1, 2) (2, 2) (1, 3) (1, 4)),
        other => unreachable!("no tile for panels of {other} vectors"),
    }
}

/// The micro-tile: `R` rows by `P` panels of `V` vectors, all accumulators in registers. Not inlined: all products share it,
/// and its registers are its own.
///
/// # Safety
/// As [`tile`]'s.
#[inline(never)]
unsafe fn micro<S: Ops, A: Lhs, const R: usize, const P: usize, const V: usize>(s: S, t: &Tile<'_, A>) {
    s.enter(
        #[inline(always)]
        || {
            let offsets = &t.offsets[..P * V];
            let mut acc = [[[s.splat(0.0); V]; P]; R];
            let mut a = [std::ptr::null(); R];
            // SAFETY: the caller's contract covers every access below.
            unsafe {
                each_row!(R, |r| {
                    a[r] = t.left.pointer(t.first_row + r).add(t.k0 * A::STEP);
                    if let Some(start) = t.start {
                        for p in 0..P {
                            for v in 0..V {
                                acc[r][p][v] = s.load(start.add(r * t.start_stride + offsets[p * V + v]));
                            }
                        }
                    }
                });
                macro_rules! feature {
                    ($i:expr) => {{
                        let i = $i;
                        let mut b = [[s.splat(0.0); V]; P];
                        for p in 0..P {
                            for v in 0..V {
                                b[p][v] = s.load(t.data.add(p * t.panel_stride + i * S::PANEL_WIDTH + v * S::LANES));
                            }
                        }
                        each_row!(R, |r| {
                            let x = s.splat(*a[r].add(i * A::STEP));
                            for p in 0..P {
                                for v in 0..V {
                                    acc[r][p][v] = s.fma(x, b[p][v], acc[r][p][v]);
                                }
                            }
                        });
                    }};
                }
                // Unrolled, so that counting takes no time from the multiply-adds.
                let (mut i, mut ahead) = (0, t.ahead);
                while i + UNROLLED <= t.k {
                    if P <= S::TILE_PANELS {
                        for p in 0..P {
                            let ahead = ahead.wrapping_add(p * t.panel_stride);
                            s.prefetch(ahead);
                            if t.ahead_lines > 1 {
                                s.prefetch(ahead.wrapping_add(LINE));
                                if t.ahead_lines > 2 {
                                    s.prefetch(ahead.wrapping_add(2 * LINE));
                                    s.prefetch(ahead.wrapping_add(3 * LINE));
                                }
                            }
                        }
                        ahead = ahead.wrapping_add(t.ahead_lines * LINE);
                    }
                    feature!(i);
                    feature!(i + 1);
                    feature!(i + 2);
                    feature!(i + 3);
                    i += UNROLLED;
                }
                while i < t.k {
                    feature!(i);
                    i += 1;
                }
                each_row!(R, |r| {
                    for p in 0..P {
                        for v in 0..V {
                            s.store(t.out.add(r * t.out_stride + offsets[p * V + v]), acc[r][p][v]);
                        }
                    }
                });
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::lhs::Rows;
    use crate::kernel::outer::{Accumulator, OuterScratch, Right};
    use crate::kernel::panel::{GateColumns, Geometry, padded_row};
    use crate::parallel::Team;
    use crate::random::Random;
    use crate::simd::{Isa, Kernel, dispatch};

    fn random(rng: &mut Random, n: usize) -> Vec<f32> {
        (0..n).map(|_| rng.uniform() - 0.5).collect()
    }

    /// The promised chain: k ascending from `start`, one fused multiply-add each.
    fn chain(start: f32, a: &[f32], b: impl Fn(usize) -> f32) -> f32 {
        a.iter().enumerate().fold(start, |acc, (k, &x)| x.mul_add(b(k), acc))
    }

    fn shapes() -> impl Iterator<Item = (usize, usize, usize)> {
        let mut rng = Random::new(11, 0);
        let small = (1..=20).flat_map(|rows| (1..=70).step_by(3).map(move |n| (rows, (rows * n) % 7 + 1, n)));
        // As many panels as any tile spans, and what may be left.
        let wide = (1..=9).flat_map(|rows| (97..=330).step_by(29).map(move |n| (rows, (rows * n) % 7 + 1, n)));
        let random = (0..60)
            .map(move |_| (rng.below(120) as usize + 1, rng.below(600) as usize + 1, rng.below(90) as usize + 1));
        small.chain(wide).chain(random)
    }

    struct Plain<'a>(&'a [f32], usize, &'a Panels, Start<'a>, &'a mut [f32]);
    impl Kernel for Plain<'_> {
        type Output = ();
        fn run<S: Ops>(self, s: S) {
            let Plain(a, rows, b, start, c) = self;
            let (k, n) = (b.view().k, b.columns());
            // Output rows are three values longer than needed: those must stay untouched.
            gemm(s, Rows::strided(a, rows, k, k), b, start, Output::new(c, n + 3));
        }
    }

    #[test]
    fn plain_products_are_the_promised_chains_on_every_isa() {
        let mut rng = Random::new(5, 0);
        let mut compared = 0;
        for (rows, k, n) in shapes() {
            let (a, w, bias) = (random(&mut rng, rows * k), random(&mut rng, n * k), random(&mut rng, n));
            let before = random(&mut rng, rows * (n + 3));
            for isa in Isa::available() {
                let mut b = Panels::plain(isa, k, n).unwrap();
                b.pack_rows(Team::one(), &w);
                for start in [Start::Output, Start::Row(&bias), Start::Zero] {
                    let mut c = before.clone();
                    dispatch(isa, Plain(&a, rows, &b, start, &mut c));
                    for r in 0..rows {
                        for j in 0..n + 3 {
                            let at = r * (n + 3) + j;
                            let want = if j >= n {
                                before[at]
                            } else {
                                let first = match start {
                                    Start::Output => before[at],
                                    Start::Row(_) => bias[j],
                                    Start::Zero => 0.0,
                                };
                                chain(first, &a[r * k..][..k], |i| w[j * k + i])
                            };
                            assert_eq!(c[at].to_bits(), want.to_bits(), "{} {rows}x{k}x{n} at {r},{j}", isa.name());
                            compared += 1;
                        }
                    }
                }
            }
        }
        println!("{compared} outputs compared");
    }

    struct Gates<'a>(Rows<'a>, &'a Panels, &'a mut [f32], usize);
    impl Kernel for Gates<'_> {
        type Output = ();
        fn run<S: Ops>(self, s: S) {
            let Gates(a, b, c, stride) = self;
            let panels = b.view().panels;
            let cut = panels / 2;
            gemm_gates(s, a, b.view(), 0..cut, Start::Output, Output::new(c, stride));
            gemm_gates(s, a, b.view(), cut..panels, Start::Output, Output::new(c, stride));
        }
    }

    #[test]
    fn gate_columns_reach_their_slots_and_leave_the_others_alone() {
        let mut rng = Random::new(6, 0);
        for (rows, k, units) in shapes().step_by(3) {
            let gates = [(0, 0), (2, 1), (1, 3)];
            let w = random(&mut rng, 3 * units * k);
            let buffer = random(&mut rng, rows * k + 40);
            let offsets: Vec<usize> =
                (0..rows).map(|_| rng.below(41) as usize + rng.below(rows as u32) as usize * k).collect();
            let offsets: Vec<usize> = offsets.into_iter().map(|o| o.min(buffer.len() - k)).collect();
            for isa in Isa::available() {
                let lanes = Geometry::of(isa).lanes;
                let mut b = Panels::for_gates(isa, k, GateColumns { gates: &gates, slots: 4, units }).unwrap();
                b.pack_rows(Team::one(), &w);
                let stride = padded_row(lanes, units, 4);
                let mut c = vec![0.25; rows * stride];
                dispatch(isa, Gates(Rows::at(&buffer, &offsets, k), &b, &mut c, stride));
                for r in 0..rows {
                    for unit in 0..units {
                        for slot in 0..4 {
                            let got = c[r * stride + (unit / lanes * 4 + slot) * lanes + unit % lanes];
                            let want = match gates.iter().find(|g| g.1 == slot) {
                                None => 0.25,
                                Some(&(gate, _)) => {
                                    chain(0.25, &buffer[offsets[r]..][..k], |i| w[(gate * units + unit) * k + i])
                                }
                            };
                            assert_eq!(got.to_bits(), want.to_bits(), "{} {rows}x{k}x{units}", isa.name());
                        }
                    }
                }
            }
        }
    }

    struct Outer<'a>(&'a [f32], &'a [f32], usize, usize, usize, usize, &'a mut [f32]);
    impl Kernel for Outer<'_> {
        type Output = ();
        fn run<S: Ops>(self, s: S) {
            let Outer(a, b, rows, m, n, cut, c) = self;
            let mut scratch = OuterScratch::default();
            scratch.reserve(rows, m, n, 1).unwrap();
            // In two blocks of rows: the chains continue.
            for (start, end) in [(0, cut), (cut, rows)] {
                if start < end {
                    let count = end - start;
                    let left = Rows::strided(&a[start * m..], count, m, m);
                    let rows = Rows::strided(&b[start * n..], count, n, n);
                    let targets = [Accumulator::new(m / 3..m, &mut c[m / 3 * n..])];
                    scratch.add(s, Team::one(), left, [], &[Right { rows, targets: &targets }]);
                }
            }
        }
    }

    #[test]
    fn outer_products_are_chains_over_rows_whatever_the_blocks() {
        let mut rng = Random::new(7, 0);
        for (m, rows, n) in shapes().step_by(2) {
            let (a, b) = (random(&mut rng, rows * m), random(&mut rng, rows * n));
            let before = random(&mut rng, m * n);
            for isa in Isa::available() {
                let mut c = before.clone();
                dispatch(isa, Outer(&a, &b, rows, m, n, rows / 3, &mut c));
                for i in 0..m {
                    for j in 0..n {
                        let want = if i < m / 3 {
                            before[i * n + j]
                        } else {
                            (0..rows).fold(before[i * n + j], |acc, r| a[r * m + i].mul_add(b[r * n + j], acc))
                        };
                        assert_eq!(c[i * n + j].to_bits(), want.to_bits(), "{} {m}x{rows}x{n}", isa.name());
                    }
                }
            }
        }
    }
}
