//! Sequences of C calls in any order with hostile numbers: a status, never a crash nor SRNN_ERROR_INTERNAL.
#![no_main]

use std::ffi::c_void;
use std::ptr::{null, null_mut};

use arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;

// The functions under test come with this crate.
extern crate simdrnn;

type Handle = *mut c_void;

/// Any of the C structs, which are smaller and start with their size.
#[repr(C, align(16))]
struct Struct([u64; 32]);

unsafe extern "C" {
    fn srnn_rnn_config_init(config: *mut Struct, cell: i32, input_size: usize, hidden_size: usize);
    fn srnn_rnn_create(config: *const Struct, rnn: *mut Handle, error: *mut c_void) -> i32;
    fn srnn_rnn_init(rnn: Handle, init: i32, seed: u64, error: *mut c_void) -> i32;
    fn srnn_rnn_destroy(rnn: Handle);
    fn srnn_rnn_write_values(rnn: Handle, values: *const f32, len: usize, error: *mut c_void) -> i32;
    fn srnn_session_create(pool: Handle, session: *mut Handle, error: *mut c_void) -> i32;
    fn srnn_session_destroy(session: Handle);
    fn srnn_batch_init(batch: *mut Struct, batch_size: usize, seq_len: usize);
    fn srnn_rnn_forward(
        rnn: Handle, session: Handle, batch: *const Struct, x: *const f32, x_len: usize, initial: *const Struct,
        y: *mut f32, y_len: usize, last: *const Struct, error: *mut c_void,
    ) -> i32;
    fn srnn_tape_create(tape: *mut Handle, error: *mut c_void) -> i32;
    fn srnn_tape_destroy(tape: Handle);
    fn srnn_rnn_forward_train(
        rnn: Handle, session: Handle, tape: Handle, batch: *const Struct, seed: u64, x: *const f32, x_len: usize,
        initial: *const Struct, y: *mut f32, y_len: usize, last: *const Struct, error: *mut c_void,
    ) -> i32;
    fn srnn_grads_create(rnn: Handle, grads: *mut Handle, error: *mut c_void) -> i32;
    fn srnn_grads_destroy(grads: Handle);
    fn srnn_rnn_backward(
        rnn: Handle, session: Handle, tape: Handle, dy: *const f32, dy_len: usize, dlast: *const Struct, dx: *mut f32,
        dx_len: usize, dinitial: *const Struct, grads: Handle, flow: Handle, error: *mut c_void,
    ) -> i32;
    fn srnn_stream_create(rnn: Handle, lanes: usize, stream: *mut Handle, error: *mut c_void) -> i32;
    fn srnn_stream_destroy(stream: Handle);
    fn srnn_stream_step(
        stream: Handle, rnn: Handle, x: *const f32, x_len: usize, y: *mut f32, y_len: usize, error: *mut c_void,
    ) -> i32;
    fn srnn_stream_process(
        stream: Handle, rnn: Handle, steps: usize, x: *const f32, x_len: usize, y: *mut f32, y_len: usize,
        error: *mut c_void,
    ) -> i32;
    fn srnn_stream_reset_lane(stream: Handle, lane: usize, error: *mut c_void) -> i32;
}

const INTERNAL: i32 = 11;
/// Values of the caller's arrays.
const ROOM: usize = 4096;

/// Small sizes, and some whose products no memory holds.
fn size(u: &mut Unstructured) -> Result<usize> {
    let large = [usize::MAX, usize::MAX / 2, usize::MAX / 4 + 1, 1 << 62, 1 << 41];
    Ok(if u.ratio(1, 8)? { *u.choose(&large)? } else { u.int_in_range(0..=20)? })
}

/// What an array should have, or what else a caller might say; never more than there is, but for what overflows.
fn len(u: &mut Unstructured, right: usize) -> Result<usize> {
    let wrong = [0, 1, right.wrapping_sub(1), right.wrapping_add(1), ROOM, usize::MAX];
    let len = if u.ratio(7, 8)? { right } else { *u.choose(&wrong)? };
    Ok(if len > ROOM && len < usize::MAX / 4 { ROOM } else { len })
}

/// A handle's slots; empty ones are NULL.
#[derive(Default)]
struct Slots([Option<usize>; 3]);

impl Slots {
    fn pick(&self, u: &mut Unstructured) -> Result<Handle> {
        Ok(self.0[u.int_in_range(0..=2)?].map_or(null_mut(), |h| h as Handle))
    }

    /// Puts a new handle into a slot and returns what was there.
    fn put(&mut self, u: &mut Unstructured, handle: Handle) -> Result<Handle> {
        let slot = &mut self.0[u.int_in_range(0..=2).unwrap_or(0)];
        Ok(slot.replace(handle as usize).map_or(null_mut(), |h| h as Handle))
    }

    fn all(&self) -> impl Iterator<Item = Handle> {
        self.0.iter().map(|h| h.map_or(null_mut(), |h| h as Handle))
    }
}

