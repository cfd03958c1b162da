//! Kernels on arrays that end at, or begin behind, a page that may not be touched: every remainder of the lane counts, every
//! instruction set, against plain arrays on the scalar path or the documented order, by bits. The ends of arrays of any
//! length are also the pointers of every alignment that f32 allows. Gaps between rows, and lanes past the last unit, hold
//! NaN, which must neither reach a value nor be overwritten where the layout says that nobody writes.

use super::activation::sigmoid;
use super::cell::{Equations, Flush};
use super::columns::gemm_columns;
use super::gates::{self, Backward, Forward, Span};
use super::gemm::{Output, Start, gemm_gates, gemm_view};
use super::lhs::{Lhs, Rows};
use super::look_ahead::{LookAhead, MOST_AHEAD};
use super::mat::{Mat, STATE_PADDING, Series};
use super::nearest::{Best, dot, scan};
use super::outer::{Accumulator, OuterScratch, Right};
use super::panel::{GateColumns, Geometry, PanelView, Panels, pack_as_panels, padded_row};
use super::reduce::{Stripes, sum_of_squares};
use super::single_row::{self, RowBuffers};
use super::softmax::{exp_sum, log_softmax, softmax};
use crate::cell::{Elman, Lstm, ResetAfter, ResetBefore};
use crate::nn::{BceWithLogits, CrossEntropy, Dropout, Reduction, clip_grad_norm, clip_grad_value, mse_loss};
use crate::parallel::Team;
use crate::random::Random;
use crate::simd::{Isa, Kernel, Ops, dispatch};
use guarded::{Guarded, Side};
use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

#[allow(unreachable_pub, reason = "shared with the integration tests")]
#[path = "../../tests/common/guarded.rs"]
pub(crate) mod guarded;

/// Every remainder of 16 lanes and of two vectors of them, and one past larger blocks.
pub(crate) fn sizes() -> impl Iterator<Item = usize> {
    (1..=35).chain([47, 48, 49, 63, 64, 65])
}

/// The instruction sets of this CPU, each seen to run, with both sides of an array.
pub(crate) fn places() -> Vec<(Isa, Side)> {
    let all: Vec<_> = Isa::available().flat_map(|isa| [(isa, Side::Before), (isa, Side::Behind)]).collect();
    for &(isa, _) in &all {
        let lanes = match isa {
            Isa::Scalar => 1,
            Isa::Neon => 4,
            Isa::Avx2 => 8,
            Isa::Avx512 => 16,
        };
        assert_eq!(Geometry::of(isa).lanes, lanes, "{} really runs", isa.name());
    }
    all
}

/// Runs compared, by kernel and instruction set.
#[derive(Default)]
pub(crate) struct Compared(BTreeMap<(&'static str, &'static str), usize>);

impl Compared {
    pub(crate) fn add(&mut self, kernel: &'static str, isa: Isa) {
        *self.0.entry((kernel, isa.name())).or_default() += 1;
    }
}

impl Drop for Compared {
    fn drop(&mut self) {
        for ((kernel, isa), count) in &self.0 {
            println!("guarded {kernel} on {isa}: {count} shapes");
        }
    }
}

pub(crate) fn random(rng: &mut Random, n: usize) -> Vec<f32> {
    (0..n).map(|_| rng.uniform() - 0.5).collect()
}

/// By bits, any NaN like any other.
#[track_caller]
pub(crate) fn assert_same(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}: lengths");
    let bits = |v: f32| if v.is_nan() { u32::MAX } else { v.to_bits() };
    for (i, (&a, &b)) in found.iter().zip(expected).enumerate() {
        assert!(bits(a) == bits(b), "{what}[{i}]: found {a:e}, expected {b:e}");
    }
}

/// `rows` of `width` values, `stride` apart, NaN between them and nothing behind the last.
fn apart(values: &[f32], width: usize, stride: usize) -> Vec<f32> {
    let rows = values.len() / width;
    let mut out = vec![f32::NAN; (rows - 1) * stride + width];
    for (r, row) in values.chunks_exact(width).enumerate() {
        out[r * stride..][..width].copy_from_slice(row);
    }
    out
}

struct Product<'a>(Rows<'a>, PanelView<'a>, usize, Start<'a>, Output);
impl Kernel for Product<'_> {
    type Output = ();
    fn run<S: Ops>(self, s: S) {
        gemm_view(s, self.0, self.1, self.2, self.3, self.4);
    }
}

