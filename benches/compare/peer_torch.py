"""PyTorch: torch.nn's layers, eager. "torch" packs sequences of different lengths; "torch-padded" runs forward layers
over the padding instead, which gives the same results and is sometimes faster."""

from collections.abc import Callable

import numpy as np
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from peers import Call, Problem, Skip

LAYERS = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}
CELLS = {"rnn": torch.nn.RNNCell, "gru": torch.nn.GRUCell, "lstm": torch.nn.LSTMCell}


def load(name: str, threads: int) -> tuple[str, Callable[[Problem], Call]]:
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)
    padded = name == "torch-padded"
    return f"PyTorch {torch.__version__} {torch.backends.cpu.get_cpu_capability()}", lambda p: prepare(p, padded)


def fill(parameters, flat: np.ndarray) -> None:
    at = 0
    with torch.no_grad():
        for parameter in parameters:
            parameter.copy_(torch.from_numpy(flat[at : at + parameter.numel()]).view_as(parameter))
            at += parameter.numel()


def layers(p: Problem) -> torch.nn.RNNBase:
    model = LAYERS[p.kind](p.input, p.hidden, num_layers=p.layers, bidirectional=p.directions == 2)
    fill(model.parameters(), p.read("w.f32"))
    return model


def prepare(p: Problem, padded: bool) -> Call:
    if padded and (not p.mode.endswith("len") or p.directions == 2):
        raise Skip("the same as torch" if p.directions == 1 else "would run the reverse direction over the padding")
    if p.mode == "dense":
        return dense(p)
    if p.mode == "classifier":
        return classifier(p)
    if p.mode == "step":
        return step(p)
    model = layers(p)
    x = torch.from_numpy(p.read("x.f32", p.steps, p.batch, p.input))
    states = [
        torch.from_numpy(p.read(f"{n}.f32", p.layers * p.directions, p.batch, p.hidden))
        for n in ("h0", "c0")[: 1 + (p.kind == "lstm")]
    ]
    state = tuple(states) if p.kind == "lstm" else states[0]
    lengths = p.read("lengths.u64").astype("i8").tolist() if p.mode.endswith("len") else None

    def forward() -> torch.Tensor:
        if lengths is None or padded:
            return model(x, state)[0]
        packed = pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=False)
        return pad_packed_sequence(model(packed, state)[0], total_length=p.steps)[0]

    if not p.train:
        model.eval()

        def infer() -> torch.Tensor:
            with torch.inference_mode():
                return forward()

        p.write("y", infer().numpy())
        return infer

    dy = torch.from_numpy(p.read("dy.f32", p.steps, p.batch, p.directions * p.hidden))
    for tensor in (x, *states):
        tensor.requires_grad_(True)

    def train() -> torch.Tensor:
        model.zero_grad(set_to_none=True)
        for tensor in (x, *states):
            tensor.grad = None
        y = forward()
        y.backward(dy)
        return y

    p.write("y", train().detach().numpy())
    p.write("dx", x.grad.numpy())
    p.write("dw", np.concatenate([w.grad.numpy().ravel() for w in model.parameters()]))
    p.write("dh0", states[0].grad.numpy())
    return train


def step(p: Problem) -> Call:
    """A cell on its own: less time than a layer over a sequence of one."""
    cell = CELLS[p.kind](p.input, p.hidden)
    fill(cell.parameters(), p.read("w.f32"))
    x = torch.from_numpy(p.read("x.f32", p.batch, p.input))
    states = [torch.from_numpy(p.read(f"{n}.f32", p.batch, p.hidden)) for n in ("h0", "c0")[: 1 + (p.kind == "lstm")]]
    state = tuple(states) if p.kind == "lstm" else states[0]

    def call() -> torch.Tensor:
        with torch.inference_mode():
            return cell(x, state)

    y = call()
    p.write("y", (y[0] if p.kind == "lstm" else y).numpy())
    return call


def dense(p: Problem) -> Call:
    x = torch.from_numpy(p.read("x.f32", p.batch, p.input))
    w = torch.from_numpy(p.read("w.f32", p.hidden, p.input))

    def call() -> torch.Tensor:
        with torch.inference_mode():
            return torch.nn.functional.linear(x, w)

    p.write("y", call().numpy())
    return call


def classifier(p: Problem) -> Call:
    words, classes, batches = map(int, p.read("extents.u64"))
    embedding = torch.nn.Embedding(words, p.input)
    recurrent = layers(p)
    output = torch.nn.Linear(p.directions * p.hidden, classes)
    fill([embedding.weight], p.read("embedding.f32"))
    fill(output.parameters(), p.read("dense.f32"))
    parameters = [*embedding.parameters(), *recurrent.parameters(), *output.parameters()]
    adam = torch.optim.Adam(parameters, fused=True)
    tokens = torch.from_numpy(p.read("tokens.u32", batches, p.steps, p.batch).astype("i8"))
    lengths = torch.from_numpy(p.read("lengths.u64", batches, p.batch).astype("i8"))
    labels = torch.from_numpy(p.read("labels.i64", batches, p.batch))

    def step(i: int) -> torch.Tensor:
        adam.zero_grad(set_to_none=True)
        x = embedding(tokens[i, : int(lengths[i].max())])
        h = recurrent(pack_padded_sequence(x, lengths[i], enforce_sorted=False))[1][0]
        loss = torch.nn.functional.cross_entropy(output(torch.cat(tuple(h), 1)), labels[i])
        loss.backward()
        adam.step()
        return loss.detach()

    p.write("losses", np.array([float(step(i)) for i in range(batches)]))

    def call() -> None:
        for i in range(batches):
            step(i)

    return call
