//! Modules in safetensors files, under PyTorch's names: recurrent layers, dense layers, embeddings; and optimizer states.
//!
//! A module's tensors follow a prefix, such as `"lstm."`. All of them are checked, by name and shape, before a value is
//! read, and nothing changes unless all could be read.

use super::safetensors::{Finite, TensorFile, TensorWriter};
use super::{LoadOptions, SaveOptions};
use crate::buffer::{AlignedBuf, push, try_format, try_with_capacity};
use crate::error::{Result, err};
use crate::nn::{Dense, Embedding, Optimizer, StateSink, StateSource};
use crate::rnn::{ParamSpec, Rnn, RnnConfig};
use crate::shown::Excerpt;
use std::fmt;
use std::path::Path;

/// A tensor that a module takes from a file.
pub(crate) struct Part {
    name: String,
    extents: [usize; 2],
    ndim: usize,
}

impl Part {
    fn new(name: String, shape: &[usize]) -> Self {
        let mut extents = [1; 2];
        extents[..shape.len()].copy_from_slice(shape);
        Self { name, extents, ndim: shape.len() }
    }

    fn shape(&self) -> &[usize] {
        &self.extents[..self.ndim]
    }
}

/// The tensors of one module in a file, checked.
pub(crate) struct Parts<'a> {
    file: &'a TensorFile,
    parts: Vec<Part>,
    finite: Finite,
}

impl<'a> Parts<'a> {
    /// Checks names and shapes, and that the file has no more tensors of this module than `parts`.
    fn new(file: &'a TensorFile, prefix: &str, parts: Vec<Part>, options: &LoadOptions) -> Result<Self> {
        for part in &parts {
            file.expect_shape(&part.name, part.shape())?;
        }
        if !options.allow_unused {
            let mut names = try_with_capacity(parts.len())?;
            names.extend(parts.iter().map(|part| &part.name[prefix.len()..]));
            names.sort_unstable();
            // What follows a dot is the parameter of a module below.
            let own = |name: &str| !name.contains('.') && names.binary_search(&name).is_err();
            expect_none_unused(file, prefix, own)?;
        }
        let finite = if options.allow_non_finite { Finite::Any } else { Finite::Required };
        Ok(Self { file, parts, finite })
    }

    /// Reads all of them, one after another. On failure some of `out` may be written.
    fn read(&self, mut out: &mut [f32]) -> Result<()> {
        for part in &self.parts {
            let (own, rest) = out.split_at_mut(part.extents[0] * part.extents[1]);
            self.file.read_f32(&part.name, part.shape(), self.finite, own)?;
            out = rest;
        }
        Ok(())
    }

    /// Reads all of them into memory of their own.
    fn values(&self, len: usize) -> Result<AlignedBuf<f32>> {
        let mut values = AlignedBuf::zeroed(len)?;
        self.read(&mut values)?;
        Ok(values)
    }
}

/// An error that names tensors under `prefix` for which `is_unused` is true; it gets names without the prefix.
pub(crate) fn expect_none_unused(file: &TensorFile, prefix: &str, is_unused: impl Fn(&str) -> bool) -> Result<()> {
    let unused = || file.under(prefix).map(|(name, _)| name).filter(|name| is_unused(name));
    let count = unused().count();
    if count == 0 {
        return Ok(());
    }
    let (label, s) = (file.label(), if count == 1 { "" } else { "s" });
    let mut e = err!(InvalidData, "{label}: {count} tensor{s} would stay unused:");
    let mut add = |text: fmt::Arguments<'_>| {
        // Writing into an error cannot fail.
        let _ = fmt::Write::write_fmt(&mut e, text);
    };
    for (i, name) in unused().take(3).enumerate() {
        let comma = if i == 0 { "" } else { "," };
        add(format_args!("{comma} '{}{}'", Excerpt(prefix, 30), Excerpt(name, 40)));
    }
    add(format_args!("{}; the option allow_unused passes them over", if count > 3 { ", ..." } else { "" }));
    Err(e)
}

