//! Packed batches: arrays that hold only steps that are there give the same bits as padded ones.

use simdrnn::Pool;
use simdrnn::rnn::{
    BackwardArgs, Batch, Cell, Direction, DropoutPosition, ForwardArgs, Grads, Init, Rnn, RnnConfig, Session, Tape,
};

/// The rows of padded arrays that are there, sequence after sequence.
fn pack(config: &RnnConfig, batch: &Batch<'_>, padded: &[f32], features: usize) -> Vec<f32> {
    let lengths = batch.lengths.unwrap();
    let mut rows = Vec::new();
    for (b, &length) in lengths.iter().enumerate() {
        for t in 0..length {
            let row = if config.batch_first { b * batch.seq_len + t } else { t * batch.batch_size + b };
            rows.extend_from_slice(&padded[row * features..][..features]);
        }
    }
    rows
}

fn values(n: usize, scale: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 37 + scale) % 101) as f32 / 50.0 - 1.0).collect()
}

#[test]
fn packed_arrays_give_the_bits_of_padded_ones() {
    let pool = Pool::new(3).unwrap();
    for lengths in [&[3usize, 0, 9, 1, 4][..], &[6, 6, 6], &[40]] {
        let (n, seq_len) = (lengths.len(), lengths.iter().max().unwrap() + 2);
        let padded = Batch { batch_size: n, seq_len, lengths: Some(lengths), packed: false };
        let packed = Batch { packed: true, ..padded };
        for cell in [Cell::ElmanTanh, Cell::Lstm, Cell::Gru] {
            for direction in [Direction::Forward, Direction::Reverse, Direction::Bidirectional] {
                for batch_first in [false, true] {
                    let mut config = RnnConfig::new(cell, 5, 17);
                    (config.num_layers, config.batch_first, config.direction) = (2, batch_first, direction);
                    config.dropout = 0.3;
                    let mut rnn = Rnn::new(&config).unwrap();
                    rnn.init(Init::TorchUniform, 4).unwrap();
                    let (x, size) = (values(n * seq_len * 5, 1), config.output_size());
                    let dy = values(n * seq_len * size, 2);
                    for pool in [None, Some(&pool)] {
                        let run = |batch: &Batch<'_>, x: &[f32], dy: &[f32]| {
                            let mut session = pool.map_or_else(Session::new, Session::with_pool);
                            let (mut y, mut again, mut dx) =
                                (vec![9.0; dy.len()], vec![9.0; dy.len()], vec![9.0; x.len()]);
                            let mut hn = vec![9.0; config.passes() * n * 17];
                            let args = ForwardArgs { x, y: Some(&mut y), hn: Some(&mut hn), ..Default::default() };
                            rnn.forward(&mut session, batch, args).unwrap();
                            let (mut tape, mut grads) = (Tape::new(), Grads::new(&rnn).unwrap());
                            let args = ForwardArgs { x, y: Some(&mut again), ..Default::default() };
                            let dropout = DropoutPosition { seed: 3, ..Default::default() };
                            rnn.forward_train(&mut session, &mut tape, batch, args, dropout).unwrap();
                            let args = BackwardArgs { dy: Some(dy), dx: Some(&mut dx), ..Default::default() };
                            rnn.backward(&mut session, &tape, args, Some(&mut grads), None).unwrap();
                            (y, again, dx, hn, grads.values().to_vec())
                        };
                        let of = |padded_rows: &[f32], features| pack(&config, &padded, padded_rows, features);
                        let (y, again, dx, hn, grads) = run(&padded, &x, &dy);
                        let found = run(&packed, &of(&x, 5), &of(&dy, size));
                        assert_eq!(found.0, of(&y, size), "{cell:?} {direction:?} {lengths:?}");
                        assert_eq!(found.1, of(&again, size));
                        assert_eq!(found.2, of(&dx, 5));
                        assert_eq!((found.3, found.4), (hn, grads));
                    }
                    let mut session = Session::new();
                    let short = ForwardArgs { x: &x[..5], ..Default::default() };
                    assert!(rnn.forward(&mut session, &packed, short).is_err());
                }
            }
        }
    }
}
