//! The golden trajectories in f32 through the Rust API: embedding, bidirectional layer over sequences of different
//! lengths, dense layer on the final states, cross-entropy, clipping, optimizer; a hundred steps, on every instruction
//! set this CPU has, against PyTorch's float64.

mod common;

use common::problem::assert_same_bits;
use common::trajectory::{Params, Trajectory, all_trajectories};
use simdrnn::Isa;
use simdrnn::nn::{
    AdamConfig, CrossEntropy, Dense, Embedding, EmbeddingGrads, Optimizer, OptimizerConfig, RmsPropConfig, SgdConfig,
    clip_grad_norm,
};
use simdrnn::rnn::{BackwardArgs, Batch, DropoutPosition, ForwardArgs, Grads, Rnn, Session, Tape};

/// How far training in f32 may be from float64 after up to a hundred steps, each of which passes on what rounding did
/// to the weights before: losses and weights (of magnitude about 1) absolutely, norms relatively.
const LOSS: f64 = 2e-6;
const NORM: f64 = 1e-5;
const WEIGHTS: f64 = 2e-5;

/// What a run gave.
struct Trained {
    loss: Vec<f64>,
    grad_norm: Vec<f64>,
    after: Params<f32>,
}

fn optimizer(run: &Trajectory) -> Optimizer {
    let number = |key: &str| run.settings[key].as_f64().unwrap_or(0.0);
    let config = match run.optimizer.as_str() {
        "sgd" | "sgd_momentum_nesterov" => OptimizerConfig::Sgd(SgdConfig {
            lr: number("lr"),
            momentum: number("momentum"),
            nesterov: run.settings["nesterov"].as_bool().unwrap_or(false),
            weight_decay: number("weight_decay"),
            ..SgdConfig::default()
        }),
        "adam" | "adamw" => OptimizerConfig::Adam(AdamConfig {
            lr: number("lr"),
            betas: [0, 1].map(|i| run.settings["betas"][i].as_f64().unwrap()),
            eps: number("eps"),
            weight_decay: number("weight_decay"),
            decoupled_weight_decay: run.optimizer == "adamw",
        }),
        "rmsprop" => OptimizerConfig::RmsProp(RmsPropConfig {
            lr: number("lr"),
            alpha: number("alpha"),
            eps: number("eps"),
            momentum: number("momentum"),
            ..RmsPropConfig::default()
        }),
        other => panic!("unknown optimizer {other}"),
    };
    Optimizer::new(&config).unwrap()
}

fn train(run: &Trajectory, isa: Isa) -> Trained {
    // An optimizer takes the instruction set that the process is limited to.
    Isa::set_limit(isa).unwrap();
    let (config, batch, seq_len, state) = (&run.config, run.batch, run.seq_len, run.config.hidden_size);
    let mut embedding = Embedding::from_table(run.vocab, config.input_size, Some(0), &run.before.embedding).unwrap();
    let mut rnn = Rnn::with_isa(config, isa).unwrap();
    assert_eq!(rnn.isa(), isa);
    rnn.update(|values| values.copy_from_slice(&run.before.rnn));
    let mut dense = Dense::with_isa(2 * state, run.classes, true, isa).unwrap();
    dense.update(|values| {
        let (weight, bias) = values.split_at_mut(run.before.dense_weight.len());
        weight.copy_from_slice(&run.before.dense_weight);
        bias.copy_from_slice(&run.before.dense_bias);
    });
    let mut optimizer = optimizer(run);
    let (mut session, mut tape) = (Session::new(), Tape::new());
    let mut rnn_grads = Grads::new(&rnn).unwrap();
    let mut embedding_grads = EmbeddingGrads::new(&embedding).unwrap();
    let mut dense_grads = vec![0.0; dense.values().len()];

    let mut trained = Trained { loss: vec![], grad_norm: vec![], after: run.before.clone() };
    for step in 0..run.steps {
        let tokens: Vec<u32> = run.tokens[step * batch * seq_len..][..batch * seq_len]
            .iter()
            .map(|&t| u32::try_from(t).unwrap())
            .collect();
        let lengths = &run.lengths[step * batch..][..batch];
        let labels = &run.labels[step * batch..][..batch];

        let mut x = vec![0.0; tokens.len() * config.input_size];
        embedding.forward(&tokens, &mut x).unwrap();
        let mut hn = vec![0.0; 2 * batch * state];
        let args = ForwardArgs { x: &x, hn: Some(&mut hn), ..ForwardArgs::default() };
        let extents = Batch { batch_size: batch, seq_len, lengths: Some(lengths), packed: false };
        rnn.forward_train(&mut session, &mut tape, &extents, args, DropoutPosition::default()).unwrap();
        // hn is (direction, batch, state); the dense layer reads (batch, direction * state).
        let features: Vec<f32> =
            (0..batch).flat_map(|b| [b, batch + b]).flat_map(|row| hn[row * state..][..state].to_vec()).collect();
        let mut logits = vec![0.0; batch * run.classes];
        dense.forward(None, &features, &mut logits).unwrap();
        let mut dlogits = vec![0.0; logits.len()];
        let loss = CrossEntropy::default().evaluate(run.classes, &logits, labels, Some(&mut dlogits)).unwrap();

        rnn_grads.zero();
        embedding_grads.clear();
        dense_grads.fill(0.0);
        let mut dfeatures = vec![0.0; features.len()];
        dense.backward(&mut session, &features, &dlogits, Some(&mut dfeatures), Some(&mut dense_grads)).unwrap();
        let dhn: Vec<f32> = (0..2)
            .flat_map(|direction| (0..batch).map(move |b| 2 * b + direction))
            .flat_map(|row| dfeatures[row * state..][..state].to_vec())
            .collect();
        let mut dx = vec![0.0; x.len()];
        let args = BackwardArgs { dhn: Some(&dhn), dx: Some(&mut dx), ..BackwardArgs::default() };
        rnn.backward(&mut session, &tape, args, Some(&mut rnn_grads), None).unwrap();
        embedding_grads.accumulate(&tokens, &dx).unwrap();

        let mut all = [embedding_grads.values_mut(), rnn_grads.values_mut(), &mut dense_grads[..]];
        let norm = clip_grad_norm(&mut all, run.clip_norm, true).unwrap();
        optimizer.begin_step();
        embedding.optimize(&mut optimizer, 0, &embedding_grads).unwrap();
        rnn.update(|values| optimizer.update(1, values, rnn_grads.values()).unwrap());
        dense.update(|values| optimizer.update(2, values, &dense_grads).unwrap());
        trained.loss.push(loss);
        trained.grad_norm.push(norm);
    }
    trained.after = Params {
        embedding: embedding.table().to_vec(),
        rnn: rnn.values().to_vec(),
        dense_weight: dense.weight().to_vec(),
        dense_bias: dense.bias().to_vec(),
    };
    trained
}

