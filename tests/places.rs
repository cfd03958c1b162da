//! Where a forward call's arrays lie changes no bit: rows of larger arrays, states that are updated in place, dropout that is
//! off for one call, and no sequences at all.

use simdrnn::rnn::{
    BackwardArgs, Batch, Cell, Direction, DropoutPosition, ForwardArgs, Grads, Init, Rnn, RnnConfig, Session, Tape,
};
use simdrnn::{ErrorKind, Pool};

const INPUT: usize = 5;
const HIDDEN: usize = 17;
const GAP: f32 = 77.0;

fn values(n: usize, scale: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 37 + scale) % 101) as f32 / 50.0 - 1.0).collect()
}

/// Layers of every kind, in every direction, batch first and not; some wide enough for threads to share a step.
fn models() -> Vec<Rnn> {
    let mut models = Vec::new();
    for cell in [Cell::ElmanTanh, Cell::Lstm, Cell::Gru, Cell::GruResetBefore] {
        for direction in [Direction::Forward, Direction::Reverse, Direction::Bidirectional] {
            for batch_first in [false, true] {
                let mut config = RnnConfig::new(cell, INPUT, HIDDEN);
                (config.num_layers, config.batch_first, config.direction) = (2, batch_first, direction);
                let mut rnn = Rnn::new(&config).unwrap();
                rnn.init(Init::TorchUniform, 4).unwrap();
                models.push(rnn);
            }
        }
    }
    models
}

/// Rows with gaps between them.
fn spread(dense: &[f32], features: usize, stride: usize) -> Vec<f32> {
    let mut all = vec![GAP; dense.len() / features * stride];
    for (wide, row) in all.chunks_exact_mut(stride).zip(dense.chunks_exact(features)) {
        wide[..features].copy_from_slice(row);
    }
    all
}

#[test]
fn views_and_states_in_place_give_the_same_bits() {
    let pool = Pool::new(3).unwrap();
    let lengths = [3usize, 0, 9, 1, 4, 9];
    let (n, seq_len) = (lengths.len(), 10);
    for rnn in models() {
        let config = rnn.config();
        let lstm = config.cell.has_cell_state();
        let (size, states) = (config.output_size(), config.passes() * n * HIDDEN);
        for batch in [Batch::new(n, seq_len), Batch { lengths: Some(&lengths), ..Batch::new(n, seq_len) }] {
            let x = values(n * seq_len * INPUT, 1);
            let (h0, c0) = (values(states, 2), values(states, 3));
            for pool in [None, Some(&pool)] {
                let mut session = pool.map_or_else(Session::new, Session::with_pool);
                let mut tape = Tape::new();
                for train in [false, true] {
                    let mut run = |args: ForwardArgs<'_>| match train {
                        false => rnn.forward(&mut session, &batch, args).unwrap(),
                        true => {
                            let dropout = DropoutPosition::default();
                            rnn.forward_train(&mut session, &mut tape, &batch, args, dropout).unwrap();
                        }
                    };
                    let (mut y, mut hn, mut cn) = (vec![GAP; n * seq_len * size], vec![GAP; states], vec![GAP; states]);
                    let c = lstm.then_some(&c0[..]);
                    run(ForwardArgs {
                        x: &x,
                        y: Some(&mut y),
                        h0: Some(&h0),
                        c0: c,
                        hn: Some(&mut hn),
                        cn: lstm.then_some(&mut cn[..]),
                        ..ForwardArgs::default()
                    });
                    let (x_stride, y_stride) = (INPUT + 2, size + 3);
                    let wide_x = spread(&x, INPUT, x_stride);
                    let (mut wide_y, mut h, mut c) = (vec![GAP; n * seq_len * y_stride], h0.clone(), c0.clone());
                    run(ForwardArgs {
                        // The last row needs no gap after it.
                        x: &wide_x[..wide_x.len() - 2],
                        x_row_stride: x_stride,
                        y: Some(&mut wide_y),
                        y_row_stride: y_stride,
                        hn: Some(&mut h),
                        cn: lstm.then_some(&mut c[..]),
                        in_place: true,
                        ..ForwardArgs::default()
                    });
                    assert_eq!(wide_y, spread(&y, size, y_stride), "{config:?}");
                    assert!(h == hn && (!lstm || c == cn), "{config:?}");
                }
            }
        }
    }
}

