//! Initial weights: seeded, and the same on every machine.

use super::config::{ParamSpec, RnnConfig};
use crate::buffer::AlignedBuf;
use crate::error::{Result, err};
use crate::random::Random;

/// How parameters are drawn.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Init {
    /// torch.nn's: every parameter uniform in ±1/sqrt(hidden_size).
    TorchUniform = 0,
    /// Input and projection weights uniform in ±sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010), each recurrent
    /// gate matrix orthogonal (Saxe et al. 2014), biases zero.
    XavierOrthogonal = 1,
    /// As `XavierOrthogonal`, with the LSTM's forget gate bias 1 (Jozefowicz et al. 2015), all of it in `bias_ih`.
    XavierOrthogonalForgetOne = 2,
}

impl Init {
    /// The scheme with that number.
    pub fn from_number(number: i32) -> Result<Init> {
        [Init::TorchUniform, Init::XavierOrthogonal, Init::XavierOrthogonalForgetOne]
            .into_iter()
            .find(|&i| i as i32 == number)
            .ok_or_else(|| {
                err!(
                    InvalidArgument,
                    "unknown initialization {number}, expected 0 (torch uniform), 1 (xavier, orthogonal) or 2 (with forget bias 1)"
                )
            })
    }
}

/// Draws all parameters into `values`, the parameter's index being the random stream.
pub(crate) fn fill(config: &RnnConfig, specs: &[ParamSpec], scheme: Init, seed: u64, values: &mut [f32]) -> Result<()> {
    for (index, spec) in specs.iter().enumerate() {
        let mut rng = Random::new(seed, index as u64);
        let target = &mut values[spec.range()];
        let gate_rows = config.hidden_size;
        match (scheme, spec.kind) {
            (Init::TorchUniform, _) => uniform(&mut rng, target, 1.0 / (config.hidden_size as f64).sqrt()),
            (_, "weight_hh") => {
                for gate in target.chunks_exact_mut(gate_rows * spec.cols) {
                    orthogonal(&mut rng, gate, gate_rows, spec.cols)?;
                }
            }
            (_, "weight_ih") => uniform(&mut rng, target, xavier(gate_rows, spec.cols)),
            (_, "weight_hr") => uniform(&mut rng, target, xavier(spec.rows, spec.cols)),
            (Init::XavierOrthogonalForgetOne, "bias_ih") => {
                target.fill(0.0);
                if let Some(gate) = config.cell.properties().forget_gate {
                    target[gate * gate_rows..(gate + 1) * gate_rows].fill(1.0);
                }
            }
            _ => target.fill(0.0),
        }
    }
    Ok(())
}

/// Glorot and Bengio 2010, equation 16.
fn xavier(rows: usize, cols: usize) -> f64 {
    (6.0 / (rows + cols) as f64).sqrt()
}

/// Uniform in ±`bound`.
pub(crate) fn uniform(rng: &mut Random, target: &mut [f32], bound: f64) {
    for v in target {
        *v = (bound * (2.0 * f64::from(rng.uniform()) - 1.0)) as f32;
    }
}

/// Rows (or, if there are more rows than columns, columns) orthonormal: a Gaussian matrix orthogonalized by modified
/// Gram-Schmidt, done twice for accuracy.
fn orthogonal(rng: &mut Random, target: &mut [f32], rows: usize, cols: usize) -> Result<()> {
    let (count, len) = (rows.min(cols), rows.max(cols));
    let mut basis = AlignedBuf::<f64>::zeroed(count * len)?;
    for i in 0..count {
        let (done, rest) = basis.split_at_mut(i * len);
        let vector = &mut rest[..len];
        loop {
            vector.fill_with(|| rng.normal());
            let before = dot(vector, vector).sqrt();
            for _ in 0..2 {
                for other in done.chunks_exact(len) {
                    let along = dot(other, vector);
                    vector.iter_mut().zip(other).for_each(|(v, o)| *v -= along * o);
                }
            }
            let norm = dot(vector, vector).sqrt();
            // A draw within the span of the others, up to rounding, is drawn again.
            if norm > 1e-8 * before {
                vector.iter_mut().for_each(|v| *v /= norm);
                break;
            }
        }
    }
    for r in 0..rows {
        for c in 0..cols {
            let (i, j) = if rows <= cols { (r, c) } else { (c, r) };
            target[r * cols + c] = basis[i * len + j] as f32;
        }
    }
    Ok(())
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).fold(0.0, |sum, (x, y)| sum + x * y)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orthogonal_matrices_are_orthonormal() {
        for (rows, cols) in [(1, 1), (8, 8), (5, 12), (12, 5), (33, 33)] {
            let mut m = vec![0.0; rows * cols];
            orthogonal(&mut Random::new(3, 1), &mut m, rows, cols).unwrap();
            let (count, len) = (rows.min(cols), rows.max(cols));
            let at = |i: usize, j: usize| f64::from(if rows <= cols { m[i * cols + j] } else { m[j * cols + i] });
            for a in 0..count {
                for b in 0..count {
                    let d: f64 = (0..len).map(|j| at(a, j) * at(b, j)).sum();
                    // Entries are rounded to f32: each product of the sum carries two such errors.
                    assert!((d - f64::from(u8::from(a == b))).abs() < 2.0 * f64::from(f32::EPSILON), "{rows}x{cols}");
                }
            }
        }
    }
}
