//! Times of the recurrent layers, by cell and shape: `cargo bench --bench layers`.
//!
//! Throughput is in multiply-adds that the mathematics needs, counted as two operations each.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use simdrnn::rnn::{
    BackwardArgs, Batch, Cell, DropoutPosition, ForwardArgs, Grads, Init, Rnn, RnnConfig, Session, Stream, Tape,
};
use std::hint::black_box;

struct Shape {
    cell: Cell,
    input: usize,
    hidden: usize,
    batch: usize,
    steps: usize,
}

impl Shape {
    fn new(cell: Cell, input: usize, hidden: usize, batch: usize, steps: usize) -> Self {
        Self { cell, input, hidden, batch, steps }
    }

    fn name(&self) -> String {
        format!("{}-{}-{}-b{}-t{}", self.cell.name(), self.input, self.hidden, self.batch, self.steps)
    }

    fn operations(&self) -> u64 {
        (2 * self.cell.gates() * self.hidden * (self.input + self.hidden) * self.batch * self.steps) as u64
    }

    fn model(&self) -> Rnn {
        let mut rnn = Rnn::new(&RnnConfig::new(self.cell, self.input, self.hidden)).unwrap();
        rnn.init(Init::TorchUniform, 1).unwrap();
        rnn
    }
}

/// Values in ±1, the same in every run.
fn values(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 2_654_435_761) % 2001) as f32 / 1000.0 - 1.0).collect()
}

const CELLS: [Cell; 4] = [Cell::ElmanTanh, Cell::ElmanRelu, Cell::Lstm, Cell::Gru];

fn step(c: &mut Criterion) {
    let mut group = c.benchmark_group("step");
    let small = [(1, 8), (1, 16), (1, 40), (42, 96), (128, 128), (512, 512)];
    for shape in CELLS.iter().flat_map(|&cell| small.map(|(i, h)| Shape::new(cell, i, h, 1, 1))) {
        let (rnn, x) = (shape.model(), values(shape.input));
        let (mut stream, mut y) = (Stream::new(&rnn, 1).unwrap(), vec![0.0; shape.hidden]);
        group.throughput(Throughput::Elements(shape.operations()));
        group.bench_function(BenchmarkId::from_parameter(shape.name()), |b| {
            b.iter(|| stream.step(&rnn, black_box(&x), &mut y).unwrap());
        });
    }
    group.finish();
}

fn forward(c: &mut Criterion) {
    let mut group = c.benchmark_group("forward");
    group.sample_size(20);
    let shapes = [(64, 1, 100), (256, 1, 100), (1024, 1, 20), (256, 8, 50), (128, 64, 50), (512, 64, 10)];
    for shape in CELLS.iter().flat_map(|&cell| shapes.map(|(h, b, t)| Shape::new(cell, h, h, b, t))) {
        let (rnn, mut session) = (shape.model(), Session::new());
        let x = values(shape.steps * shape.batch * shape.input);
        let mut y = vec![0.0; shape.steps * shape.batch * shape.hidden];
        group.throughput(Throughput::Elements(shape.operations()));
        group.bench_function(BenchmarkId::from_parameter(shape.name()), |b| {
            b.iter(|| {
                let args = ForwardArgs { x: &x, y: Some(&mut y), ..ForwardArgs::default() };
                rnn.forward(&mut session, &Batch::new(shape.batch, shape.steps), args).unwrap();
            });
        });
    }
    group.finish();
}

fn train(c: &mut Criterion) {
    let mut group = c.benchmark_group("train");
    group.sample_size(20);
    let shapes = [(64, 32, 50), (128, 32, 50), (256, 32, 50)];
    for shape in CELLS.iter().flat_map(|&cell| shapes.map(|(h, b, t)| Shape::new(cell, h, h, b, t))) {
        let (rnn, mut session, mut tape) = (shape.model(), Session::new(), Tape::new());
        let mut grads = Grads::new(&rnn).unwrap();
        let x = values(shape.steps * shape.batch * shape.input);
        let dy = values(shape.steps * shape.batch * shape.hidden);
        let (mut y, mut dx) = (dy.clone(), x.clone());
        group.throughput(Throughput::Elements(shape.operations()));
        group.bench_function(BenchmarkId::new("forward", shape.name()), |b| {
            b.iter(|| {
                let batch = Batch::new(shape.batch, shape.steps);
                let args = ForwardArgs { x: &x, y: Some(&mut y), ..ForwardArgs::default() };
                rnn.forward_train(&mut session, &mut tape, &batch, args, DropoutPosition::default()).unwrap();
            });
        });
        group.throughput(Throughput::Elements(2 * shape.operations()));
        group.bench_function(BenchmarkId::new("backward", shape.name()), |b| {
            b.iter(|| {
                grads.zero();
                let args = BackwardArgs { dy: Some(&dy), dx: Some(&mut dx), ..BackwardArgs::default() };
                rnn.backward(&mut session, &tape, args, Some(&mut grads), None).unwrap();
            });
        });
    }
    group.finish();
}

criterion_group!(benches, step, forward, train);
criterion_main!(benches);
