//! Every shape around the lane counts on arrays of the caller that end, or start, at a page which may not be touched,
//! against ordinary arrays by bits. What the library allocates itself is under AddressSanitizer (`.ci/memory`).
#![cfg(target_os = "linux")]

mod common;

use common::guarded::{Guarded, Side};
use common::problem::{DIRECTIONS, Gradients, Outputs, Problem, assert_same_bits, random_lengths, variants};
use common::random::SplitMix64;
use simdrnn::Isa;
use simdrnn::nn::{Dense, Embedding};
use simdrnn::rnn::{BackwardArgs, Direction, DropoutPosition, ForwardArgs, Grads, RnnConfig, Session, Stream, Tape};

/// The guard acts: a child that reads one value past the end is killed.
#[test]
fn the_guard_is_there() {
    for side in [Side::Before, Side::Behind] {
        let values = Guarded::new(&[1.0; 3], side);
        assert_eq!(values[..], [1.0; 3]);
        let outside =
            if side == Side::Before { values.as_ptr().wrapping_sub(1) } else { values.as_ptr().wrapping_add(3) };
        // SAFETY: the child only reads, and is meant to die of it.
        let status = unsafe {
            let child = libc::fork();
            if child == 0 {
                libc::signal(libc::SIGSEGV, libc::SIG_DFL);
                std::hint::black_box(outside.read_volatile());
                libc::_exit(0);
            }
            let mut status = 0;
            assert_eq!(libc::waitpid(child, &mut status, 0), child);
            status
        };
        assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGSEGV, "{side:?}: {status}");
    }
}

/// Training forward, backward and forward with all the caller's arrays guarded.
fn run(p: &Problem, isa: Isa, side: Side) -> (Outputs, Gradients) {
    let guard = |values: &[f32]| Guarded::new(values, side);
    let room = |values: &[f32]| Guarded::new(&vec![f32::NAN; values.len()], side);
    let (rnn, mut session, mut tape) = (p.model(isa), Session::new(), Tape::new());
    let (x, h0, c0, dy, dhn, dcn) =
        (guard(&p.x), guard(&p.h0), guard(&p.c0), guard(&p.dy), guard(&p.dhn), guard(&p.dcn));
    let lstm = p.is_lstm();
    let mut out = [(); 2].map(|()| (room(&p.dy), room(&p.h0), room(&p.c0)));
    for (i, (y, hn, cn)) in out.iter_mut().enumerate() {
        let args = ForwardArgs {
            x: &x,
            h0: Some(&h0),
            c0: lstm.then_some(&c0[..]),
            y: Some(y),
            hn: Some(hn),
            cn: lstm.then_some(&mut cn[..]),
            ..ForwardArgs::default()
        };
        if i == 0 {
            rnn.forward_train(&mut session, &mut tape, &p.batch(), args, DropoutPosition::default()).unwrap();
        } else {
            rnn.forward(&mut session, &p.batch(), args).unwrap();
        }
    }
    let [trained, again] = out.map(|(y, hn, cn)| Outputs { y: y.to_vec(), hn: hn.to_vec(), cn: cn.to_vec() });
    again.assert_same_bits(&trained, "forward after training");
    let (mut dx, mut dh0, mut dc0) = (room(&p.x), room(&p.h0), room(&p.c0));
    let mut grads = Grads::new(&rnn).unwrap();
    let args = BackwardArgs {
        dy: Some(&dy),
        dhn: Some(&dhn),
        dcn: lstm.then_some(&dcn[..]),
        dx: Some(&mut dx),
        dh0: Some(&mut dh0),
        dc0: lstm.then_some(&mut dc0[..]),
    };
    rnn.backward(&mut session, &tape, args, Some(&mut grads), None).unwrap();
    let params = grads.values().to_vec();
    (trained, Gradients { dx: dx.to_vec(), dh0: dh0.to_vec(), dc0: dc0.to_vec(), params })
}

