//! Where a cell's functions reach their ends: gates that are wholly open or closed, relu at zero, values that are not finite.

use simdrnn::Isa;
use simdrnn::rnn::{BackwardArgs, Batch, Cell, ForwardArgs, Grads, Rnn, RnnConfig, Session, Stream, Tape};

/// A layer of one input and `hidden` units: weights 0, biases as `bias` says for each gate.
fn layer(cell: Cell, hidden: usize, isa: Isa, bias: &[f32]) -> Rnn {
    let mut rnn = Rnn::with_isa(&RnnConfig::new(cell, 1, hidden), isa).unwrap();
    let at = rnn.find_param("bias_ih_l0").unwrap();
    let values: Vec<f32> = bias.iter().flat_map(|&b| vec![b; hidden]).collect();
    rnn.set_param(at, &values).unwrap();
    rnn
}

const STEPS: usize = 1000;

/// States of magnitudes from the smallest to large.
fn states(hidden: usize) -> Vec<f32> {
    (0..hidden).map(|i| (if i % 2 == 0 { 1.0 } else { -1.0 }) * 10f32.powi(i as i32 % 13 - 10) * 1.234_567_9).collect()
}

/// Long-term memory is exact: a forget gate that is wholly open carries the cell state on unchanged, bit for bit, and so does
/// a GRU's update gate; closed, they leave nothing of it.
#[test]
fn saturated_gates_keep_states_for_ever() {
    for isa in Isa::available() {
        for hidden in [1, 7, 17, 33] {
            let before = states(hidden);
            let zeros = vec![0.0; hidden];
            let x = vec![0.5; STEPS];
            let batch = Batch { batch_size: 1, seq_len: STEPS, lengths: None, packed: false };
            for (gate, keeps) in [(30.0, true), (-200.0, false)] {
                let lstm = layer(Cell::Lstm, hidden, isa, &[-200.0, gate, 1.0, 1.0]);
                let mut cn = vec![0.0; hidden];
                let args =
                    ForwardArgs { x: &x, h0: Some(&zeros), c0: Some(&before), cn: Some(&mut cn), ..Default::default() };
                lstm.forward(&mut Session::new(), &batch, args).unwrap();
                assert_eq!(cn, if keeps { &before[..] } else { &zeros[..] }, "LSTM of {hidden} on {}", isa.name());

                let gru = layer(Cell::Gru, hidden, isa, &[0.0, gate, 0.0]);
                let mut hn = vec![0.0; hidden];
                let args = ForwardArgs { x: &x, h0: Some(&before), hn: Some(&mut hn), ..Default::default() };
                gru.forward(&mut Session::new(), &batch, args).unwrap();
                assert_eq!(hn, if keeps { &before[..] } else { &zeros[..] }, "GRU of {hidden} on {}", isa.name());

                // Step by step too: another kernel.
                let mut stream = Stream::new(&gru, 1).unwrap();
                stream.set_state(Some(&before), None).unwrap();
                let mut y = vec![0.0; hidden];
                for x in &x[..100] {
                    stream.step(&gru, &[*x], &mut y).unwrap();
                }
                assert_eq!(y, if keeps { &before[..] } else { &zeros[..] }, "a stream of {hidden} on {}", isa.name());
            }
        }
    }
}

/// relu' is 0 at 0 and at -0, as PyTorch has it, and 1 from the smallest positive number on.
#[test]
fn relu_has_no_slope_at_zero() {
    let tiny = f32::from_bits(1);
    for isa in Isa::available() {
        for (bias, slope) in [(0.0, 0.0), (-0.0, 0.0), (tiny, 1.0), (-tiny, 0.0), (f32::MIN_POSITIVE, 1.0), (2.0, 1.0)]
        {
            for hidden in [1, 9, 16] {
                let rnn = layer(Cell::ElmanRelu, hidden, isa, &[bias]);
                let batch = Batch { batch_size: 1, seq_len: 1, lengths: None, packed: false };
                let (mut session, mut tape, mut grads) = (Session::new(), Tape::new(), Grads::new(&rnn).unwrap());
                let mut y = vec![f32::NAN; hidden];
                let args = ForwardArgs { x: &[0.0], y: Some(&mut y), ..Default::default() };
                rnn.forward_train(&mut session, &mut tape, &batch, args, Default::default()).unwrap();
                assert!(y.iter().all(|v| *v == bias.max(0.0)), "{y:?}");
                let dy = vec![3.0; hidden];
                let args = BackwardArgs { dy: Some(&dy), ..Default::default() };
                rnn.backward(&mut session, &tape, args, Some(&mut grads), None).unwrap();
                let db = grads.param(rnn.find_param("bias_ih_l0").unwrap()).unwrap();
                assert_eq!(db, vec![3.0 * slope; hidden], "relu'({bias:e}) on {}", isa.name());
            }
        }
    }
}