/// Left rows, panels, starting row and output guarded.
#[test]
fn products() {
    let (mut rng, mut compared) = (Random::new(31, 0), Compared::default());
    let shapes = sizes().flat_map(|n| (1..=9).map(move |rows| (rows, 1 + (n * 5 + rows * 3) % 7, n)));
    // Over the blocks of features and of rows, and as many panels as any tile spans.
    let large = [(7, 300, 17), (13, 515, 65), (97, 257, 33), (193, 5, 40), (1, 9, 300), (2, 7, 140), (9, 520, 129)];
    for (rows, k, n) in shapes.chain(large) {
        let (a, w, bias) = (random(&mut rng, rows * k), random(&mut rng, n * k), random(&mut rng, n));
        let before = random(&mut rng, rows * n);
        let (gap, rest) = (rows % 3, n % 4);
        let chain =
            |first: f32, r: usize, j: usize| (0..k).fold(first, |acc, i| a[r * k + i].mul_add(w[j * k + i], acc));
        let wanted = [0, 1, 2].map(|start| {
            let values: Vec<f32> =
                (0..rows * n).map(|i| chain([before[i], bias[i % n], 0.0][start], i / n, i % n)).collect();
            apart(&values, n, n + rest)
        });
        for (isa, side) in places() {
            let mut packed = Panels::plain(isa, k, n).unwrap();
            packed.pack_rows(Team::one(), &w);
            let panels = Guarded::new(packed.view().data, side);
            let view = PanelView { data: &panels, offsets: None, ..packed.view() };
            let left = Guarded::new(&apart(&a, k, k + gap), side);
            let bias = Guarded::new(&bias, side);
            for (start, want) in wanted.iter().enumerate() {
                let mut out = Guarded::new(&apart(&before, n, n + rest), side);
                let left = Rows::strided(&left, rows, k + gap, k);
                let from = [Start::Output, Start::Row(&bias), Start::Zero][start];
                dispatch(isa, Product(left, view, n, from, Output::new(&mut out, n + rest)));
                assert_same(&out, want, &format!("{rows}x{k}x{n} from start {start} on {}, {side:?}", isa.name()));
                compared.add("gemm", isa);
            }
        }
    }
}

struct ColumnProduct<'a>(Rows<'a>, &'a Panels, Range<usize>, Start<'a>, &'a mut [f32], usize);
impl Kernel for ColumnProduct<'_> {
    type Output = ();
    fn run<S: Ops>(self, s: S) {
        let Self(left, panels, range, start, out, stride) = self;
        // SAFETY: the output reaches to the last row's last column.
        unsafe { gemm_columns(s, left, panels, range, start, Mat::new(out, stride)) }
    }
}

/// Some of the panels, as threads share them: other columns keep their NaN.
#[test]
fn products_by_columns() {
    let (mut rng, mut compared) = (Random::new(39, 0), Compared::default());
    for n in sizes() {
        let (rows, k, stride) = (1 + n % 9, 1 + n % 5, n + n % 4);
        let (a, w, bias) = (random(&mut rng, rows * k), random(&mut rng, n * k), random(&mut rng, n));
        let chain = |r: usize, j: usize| (0..k).fold(bias[j], |acc, i| a[r * k + i].mul_add(w[j * k + i], acc));
        for (isa, side) in places() {
            let mut packed = Panels::plain(isa, k, n).unwrap();
            packed.pack_rows(Team::one(), &w);
            let Geometry { lanes, panel_vectors } = Geometry::of(isa);
            let (panels, width) = (packed.view().panels, lanes * panel_vectors);
            let (left, bias) = (Guarded::new(&a, side), Guarded::new(&bias, side));
            for range in [0..panels / 2, panels / 2..panels] {
                let columns = range.start * width..range.end * width;
                let mut out = Guarded::new(&vec![f32::NAN; (rows - 1) * stride + n], side);
                let left = Rows::strided(&left, rows, k, k);
                dispatch(isa, ColumnProduct(left, &packed, range, Start::Row(&bias), &mut out, stride));
                let own = |i: usize| columns.contains(&(i % n));
                let want: Vec<f32> =
                    (0..rows * n).map(|i| if own(i) { chain(i / n, i % n) } else { f32::NAN }).collect();
                let what = format!("columns {columns:?} of {rows}x{k}x{n} on {}, {side:?}", isa.name());
                assert_same(&out, &apart(&want, n, stride), &what);
            }
            compared.add("gemm by columns", isa);
        }
    }
}

struct GateProduct<'a>(Rows<'a>, PanelView<'a>, Start<'a>, Output);
impl Kernel for GateProduct<'_> {
    type Output = ();
    fn run<S: Ops>(self, s: S) {
        let (panels, cut) = (self.1.panels, self.1.panels / 2);
        for range in [0..cut, cut..panels] {
            gemm_gates(s, self.0, self.1, range, self.2, self.3);
        }
    }
}

