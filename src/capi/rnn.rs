//! # Recurrent layers
//!
//! An srnn_rnn is a stack of recurrent layers: configuration and weights. Its parameters are those of torch.nn.RNN, LSTM
//! and GRU, with the same names, shapes and gate order (LSTM i, f, g, o; GRU r, z, n), also as one flat array in PyTorch's
//! order. Any number of threads may use one srnn_rnn at once, as long as none changes it.

use super::args::{self, Arrays};
use super::call;
use super::error::{srnn_error, srnn_status};
use super::handle;
use super::structs::{self, Growing};
use crate::error::{Result, check_len, err};
use crate::rnn::{Cell, Direction, Init, Rnn, RnnConfig};
use std::ffi::c_char;
use std::fmt::{self, Write};

/// Recurrent cells.
#[repr(C)]
pub enum srnn_cell {
    /// h' = tanh(W x + b + U h) (Elman 1990; torch.nn.RNN).
    SRNN_CELL_ELMAN_TANH = 0,
    /// h' = relu(W x + b + U h) (torch.nn.RNN with nonlinearity="relu").
    SRNN_CELL_ELMAN_RELU = 1,
    /// Long short-term memory with forget gate, optionally with a projected state. Gates i, f, g, o.
    SRNN_CELL_LSTM = 2,
    /// Gated recurrent unit, reset gate after the recurrent product, as in PyTorch, cuDNN and Keras. Gates r, z, n.
    SRNN_CELL_GRU = 3,
    /// Gated recurrent unit, reset gate before the recurrent product, as in Cho et al. 2014. Gates r, z, n.
    SRNN_CELL_GRU_RESET_BEFORE = 4,
}

/// The order in which a layer visits the time steps.
#[repr(C)]
pub enum srnn_direction {
    /// From the first step to the last.
    SRNN_DIRECTION_FORWARD = 0,
    /// From each sequence's own last step to its first.
    SRNN_DIRECTION_REVERSE = 1,
    /// Both, their outputs side by side, forward first.
    SRNN_DIRECTION_BIDIRECTIONAL = 2,
}

/// How initial weights are drawn.
#[repr(C)]
pub enum srnn_init {
    /// torch.nn's: every parameter uniform in +-1/sqrt(hidden_size).
    SRNN_INIT_TORCH_UNIFORM = 0,
    /// Input and projection weights Xavier uniform, each recurrent gate matrix orthogonal, biases zero.
    SRNN_INIT_XAVIER_ORTHOGONAL = 1,
    /// The same, with the LSTM's forget gate bias 1.
    SRNN_INIT_XAVIER_ORTHOGONAL_FORGET_ONE = 2,
}

const _: () = {
    assert!(srnn_cell::SRNN_CELL_ELMAN_TANH as i32 == Cell::ElmanTanh as i32);
    assert!(srnn_cell::SRNN_CELL_ELMAN_RELU as i32 == Cell::ElmanRelu as i32);
    assert!(srnn_cell::SRNN_CELL_LSTM as i32 == Cell::Lstm as i32);
    assert!(srnn_cell::SRNN_CELL_GRU as i32 == Cell::Gru as i32);
    assert!(srnn_cell::SRNN_CELL_GRU_RESET_BEFORE as i32 == Cell::GruResetBefore as i32);
    assert!(srnn_direction::SRNN_DIRECTION_FORWARD as i32 == Direction::Forward as i32);
    assert!(srnn_direction::SRNN_DIRECTION_REVERSE as i32 == Direction::Reverse as i32);
    assert!(srnn_direction::SRNN_DIRECTION_BIDIRECTIONAL as i32 == Direction::Bidirectional as i32);
    assert!(srnn_init::SRNN_INIT_TORCH_UNIFORM as i32 == Init::TorchUniform as i32);
    assert!(srnn_init::SRNN_INIT_XAVIER_ORTHOGONAL as i32 == Init::XavierOrthogonal as i32);
    assert!(srnn_init::SRNN_INIT_XAVIER_ORTHOGONAL_FORGET_ONE as i32 == Init::XavierOrthogonalForgetOne as i32);
};

/// The most layers of a stack: a number far beyond those that anybody trains is a damaged file's or a mistake.
pub const SRNN_MAX_LAYERS: usize = 1024;
const _: () = assert!(SRNN_MAX_LAYERS == RnnConfig::MAX_LAYERS);

