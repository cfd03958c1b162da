//! Parameters: torch.nn's names, shapes and order; reading, writing, drawing.

mod common;

use common::problem::{DIRECTIONS, Problem, assert_same_bits, describe, variants};
use common::random::SplitMix64;
use simdrnn::rnn::{Cell, Direction, Init, Rnn, RnnConfig, Session};
use simdrnn::{ErrorKind, Isa};

fn names(config: &RnnConfig) -> Vec<String> {
    config.param_specs().unwrap().iter().map(|s| s.name()).collect()
}

/// What `[name for name, _ in torch.nn.LSTM(3, 5, 2, bidirectional=True, proj_size=4).named_parameters()]` and the
/// other layers' say.
#[test]
fn torch_names_and_order() {
    let mut config = RnnConfig::new(Cell::Lstm, 3, 5);
    (config.num_layers, config.direction, config.proj_size) = (2, Direction::Bidirectional, 4);
    let expected = [
        "weight_ih_l0",
        "weight_hh_l0",
        "bias_ih_l0",
        "bias_hh_l0",
        "weight_hr_l0",
        "weight_ih_l0_reverse",
        "weight_hh_l0_reverse",
        "bias_ih_l0_reverse",
        "bias_hh_l0_reverse",
        "weight_hr_l0_reverse",
        "weight_ih_l1",
        "weight_hh_l1",
        "bias_ih_l1",
        "bias_hh_l1",
        "weight_hr_l1",
        "weight_ih_l1_reverse",
        "weight_hh_l1_reverse",
        "bias_ih_l1_reverse",
        "bias_hh_l1_reverse",
        "weight_hr_l1_reverse",
    ];
    assert_eq!(names(&config), expected);
    let shapes: Vec<Vec<usize>> = config.param_specs().unwrap().iter().map(|s| s.shape()).collect();
    let (first, second): ([&[usize]; 5], [&[usize]; 5]) =
        ([&[20, 3], &[20, 4], &[20], &[20], &[4, 5]], [&[20, 8], &[20, 4], &[20], &[20], &[4, 5]]);
    assert_eq!(shapes, [first, first, second, second].concat());

    let gru = RnnConfig { num_layers: 2, bias: false, ..RnnConfig::new(Cell::Gru, 3, 5) };
    assert_eq!(names(&gru), ["weight_ih_l0", "weight_hh_l0", "weight_ih_l1", "weight_hh_l1"]);
    let elman = RnnConfig { direction: Direction::Bidirectional, ..RnnConfig::new(Cell::ElmanTanh, 3, 5) };
    assert_eq!(names(&elman)[4..], elman_reverse());
    // A layer that only runs in reverse is torch's forward layer over reversed sequences.
    let reverse = RnnConfig { direction: Direction::Reverse, ..elman };
    assert_eq!(names(&reverse), ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]);
}

fn elman_reverse() -> [&'static str; 4] {
    ["weight_ih_l0_reverse", "weight_hh_l0_reverse", "bias_ih_l0_reverse", "bias_hh_l0_reverse"]
}

/// All configurations of some sizes.
fn configs() -> Vec<RnnConfig> {
    let mut all = Vec::new();
    for (cell, projection) in variants() {
        for direction in DIRECTIONS {
            for num_layers in [1, 2, 12] {
                for bias in [true, false] {
                    let proj_size = if projection { 3 } else { 0 };
                    all.push(RnnConfig { direction, num_layers, bias, proj_size, ..RnnConfig::new(cell, 5, 7) });
                }
            }
        }
    }
    all
}

#[test]
fn shapes_and_places_of_every_configuration() {
    for config in configs() {
        let what = describe(&config);
        let rnn = Rnn::new(&config).unwrap();
        let gates = match config.cell {
            Cell::ElmanTanh | Cell::ElmanRelu => 1,
            Cell::Lstm => 4,
            Cell::Gru | Cell::GruResetBefore => 3,
            other => panic!("how many gates has {}?", other.name()),
        };
        let directions = if config.direction == Direction::Bidirectional { 2 } else { 1 };
        let state = if config.proj_size > 0 { 3 } else { 7 };
        let mut offset = 0;
        for spec in rnn.param_specs() {
            let input = if spec.layer == 0 { 5 } else { state * directions };
            let shape = match spec.kind {
                "weight_ih" => vec![gates * 7, input],
                "weight_hh" => vec![gates * 7, state],
                "bias_ih" | "bias_hh" => vec![gates * 7],
                "weight_hr" => vec![3, 7],
                other => panic!("{what}: unknown parameter {other}"),
            };
            assert_eq!(spec.shape(), shape, "{what}, {}", spec.name());
            assert_eq!((spec.offset, spec.len()), (offset, shape.iter().product()), "{what}, {}", spec.name());
            offset += spec.len();
        }
        assert_eq!(rnn.values().len(), offset, "{what}");
        let kinds = 2 + if config.bias { 2 } else { 0 } + usize::from(config.proj_size > 0);
        assert_eq!(rnn.param_specs().len(), kinds * config.num_layers * directions, "{what}");
        assert_eq!((config.state_size(), config.output_size()), (state, state * directions), "{what}");
        assert_eq!(config.passes(), config.num_layers * directions, "{what}");
    }
}

