//! What the recurrent layers refuse, in what words, and that a refused call writes nothing.

mod common;

use common::problem::{Problem, assert_same_bits};
use common::random::SplitMix64;
use simdrnn::nn::{Embedding, Optimizer, OptimizerConfig, SgdConfig};
use simdrnn::rnn::{
    BackwardArgs, Batch, Cell, Direction, DropoutPosition, ForwardArgs, GradientFlow, Grads, Init, Rnn, RnnConfig,
    Session, Stream, Tape, Tokens, TruncatedBptt,
};
use simdrnn::{Error, ErrorKind, Isa, Pool};

/// The error, whose text has all of `words`.
#[track_caller]
fn refused<T>(result: simdrnn::Result<T>, kind: ErrorKind, words: &[&str]) -> Error {
    let e = result.err().expect("an error");
    assert_eq!(e.kind(), kind, "{e}");
    for word in words {
        assert!(e.message().contains(word), "'{e}' does not say '{word}'");
    }
    e
}

fn lstm(isa: Isa) -> (Problem, Rnn) {
    let config = RnnConfig { num_layers: 2, ..RnnConfig::new(Cell::Lstm, 3, 5) };
    let p = Problem::random(&mut SplitMix64::new(61), &config, 4, 6, Some(vec![6, 0, 2, 5]));
    let rnn = p.model(isa);
    (p, rnn)
}

fn gru(isa: Isa) -> (Problem, Rnn) {
    let config = RnnConfig { num_layers: 2, ..RnnConfig::new(Cell::Gru, 3, 5) };
    let p = Problem::random(&mut SplitMix64::new(62), &config, 4, 6, Some(vec![6, 0, 2, 5]));
    let rnn = p.model(isa);
    (p, rnn)
}

#[test]
fn numbers_and_names() {
    for number in [-1, 5, i32::MAX] {
        refused(Cell::from_number(number), ErrorKind::InvalidArgument, &["cell", &number.to_string()]);
    }
    for number in [-1, 3, i32::MIN] {
        refused(Direction::from_number(number), ErrorKind::InvalidArgument, &["direction", &number.to_string()]);
        refused(Init::from_number(number), ErrorKind::InvalidArgument, &["initialization", &number.to_string()]);
    }
    refused(Isa::from_number(4), ErrorKind::InvalidArgument, &["4"]);
    for name in ["LSTM", "", "gru "] {
        refused(Cell::from_name(name), ErrorKind::InvalidArgument, &[&format!("'{name}'"), "gru_reset_before"]);
    }
    refused(Isa::from_name("sse"), ErrorKind::InvalidArgument, &["'sse'", "avx2"]);
    for cell in Cell::ALL {
        assert_eq!(Cell::from_name(cell.name()).unwrap(), cell);
        assert_eq!(Cell::from_number(cell as i32).unwrap(), cell);
    }
    for direction in [Direction::Forward, Direction::Reverse, Direction::Bidirectional] {
        assert_eq!(Direction::from_number(direction as i32).unwrap(), direction);
    }
}