/// The configuration of a stack of layers; fields mean what they mean in torch.nn.LSTM. Fill it in with
/// srnn_rnn_config_init, then change fields.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct srnn_rnn_config {
    /// Bytes of this struct as the caller knows it; set by the init function.
    pub struct_size: u32,
    /// An srnn_cell.
    pub cell: i32,
    /// Features of the input, at least 1.
    pub input_size: u64,
    /// Features of the hidden state, at least 1.
    pub hidden_size: u64,
    /// Layers, each reading the one below, at most SRNN_MAX_LAYERS. Default 1.
    pub num_layers: u64,
    /// For LSTM: size of the projected state, less than hidden_size, or 0 for none. Default 0.
    pub proj_size: u64,
    /// An srnn_direction. Default SRNN_DIRECTION_FORWARD.
    pub direction: i32,
    /// 1 with bias vectors, 0 without. Default 1.
    pub bias: i32,
    /// 1 if x and y are (batch, time, features), 0 if (time, batch, features). States never are. Default 0.
    pub batch_first: i32,
    /// 1 to make states of magnitude below 2^-50 zero: below that, an activation's terms are subnormal, over which processors may
    /// take longer (steps up to 1.8 times as long were seen). A state differs by less than 2^-50. Default 0.
    pub flush_small_states: i32,
    /// Probability of zeroing an output of every layer but the last in training; 0 to 1. Default 0.
    pub dropout: f32,
    /// Zero.
    pub reserved0: u32,
    /// Zero.
    pub reserved: [u64; 4],
}

impl srnn_rnn_config {
    fn of(config: &RnnConfig) -> Self {
        Self {
            struct_size: size_of::<Self>() as u32,
            cell: config.cell as i32,
            input_size: config.input_size as u64,
            hidden_size: config.hidden_size as u64,
            num_layers: config.num_layers as u64,
            proj_size: config.proj_size as u64,
            direction: config.direction as i32,
            bias: config.bias.into(),
            batch_first: config.batch_first.into(),
            flush_small_states: config.flush_small_states.into(),
            dropout: config.dropout,
            reserved0: 0,
            reserved: [0; 4],
        }
    }

    fn to_rust(self) -> Result<RnnConfig> {
        Ok(RnnConfig {
            cell: Cell::from_number(self.cell)?,
            input_size: args::size("input_size", self.input_size)?,
            hidden_size: args::size("hidden_size", self.hidden_size)?,
            num_layers: args::size("num_layers", self.num_layers)?,
            bias: args::flag("bias", self.bias)?,
            batch_first: args::flag("batch_first", self.batch_first)?,
            dropout: self.dropout,
            direction: Direction::from_number(self.direction)?,
            proj_size: args::size("proj_size", self.proj_size)?,
            flush_small_states: args::flag("flush_small_states", self.flush_small_states)?,
        })
    }
}

// SAFETY: numbers without padding, the size first.
unsafe impl Growing for srnn_rnn_config {
    const NAME: &'static str = "srnn_rnn_config";

    fn defaults() -> Self {
        Self::of(&RnnConfig::new(Cell::ElmanTanh, 0, 0))
    }

    fn reserved_is_zero(&self) -> bool {
        self.reserved0 == 0 && self.reserved == [0; 4]
    }
}

/// A stack of recurrent layers.
pub struct srnn_rnn(pub(super) Rnn);

/// Fills in `config`: one forward layer of `cell` (an srnn_cell) with bias, time-major, without dropout. Values are
/// checked by srnn_rnn_create. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_rnn_config_init(
    config: *mut srnn_rnn_config,
    cell: i32,
    input_size: usize,
    hidden_size: usize,
) {
    let (input_size, hidden_size) = (input_size as u64, hidden_size as u64);
    let value = srnn_rnn_config { cell, input_size, hidden_size, ..srnn_rnn_config::defaults() };
    // SAFETY: the header's contract.
    unsafe { structs::init(config, value) }
}

/// Creates a stack of layers with zero weights. The caller destroys it.
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT, naming the field, for a configuration that makes no sense;
/// SRNN_ERROR_SIZE_OVERFLOW; SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_rnn_create(
    config: *const srnn_rnn_config,
    rnn: *mut *mut srnn_rnn,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (config, rnn) = unsafe { (structs::read(config)?, Arrays::new().out("rnn", rnn)?) };
        rnn.write(handle::create(srnn_rnn(Rnn::new(&config.to_rust()?)?))?);
        Ok(())
    })
}

/// Creates a copy of `rnn` with the same weights, which is changed on its own from then on. Until either is changed, a tape
/// that one has recorded serves the other too. The caller destroys it.
///
/// Errors: SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_rnn_clone(
    rnn: *const srnn_rnn,
    copy: *mut *mut srnn_rnn,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (rnn, copy) = unsafe { (handle::shared("rnn", rnn)?, Arrays::new().out("copy", copy)?) };
        copy.write(handle::create(srnn_rnn(rnn.0.try_clone()?))?);
        Ok(())
    })
}

