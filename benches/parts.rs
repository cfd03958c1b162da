//! Times of the parts around the recurrent layers: `cargo bench --bench parts`.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use simdrnn::nn::{Dense, log_softmax, sigmoid, softmax};
use simdrnn::rnn::Session;
use std::hint::black_box;

/// Values in ±1, the same in every run.
fn values(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 2_654_435_761) % 2001) as f32 / 1000.0 - 1.0).collect()
}

/// The dense layer is one product on packed panels: gemv with one row, gemm with more.
fn dense(c: &mut Criterion, rows: usize, inputs: usize, outputs: usize) {
    let mut group = c.benchmark_group(if rows == 1 { "gemv" } else { "gemm" });
    let mut dense = Dense::new(inputs, outputs, true).unwrap();
    dense.init(1);
    let (x, mut y) = (values(rows * inputs), values(rows * outputs));
    let name = format!("{rows}x{outputs}x{inputs}");
    group.throughput(Throughput::Elements((2 * rows * inputs * outputs) as u64));
    group.bench_function(BenchmarkId::new("forward", &name), |b| {
        b.iter(|| dense.forward(None, black_box(&x), &mut y).unwrap());
    });
    let (dy, mut dx, mut grads) = (y.clone(), x.clone(), dense.values().to_vec());
    let mut session = Session::new();
    group.throughput(Throughput::Elements((4 * rows * inputs * outputs) as u64));
    group.bench_function(BenchmarkId::new("backward", &name), |b| {
        b.iter(|| dense.backward(&mut session, &x, &dy, Some(&mut dx), Some(&mut grads)).unwrap());
    });
    group.finish();
}

fn gemv(c: &mut Criterion) {
    for (inputs, outputs) in [(64, 256), (128, 512), (256, 1024), (512, 2048), (1024, 4096)] {
        dense(c, 1, inputs, outputs);
    }
}

fn gemm(c: &mut Criterion) {
    for (rows, inputs, outputs) in [(8, 256, 1024), (64, 128, 512), (64, 512, 2048), (100, 256, 1024)] {
        dense(c, rows, inputs, outputs);
    }
}

/// tanh has no call of its own: in `layers`, it is what the Elman cell with tanh takes more than the one with relu.
fn activations(c: &mut Criterion) {
    let (x, mut y) = (values(4096), values(4096));
    let mut group = c.benchmark_group("activations");
    group.throughput(Throughput::Elements(4096));
    group.bench_function("sigmoid", |b| b.iter(|| sigmoid(black_box(&mut y)).unwrap()));
    for columns in [8, 64, 1024] {
        group.bench_function(BenchmarkId::new("softmax", columns), |b| {
            b.iter(|| softmax(columns, black_box(&x), &mut y).unwrap());
        });
        group.bench_function(BenchmarkId::new("log_softmax", columns), |b| {
            b.iter(|| log_softmax(columns, black_box(&x), &mut y).unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, gemv, gemm, activations);
criterion_main!(benches);
