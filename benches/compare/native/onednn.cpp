// oneDNN's recurrent primitives, one a layer, with weights in the layout that oneDNN chooses (major versions 2 and 3).
// usage: onednn NAME THREADS

#include "worker.hpp"
#include <dnnl.hpp>
#include <memory>
#include <tuple>
#include <unordered_map>

using worker::Problem;
using worker::Values;

namespace {

using dnnl::memory;
using Desc = memory::desc;
using Dims = memory::dims;
using Tag = memory::format_tag;
using Arguments = std::unordered_map<int, memory>;

dnnl::engine engine(dnnl::engine::kind::cpu, 0);
dnnl::stream stream(engine);

// Version 2 describes an operation first and then asks an engine for it; version 3 does both at once.
#if DNNL_VERSION_MAJOR >= 3
template <class P, class... A>
typename P::primitive_desc forward_desc(A... a) {
  return {engine, a...};
}
template <class P, class Hint, class... A>
typename P::primitive_desc backward_desc(const Hint &hint, A... a) {
  return {engine, a..., hint};
}
#else
template <class P, class... A>
typename P::primitive_desc forward_desc(A... a) {
  return {typename P::desc(a...), engine};
}
template <class P, class Hint, class... A>
typename P::primitive_desc backward_desc(const Hint &hint, A... a) {
  return {typename P::desc(a...), engine, hint};
}
#endif

float *data(const memory &m) { return static_cast<float *>(m.get_data_handle()); }
size_t count(const memory &m) { return m.get_desc().get_size() / sizeof(float); }
Values values(const memory &m) { return Values(data(m), data(m) + count(m)); }

memory zeros(const Desc &desc) {
  memory m(desc, engine);
  std::fill_n(data(m), count(m), 0.0f);
  return m;
}

memory filled(const Desc &desc, const float *from) {
  memory m(desc, engine);
  std::copy_n(from, count(m), data(m));
  return m;
}

void reorder(memory from, memory to) { dnnl::reorder(from, to).execute(stream, from, to); }

// The layer's parameters in PyTorch's flat array, and where oneDNN has them: weights (direction, input, gate, hidden),
// biases (direction, gate, hidden) with a fourth gate for the GRU's recurrent bias of n.
struct Parameters {
  size_t gates, inputs, hidden, directions;
  bool gru;
  size_t bias_gates() const { return gru ? 4 : gates; }
  size_t per_direction() const { return gates * hidden * (inputs + hidden + 2); }
  size_t torch_gate(size_t gate) const { return gru && gate < 2 ? 1 - gate : gate; }  // u, r, o against r, z, n

  template <class Visit>
  void matrices(Visit visit) const {  // visit(torch index, is recurrent, oneDNN index)
    for (size_t d = 0; d < directions; ++d) {
      size_t at = d * per_direction();
      for (bool recurrent : {false, true}) {
        size_t columns = recurrent ? hidden : inputs;
        for (size_t i = 0; i < columns; ++i) {
          for (size_t g = 0; g < gates; ++g) {
            for (size_t h = 0; h < hidden; ++h) {
              visit(at + (torch_gate(g) * hidden + h) * columns + i, recurrent,
                    ((d * columns + i) * gates + g) * hidden + h);
            }
          }
        }
        at += gates * hidden * columns;
      }
    }
  }

  template <class Visit>
  void biases(Visit visit) const {  // visit(torch index, oneDNN index)
    for (size_t d = 0; d < directions; ++d) {
      size_t input = d * per_direction() + gates * hidden * (inputs + hidden), recurrent = input + gates * hidden;
      for (size_t g = 0; g < gates; ++g) {
        for (size_t h = 0; h < hidden; ++h) {
          size_t from = torch_gate(g) * hidden + h, to = d * bias_gates() + g;
          visit(input + from, to * hidden + h);
          visit(recurrent + from, (gru && g == 2 ? to + 1 : to) * hidden + h);
        }
      }
    }
  }
};

struct Layer {
  Parameters at;
  memory plain_w, plain_u;  // weights as the user has them
  Arguments forward_arguments, backward_arguments;
  dnnl::primitive forward, backward;

  void run_forward() { forward.execute(stream, forward_arguments); }
  void pack_forward() {
    reorder(plain_w, forward_arguments[DNNL_ARG_WEIGHTS_LAYER]);
    reorder(plain_u, forward_arguments[DNNL_ARG_WEIGHTS_ITER]);
  }
  void pack_backward() {
    reorder(plain_w, backward_arguments[DNNL_ARG_WEIGHTS_LAYER]);
    reorder(plain_u, backward_arguments[DNNL_ARG_WEIGHTS_ITER]);
  }
  void run_backward() {
    for (int argument :
         {DNNL_ARG_DIFF_WEIGHTS_LAYER, DNNL_ARG_DIFF_WEIGHTS_ITER, DNNL_ARG_DIFF_BIAS}) {  // they are added to
      memory &m = backward_arguments[argument];
      std::fill_n(data(m), count(m), 0.0f);
    }
    backward.execute(stream, backward_arguments);
  }
};

struct Stack {
  std::vector<std::unique_ptr<Layer>> layers;
  memory x, y, dx, dy;
  bool train = false;

