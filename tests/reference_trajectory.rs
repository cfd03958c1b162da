//! The f64 reference trains the golden trajectories' classifier as PyTorch's float64 did: embedding, bidirectional
//! layer over sequences of different lengths, dense layer on the final states, cross-entropy, clipping.

mod common;

use common::reference::nn::{Reduction, cross_entropy, dense_backward, dense_forward};
use common::reference::{Cotangents, Inputs, Weights, backward, forward};
use common::relative_error;
use common::trajectory::{Params, Trajectory, all_trajectories};
use common::widen;

/// The loss of step `step`'s batch and its gradients.
fn loss_and_gradients(run: &Trajectory, params: &Params<f64>, step: usize) -> (f64, Params<f64>) {
    let (config, batch, seq_len) = (&run.config, run.batch, run.seq_len);
    let (width, state) = (config.input_size, config.hidden_size);
    let tokens = &run.tokens[step * batch * seq_len..][..batch * seq_len];
    let token = |t: usize, b: usize| tokens[b * seq_len + t] as usize;
    let mut x = Vec::new();
    for t in 0..seq_len {
        for b in 0..batch {
            x.extend_from_slice(&params.embedding[token(t, b) * width..][..width]);
        }
    }
    let weights = Weights { values: params.rnn.clone() };
    let lengths = &run.lengths[step * batch..][..batch];
    let inputs = Inputs { lengths: Some(lengths), ..Inputs::new(&x, batch, seq_len) };

    // hn is (direction, batch, state); the dense layer reads (batch, direction * state).
    let hn = forward(config, &weights, &inputs).hn;
    let features: Vec<f64> =
        (0..batch).flat_map(|b| [b, batch + b]).flat_map(|row| hn[row * state..][..state].to_vec()).collect();
    let logits = dense_forward(&features, &params.dense_weight, Some(&params.dense_bias), 2 * state);
    let labels = &run.labels[step * batch..][..batch];
    let (loss, dlogits) = cross_entropy(&logits, labels, run.classes, None, None, Reduction::Mean);

    let dense = dense_backward(&features, &params.dense_weight, 2 * state, &dlogits);
    let dhn: Vec<f64> = (0..2)
        .flat_map(|direction| (0..batch).map(move |b| 2 * b + direction))
        .flat_map(|row| dense.x[row * state..][..state].to_vec())
        .collect();
    let rnn = backward(config, &weights, &inputs, &Cotangents { dhn: Some(&dhn), ..Cotangents::default() });
    let mut embedding = vec![0.0; params.embedding.len()];
    for t in 0..seq_len {
        for b in (0..batch).filter(|&b| token(t, b) != 0) {
            for k in 0..width {
                embedding[token(t, b) * width + k] += rnn.x[(t * batch + b) * width + k];
            }
        }
    }
    (loss, Params { embedding, rnn: rnn.weights, dense_weight: dense.weight, dense_bias: dense.bias })
}

fn tensors(params: &mut Params<f64>) -> [&mut Vec<f64>; 4] {
    [&mut params.embedding, &mut params.rnn, &mut params.dense_weight, &mut params.dense_bias]
}

fn norm(params: &mut Params<f64>) -> f64 {
    tensors(params).iter().flat_map(|t| t.iter()).map(|v| v * v).sum::<f64>().sqrt()
}

fn initial(run: &Trajectory) -> Params<f64> {
    Params {
        embedding: widen(&run.before.embedding),
        rnn: widen(&run.before.rnn),
        dense_weight: widen(&run.before.dense_weight),
        dense_bias: widen(&run.before.dense_bias),
    }
}

#[test]
fn the_first_step_of_every_trajectory() {
    for run in all_trajectories() {
        let (loss, mut gradients) = loss_and_gradients(&run, &initial(&run), 0);
        let expected = [run.loss[0], run.grad_norm[0]];
        let error = relative_error(&[loss, norm(&mut gradients)], &expected);
        assert!(error < 1e-13, "{}: loss and norm off by {error:e}", run.name);
    }
}

/// A hundred steps of `p -= lr * min(1, clip / (norm + 1e-6)) * dp`. Training amplifies rounding, here less than
/// a hundredfold; 1e-12 leaves a hundred more for other exponential functions.
#[test]
fn stochastic_gradient_descent_to_the_end() {
    let mut runs = 0;
    for run in all_trajectories().into_iter().filter(|run| run.optimizer == "sgd") {
        let lr = run.settings["lr"].as_f64().unwrap();
        let mut params = initial(&run);
        for step in 0..run.steps {
            let (loss, mut gradients) = loss_and_gradients(&run, &params, step);
            let norm = norm(&mut gradients);
            let error = relative_error(&[loss, norm], &[run.loss[step], run.grad_norm[step]]);
            assert!(error < 1e-12, "{} step {step}: loss and norm off by {error:e}", run.name);
            let factor = lr * (run.clip_norm / (norm + 1e-6)).min(1.0);
            for (values, gradients) in tensors(&mut params).into_iter().zip(tensors(&mut gradients)) {
                values.iter_mut().zip(gradients).for_each(|(v, g)| *v -= factor * *g);
            }
        }
        let mut after = run.after.clone();
        let mut worst = 0.0f64;
        for (found, expected) in tensors(&mut params).into_iter().zip(tensors(&mut after)) {
            worst = worst.max(relative_error(found, expected));
        }
        println!("{}: final parameters off by {worst:e}", run.name);
        assert!(worst < 1e-12, "{}: final parameters off by {worst:e}", run.name);
        runs += 1;
    }
    assert_eq!(runs, 3);
}