/// Hidden sizes with every remainder of 16 lanes, beside inputs and batches that take turns.
#[test]
fn layers() {
    let mut r = SplitMix64::new(71);
    let mut comparisons = 0;
    for (cell, projection) in variants() {
        for hidden in (1..=35).chain([47, 48, 49, 63, 64, 65]) {
            let mut config = RnnConfig::new(cell, 1 + (hidden * 5 + 3) % 21, hidden);
            config.direction = DIRECTIONS[hidden % 3];
            config.batch_first = hidden % 2 == 0;
            config.proj_size = if projection && hidden > 1 { 1 + hidden * 2 / 3 % (hidden - 1).max(1) } else { 0 };
            let batch = 1 + hidden % 11;
            let lengths = (hidden % 4 == 0).then(|| random_lengths(&mut r, batch, 3));
            let p = Problem::random(&mut r, &config, batch, 3, lengths);
            let (out, gradients) = p.run(Isa::Scalar);
            for isa in Isa::available() {
                for side in [Side::Before, Side::Behind] {
                    let what = format!("{} on {}, {side:?}", p.describe(), isa.name());
                    let (found, found_gradients) = run(&p, isa, side);
                    found.assert_same_bits(&out, &what);
                    found_gradients.assert_same_bits(&gradients, &what);
                    comparisons += 1;
                }
            }
        }
    }
    println!("{comparisons} layers of guarded arrays");
}

#[test]
fn streams_dense_and_embedding() {
    let mut r = SplitMix64::new(72);
    for isa in Isa::available() {
        for side in [Side::Before, Side::Behind] {
            let guard = |values: &[f32]| Guarded::new(values, side);
            for n in 1..=33 {
                let what = format!("{n} on {}, {side:?}", isa.name());
                let (cell, _) = variants()[n % variants().len()];
                let config = RnnConfig { direction: Direction::Forward, ..RnnConfig::new(cell, 1 + n % 9, n) };
                let lanes = 1 + n % 3;
                let p = Problem::random(&mut r, &config, lanes, 4, None);
                let rnn = p.model(isa);
                let (mut a, mut b) = (Stream::new(&rnn, lanes).unwrap(), Stream::new(&rnn, lanes).unwrap());
                let (x, mut y, mut expected) = (guard(&p.x), guard(&vec![f32::NAN; p.dy.len()]), vec![0.0; p.dy.len()]);
                a.process(&rnn, 4, &p.x, Some(&mut expected)).unwrap();
                for (x, y) in x.chunks(lanes * config.input_size).zip(y.chunks_mut(lanes * n)) {
                    let (x, mut to) = (guard(x), guard(y));
                    b.step(&rnn, &x, &mut to).unwrap();
                    y.copy_from_slice(&to);
                }
                assert_same_bits(&y, &expected, &what);

                let mut dense = Dense::with_isa(n, 1 + n % 18, true, isa).unwrap();
                dense.init(3);
                let (x, dy) = (r.values_f32(3 * n, 1.0), r.values_f32(3 * (1 + n % 18), 1.0));
                let forward = |x: &[f32], y: &mut [f32]| dense.forward(None, x, y).unwrap();
                let (mut y, mut expected) = (guard(&vec![f32::NAN; dy.len()]), vec![0.0; dy.len()]);
                forward(&guard(&x), &mut y);
                forward(&x, &mut expected);
                assert_same_bits(&y, &expected, &what);
                let backward = |dy: &[f32], x: &[f32], dx: &mut [f32], g: &mut [f32]| {
                    dense.backward(&mut Session::new(), x, dy, Some(dx), Some(g)).unwrap();
                };
                let zeros = vec![0.0; dense.values().len()];
                let (mut dx, mut g) = (guard(&x), guard(&zeros));
                let (mut expected_dx, mut expected_g) = (x.clone(), zeros.clone());
                backward(&guard(&dy), &guard(&x), &mut dx, &mut g);
                backward(&dy, &x, &mut expected_dx, &mut expected_g);
                assert_same_bits(&dx, &expected_dx, &what);
                assert_same_bits(&g, &expected_g, &what);

                let mut embedding = Embedding::new(5, n, None).unwrap();
                embedding.init_normal(4);
                let (mut rows, mut expected) = (guard(&vec![f32::NAN; 2 * n]), vec![0.0; 2 * n]);
                embedding.forward(&[4, 0], &mut rows).unwrap();
                embedding.forward(&[4, 0], &mut expected).unwrap();
                assert_same_bits(&rows, &expected, &what);
            }
        }
    }
}