/// The tensors of layers with that configuration, under the names of `torch.nn.LSTM` or, for one layer in one direction,
/// of `torch.nn.LSTMCell`. They are found before any memory is taken for the layers.
pub(crate) fn rnn_parts<'a>(
    config: &RnnConfig,
    file: &'a TensorFile,
    prefix: &str,
    options: &LoadOptions,
) -> Result<Parts<'a>> {
    config.check()?;
    // Every pass has two tensors at the least.
    let (passes, found) = (config.passes(), file.names().len());
    if passes > found {
        return Err(err!(
            ShapeMismatch,
            "{}: {found} tensors cannot hold {} layers and {passes} passes",
            file.label(),
            config.num_layers
        ));
    }
    specs_parts(&config.param_specs()?, file, prefix, options)
}

fn specs_parts<'a>(
    specs: &[ParamSpec],
    file: &'a TensorFile,
    prefix: &str,
    options: &LoadOptions,
) -> Result<Parts<'a>> {
    let mut parts = try_with_capacity(specs.len())?;
    let one_pass = specs.iter().all(|spec| spec.layer == 0 && spec.direction == 0);
    let as_cell = one_pass
        && !file.contains(&try_format(format_args!("{prefix}weight_ih_l0"))?)
        && file.contains(&try_format(format_args!("{prefix}weight_ih"))?);
    for spec in specs {
        let name = match as_cell {
            true => try_format(format_args!("{prefix}{}", spec.kind))?,
            false => try_format(format_args!("{prefix}{spec}"))?,
        };
        parts.push(Part::new(name, &spec.extents()[..spec.ndim()]));
    }
    Parts::new(file, prefix, parts, options)
}

impl Rnn {
    /// [`Rnn::load_safetensors_with`] with the strict defaults.
    ///
    /// # Errors
    /// As there.
    pub fn load_safetensors(&mut self, path: impl AsRef<Path>, prefix: &str) -> Result<()> {
        self.load_safetensors_with(path, prefix, &LoadOptions::default())
    }

    /// Reads all parameters from a safetensors file in which their PyTorch names follow `prefix` (such as `"lstm."`, or
    /// `""`), in f32, f64, f16 or bf16. One layer in one direction may also have the names of `torch.nn.LSTMCell`, without
    /// `_l0`.
    ///
    /// # Errors
    /// Those of [`TensorFile::open`]; `NotFound` for a missing tensor, `ShapeMismatch` for one of another shape,
    /// `InvalidData` for one of another type and, unless `options` allow it, for values that are not finite and for
    /// tensors of the module that stay unused, such as the other direction's; `OutOfMemory`. The weights change only if
    /// all could be read.
    pub fn load_safetensors_with(&mut self, path: impl AsRef<Path>, prefix: &str, options: &LoadOptions) -> Result<()> {
        self.read_params(&TensorFile::open(path)?, prefix, options)
    }

    /// [`Rnn::load_safetensors_with`] from an opened file, or one in memory.
    ///
    /// # Errors
    /// As there.
    pub fn read_params(&mut self, file: &TensorFile, prefix: &str, options: &LoadOptions) -> Result<()> {
        let parts = specs_parts(self.param_specs(), file, prefix, options)?;
        self.take(&parts)
    }

    pub(crate) fn take(&mut self, parts: &Parts<'_>) -> Result<()> {
        let values = parts.values(self.values().len())?;
        self.update(|all| all.copy_from_slice(&values));
        Ok(())
    }

    /// Writes all parameters, in f32, to a safetensors file under `prefix` and their PyTorch names.
    ///
    /// # Errors
    /// Those of [`TensorWriter::save`]: weights that are not finite are refused, a [`TensorWriter::with_options`] takes
    /// them. A failed save leaves an existing file as it was.
    pub fn save_safetensors(&self, path: impl AsRef<Path>, prefix: &str) -> Result<()> {
        let mut writer = TensorWriter::new();
        self.write_params(&mut writer, prefix)?;
        writer.save(path)
    }

