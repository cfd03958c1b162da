"""Peers that run an ONNX model: ONNX Runtime and OpenVINO. Inference only."""

from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from peers import Call, Problem, Skip

# ONNX's gates as places in PyTorch's: LSTM i o f c from i f g o, GRU z r h from r z n.
GATE_ORDER = {"rnn": [0], "gru": [1, 0, 2], "lstm": [0, 3, 1, 2]}


def load(name: str, threads: int) -> tuple[str, Callable[[Problem], Call]]:
    if name == "onnxruntime":
        import onnxruntime

        return f"ONNX Runtime {onnxruntime.__version__}", lambda p: with_onnxruntime(p, threads)
    import openvino

    return f"OpenVINO {openvino.__version__}", lambda p: with_openvino(p, threads)


def model(p: Problem) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """The layers with their weights inside, and the inputs."""
    if p.train or p.mode in ("dense", "classifier"):
        raise Skip("inference of recurrent layers only")

    def reordered(w: np.ndarray) -> np.ndarray:
        return w.reshape(-1, p.hidden, *w.shape[1:])[GATE_ORDER[p.kind]].reshape(w.shape)

    nodes, constants = [], []
    feeds = {"x": p.read("x.f32", p.steps, p.batch, p.input)}
    if p.mode.endswith("len"):
        constants.append(numpy_helper.from_array(p.read("lengths.u64").astype("i4"), "lengths"))
    parameters, current = p.layer_parameters(), "x"
    for layer in range(p.layers):
        of_layer = parameters[layer * p.directions : (layer + 1) * p.directions]
        for name, values in (
            ("W", [reordered(w) for w, _, _, _ in of_layer]),
            ("R", [reordered(u) for _, u, _, _ in of_layer]),
            ("B", [np.concatenate([reordered(b), reordered(d)]) for _, _, b, d in of_layer]),
        ):
            constants.append(numpy_helper.from_array(np.stack(values), f"{name}{layer}"))
        states = [f"h{layer}"] + ([f"c{layer}"] if p.kind == "lstm" else [])
        for state in states:
            all_layers = p.read(f"{state[0]}0.f32", p.layers, p.directions, p.batch, p.hidden)
            feeds[state] = np.ascontiguousarray(all_layers[layer])
        inputs = [current, f"W{layer}", f"R{layer}", f"B{layer}", "lengths" if p.mode.endswith("len") else "", *states]
        outputs = [f"y{layer}", f"hn{layer}"] + ([f"cn{layer}"] if p.kind == "lstm" else [])
        attributes = {"linear_before_reset": 1} if p.kind == "gru" else {}
        direction = "bidirectional" if p.directions == 2 else "forward"
        nodes.append(
            helper.make_node(p.kind.upper(), inputs, outputs, hidden_size=p.hidden, direction=direction, **attributes)
        )
        if layer + 1 < p.layers:  # (T, D, B, H) to (T, B, D * H)
            constants.append(
                numpy_helper.from_array(np.array([p.steps, p.batch, p.directions * p.hidden]), f"shape{layer}")
            )
            nodes.append(helper.make_node("Transpose", [f"y{layer}"], [f"t{layer}"], perm=[0, 2, 1, 3]))
            nodes.append(helper.make_node("Reshape", [f"t{layer}", f"shape{layer}"], [f"next{layer}"]))
            current = f"next{layer}"
    top = p.layers - 1
    graph_inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape) for name, value in feeds.items()
    ]
    graph_outputs = [
        helper.make_tensor_value_info(f"y{top}", TensorProto.FLOAT, [p.steps, p.directions, p.batch, p.hidden]),
        helper.make_tensor_value_info(f"hn{top}", TensorProto.FLOAT, [p.directions, p.batch, p.hidden]),
    ]
    graph = helper.make_graph(nodes, "layers", graph_inputs, graph_outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8), feeds


def write(p: Problem, y: np.ndarray) -> None:
    p.write("y", y.transpose(0, 2, 1, 3))


def with_onnxruntime(p: Problem, threads: int) -> Call:
    import onnxruntime

    proto, feeds = model(p)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    for name, value in feeds.items():
        binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(value))
    for output in session.get_outputs():
        value = onnxruntime.OrtValue.ortvalue_from_shape_and_type(output.shape, np.float32)
        binding.bind_ortvalue_output(output.name, value)
    session.run_with_iobinding(binding)
    write(p, binding.get_outputs()[0].numpy())
    return lambda: session.run_with_iobinding(binding)


def with_openvino(p: Problem, threads: int) -> Call:
    import openvino

    proto, feeds = model(p)
    core = openvino.Core()
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    request = core.compile_model(core.read_model(proto.SerializeToString()), "CPU", settings).create_infer_request()
    for name, value in feeds.items():
        request.set_tensor(name, openvino.Tensor(value))
    request.infer()
    write(p, np.array(request.get_output_tensor(0).data))
    return request.infer