fn tensors<T>(params: &Params<T>) -> [(&'static str, &[T]); 4] {
    [
        ("embedding", &params.embedding),
        ("rnn", &params.rnn),
        ("dense.weight", &params.dense_weight),
        ("dense.bias", &params.dense_bias),
    ]
}

/// One test, because the limit on instruction sets is the process's.
#[test]
fn a_hundred_steps_of_every_trajectory() {
    let mut worst = [(0.0, String::new()), (0.0, String::new()), (0.0, String::new())];
    for run in all_trajectories() {
        let mut scalar: Option<Trained> = None;
        for isa in Isa::available() {
            let trained = train(&run, isa);
            let what = format!("{} on {}", run.name, isa.name());
            let mut found = [(0.0f64, what.clone()), (0.0, what.clone()), (0.0, what.clone())];
            assert_eq!((trained.loss.len(), trained.grad_norm.len()), (run.loss.len(), run.grad_norm.len()));
            for step in 0..run.steps {
                let loss = (trained.loss[step] - run.loss[step]).abs();
                let norm = (trained.grad_norm[step] / run.grad_norm[step] - 1.0).abs();
                found[0].0 = found[0].0.max(loss);
                found[1].0 = found[1].0.max(norm);
                assert!(loss <= LOSS, "{what}, step {step}: loss off by {loss:e}");
                assert!(norm <= NORM, "{what}, step {step}: gradient norm off by {norm:e}");
            }
            for ((name, after), (_, expected)) in tensors(&trained.after).into_iter().zip(tensors(&run.after)) {
                for (i, (&a, &b)) in after.iter().zip(expected).enumerate() {
                    let error = (f64::from(a) - b).abs();
                    found[2].0 = found[2].0.max(error);
                    assert!(error <= WEIGHTS, "{what}, {name}[{i}]: {a} instead of {b}, off by {error:e}");
                }
            }
            // The table's padding row has no gradient; weight decay of zeros moves nothing.
            assert!(trained.after.embedding[..run.config.input_size].iter().all(|&v| v == 0.0), "{what}: padding row");
            println!("{what}: loss {:.1e}, norm {:.1e}, weights {:.1e}", found[0].0, found[1].0, found[2].0);
            for (worst, found) in worst.iter_mut().zip(found) {
                if found.0 > worst.0 {
                    *worst = found;
                }
            }
            match &scalar {
                None => scalar = Some(trained),
                Some(scalar) => {
                    let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                    assert_eq!(bits(&trained.loss), bits(&scalar.loss), "{what}: losses");
                    assert_eq!(bits(&trained.grad_norm), bits(&scalar.grad_norm), "{what}: gradient norms");
                    for ((name, a), (_, b)) in tensors(&trained.after).into_iter().zip(tensors(&scalar.after)) {
                        assert_same_bits(a, b, &format!("{what}: {name}"));
                    }
                }
            }
        }
    }
    for (name, (error, run)) in ["loss", "norm", "weights"].iter().zip(&worst) {
        println!("worst {name}: {error:.2e} ({run})");
    }
}