/// Rows at offsets, panels, starting row and output guarded; slots of no gate hold NaN and keep it.
#[test]
fn products_into_slots() {
    let (mut rng, mut compared) = (Random::new(32, 0), Compared::default());
    for units in sizes() {
        let (rows, k, slots) = (1 + units % 9, 1 + units % 5, 4);
        let gates = [(0, 0), (2, 1), (1, 3)];
        let (a, w) = (random(&mut rng, rows * k), random(&mut rng, 3 * units * k));
        let bias = random(&mut rng, units * slots);
        for (isa, side) in places() {
            let lanes = Geometry::of(isa).lanes;
            let mut panels = Panels::for_gates(isa, k, GateColumns { gates: &gates, slots, units }).unwrap();
            panels.pack_rows(Team::one(), &w);
            let place = |unit: usize, slot: usize| (unit / lanes * slots + slot) * lanes + unit % lanes;
            let stride = padded_row(lanes, units, slots);
            let mut start = vec![f32::NAN; panels.row_len()];
            gates.iter().for_each(|&(_, slot)| (0..units).for_each(|u| start[place(u, slot)] = bias[u * slots + slot]));
            let start = Guarded::new(&start, side);
            let left = Guarded::new(&apart(&a, k, k + 1), side);
            let offsets: Vec<usize> = (0..rows).rev().map(|r| r * (k + 1)).collect();
            let mut out = Guarded::new(&vec![f32::NAN; (rows - 1) * stride + panels.row_len()], side);
            let data = Guarded::new(panels.view().data, side);
            let view = PanelView { data: &data, ..panels.view() };
            let product =
                GateProduct(Rows::at(&left, &offsets, k), view, Start::Row(&start), Output::new(&mut out, stride));
            dispatch(isa, product);
            for (r, unit, slot) in (0..rows * units * slots).map(|i| (i / slots / units, i / slots % units, i % slots))
            {
                let want = gates.iter().find(|g| g.1 == slot).map_or(f32::NAN, |&(gate, _)| {
                    let (a, w) = (&a[(rows - 1 - r) * k..][..k], &w[(gate * units + unit) * k..][..k]);
                    a.iter().zip(w).fold(bias[unit * slots + slot], |acc, (&a, &w)| a.mul_add(w, acc))
                });
                let what = format!("{rows}x{k}x{units} slot {slot} on {}, {side:?}", isa.name());
                assert_same(&[out[r * stride + place(unit, slot)]], &[want], &what);
            }
            compared.add("gemm into slots", isa);
        }
    }
}

struct AsPanels<'a>(Rows<'a>, &'a mut [f32]);
impl Kernel for AsPanels<'_> {
    type Output = ();
    fn run<S: Ops>(self, s: S) {
        pack_as_panels(s, Team::one(), self.0, self.1);
    }
}

/// Packing of both kinds: the weights guarded, and of rows the panels too, against what ordinary arrays give.
#[test]
fn packing() {
    let (mut rng, mut compared) = (Random::new(33, 0), Compared::default());
    for n in sizes() {
        for k in [1 + n % 9, 15 + n % 4, 33] {
            let w = random(&mut rng, n * k);
            for (isa, side) in places() {
                let (mut rows, mut columns) = (Panels::plain(isa, k, n).unwrap(), Panels::plain(isa, k, n).unwrap());
                rows.pack_rows(Team::one(), &Guarded::new(&w, side));
                let turned: Vec<f32> = (0..n * k).map(|i| w[i % n * k + i / n]).collect();
                let turned = Guarded::new(&turned, side);
                columns.pack_columns(Team::one(), &turned);
                let Geometry { lanes, panel_vectors } = Geometry::of(isa);
                let width = lanes * panel_vectors;
                let mut want = vec![0.0; rows.view().data.len()];
                for (j, i) in (0..n * k).map(|at| (at / k, at % k)) {
                    want[j / width * width * k + i * width + j % width] = w[j * k + i];
                }
                let what = format!("{n} columns of {k} on {}, {side:?}", isa.name());
                assert_same(rows.view().data, &want, &what);
                assert_same(columns.view().data, &want, &what);
                let mut panels = Guarded::new(&vec![f32::NAN; want.len()], side);
                dispatch(isa, AsPanels(Rows::strided(&turned, k, n, n), &mut panels));
                assert_same(&panels, &want, &what);
                compared.add("packing", isa);
            }
        }
    }
}

struct Outer<'a> {
    left: Rows<'a>,
    right: Rows<'a>,
    first: usize,
    sums: [&'a mut [f32]; 2],
    c: &'a mut [f32],
}

impl Kernel for Outer<'_> {
    type Output = ();
    fn run<S: Ops>(self, s: S) {
        let Self { left, right, first, sums, c } = self;
        let (rows, m, n) = (left.count(), left.width(), right.width());
        let mut scratch = OuterScratch::default();
        scratch.reserve(rows, m, n, 1).unwrap();
        let targets = [Accumulator::new(first..m, c)];
        scratch.add(s, Team::one(), left, sums, &[Right { rows: right, targets: &targets }]);
    }
}

/// Both operands, the sums of the left one's columns and the result guarded.
#[test]
fn outer_products() {
    let (mut rng, mut compared) = (Random::new(34, 0), Compared::default());
    let others: Vec<usize> = sizes().collect();
    for m in sizes() {
        for n in (0..3).map(|i| others[(m * 7 + i * 13) % others.len()]) {
            let (rows, first) = (1 + (m + n) % 9, m / 3);
            let (a, b) = (random(&mut rng, rows * m), random(&mut rng, rows * n));
            let (sums, c) = (random(&mut rng, m), random(&mut rng, (m - first) * n));
            let wanted: Vec<f32> = (0..c.len())
                .map(|at| {
                    let (i, j) = (first + at / n, at % n);
                    (0..rows).fold(c[at], |acc, r| a[r * m + i].mul_add(b[r * n + j], acc))
                })
                .collect();
            let wanted_sums: Vec<f32> = (0..m).map(|i| (0..rows).fold(sums[i], |acc, r| acc + a[r * m + i])).collect();
            for (isa, side) in places() {
                let (left, right) = (apart(&a, m, m + 1), apart(&b, n, n + 2));
                let (left, right) = (Guarded::new(&left, side), Guarded::new(&right, side));
                let mut both = [(); 2].map(|()| Guarded::new(&sums, side));
                let mut found = Guarded::new(&c, side);
                let [one, two] = &mut both;
                let left = Rows::strided(&left, rows, m + 1, m);
                let right = Rows::strided(&right, rows, n + 2, n);
                dispatch(isa, Outer { left, right, first, sums: [one, two], c: &mut found });
                let what = format!("{rows} rows of {m} by {n} on {}, {side:?}", isa.name());
                assert_same(&found, &wanted, &what);
                both.iter().for_each(|sums| assert_same(sums, &wanted_sums, &what));
                compared.add("outer", isa);
            }
        }
    }
}

