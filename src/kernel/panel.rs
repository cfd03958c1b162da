//! Packed weights: panels of `k` rows by a few vectors, so that a micro-tile reads them in address order.
//!
//! The columns of a weight matrix are grouped into vectors of LANES consecutive units of one gate. Vectors of the same
//! units follow each other, gate by gate; consecutive vectors form a panel. Where the results of vector `v` belong in a
//! row of the output is `offsets[v]`: gate matrices of one cell can thus leave gaps for each other's columns.

use super::lhs::{Lhs, Rows};
use super::mat::Mat;
use crate::buffer::{AlignedBuf, try_copy};
use crate::error::{Result, product};
use crate::parallel::{FEWEST_COPIES, Team};
use crate::simd::{Isa, Kernel, Ops, dispatch};
use std::ops::Range;

/// The sizes of an instruction set that packing depends on.
#[derive(Clone, Copy)]
pub(crate) struct Geometry {
    pub(crate) lanes: usize,
    pub(crate) panel_vectors: usize,
}

impl Geometry {
    pub(crate) fn of(isa: Isa) -> Self {
        struct Read;
        impl Kernel for Read {
            type Output = Geometry;
            #[inline(always)]
            fn run<S: Ops>(self, _: S) -> Geometry {
                Geometry { lanes: S::LANES, panel_vectors: S::PANEL_VECTORS }
            }
        }
        dispatch(isa, Read)
    }
}

/// Where the columns of a gate matrix come from and go to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GateColumns<'a> {
    /// For each packed gate: its block of rows in the source matrix, and its slot among the output's columns.
    pub(crate) gates: &'a [(usize, usize)],
    /// Slots per unit in a row of the output.
    pub(crate) slots: usize,
    /// Units of each gate.
    pub(crate) units: usize,
}

/// Where the vector of a slot begins in a row of pre-activations, or any output row for gate columns: for each block of `lanes`
/// units one vector a slot.
#[inline(always)]
pub(crate) fn slot_vector(lanes: usize, slots: usize, block: usize, slot: usize) -> usize {
    (block * slots + slot) * lanes
}

/// Where the value of a unit is in it.
#[inline]
pub(crate) fn slot_value(lanes: usize, slots: usize, unit: usize, slot: usize) -> usize {
    slot_vector(lanes, slots, unit / lanes, slot) + unit % lanes
}

/// Length of an output row for gate columns: every slot's vectors and one more that takes the padding.
pub(crate) fn padded_row(lanes: usize, units: usize, slots: usize) -> usize {
    slot_vector(lanes, slots, units.div_ceil(lanes), 0) + lanes
}

/// A matrix packed for multiplication from the left: `k` input features by many output columns.
pub(crate) struct Panels {
    isa: Isa,
    k: usize,
    panels: usize,
    units: usize,
    gates: Vec<(usize, usize)>,
    /// For each vector, padding vectors included, the offset of its first column in a row of the output.
    offsets: AlignedBuf<usize>,
    /// The largest offset plus a vector: values that an output row needs.
    row_len: usize,
    vectors: usize,
    data: AlignedBuf<f32>,
}

/// Panels as the product reads them.
#[derive(Clone, Copy)]
pub(crate) struct PanelView<'a> {
    pub(crate) k: usize,
    pub(crate) panels: usize,
    pub(crate) data: &'a [f32],
    /// As in [`Panels`]; absent where columns follow each other.
    pub(crate) offsets: Option<&'a [usize]>,
    /// As in [`Panels`]; a product whose columns follow each other does not use it.
    pub(crate) row_len: usize,
    /// Vectors that exist: the last panel may have fewer than others.
    pub(crate) vectors: usize,
}

/// Packed weights of which all columns are read, as [`super::single_row`] does.
#[derive(Clone, Copy)]
pub(crate) struct PanelData<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) k: usize,
}

impl<'a> From<PanelView<'a>> for PanelData<'a> {
    #[inline]
    fn from(panels: PanelView<'a>) -> Self {
        Self { values: panels.data, k: panels.k }
    }
}

impl Panels {
    /// Zero panels for gate columns. Vectors that only pad the last panel go to the vector after the last slot, so a
    /// row of the output is [`padded_row`] values long.
    pub(crate) fn for_gates(isa: Isa, k: usize, columns: GateColumns<'_>) -> Result<Self> {
        let Geometry { lanes, panel_vectors } = Geometry::of(isa);
        let blocks = columns.units.div_ceil(lanes);
        let vectors = blocks * columns.gates.len();
        let padded = vectors.next_multiple_of(panel_vectors);
        let mut offsets = AlignedBuf::zeroed(padded)?;
        offsets.fill(slot_vector(lanes, columns.slots, blocks, 0));
        for v in 0..vectors {
            let (block, gate) = (v / columns.gates.len(), v % columns.gates.len());
            offsets[v] = slot_vector(lanes, columns.slots, block, columns.gates[gate].1);
        }
        let data = AlignedBuf::zeroed(product("a packed matrix", &[padded, lanes, k])?)?;
        let gates = try_copy(columns.gates)?;
        let row_len = offsets.iter().max().map_or(0, |&o| o + lanes);
        let panels = padded / panel_vectors;
        Ok(Self { isa, k, panels, units: columns.units, gates, offsets, row_len, vectors, data })
    }

    /// Zero panels for a plain matrix of `n` columns.
    pub(crate) fn plain(isa: Isa, k: usize, n: usize) -> Result<Self> {
        Self::for_gates(isa, k, GateColumns { gates: &[(0, 0)], slots: 1, units: n })
    }

    /// Columns of a plain matrix.
    pub(crate) fn columns(&self) -> usize {
        self.units
    }