#[test]
fn dropout_is_off_for_one_call() {
    let mut config = RnnConfig { num_layers: 3, dropout: 0.5, ..RnnConfig::new(Cell::Lstm, INPUT, HIDDEN) };
    let mut dropping = Rnn::new(&config).unwrap();
    config.dropout = 0.0;
    let mut plain = Rnn::new(&config).unwrap();
    let (x, dy) = (values(8 * INPUT, 1), values(8 * HIDDEN, 2));
    let run = |rnn: &mut Rnn, off: bool| {
        rnn.init(Init::TorchUniform, 4).unwrap();
        let (mut session, mut tape, mut grads) = (Session::new(), Tape::new(), Grads::new(rnn).unwrap());
        let (mut y, mut dx) = (vec![0.0; dy.len()], vec![0.0; x.len()]);
        let args = ForwardArgs { x: &x, y: Some(&mut y), ..ForwardArgs::default() };
        let dropout = DropoutPosition { seed: 1, off, ..DropoutPosition::default() };
        rnn.forward_train(&mut session, &mut tape, &Batch::new(2, 4), args, dropout).unwrap();
        let args = BackwardArgs { dy: Some(&dy), dx: Some(&mut dx), ..BackwardArgs::default() };
        rnn.backward(&mut session, &tape, args, Some(&mut grads), None).unwrap();
        (y, dx, grads.values().to_vec())
    };
    let wanted = run(&mut plain, false);
    assert!(run(&mut dropping, true) == wanted);
    assert!(run(&mut dropping, false) != wanted);
}

#[test]
fn a_batch_may_be_empty() {
    let pool = Pool::new(2).unwrap();
    for rnn in models() {
        for pool in [None, Some(&pool)] {
            let mut session = pool.map_or_else(Session::new, Session::with_pool);
            let (mut tape, mut grads) = (Tape::new(), Grads::new(&rnn).unwrap());
            for batch in
                [Batch::new(0, 3), Batch::new(0, 0), Batch { lengths: Some(&[]), packed: true, ..Batch::new(0, 9) }]
            {
                let (mut y, mut hn) = ([0.0; 0], [0.0; 0]);
                let args = ForwardArgs { y: Some(&mut y), hn: Some(&mut hn), in_place: true, ..ForwardArgs::default() };
                rnn.forward(&mut session, &batch, args).unwrap();
                rnn.forward_train(&mut session, &mut tape, &batch, ForwardArgs::default(), DropoutPosition::default())
                    .unwrap();
                assert_eq!((tape.batch_size(), tape.seq_len()), (0, batch.seq_len));
                rnn.backward(&mut session, &tape, BackwardArgs::default(), Some(&mut grads), None).unwrap();
                assert!(grads.values().iter().all(|&v| v == 0.0));
            }
        }
    }
}

#[test]
fn wrong_places_are_refused() {
    let rnn = Rnn::new(&RnnConfig::new(Cell::Gru, INPUT, HIDDEN)).unwrap();
    let x = values(6 * (INPUT + 1), 1);
    let refused = |args: ForwardArgs<'_>, kind: ErrorKind, text: &str| {
        let e = rnn.forward(&mut Session::new(), &Batch::new(2, 3), args).unwrap_err();
        assert!(e.kind() == kind && e.message().contains(text), "{e:?}");
    };
    let dense = ForwardArgs { x: &x, ..ForwardArgs::default() };
    refused(dense, ErrorKind::ShapeMismatch, "expected 30: (seq_len 3, batch 2, input_size 5)");
    let narrow = ForwardArgs { x: &x, x_row_stride: INPUT - 1, ..ForwardArgs::default() };
    refused(narrow, ErrorKind::ShapeMismatch, "x_row_stride is 4, expected at least the 5 values of a row");
    let short = ForwardArgs { x: &x[..34], x_row_stride: INPUT + 1, ..ForwardArgs::default() };
    refused(short, ErrorKind::ShapeMismatch, "x has 34 values, expected at least 35 for 6 rows, one every 6 values");
    let huge = ForwardArgs { x: &x, x_row_stride: usize::MAX / 4, ..ForwardArgs::default() };
    refused(huge, ErrorKind::SizeOverflow, "x");
    let h0 = values(2 * HIDDEN, 2);
    let twice = ForwardArgs { x: &x[..30], h0: Some(&h0), in_place: true, ..ForwardArgs::default() };
    refused(twice, ErrorKind::InvalidArgument, "in place");
}