struct Exponentials<'a>(&'a [f32], &'a mut [f32]);
impl Kernel for Exponentials<'_> {
    type Output = f64;
    fn run<S: Ops>(self, s: S) -> f64 {
        exp_sum(s, self.0, 0.0, self.1)
    }
}

/// Kernels that go through pointers rely on these checks: what lacks one value, row or column is refused.
#[test]
fn what_does_not_fit_is_refused() {
    let is_refused = |call: &mut dyn FnMut()| catch_unwind(AssertUnwindSafe(call)).is_err();
    let (rows, k, n) = (3, 5, 7);
    let (a, w) = (vec![1.0; rows * k], vec![1.0; n * k]);
    let left = || Rows::strided(&a, rows, k, k);
    assert!(!is_refused(&mut || _ = left().slice(1..rows).columns(1, k - 1).pointer(rows - 2)));
    assert!(is_refused(&mut || _ = Rows::strided(&a[1..], rows, k, k)), "a strided row");
    assert!(is_refused(&mut || _ = Rows::at(&a, &[0, 2 * k + 1], k)), "a row at an offset");
    assert!(is_refused(&mut || _ = Rows::at(&a, &[usize::MAX], k)), "an offset that wraps around");
    assert!(is_refused(&mut || _ = left().slice(1..rows + 1)), "a row behind the last");
    assert!(is_refused(&mut || _ = left().columns(1, k)), "a column behind the last");
    assert!(is_refused(&mut || _ = left().pointer(rows)), "the pointer to a row behind the last");

    for isa in Isa::available() {
        let mut packed = Panels::plain(isa, k, n).unwrap();
        packed.pack_rows(Team::one(), &w);
        let panels = PanelView { offsets: None, ..packed.view() };
        let bias = vec![1.0; n];
        let product = |columns: usize, start: usize, out: usize, stride: usize| {
            let (mut out, width) = (vec![0.0; out], columns.min(k));
            let out = Output::new(&mut out, stride);
            let left = left().columns(0, width);
            is_refused(&mut || dispatch(isa, Product(left, panels, n, Start::Row(&bias[..start]), out)))
        };
        assert!(!product(k, n, rows * n, n));
        assert!(product(k, n, rows * n - 1, n), "an output too short");
        assert!(product(k, n - 1, rows * n, n), "a start too short");
        assert!(product(k - 1, n, rows * n, n), "inner sizes that differ");
        assert!(product(k, n, rows * n, n - 1), "rows that overlap");
        let cut = PanelView { data: &panels.data[1..], ..panels };
        let mut out = vec![0.0; rows * n];
        let out = Output::new(&mut out, n);
        let mut short = || dispatch(isa, Product(left(), cut, n, Start::Zero, out));
        assert!(is_refused(&mut short), "panels too short");
        let most = panels.panels * Geometry::of(isa).lanes * Geometry::of(isa).panel_vectors;
        let mut out = vec![0.0; rows * (most + 1)];
        let out = Output::new(&mut out, most + 1);
        let mut wide = || dispatch(isa, Product(left(), panels, most + 1, Start::Zero, out));
        assert!(is_refused(&mut wide), "more columns than the panels have");

        let outer = |rights: usize, sums: usize, values: usize| {
            let (b, mut sums, mut c) = (vec![1.0; rights * n], [(); 2].map(|()| vec![0.0; sums]), vec![0.0; values]);
            let [one, two] = &mut sums;
            let outer =
                Outer { left: left(), right: Rows::strided(&b, rights, n, n), first: 0, sums: [one, two], c: &mut c };
            let mut outer = Some(outer);
            is_refused(&mut || dispatch(isa, outer.take().unwrap()))
        };
        assert!(!outer(rows, k, k * n));
        assert!(outer(rows - 1, k, k * n), "operands of other numbers of rows");
        assert!(outer(rows, k - 1, k * n), "sums too short");
        assert!(outer(rows, k, k * n - 1), "a result too short");

        assert!(is_refused(&mut || softmax(isa, n, &w, &mut vec![0.0; n * k - 1])), "a softmax too short");
        let mut exponentials = || _ = dispatch(isa, Exponentials(&w, &mut vec![0.0; n * k - 1]));
        assert!(is_refused(&mut exponentials), "exponentials too short");
        assert!(is_refused(&mut || _ = dot(isa, &w, &w[1..])), "an inner product of two lengths");
    }
}

