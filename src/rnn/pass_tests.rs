//! Look-ahead of single sequences: a choice by processor, so both choices are tried on each.

use crate::random::Random;
use crate::rnn::{BackwardArgs, Batch, Cell, Direction, ForwardArgs, Grads, Init, Rnn, RnnConfig, Session, Tape};
use crate::simd::Isa;
use std::cell::Cell as Place;
use std::sync::atomic::{AtomicU8, Ordering};

/// 0 is the processor's choice, 1 never, 2 wherever it can be done.
static FORCED: AtomicU8 = AtomicU8::new(0);

thread_local! {
    static TAKEN: Place<usize> = const { Place::new(0) };
}

pub(super) fn forced() -> Option<bool> {
    match FORCED.load(Ordering::Relaxed) {
        0 => None,
        choice => Some(choice == 2),
    }
}

/// A pass on this thread looks ahead.
pub(super) fn count() {
    TAKEN.set(TAKEN.get() + 1);
}

fn isa_looks_ahead(isa: Isa) -> bool {
    matches!(isa, Isa::Avx512 | Isa::Neon)
}

fn random(len: usize, stream: u64) -> Vec<f32> {
    let mut r = Random::new(7, stream);
    (0..len).map(|_| r.next_u32() as f32 / 2f32.powi(31) - 1.0).collect()
}

/// All results of forward, and of training's forward and backward, over one sequence.
fn results(config: &RnnConfig, isa: Isa, session: &mut Session) -> Vec<f32> {
    let mut rnn = Rnn::with_isa(config, isa).unwrap();
    rnn.init(Init::TorchUniform, 3).unwrap();
    let steps = 19;
    let batch = Batch { batch_size: 1, seq_len: steps, lengths: None, packed: false };
    let x = random(steps * config.input_size, 1);
    let width = config.output_size();
    let mut y = vec![0.0; steps * width];
    rnn.forward(session, &batch, ForwardArgs { x: &x, y: Some(&mut y), ..ForwardArgs::default() }).unwrap();
    let (mut trained, mut tape) = (vec![0.0; y.len()], Tape::new());
    let args = ForwardArgs { x: &x, y: Some(&mut trained), ..ForwardArgs::default() };
    rnn.forward_train(session, &mut tape, &batch, args, Default::default()).unwrap();
    let (dy, mut dx, mut grads) = (random(y.len(), 2), vec![0.0; x.len()], Grads::new(&rnn).unwrap());
    let args = BackwardArgs { dy: Some(&dy), dx: Some(&mut dx), ..BackwardArgs::default() };
    rnn.backward(session, &tape, args, Some(&mut grads), None).unwrap();
    [&y[..], &trained, &dx, grads.values()].concat()
}

#[test]
fn rows_made_ahead_change_no_bit() {
    let mut compared = 0;
    for (cell, hidden) in [(Cell::ElmanTanh, 97), (Cell::Lstm, 49), (Cell::Gru, 60)] {
        for (num_layers, direction) in [(1, Direction::Reverse), (1, Direction::Bidirectional), (2, Direction::Forward)]
        {
            let config = RnnConfig { num_layers, direction, ..RnnConfig::new(cell, hidden - 3, hidden) };
            let want = results(&config, Isa::Scalar, &mut Session::new());
            for isa in Isa::available() {
                for choice in [1, 2] {
                    FORCED.store(choice, Ordering::Relaxed);
                    let what =
                        format!("{} of {hidden}, {num_layers} layers {direction:?}, {}", cell.name(), isa.name());
                    let before = TAKEN.get();
                    let got = results(&config, isa, &mut Session::new());
                    let taken = TAKEN.get() - before;
                    assert_eq!(taken > 0, choice == 2 && isa_looks_ahead(isa), "{what}: {taken} passes looked ahead");
                    let on_threads = results(&config, isa, &mut Session::with_pool(&crate::Pool::new(2).unwrap()));
                    for other in [&got, &on_threads] {
                        assert!(
                            want.iter().zip(other).all(|(a, b)| a.to_bits() == b.to_bits()),
                            "{what}, choice {choice}"
                        );
                        compared += want.len();
                    }
                    FORCED.store(0, Ordering::Relaxed);
                }
            }
        }
    }
    println!("{compared} results compared with and without look-ahead");
}