#[test]
fn parameters_are_found_written_and_read() {
    for config in configs() {
        let mut rnn = Rnn::new(&config).unwrap();
        assert!(rnn.values().iter().all(|v| v.to_bits() == 0));
        let specs = rnn.param_specs().to_vec();
        for (i, spec) in specs.iter().enumerate() {
            assert_eq!(rnn.find_param(&spec.name()).unwrap(), i);
            let values: Vec<f32> = (0..spec.len()).map(|k| (i * 10_000 + k + 1) as f32).collect();
            rnn.set_param(i, &values).unwrap();
        }
        for (i, spec) in specs.iter().enumerate() {
            let expected: Vec<f32> = (0..spec.len()).map(|k| (i * 10_000 + k + 1) as f32).collect();
            assert_same_bits(rnn.param(i).unwrap(), &expected, &spec.name());
            assert_same_bits(&rnn.values()[spec.range()], &expected, &spec.name());
        }
    }
}

#[test]
fn other_names_are_not_found() {
    let config = RnnConfig { num_layers: 12, ..RnnConfig::new(Cell::Gru, 3, 5) };
    let rnn = Rnn::new(&config).unwrap();
    assert_eq!(rnn.find_param("weight_hh_l11").unwrap(), 45);
    for name in [
        "",
        "weight_ih",
        "weight_ih_l",
        "weight_ih_l12",
        "weight_ih_l00",
        "weight_ih_l01",
        "weight_ih_l+1",
        "weight_ih_l-1",
        "weight_ih_l1 ",
        "weight_ih_l0_reverse",
        "weight_hr_l0",
        "lstm.weight_ih_l0",
        "weight_ih_l99999999999999999999999",
    ] {
        let e = rnn.find_param(name).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::NotFound, "{name}");
        assert!(e.message().contains(&format!("'{name}'")) && e.message().contains("48"), "{e}");
    }
    let both = RnnConfig { direction: Direction::Bidirectional, ..RnnConfig::new(Cell::Gru, 3, 5) };
    let rnn = Rnn::new(&both).unwrap();
    assert_eq!(rnn.find_param("bias_hh_l0_reverse").unwrap(), 7);
    assert!(rnn.find_param("bias_hh_l0_reverse_reverse").is_err());
}

/// Every write reaches the packed weights of forward and, once they exist, of backward.
#[test]
fn writing_changes_what_is_computed() {
    let mut r = SplitMix64::new(41);
    for (cell, projection) in variants() {
        let mut config = RnnConfig::new(cell, 6, 11);
        (config.direction, config.num_layers) = (Direction::Bidirectional, 2);
        config.proj_size = if projection { 5 } else { 0 };
        let p = Problem::random(&mut r, &config, 4, 5, None);
        for isa in Isa::available() {
            let mut rnn = p.model(isa);
            let (mut session, mut tape) = (Session::new(), Default::default());
            let mut last = p.forward_train(&rnn, &mut session, &mut tape, Default::default());
            p.backward(&rnn, &mut session, &tape);
            let mut changed = p.clone();
            for (i, spec) in p.config.param_specs().unwrap().iter().enumerate() {
                let values = r.values_f32(spec.len(), 0.5);
                rnn.set_param(i, &values).unwrap();
                changed.params[spec.range()].copy_from_slice(&values);
                let what = format!("{} on {}, {}", p.describe(), isa.name(), spec.name());
                let out = p.forward_train(&rnn, &mut session, &mut tape, Default::default());
                let (expected, gradients) = changed.run(isa);
                assert_ne!(out.y, last.y, "{what}: no effect");
                out.assert_same_bits(&expected, &what);
                p.forward(&rnn, &mut session).assert_same_bits(&expected, &what);
                p.backward(&rnn, &mut session, &tape).assert_same_bits(&gradients, &what);
                last = out;
            }
        }
    }
}