#[derive(Default)]
struct World {
    rnns: Slots,
    sessions: Slots,
    tapes: Slots,
    grads: Slots,
    streams: Slots,
    /// Input and hidden size of the models made last.
    sizes: (usize, usize),
}

impl World {
    fn call(&mut self, u: &mut Unstructured, x: &[f32], y: &mut [f32], dx: &mut [f32]) -> Result<()> {
        let e = null_mut();
        let (mut config, mut batch, mut made) = (Struct([0; 32]), Struct([0; 32]), null_mut());
        let (rnn, session, tape) = (self.rnns.pick(u)?, self.sessions.pick(u)?, self.tapes.pick(u)?);
        let (sequences, steps) = (size(u)?, size(u)?);
        let rows = sequences.wrapping_mul(steps);
        let (x_len, y_len) = (len(u, rows.wrapping_mul(self.sizes.0))?, len(u, rows.wrapping_mul(self.sizes.1))?);
        // SAFETY: handles are live or NULL, structs and arrays as large as said, or said to be larger than memory.
        unsafe {
            srnn_batch_init(&mut batch, sequences, steps);
            let (xp, yp, dxp) = (x.as_ptr(), y.as_mut_ptr(), dx.as_mut_ptr());
            let status = match u.int_in_range(0..=12)? {
                0 => {
                    self.sizes = (size(u)?, size(u)?);
                    srnn_rnn_config_init(&mut config, u.int_in_range(-1..=6)?, self.sizes.0, self.sizes.1);
                    if u.ratio(1, 3)? {
                        // A field of the struct, whichever it is, past its size and its sizes of layers.
                        let at = u.int_in_range(3..=12)?;
                        config.0[at] = if u.ratio(1, 2)? { u.int_in_range(0..=3)? } else { u.arbitrary()? };
                        // Layers cost memory each.
                        if config.0[at] > 1000 {
                            config.0[at] |= 1 << 62;
                        }
                    }
                    let status = srnn_rnn_create(&config, &mut made, e);
                    if status == 0 {
                        srnn_rnn_destroy(self.rnns.put(u, made)?);
                    }
                    status
                }
                1 => srnn_rnn_init(rnn, u.int_in_range(-1..=4)?, u.arbitrary()?, e),
                2 => srnn_rnn_write_values(rnn, xp, len(u, ROOM / 2)?, e),
                3 => {
                    let status = srnn_session_create(null_mut(), &mut made, e);
                    srnn_session_destroy(self.sessions.put(u, made)?);
                    status
                }
                4 => {
                    let status = srnn_tape_create(&mut made, e);
                    srnn_tape_destroy(self.tapes.put(u, made)?);
                    status
                }
                5 => {
                    let status = srnn_grads_create(rnn, &mut made, e);
                    if status == 0 {
                        srnn_grads_destroy(self.grads.put(u, made)?);
                    }
                    status
                }
                6 => {
                    let status = srnn_stream_create(rnn, sequences, &mut made, e);
                    if status == 0 {
                        srnn_stream_destroy(self.streams.put(u, made)?);
                    }
                    status
                }
                7 => srnn_rnn_forward(rnn, session, &batch, xp, x_len, null(), yp, y_len, null(), e),
                8 => srnn_rnn_forward_train(rnn, session, tape, &batch, 1, xp, x_len, null(), yp, y_len, null(), e),
                9 => {
                    let grads = self.grads.pick(u)?;
                    srnn_rnn_backward(rnn, session, tape, xp, y_len, null(), dxp, x_len, null(), grads, null_mut(), e)
                }
                10 => srnn_stream_step(self.streams.pick(u)?, rnn, xp, x_len, yp, y_len, e),
                11 => srnn_stream_process(self.streams.pick(u)?, rnn, steps, xp, x_len, yp, y_len, e),
                _ => srnn_stream_reset_lane(self.streams.pick(u)?, sequences, e),
            };
            assert!((0..INTERNAL).contains(&status), "status {status}");
        }
        Ok(())
    }
}

fuzz_target!(|data: &[u8]| {
    let mut u = Unstructured::new(data);
    let mut world = World::default();
    let x = vec![0.5; ROOM];
    let (mut y, mut dx) = (vec![0.0; ROOM], vec![0.0; ROOM]);
    for _ in 0..60 {
        if u.is_empty() || world.call(&mut u, &x, &mut y, &mut dx).is_err() {
            break;
        }
    }
    // SAFETY: every handle is live or NULL, and destroyed once.
    unsafe {
        world.streams.all().for_each(|h| srnn_stream_destroy(h));
        world.grads.all().for_each(|h| srnn_grads_destroy(h));
        world.tapes.all().for_each(|h| srnn_tape_destroy(h));
        world.sessions.all().for_each(|h| srnn_session_destroy(h));
        world.rnns.all().for_each(|h| srnn_rnn_destroy(h));
    }
});