  void run(size_t times) {
    for (size_t i = 0; i < times; ++i) {
      for (auto &layer : layers) {
        if (train) layer->pack_forward();
        layer->run_forward();
      }
      if (train) {
        for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer) {
          (*layer)->pack_backward();
          (*layer)->run_backward();
        }
      }
      stream.wait();
    }
  }
};

// Fills in the layer's primitives for one kind of cell. `before`, `states` and so on are what comes first and in the
// middle of the argument lists, which differ in the activation and the cell states.
template <class Forward, class Backward, class Before, class Iter>
void build(Layer &layer, bool train, Before before, Iter iter, const Desc &x, const Desc &y, const Desc &w,
           const Desc &u, const Desc &b) {
  auto kind = train ? dnnl::prop_kind::forward_training : dnnl::prop_kind::forward_inference;
  auto desc = std::apply(
      [&](auto... a) {
        return std::apply([&](auto... h) { return forward_desc<Forward>(kind, a..., x, h..., w, u, b, y, h...); },
                          iter);
      },
      before);
  layer.forward = Forward(desc);
  Arguments &fa = layer.forward_arguments;
  fa[DNNL_ARG_WEIGHTS_LAYER] = memory(desc.weights_layer_desc(), engine);
  fa[DNNL_ARG_WEIGHTS_ITER] = memory(desc.weights_iter_desc(), engine);
  if (!train) return;
  auto back = std::apply(
      [&](auto... a) {
        return std::apply(
            [&](auto... h) {
              return backward_desc<Backward>(desc, dnnl::prop_kind::backward, a..., x, h..., w, u, b, y, h..., x, h...,
                                             w, u, b, y, h...);
            },
            iter);
      },
      before);
  layer.backward = Backward(back);
  fa[DNNL_ARG_WORKSPACE] = memory(desc.workspace_desc(), engine);
  Arguments &ba = layer.backward_arguments;
  ba[DNNL_ARG_WORKSPACE] = fa[DNNL_ARG_WORKSPACE];
  ba[DNNL_ARG_WEIGHTS_LAYER] = memory(back.weights_layer_desc(), engine);
  ba[DNNL_ARG_WEIGHTS_ITER] = memory(back.weights_iter_desc(), engine);
  ba[DNNL_ARG_DIFF_WEIGHTS_LAYER] = zeros(back.diff_weights_layer_desc());
  ba[DNNL_ARG_DIFF_WEIGHTS_ITER] = zeros(back.diff_weights_iter_desc());
}