    /// Adds all parameters to a file that is being written.
    ///
    /// # Errors
    /// As [`TensorWriter::tensor`].
    pub fn write_params<'a>(&'a self, writer: &mut TensorWriter<'a>, prefix: &str) -> Result<()> {
        for spec in self.param_specs() {
            let name = try_format(format_args!("{prefix}{spec}"))?;
            writer.tensor(&name, &spec.extents()[..spec.ndim()], &self.values()[spec.range()])?;
        }
        Ok(())
    }
}

/// The tensors of a dense layer.
pub(crate) fn dense_parts<'a>(
    [out_features, in_features]: [usize; 2],
    bias: bool,
    file: &'a TensorFile,
    prefix: &str,
    options: &LoadOptions,
) -> Result<Parts<'a>> {
    let mut parts = try_with_capacity(2)?;
    parts.push(Part::new(try_format(format_args!("{prefix}weight"))?, &[out_features, in_features]));
    if bias {
        parts.push(Part::new(try_format(format_args!("{prefix}bias"))?, &[out_features]));
    }
    Parts::new(file, prefix, parts, options)
}

impl Dense {
    /// Reads weights, (out_features, in_features), and the bias, if the layer has one, from the tensors `weight` and `bias`
    /// that follow `prefix` in a safetensors file, with the strict defaults.
    ///
    /// # Errors
    /// As [`Rnn::load_safetensors_with`]. The weights change only if all could be read.
    pub fn load_safetensors(&mut self, path: impl AsRef<Path>, prefix: &str) -> Result<()> {
        self.read_params(&TensorFile::open(path)?, prefix, &LoadOptions::default())
    }

    /// [`Dense::load_safetensors`] from an opened file, or one in memory, and with options.
    ///
    /// # Errors
    /// As there.
    pub fn read_params(&mut self, file: &TensorFile, prefix: &str, options: &LoadOptions) -> Result<()> {
        let shape = [self.out_features(), self.in_features()];
        let parts = dense_parts(shape, !self.bias().is_empty(), file, prefix, options)?;
        self.take(&parts)
    }

    pub(crate) fn take(&mut self, parts: &Parts<'_>) -> Result<()> {
        let values = parts.values(self.values().len())?;
        self.update(|all| all.copy_from_slice(&values));
        Ok(())
    }

    /// Writes the tensors `weight` and, if there is one, `bias`, in f32, to a safetensors file under `prefix`.
    ///
    /// # Errors
    /// As [`Rnn::save_safetensors`].
    pub fn save_safetensors(&self, path: impl AsRef<Path>, prefix: &str) -> Result<()> {
        let mut writer = TensorWriter::new();
        self.write_params(&mut writer, prefix)?;
        writer.save(path)
    }

    /// Adds the tensors to a file that is being written.
    ///
    /// # Errors
    /// As [`TensorWriter::tensor`].
    pub fn write_params<'a>(&'a self, writer: &mut TensorWriter<'a>, prefix: &str) -> Result<()> {
        let shape = [self.out_features(), self.in_features()];
        writer.tensor(&try_format(format_args!("{prefix}weight"))?, &shape, self.weight())?;
        match self.bias() {
            [] => Ok(()),
            bias => writer.tensor(&try_format(format_args!("{prefix}bias"))?, &shape[..1], bias),
        }
    }
}

/// The tensor of an embedding's table.
pub(crate) fn embedding_parts<'a>(
    shape: [usize; 2],
    file: &'a TensorFile,
    prefix: &str,
    options: &LoadOptions,
) -> Result<Parts<'a>> {
    let mut parts = Vec::new();
    push(&mut parts, Part::new(try_format(format_args!("{prefix}weight"))?, &shape))?;
    Parts::new(file, prefix, parts, options)
}

