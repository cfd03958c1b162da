// This library, through its C ABI. usage: ours NAME THREADS

#include "worker.hpp"
#include <memory>
#include <simdrnn.h>

using worker::Calls;
using worker::Problem;
using worker::Values;

namespace {

srnn_error error;

void check(srnn_status status) {
  if (status != SRNN_OK) throw std::runtime_error(error.message);
}

// A handle that is destroyed with its owner.
template <class T>
using Handle = std::shared_ptr<T>;

template <class T, class Destroy, class Create, class... Arguments>
Handle<T> make(Destroy destroy, Create create, Arguments... arguments) {
  T *handle = nullptr;
  check(create(arguments..., &handle, &error));
  return Handle<T>(handle, destroy);
}

Handle<srnn_pool> pool;

Handle<srnn_session> session() {
  auto session = make<srnn_session>(srnn_session_destroy, srnn_session_create);
  check(srnn_session_set_pool(session.get(), pool.get(), &error));
  return session;
}

Handle<srnn_rnn> model(const Problem &p) {
  int32_t cell = p.kind == "lstm" ? SRNN_CELL_LSTM : p.kind == "gru" ? SRNN_CELL_GRU : SRNN_CELL_ELMAN_TANH;
  srnn_rnn_config config;
  srnn_rnn_config_init(&config, cell, p.input, p.hidden);
  config.num_layers = p.layers;
  config.direction = p.directions == 2 ? SRNN_DIRECTION_BIDIRECTIONAL : SRNN_DIRECTION_FORWARD;
  auto rnn = make<srnn_rnn>(srnn_rnn_destroy, srnn_rnn_create, static_cast<const srnn_rnn_config *>(&config));
  Values w = p.read<float>("w.f32");
  check(srnn_rnn_write_values(rnn.get(), w.data(), w.size(), &error));
  return rnn;
}

// Inputs, outputs and their extents; lives on the heap, since the structs point into it.
struct Layers {
  Problem p;
  Handle<srnn_rnn> rnn;
  Handle<srnn_session> scratch = session();
  Values x, h0, c0, y, hn, cn;
  std::vector<size_t> lengths;
  srnn_forward_args args;
  srnn_state initial;