/// Destroys a stack of layers. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_rnn_destroy(rnn: *mut srnn_rnn) {
    // SAFETY: the header's contract.
    unsafe { handle::destroy(rnn) }
}

/// Writes the configuration of `rnn` to `config`, which needs no init before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_rnn_get_config(
    rnn: *const srnn_rnn,
    config: *mut srnn_rnn_config,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (rnn, config) = unsafe { (handle::shared("rnn", rnn)?, Arrays::new().out("config", config)?) };
        config.write(srnn_rnn_config::of(rnn.0.config()));
        Ok(())
    })
}

/// The instruction set (an srnn_isa) of its kernels; -1 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_rnn_isa(rnn: *const srnn_rnn) -> i32 {
    // SAFETY: the header's contract.
    unsafe { handle::get(rnn, -1, |r| r.0.isa() as i32) }
}

/// Bytes of its parameters and their packed forms; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_rnn_bytes(rnn: *const srnn_rnn) -> usize {
    // SAFETY: the header's contract.
    unsafe { handle::get(rnn, 0, |r| r.0.bytes()) }
}

/// Features of the output, all directions together; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_rnn_output_size(rnn: *const srnn_rnn) -> usize {
    // SAFETY: the header's contract.
    unsafe { handle::get(rnn, 0, |r| r.0.config().output_size()) }
}

/// Features of a hidden state: proj_size if there is a projection, else hidden_size; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_rnn_state_size(rnn: *const srnn_rnn) -> usize {
    // SAFETY: the header's contract.
    unsafe { handle::get(rnn, 0, |r| r.0.config().state_size()) }
}

/// Layers times directions, which states have a row for; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_rnn_pass_count(rnn: *const srnn_rnn) -> usize {
    // SAFETY: the header's contract.
    unsafe { handle::get(rnn, 0, |r| r.0.config().passes()) }
}

/// The weights' generation, which changes whenever they do; 0 for NULL. A clone has that of its model until one of them
/// changes. A tape goes with weights of one generation and configuration, not with one handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_rnn_generation(rnn: *const srnn_rnn) -> u64 {
    // SAFETY: the header's contract.
    unsafe { handle::get(rnn, 0, |r| r.0.generation()) }
}

/// Draws new parameters by `scheme` (an srnn_init); the same `seed` gives the same values on every machine.
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT for an unknown scheme; SRNN_ERROR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_rnn_init(
    rnn: *mut srnn_rnn,
    scheme: i32,
    seed: u64,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let rnn = unsafe { handle::exclusive("rnn", rnn) }?;
        rnn.0.init(Init::from_number(scheme)?, seed)
    })
}

/// Number of parameters (weight matrices and bias vectors); 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_rnn_param_count(rnn: *const srnn_rnn) -> usize {
    // SAFETY: the header's contract.
    unsafe { handle::get(rnn, 0, |r| r.0.param_specs().len()) }
}

/// Room that every parameter's name fits in, its closing NUL included.
pub const SRNN_PARAM_NAME_SIZE: usize = 64;
const _: () = assert!("weight_ih_l18446744073709551615_reverse".len() < SRNN_PARAM_NAME_SIZE);

/// Copies the name of parameter `index`, as torch.nn has it ("weight_hh_l0_reverse"), and a closing NUL to `name`, which
/// has room for `name_size` bytes; SRNN_PARAM_NAME_SIZE is always enough.
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT for an index that does not exist; SRNN_ERROR_SHAPE_MISMATCH for too little room.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_rnn_param_name(
    rnn: *const srnn_rnn,
    index: usize,
    name: *mut c_char,
    name_size: usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract; `u8` and `c_char` have the same size and alignment.
        let (rnn, room) = unsafe { (handle::shared("rnn", rnn)?, a.write("name", name.cast::<u8>(), name_size)?) };
        rnn.0.param(index)?;
        let mut text = Name { bytes: [0; SRNN_PARAM_NAME_SIZE], len: 0 };
        // Every name fits, as asserted above.
        let _ = write!(text, "{}", rnn.0.param_specs()[index]);
        let needed = text.len + 1;
        let (len, room) = (room.len(), room.get_mut(..needed));
        let room = room.ok_or_else(|| err!(ShapeMismatch, "name has room for {len} bytes, expected {needed}"))?;
        room.copy_from_slice(&text.bytes[..needed]);
        Ok(())
    })
}

/// A parameter's name, on the stack.
struct Name {
    bytes: [u8; SRNN_PARAM_NAME_SIZE],
    len: usize,
}