impl Embedding {
    /// Reads the table, (num_embeddings, embedding_dim), from the tensor `weight` that follows `prefix` in a safetensors
    /// file, with the strict defaults. The padding row is as it is there.
    ///
    /// # Errors
    /// As [`Rnn::load_safetensors_with`]. The table changes only if all could be read.
    pub fn load_safetensors(&mut self, path: impl AsRef<Path>, prefix: &str) -> Result<()> {
        self.read_params(&TensorFile::open(path)?, prefix, &LoadOptions::default())
    }

    /// [`Embedding::load_safetensors`] from an opened file, or one in memory, and with options.
    ///
    /// # Errors
    /// As there.
    pub fn read_params(&mut self, file: &TensorFile, prefix: &str, options: &LoadOptions) -> Result<()> {
        let parts = embedding_parts([self.num_embeddings(), self.embedding_dim()], file, prefix, options)?;
        self.take(&parts)
    }

    /// One tensor is read whole or not at all.
    pub(crate) fn take(&mut self, parts: &Parts<'_>) -> Result<()> {
        parts.read(self.table_mut())
    }

    /// Writes the table, in f32, as the tensor `weight` to a safetensors file under `prefix`.
    ///
    /// # Errors
    /// As [`Rnn::save_safetensors`].
    pub fn save_safetensors(&self, path: impl AsRef<Path>, prefix: &str) -> Result<()> {
        let mut writer = TensorWriter::new();
        self.write_params(&mut writer, prefix)?;
        writer.save(path)
    }

    /// Adds the tensor to a file that is being written.
    ///
    /// # Errors
    /// As [`TensorWriter::tensor`].
    pub fn write_params<'a>(&'a self, writer: &mut TensorWriter<'a>, prefix: &str) -> Result<()> {
        let shape = [self.num_embeddings(), self.embedding_dim()];
        writer.tensor(&try_format(format_args!("{prefix}weight"))?, &shape, self.table())
    }
}

impl<'a> StateSink<'a> for TensorWriter<'a> {
    fn text(&mut self, key: &str, value: &str) -> Result<()> {
        self.metadata(key, value)
    }
    fn tensor(&mut self, name: &str, values: &'a [f32]) -> Result<()> {
        TensorWriter::tensor(self, name, &[values.len()], values)
    }
}

/// An optimizer's states may be infinite where its options allow that; a file by itself refuses nothing.
impl StateSource for TensorFile {
    fn text(&self, key: &str) -> Option<&str> {
        self.metadata(key)
    }
    fn tensor_len(&self, name: &str) -> Option<usize> {
        self.shape(name).ok().map(|shape| shape.iter().product())
    }
    fn read_tensor(&self, name: &str, out: &mut [f32]) -> Result<()> {
        self.read_f32(name, &[out.len()], Finite::Any, out)
    }
}

/// A file that holds one optimizer, read as strictly as the options say.
struct StateFile<'a>(&'a TensorFile, LoadOptions);

impl StateSource for StateFile<'_> {
    fn text(&self, key: &str) -> Option<&str> {
        self.0.metadata(key)
    }
    fn tensor_len(&self, name: &str) -> Option<usize> {
        self.0.tensor_len(name)
    }
    fn read_tensor(&self, name: &str, out: &mut [f32]) -> Result<()> {
        let finite = if self.1.allow_non_finite { Finite::Any } else { Finite::Required };
        self.0.read_f32(name, &[out.len()], finite, out)
    }
}

impl Optimizer {
    /// Writes the whole state to a safetensors file, from which training can go on bit for bit.
    ///
    /// # Errors
    /// Those of [`TensorWriter::save`]. A failed save leaves an existing file as it was.
    pub fn save_safetensors(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_safetensors_with(path, &SaveOptions::default())
    }