const SCHEMES: [Init; 3] = [Init::TorchUniform, Init::XavierOrthogonal, Init::XavierOrthogonalForgetOne];

fn drawn(config: &RnnConfig, isa: Isa, scheme: Init, seed: u64) -> Rnn {
    let mut rnn = Rnn::with_isa(config, isa).unwrap();
    assert_eq!(rnn.isa(), isa);
    rnn.init(scheme, seed).unwrap();
    rnn
}

#[test]
fn a_seed_means_the_same_weights_everywhere() {
    for config in configs().into_iter().filter(|c| c.num_layers < 3) {
        for scheme in SCHEMES {
            let expected = drawn(&config, Isa::Scalar, scheme, 5);
            for isa in Isa::available() {
                let found = drawn(&config, isa, scheme, 5);
                assert_same_bits(found.values(), expected.values(), &format!("{} {scheme:?}", describe(&config)));
            }
            assert_ne!(drawn(&config, Isa::Scalar, scheme, 6).values(), expected.values());
            // No two weight matrices share their numbers.
            let weights: Vec<f32> =
                expected.param_specs().iter().filter(|s| s.is_matrix).map(|s| expected.values()[s.offset]).collect();
            for (i, a) in weights.iter().enumerate() {
                assert!(weights[i + 1..].iter().all(|b| a != b), "{} {scheme:?}", describe(&config));
            }
        }
    }
}

/// FNV-1a of the bits, so that another machine's numbers would show.
#[test]
fn the_numbers_of_a_seed_never_change() {
    let config = RnnConfig { num_layers: 2, proj_size: 6, ..RnnConfig::new(Cell::Lstm, 9, 20) };
    let hashes = SCHEMES.map(|scheme| {
        let rnn = drawn(&config, Isa::Scalar, scheme, 2026);
        rnn.values()
            .iter()
            .flat_map(|v| v.to_bits().to_le_bytes())
            .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
    });
    assert_eq!(hashes.map(|h| format!("{h:016x}")), ["692799f7bfb5c147", "8df3b9e924189ddf", "8cd2b7afd346f45f"]);
}

fn largest(values: &[f32]) -> f64 {
    values.iter().fold(0.0, |m, &v| m.max(f64::from(v.abs())))
}

#[test]
fn torch_uniform_fills_its_bounds() {
    for (cell, projection) in variants() {
        let mut config = RnnConfig::new(cell, 30, 64);
        config.proj_size = if projection { 40 } else { 0 };
        let rnn = drawn(&config, Isa::Scalar, Init::TorchUniform, 3);
        for (i, spec) in rnn.param_specs().iter().enumerate() {
            let (values, bound) = (rnn.param(i).unwrap(), 1.0 / 8.0);
            // The chance that no value of n lies in the outer tenth is 0.9^n: 0.1 % for the smallest, the Elman bias.
            assert!(largest(values) <= bound && largest(values) > 0.9 * bound, "{} {}", cell.name(), spec.name());
            let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64;
            // Six standard errors of the mean of uniform values.
            assert!(mean.abs() < 6.0 * bound / (3.0 * values.len() as f64).sqrt(), "{} {}", cell.name(), spec.name());
        }
    }
}

#[test]
fn xavier_bounds_orthogonal_matrices_and_biases() {
    for config in configs().into_iter().filter(|c| c.num_layers == 2) {
        for scheme in [Init::XavierOrthogonal, Init::XavierOrthogonalForgetOne] {
            let rnn = drawn(&config, Isa::Scalar, scheme, 4);
            for (i, spec) in rnn.param_specs().iter().enumerate() {
                let (values, what) = (rnn.param(i).unwrap(), format!("{}, {}", describe(&config), spec.name()));
                match spec.kind {
                    "weight_ih" | "weight_hr" => {
                        // A gate's matrix has hidden_size rows; a projection's its own.
                        let rows = if spec.kind == "weight_ih" { 7 } else { spec.rows };
                        let bound = (6.0 / (rows + spec.cols) as f64).sqrt();
                        // Rounded to f32; 21 values or more reach the outer third but for a chance of 2e-4 each.
                        let largest = largest(values);
                        assert!(largest <= bound * (1.0 + 1e-7) && largest > 0.66 * bound, "{what}: {largest} {bound}");
                    }
                    "weight_hh" => {
                        for gate in values.chunks_exact(7 * spec.cols) {
                            assert_orthonormal(gate, 7, spec.cols, &what);
                        }
                    }
                    _ => {
                        let forget = scheme == Init::XavierOrthogonalForgetOne && config.cell == Cell::Lstm;
                        for (row, &v) in values.iter().enumerate() {
                            let one = forget && spec.kind == "bias_ih" && (7..14).contains(&row);
                            assert_eq!(v, if one { 1.0 } else { 0.0 }, "{what}[{row}]");
                        }
                    }
                }
            }
        }
    }
}