/// Gate kernels: name, slots of a row of pre-activations, gates of a row of gradients.
const GATE_KERNELS: [(&str, usize, usize); 13] = [
    ("tanh forward", 1, 1),
    ("relu forward", 1, 1),
    ("LSTM forward", 4, 4),
    ("GRU forward", 4, 4),
    ("GRU, reset before, forward", 3, 3),
    ("tanh backward", 1, 1),
    ("relu backward", 1, 1),
    ("LSTM backward", 4, 4),
    ("LSTM hidden", 4, 4),
    ("GRU backward", 4, 4),
    ("GRU, reset before, backward", 3, 3),
    ("GRU, reset before, reset", 3, 3),
    ("LSTM cell gradient", 4, 4),
];

/// Values of the rows that a gate kernel works on: unit by unit, without padding.
struct Values {
    rows: usize,
    units: usize,
    /// Slots of each unit.
    pre: Vec<f32>,
    /// What came before, and three more states.
    states: [Vec<f32>; 4],
    /// Rows of gates.
    gradient: Vec<f32>,
}

/// The rows as the kernels have them, in guarded arrays, NaN where no unit is.
struct Buffers {
    pre: Guarded,
    states: [Guarded; 4],
    gradient: Guarded,
}

/// Where the slots of units lie in a row.
fn place(lanes: usize, slots: usize, unit: usize, slot: usize) -> usize {
    (unit / lanes * slots + slot) * lanes + unit % lanes
}

/// Values in rows of slots, `padded_row` apart, up to the last vector.
fn into_slots(values: &[f32], lanes: usize, slots: usize, units: usize) -> Vec<f32> {
    let (rows, stride) = (values.len() / slots / units, padded_row(lanes, units, slots));
    let mut out = vec![f32::NAN; rows * stride - lanes];
    for (i, &v) in values.iter().enumerate() {
        out[i / slots / units * stride + place(lanes, slots, i / slots % units, i % slots)] = v;
    }
    out
}

fn from_slots(values: &[f32], lanes: usize, slots: usize, units: usize) -> Vec<f32> {
    let stride = padded_row(lanes, units, slots);
    let rows = (values.len() + lanes) / stride;
    let at = |i: usize| i / slots / units * stride + place(lanes, slots, i / slots % units, i % slots);
    (0..rows * units * slots).map(|i| values[at(i)]).collect()
}

/// Values in rows of states, up to the last vector.
fn into_states(values: &[f32], lanes: usize, units: usize) -> Vec<f32> {
    let (rows, stride) = (values.len() / units, units.next_multiple_of(STATE_PADDING));
    let mut out = vec![f32::NAN; (rows - 1) * stride + units.next_multiple_of(lanes)];
    for (r, row) in values.chunks_exact(units).enumerate() {
        out[r * stride..][..units].copy_from_slice(row);
    }
    out
}

fn from_states(values: &[f32], units: usize) -> Vec<f32> {
    values.chunks(units.next_multiple_of(STATE_PADDING)).flat_map(|row| row[..units].to_vec()).collect()
}

struct GateKernel<'a>(usize, &'a Values, &'a mut Buffers);
impl Kernel for GateKernel<'_> {
    type Output = ();
    fn run<S: Ops>(self, s: S) {
        let GateKernel(kernel, &Values { rows, units, .. }, Buffers { pre, states, gradient }) = self;
        let (_, slots, gate_count) = GATE_KERNELS[kernel];
        let stride = units.next_multiple_of(STATE_PADDING);
        let pre = Mat::new(pre, padded_row(S::LANES, units, slots));
        // Previous states come from anywhere.
        let offsets: Vec<usize> = (0..rows).rev().map(|r| r * stride).collect();
        let [before, a, b, d] = states.each_mut().map(|values| Mat::new(values, stride));
        let gates = Mat::new(gradient, gate_count * units);
        // Copies go to the last gate's units.
        let copied: Vec<usize> = (0..rows).map(|r| (r * gate_count + gate_count - 1) * units).collect();
        let blocks = units.div_ceil(S::LANES);
        let flush = Flush::new(units % 2 == 1);
        let before = before.read().gathered(&offsets);
        let copies = Some(gates.scattered(&copied));
        let forward = Forward { pre, before, c: a, h: b, copies, flush };
        // The gradient of the hidden states is in `a`, but for an LSTM, whose cell states are there.
        let backward = Backward { pre: pre.read(), before, c: a.read(), dh: a, carried: b, gates };
        let of_lstm = Backward { dh: b, carried: d, ..backward };
        // In two parts, as threads do.
        for blocks in [0..blocks / 2, blocks / 2..blocks] {
            let span = &Span { rows, blocks, units };
            // SAFETY: the buffers reach to the last row's last vector, copies to its last unit; all are arrays of their own.
            unsafe {
                match kernel {
                    0 => gates::forward(s, Elman::<false>, span, &forward),
                    1 => gates::forward(s, Elman::<true>, span, &forward),
                    2 => gates::forward(s, Lstm, span, &forward),
                    3 => gates::forward(s, ResetAfter, span, &forward),
                    4 => gates::forward(s, ResetBefore, span, &forward),
                    5 => gates::backward(s, Elman::<false>, span, &backward),
                    6 => gates::backward(s, Elman::<true>, span, &backward),
                    7 => gates::backward(s, Lstm, span, &of_lstm),
                    8 => gates::unprojected(s, Lstm, span, &of_lstm, b, flush),
                    9 => gates::backward(s, ResetAfter, span, &backward),
                    10 => {
                        gates::backward(s, ResetBefore, span, &backward);
                        gates::backward_between(s, ResetBefore, span, &backward, d);
                    }
                    11 => gates::between(s, ResetBefore, span, pre.read(), before, b),
                    12 => gates::cell_gradient(s, Lstm, span, &Backward { dh: d, carried: d, ..backward }, b),
                    other => unreachable!("no kernel {other}"),
                }
            }
        }
    }
}