    /// [`Optimizer::save_safetensors`] with options.
    ///
    /// # Errors
    /// As there.
    pub fn save_safetensors_with(&self, path: impl AsRef<Path>, options: &SaveOptions) -> Result<()> {
        let mut writer = TensorWriter::with_options(*options);
        self.save(&mut writer)?;
        writer.save(path)
    }

    /// Becomes what a file holds; unchanged after an error. Strict by default.
    ///
    /// # Errors
    /// Those of [`TensorFile::open`] and [`Optimizer::read_state`].
    pub fn load_safetensors(&mut self, path: impl AsRef<Path>) -> Result<()> {
        self.read_state(&TensorFile::open(path)?, &LoadOptions::default())
    }

    /// Becomes what an opened file, or one in memory, holds; unchanged after an error.
    ///
    /// # Errors
    /// Those of [`Optimizer::restore`]; `InvalidData`, unless the options allow it, for states that are not finite and for
    /// tensors under `optimizer.` that stay unused.
    pub fn read_state(&mut self, file: &TensorFile, options: &LoadOptions) -> Result<()> {
        let mut fresh = self.restored(&StateFile(file, *options)).map_err(|e| file.named(&e))?;
        if !options.allow_unused {
            let mut taken = Vec::new();
            for state in fresh.state_tensors() {
                push(&mut taken, try_format(format_args!("{}.{}", state.slot, state.name))?)?;
            }
            taken.sort_unstable();
            let unused = |name: &str| taken.binary_search_by(|taken| taken.as_str().cmp(name)).is_err();
            expect_none_unused(file, "optimizer.", unused)?;
        }
        std::mem::swap(self, &mut fresh);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::io::TempDir;
    use crate::nn::{AdamConfig, OptimizerConfig};
    use crate::rnn::{Cell, Direction, Init, RnnConfig};

    /// That layers come back as they were saved is among `tests/properties.rs`.
    #[test]
    fn layers_of_other_names_and_shapes_are_refused() {
        let dir = TempDir::new();
        let path = dir.join("model.safetensors");
        let mut config = RnnConfig::new(Cell::Lstm, 5, 7);
        (config.num_layers, config.direction, config.proj_size) = (2, Direction::Bidirectional, 3);
        let mut rnn = Rnn::new(&config).unwrap();
        rnn.init(Init::TorchUniform, 4).unwrap();
        rnn.save_safetensors(&path, "encoder.").unwrap();
        let before = rnn.values().to_vec();
        let e = rnn.load_safetensors(&path, "decoder.").unwrap_err();
        assert_eq!(e.kind(), ErrorKind::NotFound);
        assert!(e.message().contains("decoder.weight_ih_l0"), "{e}");
        config.hidden_size = 8;
        let e = Rnn::new(&config).unwrap().load_safetensors(&path, "encoder.").unwrap_err();
        assert!(
            e.message().contains("weight_ih_l0") && e.message().contains("28") && e.message().contains("32"),
            "{e}"
        );
        assert_eq!(rnn.values(), before);
    }

    #[test]
    fn training_goes_on_bit_for_bit() {
        let dir = TempDir::new();
        let path = dir.join("optimizer.safetensors");
        let config = OptimizerConfig::Adam(AdamConfig::default());
        let (mut a, mut x) = (Optimizer::new(&config).unwrap(), [0.5f32, -1.0, 2.0]);
        let step = |o: &mut Optimizer, x: &mut [f32; 3]| {
            let grads = x.map(|v| v * 0.3 + 0.1);
            o.begin_step();
            o.update(0, x, &grads).unwrap();
        };
        (0..5).for_each(|_| step(&mut a, &mut x));
        a.save_safetensors(&path).unwrap();
        let (mut b, mut y) = (Optimizer::new(&config).unwrap(), x);
        b.load_safetensors(&path).unwrap();
        (0..5).for_each(|_| {
            step(&mut a, &mut x);
            step(&mut b, &mut y);
        });
        assert_eq!(x, y);
    }
}
