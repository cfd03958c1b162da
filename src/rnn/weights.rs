//! The weights of one pass (a layer in one direction), packed for the kernels.

use super::config::{ParamSpec, RnnConfig};
use crate::buffer::{AlignedBuf, try_with_capacity};
use crate::error::Result;
use crate::kernel::panel::{GateColumns, Geometry, Panels, padded_row, slot_value};
use crate::parallel::Team;
use crate::simd::Isa;
use std::ops::Range;

/// What forward needs of a pass.
pub(crate) struct ForwardWeights {
    pub(crate) input: Panels,
    pub(crate) recurrent: Panels,
    /// Of the cell's second product, if it has one.
    pub(crate) second: Option<Panels>,
    /// Where the chains of a row of pre-activations start.
    pub(crate) bias: AlignedBuf<f32>,
    pub(crate) projection: Option<Panels>,
}

/// What backward needs of a pass: the same matrices from the other side.
pub(crate) struct BackwardWeights {
    pub(crate) input: Panels,
    /// One for each of the cell's [`Run`](crate::kernel::cell::Run)s.
    pub(crate) recurrent: Vec<Panels>,
    pub(crate) projection: Option<Panels>,
}

/// The parameters of one pass within the flat array.
pub(crate) struct PassParams<'a> {
    pub(crate) weight_ih: &'a ParamSpec,
    pub(crate) weight_hh: &'a ParamSpec,
    pub(crate) bias: Option<(&'a ParamSpec, &'a ParamSpec)>,
    pub(crate) weight_hr: Option<&'a ParamSpec>,
}

impl<'a> PassParams<'a> {
    /// Those of pass `pass` (layer times directions plus direction).
    pub(crate) fn of(config: &RnnConfig, specs: &'a [ParamSpec], pass: usize) -> Self {
        let per_pass = specs.len() / config.passes();
        let own = &specs[pass * per_pass..(pass + 1) * per_pass];
        Self {
            weight_ih: &own[0],
            weight_hh: &own[1],
            bias: config.bias.then(|| (&own[2], &own[3])),
            weight_hr: (config.proj_size > 0).then(|| &own[per_pass - 1]),
        }
    }

    /// Where they are in the flat array.
    pub(crate) fn range(&self) -> Range<usize> {
        let last = self.weight_hr.or(self.bias.map(|b| b.1)).unwrap_or(self.weight_hh);
        self.weight_ih.range().start..last.range().end
    }

    /// Where the pass's parameter `spec` is among its own.
    pub(crate) fn own(&self, spec: &ParamSpec) -> Range<usize> {
        let first = self.weight_ih.range().start;
        spec.range().start - first..spec.range().end - first
    }
}

impl ForwardWeights {
    /// Zero weights for `pass`.
    pub(crate) fn new(config: &RnnConfig, isa: Isa, params: &PassParams<'_>) -> Result<Self> {
        let cell = config.cell.properties();
        let columns = |gates| GateColumns { gates, slots: cell.slots, units: config.hidden_size };
        let recurrent = |gates| Panels::for_gates(isa, params.weight_hh.cols, columns(gates));
        let projection = match params.weight_hr {
            Some(spec) => Some(Panels::plain(isa, spec.cols, spec.rows)?),
            None => None,
        };
        Ok(Self {
            input: Panels::for_gates(isa, params.weight_ih.cols, columns(cell.input))?,
            recurrent: recurrent(cell.recurrent)?,
            second: if cell.second.is_empty() { None } else { Some(recurrent(cell.second)?) },
            bias: AlignedBuf::zeroed(padded_row(Geometry::of(isa).lanes, config.hidden_size, cell.slots))?,
            projection,
        })
    }

    /// Packs the pass's values out of the flat array.
    pub(crate) fn pack(
        &mut self,
        config: &RnnConfig,
        isa: Isa,
        team: Team<'_>,
        params: &PassParams<'_>,
        values: &[f32],
    ) {
        let cell = config.cell.properties();
        let (units, lanes) = (config.hidden_size, Geometry::of(isa).lanes);
        self.input.pack_rows(team, &values[params.weight_ih.range()]);
        for panels in std::iter::once(&mut self.recurrent).chain(&mut self.second) {
            panels.pack_rows(team, &values[params.weight_hh.range()]);
        }
        if let (Some(panels), Some(spec)) = (&mut self.projection, params.weight_hr) {
            panels.pack_rows(team, &values[spec.range()]);
        }
        if let Some((input, hidden)) = params.bias {
            let (input, hidden) = (&values[input.range()], &values[hidden.range()]);
            self.bias.fill(0.0);
            let mut add = |gate: usize, slot: usize, bias: &[f32]| {
                for (unit, &b) in bias[gate * units..(gate + 1) * units].iter().enumerate() {
                    // One rounded sum of both biases, unless the slot belongs to one of them alone.
                    self.bias[slot_value(lanes, cell.slots, unit, slot)] += b;
                }
            };
            for &(gate, slot) in cell.input {
                add(gate, slot, input);
            }
            for &(gate, slot) in cell.recurrent.iter().chain(cell.second) {
                add(gate, slot, hidden);
            }
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        let panels = [&self.input, &self.recurrent].into_iter().chain(&self.second).chain(&self.projection);
        panels.map(Panels::bytes).sum::<usize>() + self.bias.bytes()
    }
}

impl BackwardWeights {
    /// Zero weights for `pass`.
    pub(crate) fn new(config: &RnnConfig, isa: Isa, params: &PassParams<'_>) -> Result<Self> {
        let runs = config.cell.properties().runs;
        let mut recurrent = try_with_capacity(runs.len())?;
        for run in runs {
            recurrent.push(Panels::plain(isa, run.gates * config.hidden_size, params.weight_hh.cols)?);
        }
        let projection = match params.weight_hr {
            Some(spec) => Some(Panels::plain(isa, spec.rows, spec.cols)?),
            None => None,
        };
        Ok(Self { input: Panels::plain(isa, params.weight_ih.rows, params.weight_ih.cols)?, recurrent, projection })
    }

    /// Packs the pass's values out of the flat array.
    pub(crate) fn pack(&mut self, config: &RnnConfig, team: Team<'_>, params: &PassParams<'_>, values: &[f32]) {
        let hh = &values[params.weight_hh.range()];
        let gate = config.hidden_size * params.weight_hh.cols;
        self.input.pack_columns(team, &values[params.weight_ih.range()]);
        for (panels, run) in self.recurrent.iter_mut().zip(config.cell.properties().runs) {
            panels.pack_columns(team, &hh[run.gate * gate..(run.gate + run.gates) * gate]);
        }
        if let (Some(panels), Some(spec)) = (&mut self.projection, params.weight_hr) {
            panels.pack_columns(team, &values[spec.range()]);
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.recurrent.iter().chain(&self.projection).map(Panels::bytes).sum::<usize>() + self.input.bytes()
    }
}