impl Values {
    /// What the kernel makes of them.
    fn run(&self, kernel: usize, isa: Isa, side: Side) -> Values {
        let (lanes, (_, slots, _)) = (Geometry::of(isa).lanes, GATE_KERNELS[kernel]);
        let mut buffers = Buffers {
            pre: Guarded::new(&into_slots(&self.pre, lanes, slots, self.units), side),
            states: self.states.each_ref().map(|v| Guarded::new(&into_states(v, lanes, self.units), side)),
            gradient: Guarded::new(&self.gradient, side),
        };
        dispatch(isa, GateKernel(kernel, self, &mut buffers));
        Values {
            pre: from_slots(&buffers.pre, lanes, slots, self.units),
            states: buffers.states.each_ref().map(|v| from_states(v, self.units)),
            gradient: buffers.gradient.to_vec(),
            ..*self
        }
    }
}

/// Against the scalar path, which has no padding: states and gradients of every unit, and all that is only read.
#[test]
fn gate_kernels() {
    let (mut rng, mut compared) = (Random::new(35, 0), Compared::default());
    for units in sizes() {
        for (kernel, &(name, slots, gate_count)) in GATE_KERNELS.iter().enumerate() {
            let rows = 1 + (units + kernel) % 3;
            let mut wide = |n: usize| random(&mut rng, n).into_iter().map(|v| 4.0 * v).collect::<Vec<f32>>();
            let values = Values {
                rows,
                units,
                pre: wide(rows * units * slots),
                states: [(); 4].map(|()| wide(rows * units)),
                gradient: vec![f32::NAN; rows * units * gate_count],
            };
            let want = values.run(kernel, Isa::Scalar, Side::Behind);
            let is_backward = name.ends_with("backward");
            for row in 0..rows {
                let (copy, h) =
                    (&want.gradient[((row + 1) * gate_count - 1) * units..][..units], &want.states[2][row * units..]);
                assert_eq!(*copy == h[..units], kernel < 5, "{name}");
            }
            assert!(want.states.iter().flatten().all(|v| v.is_finite()), "{name}");
            assert!(is_backward || want.states[2] != values.states[2], "{name} does something");
            for (isa, side) in places() {
                let found = values.run(kernel, isa, side);
                let what = format!("{name}, {rows} rows of {units} on {}, {side:?}", isa.name());
                assert_same(&found.pre, &values.pre, &what);
                found.states.iter().zip(&want.states).for_each(|(f, w)| assert_same(f, w, &what));
                assert_same(&found.gradient, &want.gradient, &what);
                compared.add(name, isa);
            }
        }
    }
}

/// Rows of a look-ahead window.
struct AheadRows;
impl Kernel for AheadRows {
    type Output = usize;
    fn run<S: Ops>(self, _: S) -> usize {
        S::AHEAD_ROWS
    }
}

/// A sequence through the row kernel: panels guarded too, pre-activations kept, and the states of all steps. The initial
/// ones are in arrays of their own, so that nothing lies behind the row that is read first. With room for packed inputs, the
/// steps make the input product of steps to come.
struct Sequence<'a, C> {
    cell: C,
    input: PanelView<'a>,
    recurrent: PanelView<'a>,
    packed: Option<&'a mut [f32]>,
    start: &'a [f32],
    keep: &'a mut [f32],
    x: &'a [f32],
    x_stride: usize,
    initial: [&'a [f32]; 2],
    h: &'a mut [f32],
    c: &'a mut [f32],
    steps: usize,
    units: usize,
}