impl fmt::Write for Name {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        // The last byte stays the closing NUL.
        let room = self.bytes[..SRNN_PARAM_NAME_SIZE - 1].get_mut(self.len..self.len + s.len());
        room.ok_or(fmt::Error)?.copy_from_slice(s.as_bytes());
        self.len += s.len();
        Ok(())
    }
}

/// Writes the shape of parameter `index`: `rows` by `cols`, and to `ndim`, if it is not NULL, its number of dimensions: 2 for
/// weights, 1 for a bias, whose `cols` is 1. rows * cols is the number of its values.
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT for an index that does not exist.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_rnn_param_shape(
    rnn: *const srnn_rnn,
    index: usize,
    rows: *mut usize,
    cols: *mut usize,
    ndim: *mut usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (rnn, rows, cols, ndim) = unsafe {
            let (rnn, rows, cols) = (handle::shared("rnn", rnn)?, a.out("rows", rows)?, a.out("cols", cols)?);
            (rnn, rows, cols, a.out_optional("ndim", ndim)?)
        };
        rnn.0.param(index)?;
        let spec = &rnn.0.param_specs()[index];
        rows.write(spec.rows);
        cols.write(spec.cols);
        if let Some(ndim) = ndim {
            ndim.write(spec.ndim());
        }
        Ok(())
    })
}

/// Writes the index of the parameter with torch.nn's `name` to `index`.
///
/// Errors: SRNN_ERROR_NOT_FOUND; SRNN_ERROR_INVALID_ARGUMENT for a name that is not UTF-8.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_rnn_find_param(
    rnn: *const srnn_rnn,
    name: *const c_char,
    index: *mut usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (rnn, name, index) =
            unsafe { (handle::shared("rnn", rnn)?, a.text("name", name)?, a.out("index", index)?) };
        index.write(rnn.0.find_param(name)?);
        Ok(())
    })
}

/// Copies the values of parameter `index`, row-major, to `values`: rows * cols of them.
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT for an index that does not exist; SRNN_ERROR_SHAPE_MISMATCH for the length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_rnn_read_param(
    rnn: *const srnn_rnn,
    index: usize,
    values: *mut f32,
    values_len: usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (rnn, values) =
            unsafe { (handle::shared("rnn", rnn)?, Arrays::new().write("values", values, values_len)?) };
        copy("values", rnn.0.param(index)?, values)
    })
}

/// Replaces the values of parameter `index` with `values`, row-major, rows * cols of them. Every write packs the weights
/// again: to set all of them, srnn_rnn_write_values is faster.
///
/// Errors: SRNN_ERROR_INVALID_ARGUMENT for an index that does not exist; SRNN_ERROR_SHAPE_MISMATCH for the length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_rnn_write_param(
    rnn: *mut srnn_rnn,
    index: usize,
    values: *const f32,
    values_len: usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (rnn, values) =
            unsafe { (handle::exclusive("rnn", rnn)?, Arrays::new().read("values", values, values_len)?) };
        rnn.0.set_param(index, values)
    })
}

/// Number of values of all parameters together; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_rnn_value_count(rnn: *const srnn_rnn) -> usize {
    // SAFETY: the header's contract.
    unsafe { handle::get(rnn, 0, |r| r.0.values().len()) }
}

/// Copies all parameters, one after another in the order of their indices, to `values`: srnn_rnn_value_count of them.
///
/// Errors: SRNN_ERROR_SHAPE_MISMATCH for the length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_rnn_read_values(
    rnn: *const srnn_rnn,
    values: *mut f32,
    values_len: usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        // SAFETY: the header's contract.
        let (rnn, values) =
            unsafe { (handle::shared("rnn", rnn)?, Arrays::new().write("values", values, values_len)?) };
        copy("values", rnn.0.values(), values)
    })
}

/// Replaces all parameters with `values`, in the order of srnn_rnn_read_values.
///
/// Errors: SRNN_ERROR_SHAPE_MISMATCH for the length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn srnn_rnn_write_values(
    rnn: *mut srnn_rnn,
    values: *const f32,
    values_len: usize,
    error: *mut srnn_error,
) -> srnn_status {
    call(error, || {
        let mut a = Arrays::new();
        // SAFETY: the header's contract.
        let (rnn, values) = unsafe { (handle::exclusive("rnn", rnn)?, a.read("values", values, values_len)?) };
        check_len("values", values.len(), rnn.0.values().len())?;
        rnn.0.update(|all| all.copy_from_slice(values));
        Ok(())
    })
}

/// Copies an array out to one of the same length.
pub(super) fn copy<T: Copy>(name: &str, from: &[T], to: &mut [T]) -> Result<()> {
    check_len(name, to.len(), from.len())?;
    to.copy_from_slice(from);
    Ok(())
}