worker::Calls prepare(const Problem &p) {
  if (p.mode == "dense" || p.mode == "classifier") throw worker::Skip("only recurrent layers");
  if (!p.read<uint64_t>("lengths.u64").empty() && p.directions == 2)
    throw worker::Skip("no sequences of different lengths");
  using L = memory::dim;
  auto f32 = memory::data_type::f32;
  L steps = L(p.steps), batch = L(p.batch), hidden = L(p.hidden), directions = L(p.directions), gates = L(p.gates());
  Desc state({1, directions, batch, hidden}, f32, Tag::ldnc), y({steps, batch, directions * hidden}, f32, Tag::tnc);
  auto direction =
      p.directions == 2 ? dnnl::rnn_direction::bidirectional_concat : dnnl::rnn_direction::unidirectional_left2right;
  Values weights = p.read<float>("w.f32"), h0 = p.read<float>("h0.f32"), c0 = p.read<float>("c0.f32");
  size_t slice = p.directions * p.batch * p.hidden;

  auto stack = std::make_shared<Stack>();
  stack->train = p.train();
  Desc x({steps, batch, L(p.input)}, f32, Tag::tnc);
  stack->x = filled(x, p.read<float>("x.f32").data());
  const float *from = weights.data();
  memory input = stack->x;
  for (size_t l = 0; l < p.layers; ++l) {
    stack->layers.push_back(std::make_unique<Layer>());
    Layer &layer = *stack->layers.back();
    layer.at = {p.gates(), p.layer_input(l), p.hidden, p.directions, p.kind == "gru"};
    L inputs = L(layer.at.inputs), bias_gates = L(layer.at.bias_gates());
    Dims w_dims{1, directions, inputs, gates, hidden}, u_dims{1, directions, hidden, gates, hidden};
    Desc in({steps, batch, inputs}, f32, Tag::tnc), b({1, directions, bias_gates, hidden}, f32, Tag::ldgo);
    Desc any_w(w_dims, f32, Tag::any), any_u(u_dims, f32, Tag::any), plain_w(w_dims, f32, Tag::ldigo),
        plain_u(u_dims, f32, Tag::ldigo);
    if (p.kind == "lstm") {
      build<dnnl::lstm_forward, dnnl::lstm_backward>(layer, p.train(), std::make_tuple(direction),
                                                     std::make_tuple(state, state), in, y, any_w, any_u, b);
    } else if (p.kind == "gru") {
      build<dnnl::lbr_gru_forward, dnnl::lbr_gru_backward>(layer, p.train(), std::make_tuple(direction),
                                                           std::make_tuple(state), in, y, any_w, any_u, b);
    } else {
      build<dnnl::vanilla_rnn_forward, dnnl::vanilla_rnn_backward>(
          layer, p.train(), std::make_tuple(dnnl::algorithm::eltwise_tanh, direction), std::make_tuple(state), in, y,
          any_w, any_u, b);
    }
    layer.plain_w = zeros(plain_w);
    layer.plain_u = zeros(plain_u);
    memory bias = zeros(b);
    layer.at.matrices([&](size_t torch, bool recurrent, size_t own) {
      data(recurrent ? layer.plain_u : layer.plain_w)[own] = from[torch];
    });
    layer.at.biases([&](size_t torch, size_t own) { data(bias)[own] += from[torch]; });
    Arguments &fa = layer.forward_arguments;
    fa[DNNL_ARG_SRC_LAYER] = input;
    fa[DNNL_ARG_SRC_ITER] = filled(state, &h0[l * slice]);
    fa[DNNL_ARG_BIAS] = bias;
    fa[DNNL_ARG_DST_LAYER] = input = zeros(y);
    fa[DNNL_ARG_DST_ITER] = zeros(state);
    if (p.kind == "lstm") {
      fa[DNNL_ARG_SRC_ITER_C] = filled(state, &c0[l * slice]);
      fa[DNNL_ARG_DST_ITER_C] = zeros(state);
    }
    layer.pack_forward();
    from += layer.at.directions * layer.at.per_direction();
  }
  stack->y = input;
  if (p.train()) {
    memory gradient = stack->dy = filled(y, p.read<float>("dy.f32").data());
    for (size_t l = p.layers; l-- > 0;) {
      Layer &layer = *stack->layers[l];
      Arguments &ba = layer.backward_arguments;
      for (auto &argument : layer.forward_arguments)
        ba.insert(argument);  // but for the weights, which are there already
      ba[DNNL_ARG_DIFF_DST_LAYER] = gradient;
      ba[DNNL_ARG_DIFF_SRC_LAYER] = gradient = zeros(layer.forward_arguments[DNNL_ARG_SRC_LAYER].get_desc());
      ba[DNNL_ARG_DIFF_BIAS] = zeros(layer.forward_arguments[DNNL_ARG_BIAS].get_desc());
      ba[DNNL_ARG_DIFF_SRC_ITER] = zeros(state);
      ba[DNNL_ARG_DIFF_DST_ITER] = zeros(state);
      if (p.kind == "lstm") {
        ba[DNNL_ARG_DIFF_SRC_ITER_C] = zeros(state);
        ba[DNNL_ARG_DIFF_DST_ITER_C] = zeros(state);
      }
    }
    stack->dx = gradient;
  }

  stack->run(1);
  p.write("y", values(stack->y));
  if (p.train()) {
    Values dw(weights.size()), dh0;
    float *to = dw.data();
    for (auto &layer : stack->layers) {
      Arguments &ba = layer->backward_arguments;
      memory w = zeros(layer->plain_w.get_desc()), u = zeros(layer->plain_u.get_desc());
      reorder(ba[DNNL_ARG_DIFF_WEIGHTS_LAYER], w);
      reorder(ba[DNNL_ARG_DIFF_WEIGHTS_ITER], u);
      stream.wait();
      layer->at.matrices([&](size_t torch, bool recurrent, size_t own) { to[torch] = data(recurrent ? u : w)[own]; });
      layer->at.biases([&](size_t torch, size_t own) { to[torch] = data(ba[DNNL_ARG_DIFF_BIAS])[own]; });
      to += layer->at.directions * layer->at.per_direction();
      Values states = values(ba[DNNL_ARG_DIFF_SRC_ITER]);
      dh0.insert(dh0.end(), states.begin(), states.end());
    }
    p.write("dx", values(stack->dx));
    p.write("dw", dw);
    p.write("dh0", dh0);
  }
  return [stack](size_t times) { stack->run(times); };
}

}  // namespace

int main(int argc, char **argv) {
  const dnnl_version_t *v = dnnl_version();
  std::string version = std::to_string(v->major) + "." + std::to_string(v->minor) + "." + std::to_string(v->patch);
  return argc == 3 ? worker::serve(argv[1], "oneDNN " + version, prepare) : 2;
}