impl<C: Equations> Kernel for Sequence<'_, C> {
    type Output = ();
    fn run<S: Ops>(self, s: S) {
        let stride = self.units.next_multiple_of(STATE_PADDING) as isize;
        let states = |initial: &[f32], values: &mut [f32]| single_row::States {
            first: initial.as_ptr(),
            now: Series { first: values.as_mut_ptr(), step: stride },
        };
        let width = padded_row(S::LANES, self.units, C::SLOTS);
        let keep = Series { first: self.keep.as_mut_ptr(), step: width as isize };
        let bias = self.start.as_ptr();
        let input_row = |i: usize| self.x[i * self.x_stride..].as_ptr();
        let ahead = self.packed.map(|packed| {
            let x = Rows::strided(self.x, S::AHEAD_ROWS, self.x_stride, self.input.k);
            let out = Output::new(self.keep, width);
            gemm_gates(s, x, self.input, 0..self.input.panels, Start::Row(self.start), out);
            assert_eq!(packed.len(), S::AHEAD_ROWS * self.input.k);
            LookAhead { weights: self.input.into(), bias, x: &input_row, packed: packed.as_mut_ptr(), out: keep }
        });
        let rows = RowBuffers {
            start: if ahead.is_some() { keep.read() } else { Series { first: bias, step: 0 } },
            bias,
            keep: Some(keep),
            x: Series { first: self.x.as_ptr(), step: self.x_stride as isize },
            h: states(self.initial[0], self.h),
            c: states(self.initial[1], self.c),
            count: self.steps,
        };
        let input = ahead.is_none().then(|| self.input.into());
        let weights = single_row::Weights { input, recurrent: self.recurrent.into() };
        let layer = single_row::Layer::new(s, self.cell, 0..self.units.div_ceil(S::LANES), Flush::new(false));
        // SAFETY: starts, kept rows and states reach to the last vector, inputs and panels to the last feature.
        unsafe { layer.rows(&weights, &rows, ahead.as_ref(), None) }
    }
}

fn sequences<C: Equations>(cell: C, name: &'static str, rng: &mut Random, compared: &mut Compared) {
    /// A window that is made ahead, of which three rows exist.
    const STEPS: usize = MOST_AHEAD + 3;
    for units in sizes() {
        let (features, slots, gate_count) = (1 + units % 6, C::SLOTS, C::INPUT.len());
        let (ih, hh) = (random(rng, gate_count * units * features), random(rng, gate_count * units * units));
        let (bias, x) = (random(rng, units * slots), random(rng, STEPS * features));
        let (initial, states) = (random(rng, units), vec![f32::NAN; STEPS * units]);
        let run = |isa: Isa, side: Side, looks_ahead: bool| {
            let (lanes, ahead_rows) = (Geometry::of(isa).lanes, dispatch(isa, AheadRows));
            let panels = |k, weights: &[f32], gates| {
                let mut panels = Panels::for_gates(isa, k, GateColumns { gates, slots, units }).unwrap();
                panels.pack_rows(Team::one(), weights);
                panels
            };
            let panels = [panels(features, &ih, C::INPUT), panels(units, &hh, C::RECURRENT)];
            let data = panels.each_ref().map(|panels| Guarded::new(panels.view().data, side));
            let [input, recurrent] = [0, 1].map(|i| PanelView { data: &data[i], ..panels[i].view() });
            // Products also write the vector that takes what pads panels.
            let slots_of = |values: &[f32]| {
                let mut values = into_slots(values, lanes, slots, units);
                values.resize(values.len() + if looks_ahead { lanes } else { 0 }, f32::NAN);
                Guarded::new(&values, side)
            };
            let (start, mut keep) = (slots_of(&bias), slots_of(&vec![f32::NAN; STEPS * units * slots]));
            let mut packed = Guarded::new(&vec![f32::NAN; ahead_rows * features], side);
            let x = Guarded::new(&apart(&x, features, features + 1), side);
            let initial = [(); 2].map(|()| Guarded::new(&into_states(&initial, lanes, units), side));
            let [mut h, mut c] = [(); 2].map(|()| Guarded::new(&into_states(&states, lanes, units), side));
            let sequence = Sequence {
                cell,
                input,
                recurrent,
                packed: looks_ahead.then_some(&mut packed),
                start: &start,
                keep: &mut keep,
                x: &x,
                x_stride: features + 1,
                initial: [&initial[0], &initial[1]],
                h: &mut h,
                c: &mut c,
                steps: STEPS,
                units,
            };
            dispatch(isa, sequence);
            [from_slots(&keep, lanes, slots, units), from_states(&h, units), from_states(&c, units)]
        };
        let want = run(Isa::Scalar, Side::Behind, false);
        assert!(want[..2].iter().flatten().all(|v| v.is_finite()), "{name}");
        for (isa, side) in places() {
            for looks_ahead in [false, true] {
                if looks_ahead && dispatch(isa, AheadRows) == 0 {
                    continue;
                }
                let what = format!("{name} {features}->{units} on {}, {side:?}, look-ahead {looks_ahead}", isa.name());
                run(isa, side, looks_ahead).iter().zip(&want).for_each(|(found, want)| assert_same(found, want, &what));
                compared.add(name, isa);
            }
        }
    }
}

#[test]
fn rows_of_layers() {
    let (mut rng, mut compared) = (Random::new(36, 0), Compared::default());
    sequences(Elman::<false>, "tanh rows", &mut rng, &mut compared);
    sequences(Elman::<true>, "relu rows", &mut rng, &mut compared);
    sequences(Lstm, "LSTM rows", &mut rng, &mut compared);
    sequences(ResetAfter, "GRU rows", &mut rng, &mut compared);
}

