//! Models in safetensors files: recurrent layers under PyTorch's names, and optimizer states.

use super::safetensors::{Finite, TensorFile, TensorWriter};
use crate::buffer::{AlignedBuf, try_format};
use crate::error::Result;
use crate::nn::{Optimizer, StateSink, StateSource};
use crate::rnn::Rnn;
use std::path::Path;

impl Rnn {
    /// Reads all parameters from a safetensors file in which their PyTorch names follow `prefix` (such as `"lstm."`, or
    /// `""`), in f32, f64, f16 or bf16. Other tensors of the file are ignored.
    ///
    /// # Errors
    /// Those of [`TensorFile::open`]; `NotFound` for a missing tensor, `InvalidData` for one of another shape or type, or
    /// with a value that is not finite. The weights change only if all could be read.
    pub fn load_safetensors(&mut self, path: impl AsRef<Path>, prefix: &str) -> Result<()> {
        self.read_params(&TensorFile::open(path)?, prefix)
    }

    /// [`Rnn::load_safetensors`] from an opened file.
    ///
    /// # Errors
    /// As there.
    pub fn read_params(&mut self, file: &TensorFile, prefix: &str) -> Result<()> {
        let mut values = AlignedBuf::zeroed(self.values().len())?;
        for spec in self.param_specs() {
            let name = try_format(format_args!("{prefix}{spec}"))?;
            file.read_f32(&name, &spec.extents()[..spec.ndim()], Finite::Required, &mut values[spec.range()])?;
        }
        self.update(|all| all.copy_from_slice(&values));
        Ok(())
    }

    /// Writes all parameters, in f32, to a safetensors file under `prefix` and their PyTorch names.
    ///
    /// # Errors
    /// Those of [`TensorWriter::save`]. A failed save leaves an existing file as it was.
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

impl<'a> StateSink<'a> for TensorWriter<'a> {
    fn text(&mut self, key: &str, value: &str) -> Result<()> {
        self.metadata(key, value)
    }
    fn tensor(&mut self, name: &str, values: &'a [f32]) -> Result<()> {
        TensorWriter::tensor(self, name, &[values.len()], values)
    }
}

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

impl Optimizer {
    /// Writes the whole state to a safetensors file, from which training can go on bit for bit.
    ///
    /// # Errors
    /// Those of [`TensorWriter::save`].
    pub fn save_safetensors(&self, path: impl AsRef<Path>) -> Result<()> {
        let mut writer = TensorWriter::new();
        self.save(&mut writer)?;
        writer.save(path)
    }

    /// Becomes what a file holds; unchanged after an error.
    ///
    /// # Errors
    /// Those of [`TensorFile::open`] and [`Optimizer::restore`].
    pub fn load_safetensors(&mut self, path: impl AsRef<Path>) -> Result<()> {
        self.restore(&TensorFile::open(path)?)
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