/// Of a matrix with more rows than columns the columns, else the rows.
fn assert_orthonormal(matrix: &[f32], rows: usize, cols: usize, what: &str) {
    let at = |r: usize, c: usize| f64::from(matrix[r * cols + c]);
    let (count, len) = (rows.min(cols), rows.max(cols));
    let entry = |i: usize, k: usize| if rows <= cols { at(i, k) } else { at(k, i) };
    for i in 0..count {
        for j in 0..=i {
            let dot: f64 = (0..len).map(|k| entry(i, k) * entry(j, k)).sum();
            let expected = if i == j { 1.0 } else { 0.0 };
            // Entries are rounded to f32: each product of the sum carries two such errors, of vectors of length one.
            assert!((dot - expected).abs() < 2.0 * f64::from(f32::EPSILON), "{what}: {i}, {j}: {dot}");
        }
    }
}

/// A refused draw or write changes no weight.
#[test]
fn failed_writes_change_nothing() {
    let mut rnn = drawn(&RnnConfig::new(Cell::Gru, 3, 5), Isa::Scalar, Init::TorchUniform, 7);
    let before = rnn.values().to_vec();
    let e = rnn.set_param(1, &[0.0; 74]).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::ShapeMismatch);
    assert!(e.message().contains("weight_hh_l0") && e.message().contains("74") && e.message().contains("75"), "{e}");
    for e in [rnn.set_param(4, &[0.0; 15]).unwrap_err(), rnn.param(4).unwrap_err()] {
        assert_eq!(e.kind(), ErrorKind::InvalidArgument);
        assert!(e.message().contains("index 4") && e.message().contains("less than 4"), "{e}");
    }
    assert!(Init::from_number(3).is_err() && Init::from_number(-1).is_err());
    for (number, scheme) in SCHEMES.into_iter().enumerate() {
        assert_eq!(Init::from_number(number as i32).unwrap(), scheme);
    }
    assert_same_bits(rnn.values(), &before, "values");
}

/// Writing parameters one by one packs just their pass; forward and gradients must see every one of them.
#[test]
fn parameters_written_one_by_one_are_those_written_at_once() {
    use simdrnn::rnn::{BackwardArgs, Batch, DropoutPosition, ForwardArgs, Grads, Session, Tape};
    let mut config = RnnConfig::new(Cell::Lstm, 5, 9);
    (config.num_layers, config.direction, config.proj_size) = (2, Direction::Bidirectional, 4);
    let (batch, x) = (Batch::new(3, 4), vec![0.3; 60]);
    for isa in Isa::available() {
        let run = |rnn: &Rnn| {
            let (mut session, mut tape, mut grads) = (Session::new(), Tape::new(), Grads::new(rnn).unwrap());
            let (mut y, mut dx) = (vec![0.0; 96], vec![0.0; 60]);
            let args = ForwardArgs { x: &x, y: Some(&mut y), ..ForwardArgs::default() };
            rnn.forward_train(&mut session, &mut tape, &batch, args, DropoutPosition::default()).unwrap();
            let args = BackwardArgs { dy: Some(&[0.5; 96]), dx: Some(&mut dx), ..BackwardArgs::default() };
            rnn.backward(&mut session, &tape, args, Some(&mut grads), None).unwrap();
            (y, dx, grads.values().to_vec())
        };
        let (mut first, mut second) = (Rnn::with_isa(&config, isa).unwrap(), Rnn::with_isa(&config, isa).unwrap());
        second.init(Init::TorchUniform, 8).unwrap();
        // The first backward makes the packed forms that later writes have to keep up to date.
        assert_ne!(run(&first).0, run(&second).0);
        for i in 0..first.param_specs().len() {
            first.set_param(i, second.param(i).unwrap()).unwrap();
        }
        assert_eq!(run(&first), run(&second), "{}", isa.name());
    }
}