#[test]
fn nearest_rows() {
    let (mut rng, mut compared) = (Random::new(37, 0), Compared::default());
    for dim in sizes() {
        // Over the blocks of rows, where vectors are long.
        let rows = 1 + dim % 9 + if dim >= 47 { 120 } else { 0 };
        // One by one, and up to two tiles.
        let count = 1 + dim % 6;
        let (queries, table) = (random(&mut rng, count * dim), random(&mut rng, rows * dim));
        let factors = random(&mut rng, rows);
        let best = |isa: Isa, queries: &[f32], table: &[f32], factors: &[f32]| {
            let mut best: Vec<Best> = (0..count).map(|_| Best::new(3).unwrap()).collect();
            scan(isa, dim, queries, table, factors, 5, &vec![&[6][..]; count], &mut best).unwrap();
            let sorted = |best: Best| best.into_sorted().map(|(row, score)| (row, score.to_bits())).collect::<Vec<_>>();
            best.into_iter().map(sorted).collect::<Vec<_>>()
        };
        let want = best(Isa::Scalar, &queries, &table, &factors);
        assert!(want.iter().all(|found| found.len() == 3.min(rows - usize::from(rows > 1))));
        let query = &queries[..dim];
        let want_dot = dot(Isa::Scalar, query, &table[..dim]);
        for (isa, side) in places() {
            let guard = |values: &[f32]| Guarded::new(values, side);
            let what = format!("{rows} rows of {dim} on {}, {side:?}", isa.name());
            assert_eq!(best(isa, &guard(&queries), &guard(&table), &guard(&factors)), want, "{what}");
            assert_same(&[dot(isa, &guard(query), &guard(&table[..dim]))], &[want_dot], &what);
            compared.add("nearest", isa);
        }
    }
}

/// Kernels that map vectors to vectors: what each makes of two arrays and a number of columns.
type Vectors = fn(Isa, usize, &mut [f32], &mut [f32]) -> f64;

const VECTORS: [(&str, Vectors); 9] = [
    ("sigmoid", |isa, _, x, _| {
        sigmoid(isa, x);
        0.0
    }),
    ("softmax", |isa, columns, x, y| {
        softmax(isa, columns, x, y);
        0.0
    }),
    ("log softmax", |isa, columns, x, y| {
        log_softmax(isa, columns, x, y);
        0.0
    }),
    ("cross-entropy", |isa, columns, x, y| {
        let targets: Vec<i64> =
            (0..x.len() / columns).map(|r| if r == 1 { -100 } else { (r % columns) as i64 }).collect();
        let loss = CrossEntropy::default();
        loss.evaluate_on(isa, columns, x, &targets, None).unwrap()
            + loss.evaluate_on(isa, columns, x, &targets, Some(y)).unwrap()
    }),
    ("binary cross-entropy", |_, columns, x, y| {
        let targets = y.iter().map(|v| v.abs()).collect::<Vec<_>>();
        BceWithLogits::default().evaluate(columns, x, &targets, Some(y)).unwrap()
    }),
    ("squared error", |_, _, x, y| {
        let target = y.to_vec();
        mse_loss(Reduction::Sum, x, &target, Some(y)).unwrap()
    }),
    ("dropout", |isa, columns, x, y| {
        Dropout::new(0.4, 9).unwrap().apply_on(isa, columns as u64, x);
        Dropout::new(0.4, 9).unwrap().apply_on(isa, 0, y);
        0.0
    }),
    ("clipping", |_, _, x, y| {
        clip_grad_value(&mut [&mut *x, &mut *y], 0.4).unwrap();
        clip_grad_norm(&mut [x, y], 0.3, true).unwrap()
    }),
    ("sums", |_, _, x, y| {
        let mut pairs = Stripes::new();
        pairs.add_pairs(x, y, |a, b| a * b);
        sum_of_squares(x) + pairs.total()
    }),
];

#[test]
fn vectors() {
    let (mut rng, mut compared) = (Random::new(38, 0), Compared::default());
    // Over the blocks of exponentials and of random numbers, too.
    for columns in sizes().chain([127, 128, 129, 255, 256, 257, 300]) {
        let rows = 1 + columns % 3;
        let (x, y) = (random(&mut rng, rows * columns), random(&mut rng, rows * columns));
        for (name, kernel) in VECTORS {
            let (mut want_x, mut want_y) = (x.clone(), y.clone());
            let want = kernel(Isa::Scalar, columns, &mut want_x, &mut want_y);
            assert!(name == "sums" || (&want_x, &want_y) != (&x, &y) || columns < 3, "{name} does something");
            for (isa, side) in places() {
                let (mut found_x, mut found_y) = (Guarded::new(&x, side), Guarded::new(&y, side));
                let found = kernel(isa, columns, &mut found_x, &mut found_y);
                let what = format!("{name} of {rows} rows of {columns} on {}, {side:?}", isa.name());
                assert_eq!(found.to_bits(), want.to_bits(), "{what}");
                assert_same(&found_x, &want_x, &what);
                assert_same(&found_y, &want_y, &what);
                compared.add(name, isa);
            }
        }
    }
}