    /// Values that a row of the output of gate columns needs.
    pub(crate) fn row_len(&self) -> usize {
        self.row_len
    }

    pub(crate) fn is_plain(&self) -> bool {
        self.gates.len() == 1
    }

    pub(crate) fn bytes(&self) -> usize {
        self.data.bytes() + self.offsets.bytes()
    }

    #[inline]
    pub(crate) fn view(&self) -> PanelView<'_> {
        let (k, panels, row_len, vectors) = (self.k, self.panels, self.row_len, self.vectors);
        PanelView { k, panels, data: &self.data, offsets: Some(&self.offsets), row_len, vectors }
    }

    /// Packs `weight` of shape (gate rows, k), row-major as PyTorch keeps it: column j of the product is its row j.
    pub(crate) fn pack_rows(&mut self, team: Team<'_>, weight: &[f32]) {
        struct Pack<'a>(&'a mut Panels, Team<'a>, &'a [f32]);
        impl Kernel for Pack<'_> {
            type Output = ();
            fn run<S: Ops>(self, s: S) {
                let Pack(panels, team, weight) = self;
                let vectors = panels.units.div_ceil(S::LANES) * panels.gates.len();
                assert!(vectors <= panels.panels * S::PANEL_VECTORS);
                let panels = &*panels;
                let data = Mat::shared(&panels.data, panels.panels, panels.k * S::PANEL_WIDTH);
                team.split(0..vectors, FEWEST_COPIES / (panels.k * S::LANES), &|part: Range<usize>| {
                    s.enter(
                        #[inline(always)]
                        || {
                            for v in part.clone() {
                                // SAFETY: the vector lies within `data`, as asserted, and parts are disjoint.
                                unsafe { panels.pack_vector(s, v, weight, data) }
                            }
                        },
                    );
                });
            }
        }
        dispatch(self.isa, Pack(self, team, weight));
    }

    /// Packs vector `v`: some units of one gate.
    ///
    /// # Safety
    /// `data` has a row for each panel, and nobody else uses the vector meanwhile.
    #[inline(always)]
    unsafe fn pack_vector<S: Ops>(&self, s: S, v: usize, weight: &[f32], data: Mat<'_>) {
        let (k, lanes, width) = (self.k, S::LANES, S::PANEL_WIDTH);
        let (block, gate) = (v / self.gates.len(), v % self.gates.len());
        let first = block * lanes;
        let rows = lanes.min(self.units - first);
        let source = &weight[(self.gates[gate].0 * self.units + first) * k..][..rows * k];
        // SAFETY: the vector's panel has `k` rows, each with this vector; whole blocks have `lanes` rows and features.
        unsafe {
            let target = data.row(v / S::PANEL_VECTORS).add(v % S::PANEL_VECTORS * lanes);
            // Whole blocks in registers; then what is left of the features, or all of them where units are missing.
            let whole = if rows == lanes { k - k % lanes } else { 0 };
            for start in (0..whole).step_by(lanes) {
                s.transpose(source.as_ptr().add(start), k, target.add(start * width), width);
            }
            for start in (whole..k).step_by(lanes) {
                for (lane, row) in source.chunks_exact(k).enumerate() {
                    for (j, &value) in row.iter().enumerate().take(start + lanes).skip(start) {
                        *target.add(j * width + lane) = value;
                    }
                }
            }
        }
    }

    /// Packs a plain matrix of shape (k, n), row-major.
    pub(crate) fn pack_columns(&mut self, team: Team<'_>, matrix: &[f32]) {
        struct Pack<'a>(Team<'a>, Rows<'a>, &'a mut [f32]);
        impl Kernel for Pack<'_> {
            type Output = ();
            fn run<S: Ops>(self, s: S) {
                pack_as_panels(s, self.0, self.1, self.2);
            }
        }
        assert!(self.is_plain());
        dispatch(self.isa, Pack(team, Rows::strided(matrix, self.k, self.units, self.units), &mut self.data));
    }
}

/// Packs rows into panels, the k of the product being the row: the right operand of an outer product. Columns beyond the
/// rows' width become zero.
pub(crate) fn pack_as_panels<S: Ops>(s: S, team: Team<'_>, rows: Rows<'_>, data: &mut [f32]) {
    let (k, n) = (rows.count(), rows.width());
    let panels = n.div_ceil(S::PANEL_WIDTH);
    assert!(panels * k * S::PANEL_WIDTH <= data.len());
    let data = Mat::new(data, k * S::PANEL_WIDTH);
    team.split(0..panels, FEWEST_COPIES / (k * S::PANEL_WIDTH).max(1), &|part: Range<usize>| {
        s.enter(
            #[inline(always)]
            || {
                for panel in part.clone() {
                    let first = panel * S::PANEL_WIDTH;
                    let whole = S::PANEL_VECTORS.min((n - first) / S::LANES);
                    // SAFETY: the panels lie within `data`, as asserted, parts are disjoint, and rows have `n` values.
                    unsafe {
                        let mut to = data.row(panel);
                        for i in 0..k {
                            let from = rows.pointer(i).add(first);
                            if whole == S::PANEL_VECTORS {
                                for v in 0..S::PANEL_VECTORS {
                                    s.store(to.add(v * S::LANES), s.load(from.add(v * S::LANES)));
                                }
                            } else {
                                for v in 0..S::PANEL_VECTORS {
                                    let at = v * S::LANES;
                                    let used = (n - first).saturating_sub(at).min(S::LANES);
                                    s.store(to.add(at), s.load_first(from.wrapping_add(at), used));
                                }
                            }
                            to = to.add(S::PANEL_WIDTH);
                        }
                    }
                }
            },
        );
    });
}