#[test]
fn configurations() {
    let good = RnnConfig::new(Cell::Lstm, 3, 5);
    let invalid = |config: RnnConfig, words: &[&str]| {
        refused(config.check(), ErrorKind::InvalidArgument, words);
        refused(config.param_specs(), ErrorKind::InvalidArgument, words);
        refused(Rnn::new(&config), ErrorKind::InvalidArgument, words);
    };
    invalid(RnnConfig { input_size: 0, ..good.clone() }, &["input_size is 0"]);
    invalid(RnnConfig { hidden_size: 0, ..good.clone() }, &["hidden_size is 0"]);
    invalid(RnnConfig { num_layers: 0, ..good.clone() }, &["num_layers is 0"]);
    for dropout in [-0.5, 1.0001, 2.0, f32::NAN, f32::INFINITY] {
        invalid(RnnConfig { dropout, ..good.clone() }, &["dropout", &dropout.to_string()]);
    }
    invalid(RnnConfig { proj_size: 5, ..good.clone() }, &["proj_size is 5", "hidden_size 5"]);
    for cell in Cell::ALL.into_iter().filter(|&c| c != Cell::Lstm) {
        invalid(RnnConfig { proj_size: 2, ..RnnConfig::new(cell, 3, 5) }, &["proj_size", cell.name()]);
    }

    for num_layers in [1025, 1 << 24, usize::MAX] {
        invalid(RnnConfig { num_layers, ..good.clone() }, &[&format!("num_layers is {num_layers}"), "1024"]);
    }
    RnnConfig { num_layers: 1024, ..RnnConfig::new(Cell::ElmanTanh, 1, 1) }.check().unwrap();

    let huge = |config: RnnConfig| {
        refused(config.check(), ErrorKind::SizeOverflow, &["too large"]);
        refused(Rnn::new(&config), ErrorKind::SizeOverflow, &["too large"]);
    };
    let both = RnnConfig { direction: Direction::Bidirectional, ..good.clone() };
    for config in [good, both] {
        for size in [usize::MAX, usize::MAX / 2 + 1, usize::MAX / 4 + 1, 1 << 60] {
            huge(RnnConfig { input_size: size, ..config.clone() });
            huge(RnnConfig { hidden_size: size, ..config.clone() });
            huge(RnnConfig { hidden_size: size, proj_size: size - 1, ..config.clone() });
        }
        huge(RnnConfig { input_size: 1 << 40, hidden_size: 1 << 40, ..config });
    }
}

#[test]
fn instruction_sets_that_this_cpu_lacks() {
    let absent: Vec<Isa> = Isa::ALL.into_iter().filter(|isa| !isa.is_available()).collect();
    // No CPU is of both architectures.
    assert!(!absent.is_empty());
    for isa in absent {
        refused(Rnn::with_isa(&RnnConfig::new(Cell::Gru, 3, 5), isa), ErrorKind::Unsupported, &[isa.name()]);
    }
}

#[test]
fn forward() {
    for isa in Isa::available() {
        let (p, rnn) = lstm(isa);
        // One value too many or too few in one of the arrays, or another batch: what the text must say.
        let cases: &[(&str, ErrorKind, &[&str])] = &[
            ("x", ErrorKind::ShapeMismatch, &["x has 71 values", "expected 72"]),
            ("y", ErrorKind::ShapeMismatch, &["y has 119 values", "expected 120"]),
            ("h0", ErrorKind::ShapeMismatch, &["h0 has 39 values", "expected 40"]),
            ("c0", ErrorKind::ShapeMismatch, &["c0 has 39 values", "expected 40"]),
            ("hn", ErrorKind::ShapeMismatch, &["hn has 39 values", "expected 40"]),
            ("cn", ErrorKind::ShapeMismatch, &["cn has 39 values", "expected 40"]),
            ("three lengths", ErrorKind::ShapeMismatch, &["lengths has 3 entries", "4"]),
            ("five lengths", ErrorKind::ShapeMismatch, &["lengths has 5 entries", "4"]),
            ("a long length", ErrorKind::InvalidArgument, &["lengths[2] is 7", "seq_len 6"]),
            ("huge batch", ErrorKind::SizeOverflow, &["too large"]),
            ("huge seq_len", ErrorKind::SizeOverflow, &["too large"]),
            ("huge product", ErrorKind::SizeOverflow, &["too large"]),
            ("huge states", ErrorKind::SizeOverflow, &["too large"]),
        ];
        for &(case, kind, words) in cases {
            for training in [false, true] {
                let (mut session, mut tape) = (Session::new(), Tape::new());
                let mut good = p.clone();
                good.lengths = None;
                good.forward_train(&rnn, &mut session, &mut tape, DropoutPosition::default());

                let short = |name: &str, len: usize| if case == name { len - 1 } else { len };
                let (mut y, mut hn, mut cn) =
                    (vec![7.0; short("y", 120)], vec![7.0; short("hn", 40)], vec![7.0; short("cn", 40)]);
                let args = ForwardArgs {
                    x: &p.x[..short("x", 72)],
                    h0: Some(&p.h0[..short("h0", 40)]),
                    c0: Some(&p.c0[..short("c0", 40)]),
                    y: Some(&mut y),
                    hn: Some(&mut hn),
                    cn: Some(&mut cn),
                    ..ForwardArgs::default()
                };
                let mut batch = p.batch();
                match case {
                    "three lengths" => batch.lengths = Some(&[6, 0, 2]),
                    "five lengths" => batch.lengths = Some(&[6, 0, 2, 5, 1]),
                    "a long length" => batch.lengths = Some(&[6, 0, 7, 5]),
                    "huge batch" => batch = Batch::new(usize::MAX, 6),
                    "huge seq_len" => batch = Batch::new(4, usize::MAX / 2),
                    "huge product" => batch = Batch::new(1 << 32, 1 << 32),
                    "huge states" => batch = Batch::new(1 << 59, 0),
                    _ => (),
                }
                let result = if training {
                    rnn.forward_train(&mut session, &mut tape, &batch, args, DropoutPosition::default())
                } else {
                    rnn.forward(&mut session, &batch, args)
                };
                refused(result, kind, words);
                assert!(y.iter().chain(&hn).chain(&cn).all(|&v| v == 7.0), "{case}: something was written");
                // The session serves the next call, and the tape holds what it held.
                let expected = p.run(isa).0;
                p.forward(&rnn, &mut session).assert_same_bits(&expected, case);
                good.backward(&rnn, &mut session, &tape).assert_same_bits(&good.run(isa).1, case);
            }
        }
    }
}