  explicit Layers(const Problem &problem)
      : p(problem),
        rnn(model(p)),
        x(p.read<float>("x.f32")),
        h0(p.read<float>("h0.f32")),
        c0(p.read<float>("c0.f32")),
        y(p.steps * p.batch * p.directions * p.hidden),
        hn(h0.size()),
        cn(c0.size()) {
    for (uint64_t length : p.read<uint64_t>("lengths.u64")) lengths.push_back(size_t(length));
    srnn_forward_args_init(&args, p.batch, p.steps);
    if (!lengths.empty()) {
      args.lengths = lengths.data();
      args.lengths_len = lengths.size();
    }
    args.x = x.data(), args.x_len = x.size();
    args.y = y.data(), args.y_len = y.size();
    args.h0 = h0.data(), args.h0_len = h0.size();
    args.hn = hn.data(), args.hn_len = hn.size();
    if (!c0.empty()) args.c0 = c0.data(), args.c0_len = c0.size(), args.cn = cn.data(), args.cn_len = cn.size();
    srnn_state_init(&initial, h0.data(), h0.size(), args.c0, c0.size());
  }
};

Calls step(const Problem &p) {
  auto all = std::make_shared<Layers>(p);
  auto stream = make<srnn_stream>(srnn_stream_destroy, srnn_stream_create,
                                  static_cast<const srnn_rnn *>(all->rnn.get()), p.batch);
  check(srnn_stream_set_state(stream.get(), &all->initial, &error));
  check(srnn_stream_set_pool(stream.get(), pool.get(), &error));
  Calls calls = [=](size_t count) {
    srnn_stream *s = stream.get();
    const srnn_rnn *rnn = all->rnn.get();
    const float *x = all->x.data();
    float *y = all->y.data();
    size_t x_len = all->x.size(), y_len = all->y.size();
    for (size_t i = 0; i < count; ++i) check(srnn_stream_step(s, rnn, x, x_len, y, y_len, &error));
  };
  calls(1);
  p.write("y", all->y);
  return calls;
}

Calls infer(const Problem &p) {
  auto a = std::make_shared<Layers>(p);
  Calls calls = [=](size_t count) {
    for (size_t i = 0; i < count; ++i) {
      check(srnn_rnn_forward(a->rnn.get(), a->scratch.get(), nullptr, &a->args, &error));
    }
  };
  calls(1);
  p.write("y", a->y);
  p.write("hn", a->hn);
  return calls;
}

// Forward and backward with everything a training step needs but the optimizer: weights that have just changed, so that
// they are packed anew, and gradients that start at zero.
Calls train(const Problem &p) {
  struct Training : Layers {
    Handle<srnn_tape> tape = make<srnn_tape>(srnn_tape_destroy, srnn_tape_create);
    Handle<srnn_grads> grads;
    Values w, dy, dx, dh0, dc0;
    srnn_backward_args back;
    explicit Training(const Problem &problem)
        : Layers(problem),
          w(p.read<float>("w.f32")),
          dy(p.read<float>("dy.f32")),
          dx(x.size()),
          dh0(h0.size()),
          dc0(c0.size()) {
      grads = make<srnn_grads>(srnn_grads_destroy, srnn_grads_create, static_cast<const srnn_rnn *>(rnn.get()));
      srnn_backward_args_init(&back);
      back.dy = dy.data(), back.dy_len = dy.size();
      back.dx = dx.data(), back.dx_len = dx.size();
      back.dh0 = dh0.data(), back.dh0_len = dh0.size();
      if (!dc0.empty()) back.dc0 = dc0.data(), back.dc0_len = dc0.size();
      back.grads = grads.get();
    }
  };
  auto a = std::make_shared<Training>(p);
  Calls calls = [=](size_t count) {
    for (size_t i = 0; i < count; ++i) {
      check(srnn_rnn_write_values(a->rnn.get(), a->w.data(), a->w.size(), &error));
      check(srnn_grads_zero(a->grads.get(), &error));
      check(srnn_rnn_forward(a->rnn.get(), a->scratch.get(), a->tape.get(), &a->args, &error));
      check(srnn_rnn_backward(a->rnn.get(), a->scratch.get(), a->tape.get(), &a->back, &error));
    }
  };
  calls(1);
  float *grads = nullptr;
  size_t grads_len = 0;
  check(srnn_grads_data(a->grads.get(), &grads, &grads_len, &error));
  p.write("y", a->y);
  p.write("dx", a->dx);
  p.write("dw", grads, grads_len);
  p.write("dh0", a->dh0);
  return calls;
}

Calls dense(const Problem &p) {
  auto layer = make<srnn_dense>(srnn_dense_destroy, srnn_dense_create, p.input, p.hidden, 0);
  Values w = p.read<float>("w.f32");
  check(srnn_dense_write_values(layer.get(), w.data(), w.size(), &error));
  auto scratch = session();
  auto x = std::make_shared<Values>(p.read<float>("x.f32")), y = std::make_shared<Values>(p.batch * p.hidden);
  Calls calls = [=](size_t count) {
    for (size_t i = 0; i < count; ++i) {
      check(srnn_dense_forward(layer.get(), scratch.get(), x->data(), x->size(), y->data(), y->size(), &error));
    }
  };
  calls(1);
  p.write("y", *y);
  return calls;
}

// Embedding, bidirectional layer, dense layer on the final states, cross-entropy, Adam. A call is one pass over all
// batches; the first pass writes the losses.
Calls classifier(const Problem &p) {
  struct Classifier {
    Problem p;
    size_t classes, batches;
    Handle<srnn_rnn> rnn;
    Handle<srnn_session> scratch = session();
    Handle<srnn_tape> tape = make<srnn_tape>(srnn_tape_destroy, srnn_tape_create);
    Handle<srnn_grads> rnn_grads;
    Handle<srnn_embedding> embedding;
    Handle<srnn_embedding_grads> embedding_grads;
    Handle<srnn_dense> dense;
    Handle<srnn_optimizer> adam;
    std::vector<uint32_t> tokens;
    std::vector<uint64_t> lengths;
    std::vector<int64_t> labels;
    std::vector<size_t> batch_lengths;
    Values dx, hn, dh, pooled, dpooled, logits, dlogits, dense_grads;
    srnn_module modules[3];

    explicit Classifier(const Problem &problem) : p(problem), rnn(model(p)) {
      auto extents = p.read<uint64_t>("extents.u64");  // words, classes, batches
      classes = size_t(extents.at(1));
      batches = size_t(extents.at(2));
      rnn_grads = make<srnn_grads>(srnn_grads_destroy, srnn_grads_create, static_cast<const srnn_rnn *>(rnn.get()));
      embedding = make<srnn_embedding>(srnn_embedding_destroy, srnn_embedding_create, size_t(extents.at(0)), p.input,
                                       int64_t(-1));
      Values table = p.read<float>("embedding.f32"), w = p.read<float>("dense.f32");
      check(srnn_embedding_write_rows(embedding.get(), 0, table.data(), table.size(), &error));
      embedding_grads = make<srnn_embedding_grads>(srnn_embedding_grads_destroy, srnn_embedding_grads_create,
                                                   static_cast<const srnn_embedding *>(embedding.get()));
      dense = make<srnn_dense>(srnn_dense_destroy, srnn_dense_create, p.directions * p.hidden, classes, 1);
      check(srnn_dense_write_values(dense.get(), w.data(), w.size(), &error));
      srnn_optimizer_config config;
      srnn_optimizer_config_init(&config, SRNN_OPTIMIZER_ADAM);
      adam = make<srnn_optimizer>(srnn_optimizer_destroy, srnn_optimizer_create,
                                  static_cast<const srnn_optimizer_config *>(&config));
      check(srnn_optimizer_set_pool(adam.get(), pool.get(), &error));
      tokens = p.read<uint32_t>("tokens.u32");
      lengths = p.read<uint64_t>("lengths.u64");
      labels = p.read<int64_t>("labels.i64");
      batch_lengths.resize(p.batch);
      dx.resize(p.steps * p.batch * p.input);
      hn.resize(p.states());
      dh = pooled = dpooled = hn;
      logits.resize(p.batch * classes);
      dlogits = logits;
      dense_grads.resize(w.size());
      for (srnn_module &module : modules) srnn_module_init(&module);
      modules[0].embedding = embedding.get(), modules[0].embedding_grads = embedding_grads.get();
      modules[1].rnn = rnn.get(), modules[1].rnn_grads = rnn_grads.get();
      modules[2].dense = dense.get(), modules[2].grads = dense_grads.data(), modules[2].grads_len = dense_grads.size();
    }

    // From (directions, batch, hidden) to (batch, directions, hidden), or back.
    void swap(const Values &from, Values &to, size_t outer, size_t inner) const {
      for (size_t i = 0; i < outer; ++i) {
        for (size_t j = 0; j < inner; ++j)
          std::copy_n(&from[(i * inner + j) * p.hidden], p.hidden, &to[(j * outer + i) * p.hidden]);
      }
    }

    double step(size_t number) {
      const uint32_t *words = &tokens[number * p.steps * p.batch];
      size_t steps = 0;
      for (size_t b = 0; b < p.batch; ++b) {
        batch_lengths[b] = size_t(lengths[number * p.batch + b]);
        steps = std::max(steps, batch_lengths[b]);
      }
      size_t count = steps * p.batch, dx_len = count * p.input;
      srnn_forward_args args;
      srnn_forward_args_init(&args, p.batch, steps);
      args.lengths = batch_lengths.data(), args.lengths_len = p.batch;
      args.embedding = embedding.get(), args.indices = words, args.indices_len = count;
      args.hn = hn.data(), args.hn_len = hn.size();
      srnn_backward_args back;
      srnn_backward_args_init(&back);
      back.dhn = dh.data(), back.dhn_len = dh.size();
      back.dx = dx.data(), back.dx_len = dx_len;
      back.grads = rnn_grads.get();
      double loss = 0;

      check(srnn_rnn_forward(rnn.get(), scratch.get(), tape.get(), &args, &error));
      swap(hn, pooled, p.directions, p.batch);
      check(srnn_dense_forward(dense.get(), scratch.get(), pooled.data(), pooled.size(), logits.data(), logits.size(),
                               &error));
      check(srnn_cross_entropy(nullptr, classes, logits.data(), logits.size(), &labels[number * p.batch], p.batch,
                               &loss, dlogits.data(), dlogits.size(), &error));

      check(srnn_modules_zero_grad(modules, 3, &error));
      check(srnn_dense_backward(dense.get(), scratch.get(), pooled.data(), pooled.size(), dlogits.data(),
                                dlogits.size(), dpooled.data(), dpooled.size(), dense_grads.data(), dense_grads.size(),
                                &error));
      swap(dpooled, dh, p.batch, p.directions);
      check(srnn_rnn_backward(rnn.get(), scratch.get(), tape.get(), &back, &error));
      check(srnn_embedding_grads_add(embedding_grads.get(), words, count, dx.data(), dx_len, &error));

      check(srnn_optimizer_step(adam.get(), modules, 3, &error));
      return loss;
    }
  };
  auto all = std::make_shared<Classifier>(p);
  Values losses;
  for (size_t i = 0; i < all->batches; ++i) losses.push_back(float(all->step(i)));
  p.write("losses", losses);
  return [=](size_t count) {
    for (size_t i = 0; i < count * all->batches; ++i) all->step(i % all->batches);
  };
}

Calls prepare(const Problem &p) {
  if (p.mode == "dense") return dense(p);
  if (p.mode == "classifier") return classifier(p);
  if (p.mode == "step") return step(p);
  return p.train() ? train(p) : infer(p);
}

}  // namespace

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  size_t threads = std::stoul(argv[2]);
  int32_t isa = -1;
  check(srnn_isa_choose(&isa, &error));
  if (threads > 1) pool = make<srnn_pool>(srnn_pool_destroy, srnn_pool_create, threads);
  return worker::serve(argv[1], std::string(srnn_version()) + " " + srnn_isa_name(isa), prepare);
}