/// Infinite pre-activations are ends of the functions, not NaN, on every instruction set.
#[test]
fn infinite_biases_saturate() {
    let inf = f32::INFINITY;
    for isa in Isa::available() {
        let batch = Batch { batch_size: 1, seq_len: 2, lengths: None, packed: false };
        let run = |rnn: &Rnn| {
            let mut y = vec![f32::NAN; 2 * 9];
            rnn.forward(
                &mut Session::new(),
                &batch,
                ForwardArgs { x: &[0.0; 2], y: Some(&mut y), ..Default::default() },
            )
            .unwrap();
            y
        };
        assert!(run(&layer(Cell::ElmanTanh, 9, isa, &[inf])).iter().all(|v| *v == 1.0));
        assert!(run(&layer(Cell::ElmanTanh, 9, isa, &[-inf])).iter().all(|v| *v == -1.0));
        assert!(run(&layer(Cell::ElmanRelu, 9, isa, &[-inf])).iter().all(|v| v.to_bits() == 0));
        assert!(run(&layer(Cell::Gru, 9, isa, &[0.0, -inf, inf])).iter().all(|v| *v == 1.0));
        // Forget nothing, take in 1 a step: c is 1, then 2.
        let y = run(&layer(Cell::Lstm, 9, isa, &[inf, inf, inf, inf]));
        assert!(y[..9].iter().all(|v| (f64::from(*v) - 1f64.tanh()).abs() < 2e-7), "{y:?}");
        assert!(y[9..].iter().all(|v| (f64::from(*v) - 2f64.tanh()).abs() < 2e-7), "{y:?}");
    }
}

/// Runs `f` and tells whether the processor met a subnormal operand or result.
#[cfg(target_arch = "x86_64")]
fn meets_subnormals(f: impl FnOnce()) -> bool {
    const DENORMAL_OPERAND: u32 = 1 << 1;
    const UNDERFLOW: u32 = 1 << 4;
    let mut status = 0u32;
    // SAFETY: the register's exception flags are cleared; its controls stay as they are.
    unsafe {
        std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut status, options(nostack));
        let clear = status & !0x3f;
        std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const clear, options(nostack));
        f();
        std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut status, options(nostack));
    }
    status & (DENORMAL_OPERAND | UNDERFLOW) != 0
}

/// Where small states are flushed, no step over a state that may be there, however long it is held, makes subnormal numbers;
/// without, one below 2^-52 may, and one below 2^-63 does, by its square.
#[cfg(target_arch = "x86_64")]
#[test]
fn flushed_streams_meet_no_subnormals() {
    for isa in Isa::available().filter(|&isa| isa != Isa::Scalar) {
        for (cell, biases) in [
            (Cell::ElmanTanh, &[0.0][..]),
            (Cell::ElmanRelu, &[0.0]),
            (Cell::Lstm, &[-20.0, 30.0, 0.0, 30.0]),
            (Cell::Gru, &[30.0, 30.0, 0.0]),
            (Cell::GruResetBefore, &[30.0, 30.0, 0.0]),
        ] {
            for hidden in [3, 16, 40] {
                for flush in [false, true] {
                    let mut config = RnnConfig::new(cell, 1, hidden);
                    config.flush_small_states = flush;
                    let mut rnn = Rnn::with_isa(&config, isa).unwrap();
                    let biases: Vec<f32> = biases.iter().flat_map(|&b| vec![b; hidden]).collect();
                    rnn.set_param(rnn.find_param("bias_ih_l0").unwrap(), &biases).unwrap();
                    let at = rnn.find_param("weight_hh_l0").unwrap();
                    let mut weights = rnn.param(at).unwrap().to_vec();
                    // Each unit reads itself: where a cell's gates do not hold the state, that does.
                    for (i, row) in weights.chunks_exact_mut(hidden).enumerate() {
                        row[i % hidden] = 1.0;
                    }
                    rnn.set_param(at, &weights).unwrap();
                    let mut stream = Stream::new(&rnn, 1).unwrap();
                    let mut y = vec![0.0; hidden];
                    let mut held = |exponent: i32| {
                        let state = vec![1.234_567_9 * 2f32.powi(exponent); hidden];
                        stream.set_state(Some(&state), (cell == Cell::Lstm).then_some(&state)).unwrap();
                        meets_subnormals(|| (0..100).for_each(|_| stream.step(&rnn, &[0.0], &mut y).unwrap()))
                    };
                    let what = format!("{} of {hidden} on {}, flush {flush}", cell.name(), isa.name());
                    assert!([-1, -30, -49, -50].into_iter().all(|e| !held(e)), "{what}");
                    let smaller = [-66, -70, -100].into_iter().filter(|&e| held(e)).count();
                    // The first step still reads the state that was set.
                    assert_eq!(smaller > 0, cell != Cell::ElmanRelu, "{what}");
                    if flush {
                        assert!(y.iter().all(|v| *v == 0.0), "{what}");
                        assert!(!meets_subnormals(|| stream.step(&rnn, &[0.0], &mut y).unwrap()), "{what}");
                    }
                }
            }
        }
    }
}