#[test]
fn words() {
    for isa in Isa::available() {
        let (p, rnn) = gru(isa);
        let mut y = vec![7.0; p.dy.len()];
        let embedding = |features| Embedding::new(5, features, None).unwrap();
        let (right, wrong, zeros) = (embedding(p.config.input_size), embedding(p.config.input_size + 1), vec![0; 24]);
        let mut unknown = zeros.clone();
        // Step 0 of the first sequence, whatever the layout: nobody is shorter.
        unknown[0] = 5;
        let cases: [(Tokens<'_>, &[f32], ErrorKind, &[&str]); 4] = [
            (right.tokens(&zeros[1..]), &[], ErrorKind::ShapeMismatch, &["indices", "23", "24"]),
            (wrong.tokens(&zeros), &[], ErrorKind::ShapeMismatch, &["embedding", "input_size 3"]),
            (right.tokens(&unknown), &[], ErrorKind::InvalidArgument, &["indices[0] is 5", "5"]),
            (right.tokens(&zeros), &p.x, ErrorKind::InvalidArgument, &["both x and tokens"]),
        ];
        for (tokens, x, kind, words) in cases {
            let (mut session, mut tape) = (Session::new(), Tape::new());
            let args = ForwardArgs { x, tokens: Some(tokens), y: Some(&mut y), ..ForwardArgs::default() };
            refused(rnn.forward(&mut session, &p.batch(), args), kind, words);
            let args = ForwardArgs { x, tokens: Some(tokens), y: Some(&mut y), ..ForwardArgs::default() };
            let position = DropoutPosition::default();
            refused(rnn.forward_train(&mut session, &mut tape, &p.batch(), args, position), kind, words);
            assert!(y.iter().all(|&v| v == 7.0));
        }
    }
}

#[test]
fn cell_states_of_cells_without() {
    for isa in Isa::available() {
        let (p, rnn) = gru(isa);
        let (mut session, mut tape) = (Session::new(), Tape::new());
        let (mut y, mut cn) = (vec![7.0; 120], vec![7.0; 40]);
        let args = ForwardArgs { x: &p.x, c0: Some(&p.h0), y: Some(&mut y), ..ForwardArgs::default() };
        refused(rnn.forward(&mut session, &p.batch(), args), ErrorKind::InvalidArgument, &["c0", "LSTM"]);
        let args = ForwardArgs { x: &p.x, y: Some(&mut y), cn: Some(&mut cn), ..ForwardArgs::default() };
        refused(rnn.forward(&mut session, &p.batch(), args), ErrorKind::InvalidArgument, &["cn", "LSTM"]);
        assert!(y.iter().chain(&cn).all(|&v| v == 7.0));

        p.forward_train(&rnn, &mut session, &mut tape, DropoutPosition::default());
        let args = BackwardArgs { dcn: Some(&p.dhn), ..BackwardArgs::default() };
        let result = rnn.backward(&mut session, &tape, args, None, None);
        refused(result, ErrorKind::InvalidArgument, &["dcn", "LSTM"]);
        let args = BackwardArgs { dhn: Some(&p.dhn), dc0: Some(&mut cn), ..BackwardArgs::default() };
        let result = rnn.backward(&mut session, &tape, args, None, None);
        refused(result, ErrorKind::InvalidArgument, &["dc0", "LSTM"]);
        assert!(cn.iter().all(|&v| v == 7.0));
    }
}

#[test]
fn backward() {
    for isa in Isa::available() {
        let (p, rnn) = lstm(isa);
        let mut session = Session::new();
        let mut tape = Tape::new();
        let other_config = gru(isa).1;
        for case in ["dy", "dhn", "dcn", "dx", "dh0", "dc0", "grads", "fresh tape", "good"] {
            let short = |name: &str, len: usize| if case == name { len - 1 } else { len };
            if case != "fresh tape" {
                p.forward_train(&rnn, &mut session, &mut tape, DropoutPosition::default());
            }
            let fresh = Tape::new();
            let mut grads = Grads::new(if case == "grads" { &other_config } else { &rnn }).unwrap();
            grads.values_mut().fill(7.0);
            let mut flow = GradientFlow::new();
            let (mut dx, mut dh0, mut dc0) =
                (vec![7.0; short("dx", 72)], vec![7.0; short("dh0", 40)], vec![7.0; short("dc0", 40)]);
            let args = BackwardArgs {
                dy: Some(&p.dy[..short("dy", 120)]),
                dhn: Some(&p.dhn[..short("dhn", 40)]),
                dcn: Some(&p.dcn[..short("dcn", 40)]),
                dx: Some(&mut dx),
                dh0: Some(&mut dh0),
                dc0: Some(&mut dc0),
            };
            let tape = if case == "fresh tape" { &fresh } else { &tape };
            let result = rnn.backward(&mut session, tape, args, Some(&mut grads), Some(&mut flow));
            let untouched = dx.iter().chain(&dh0).chain(&dc0).chain(grads.values()).all(|&v| v == 7.0);
            assert_eq!(untouched, case != "good", "{case}");
            assert_eq!(flow.state_norms(0).is_ok(), case == "good", "{case}");
            match case {
                "good" => result.unwrap(),
                "fresh tape" => {
                    refused(result, ErrorKind::InvalidState, &["no forward"]);
                }
                "grads" => {
                    let (found, expected) = (other_config.values().len(), rnn.values().len());
                    let words = [found.to_string(), expected.to_string()];
                    refused(result, ErrorKind::ShapeMismatch, &[&words[0], &words[1]]);
                }
                _ => {
                    let expected = match case {
                        "dx" => 72,
                        "dy" => 120,
                        _ => 40,
                    };
                    let words = [format!("{case} has {} values", expected - 1), format!("expected {expected}")];
                    refused(result, ErrorKind::ShapeMismatch, &[&words[0], &words[1]]);
                }
            }
        }
    }
}

#[test]
fn tapes_of_other_weights_and_models() {
    for isa in Isa::available() {
        let (p, mut rnn) = lstm(isa);
        let (mut session, mut tape) = (Session::new(), Tape::new());
        let expected = p.run(isa).1;
        p.forward_train(&rnn, &mut session, &mut tape, DropoutPosition::default());
        let backward = |rnn: &Rnn, session: &mut Session, tape: &Tape| {
            let mut dx = vec![7.0; 72];
            let mut grads = Grads::new(rnn).unwrap();
            let args = BackwardArgs { dy: Some(&p.dy), dx: Some(&mut dx), ..BackwardArgs::default() };
            let result = rnn.backward(session, tape, args, Some(&mut grads), None);
            let written =
                dx.iter().filter(|&&v| v != 7.0).count() + grads.values().iter().filter(|&&v| v != 0.0).count();
            // All of dx, and at least the biases' gradients.
            assert!(if result.is_ok() { written > dx.len() } else { written == 0 }, "{written} values");
            result
        };
        backward(&rnn, &mut session, &tape).unwrap();
        // The same weights in another handle: whether they are the same nobody has looked at.
        let another = gru(isa).1;
        for _ in 0..2 {
            refused(backward(&p.model(isa), &mut session, &tape), ErrorKind::InvalidState, &["weights have changed"]);
            refused(backward(&another, &mut session, &tape), ErrorKind::InvalidState, &["weights have changed"]);
            for isa in Isa::available().filter(|&other| other != isa) {
                refused(
                    backward(&p.model(isa), &mut session, &tape),
                    ErrorKind::InvalidState,
                    &["weights have changed"],
                );
            }
        }
        let again = p.backward(&rnn, &mut session, &tape);
        again.assert_same_bits(&expected, "after refused calls");

        let mut optimizer = Optimizer::new(&OptimizerConfig::Sgd(SgdConfig::default())).unwrap();
        let changes: [&mut dyn FnMut(&mut Rnn); 4] = [
            &mut |rnn| rnn.set_param(0, &vec![0.5; rnn.param_specs()[0].len()]).unwrap(),
            &mut |rnn| rnn.init(Init::TorchUniform, 1).unwrap(),
            &mut |rnn| rnn.update(|_| ()),
            &mut |rnn| {
                optimizer.begin_step();
                rnn.optimize(&mut optimizer, 0, &Grads::new(rnn).unwrap()).unwrap();
            },
        ];
        for change in changes {
            change(&mut rnn);
            for _ in 0..2 {
                refused(backward(&rnn, &mut session, &tape), ErrorKind::InvalidState, &["weights have changed"]);
            }
            p.forward_train(&rnn, &mut session, &mut tape, DropoutPosition::default());
            backward(&rnn, &mut session, &tape).unwrap();
        }
        // A write that fails changes no weights, so the tape still serves.
        assert!(rnn.set_param(0, &[0.5]).is_err() && rnn.set_param(99, &[]).is_err());
        backward(&rnn, &mut session, &tape).unwrap();
    }
}

#[test]
fn gradient_flow_and_gradients() {
    for isa in Isa::available() {
        let (p, rnn) = lstm(isa);
        let mut flow = GradientFlow::new();
        assert_eq!((flow.passes(), flow.steps(), flow.gates()), (0, 0, 0));
        refused(flow.state_norms(0), ErrorKind::InvalidState, &["backward"]);
        refused(flow.largest_singular_value(0, 0), ErrorKind::InvalidState, &["backward"]);
        refused(flow.saturation(0, 0), ErrorKind::InvalidState, &["backward"]);
        refused(flow.cell_norms(0), ErrorKind::InvalidState, &["backward"]);
        let (mut session, mut tape) = (Session::new(), Tape::new());
        p.forward_train(&rnn, &mut session, &mut tape, DropoutPosition::default());
        rnn.backward(&mut session, &tape, BackwardArgs::default(), None, Some(&mut flow)).unwrap();
        // A loss that depends on nothing.
        assert!(flow.state_norms(1).unwrap().iter().all(|&n| n == 0.0));
        refused(flow.state_norms(2), ErrorKind::InvalidArgument, &["pass 2", "less than 2"]);
        refused(flow.cell_norms(2), ErrorKind::InvalidArgument, &["pass 2", "less than 2"]);
        refused(flow.largest_singular_value(0, 4), ErrorKind::InvalidArgument, &["gate 4", "less than 4"]);
        refused(flow.saturation(usize::MAX, 0), ErrorKind::InvalidArgument, &["pass"]);
        let grads = Grads::new(&rnn).unwrap();
        refused(grads.param(8), ErrorKind::InvalidArgument, &["index 8", "less than 8"]);
    }
}

#[test]
fn streams() {
    for isa in Isa::available() {
        let (mut p, rnn) = lstm(isa);
        p.lengths = None;
        for direction in [Direction::Reverse, Direction::Bidirectional] {
            let config = RnnConfig { direction, ..RnnConfig::new(Cell::Gru, 3, 5) };
            let other = Rnn::with_isa(&config, isa).unwrap();
            refused(Stream::new(&other, 1), ErrorKind::InvalidArgument, &["forward"]);
        }
        refused(Stream::new(&rnn, 0), ErrorKind::InvalidArgument, &["lanes is 0"]);
        refused(Stream::new(&rnn, usize::MAX), ErrorKind::SizeOverflow, &[]);

        let mut stream = Stream::new(&rnn, 4).unwrap();
        assert_eq!(stream.lanes(), 4);
        stream.set_state(Some(&p.h0), Some(&p.c0)).unwrap();
        let mut y = vec![7.0; 6 * 4 * 5];
        let mismatch = ErrorKind::ShapeMismatch;
        refused(stream.step(&rnn, &p.x[..11], &mut y[..20]), mismatch, &["x has 11", "expected 12"]);
        refused(stream.step(&rnn, &p.x[..12], &mut y[..21]), mismatch, &["y has 21", "expected 20"]);
        refused(stream.process(&rnn, 6, &p.x[1..], Some(&mut y)), mismatch, &["x has 71", "expected 72"]);
        refused(stream.process(&rnn, 5, &p.x[..60], Some(&mut y)), mismatch, &["y has 120", "expected 100"]);
        refused(stream.process(&rnn, usize::MAX, &p.x, None), ErrorKind::SizeOverflow, &[]);
        let another = gru(isa).1;
        for _ in 0..2 {
            refused(stream.step(&another, &p.x[..12], &mut y[..20]), ErrorKind::InvalidState, &["another"]);
            refused(stream.process(&another, 6, &p.x, Some(&mut y)), ErrorKind::InvalidState, &["another"]);
        }
        for isa in Isa::available().filter(|&other| other != isa) {
            refused(stream.step(&p.model(isa), &p.x[..12], &mut y[..20]), ErrorKind::InvalidState, &["another"]);
        }
        refused(stream.reset_lane(4), ErrorKind::InvalidArgument, &["lane 4", "less than 4"]);
        refused(stream.set_state(Some(&p.h0[1..]), None), mismatch, &["h has 39", "expected 40"]);
        refused(stream.set_state(Some(&p.h0), Some(&p.c0[1..])), mismatch, &["c has 39", "expected 40"]);
        assert!(y.iter().all(|&v| v == 7.0));
        let (mut h, mut c) = (vec![7.0; 40], vec![7.0; 40]);
        refused(stream.state(Some(&mut h[1..]), None), mismatch, &["h has 39", "expected 40"]);
        refused(stream.state(Some(&mut h), Some(&mut c[1..])), mismatch, &["c has 39", "expected 40"]);
        assert!(h.iter().chain(&c).all(|&v| v == 7.0));
        stream.state(Some(&mut h), Some(&mut c)).unwrap();
        assert_same_bits(&h, &p.h0, "states after refused calls: h");
        assert_same_bits(&c, &p.c0, "states after refused calls: c");
        stream.process(&rnn, 6, &p.x, Some(&mut y)).unwrap();
        assert_same_bits(&y, &p.forward(&rnn, &mut Session::new()).y, "y after refused calls");

        let mut stream = Stream::new(&another, 4).unwrap();
        refused(stream.set_state(None, Some(&p.c0)), ErrorKind::InvalidArgument, &["c is given", "LSTM"]);
        refused(stream.state(None, Some(&mut c)), ErrorKind::InvalidArgument, &["c is given", "LSTM"]);
    }
}

/// Sizes whose products do not fit, where no array's length gives them away first.
#[test]
fn sizes_without_arrays() {
    for isa in Isa::available() {
        let config = RnnConfig { proj_size: 1, ..RnnConfig::new(Cell::Lstm, 3, 64) };
        let rnn = Rnn::with_isa(&config, isa).unwrap();
        refused(TruncatedBptt::new(&rnn, 1 << 59, 1, 1), ErrorKind::SizeOverflow, &["too large"]);
        refused(TruncatedBptt::new(&rnn, usize::MAX, 1, 1), ErrorKind::SizeOverflow, &["too large"]);
        let batch = Batch::new(1 << 59, 0);
        let result = rnn.forward(&mut Session::new(), &batch, ForwardArgs::default());
        refused(result, ErrorKind::SizeOverflow, &["cell states"]);
    }
}

#[test]
fn pools() {
    refused(Pool::new(1025), ErrorKind::InvalidArgument, &["1025", "1024"]);
    refused(Pool::new(usize::MAX), ErrorKind::InvalidArgument, &[]);
    assert!(Pool::new(0).unwrap().threads() >= 1);
}
