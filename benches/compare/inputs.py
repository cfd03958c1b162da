"""Inputs and weights of a case as raw files that every participant reads, and the comparison of their results."""

import pathlib
import random

import numpy as np

from grid import Case
from participants import OURS

TOLERANCE = 1e-4  # of the largest value of a result


def write(case: Case, folder: pathlib.Path) -> None:
    """Writes x, h0, c0, dy (time-major), w (all parameters, flat, in PyTorch's order) and lengths."""
    rng = np.random.default_rng(7)

    def save(name: str, values: np.ndarray) -> None:
        values.astype({"f32": "<f4", "u32": "<u4", "u64": "<u8", "i64": "<i8"}[name.rsplit(".", 1)[1]]).tofile(
            folder / name
        )

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, dtype=np.float32)

    def uniform(count: int, fan: int) -> np.ndarray:
        return rng.uniform(-1, 1, count) / np.sqrt(fan)

    if case.mode == "dense":
        save("x.f32", normal(case.batch, case.input))
        save("w.f32", uniform(case.hidden * case.input, case.input))
        return
    save("w.f32", uniform(case.weights, case.hidden))
    if case.lengths:
        save("lengths.u64", np.array(case.lengths))
    if case.mode == "classifier":
        write_texts(case, save)
        save("embedding.f32", normal(case.words, case.input))
        pooled = case.directions * case.hidden
        save("dense.f32", uniform(case.classes * (pooled + 1), pooled))
        return
    save("x.f32", normal(case.steps, case.batch, case.input))
    for name in ("h0", "c0") if case.kind == "lstm" else ("h0",):
        save(f"{name}.f32", 0.5 * normal(case.layers * case.directions, case.batch, case.hidden))
    if case.train:
        dy = normal(case.steps, case.batch, case.directions * case.hidden)
        if case.lengths:
            dy[np.arange(case.steps)[:, None] >= np.array(case.lengths)] = 0
        save("dy.f32", dy)


def write_texts(case: Case, save) -> None:
    """Texts of words with Zipf's frequencies, time-major in each batch; the first word decides the label."""
    draw = random.Random(3)
    weights = [1 / (rank + 1) for rank in range(case.words)]
    tokens = np.zeros((case.batches, case.steps, case.batch))
    for text, length in enumerate(case.lengths or []):
        tokens[text // case.batch, :length, text % case.batch] = draw.choices(range(case.words), weights, k=length)
    save("tokens.u32", tokens)
    save("labels.i64", tokens[:, 0, :] % case.classes)
    save("extents.u64", np.array([case.words, case.classes, case.batches]))


def results(folder: pathlib.Path) -> set[pathlib.Path]:
    """What participants wrote: NAME.RESULT.f32."""
    return set(folder.glob("*.*.f32"))


def held(case: Case, folder: pathlib.Path, participant: str) -> int:
    """Bytes of inputs that a participant's process keeps; ours keeps the weights that an optimizer would have made."""
    parameters = {"embedding.f32", "dense.f32"} | (set() if participant == OURS and case.train else {"w.f32"})
    return sum(p.stat().st_size for p in set(folder.iterdir()) - results(folder) if p.name not in parameters)


def disagreement(case: Case, folder: pathlib.Path, peer: str) -> str | None:
    """What in the peer's results differs from ours, or None."""
    checked = []
    for path in sorted(folder.glob(f"{OURS}.*.f32")):
        result = path.name.split(".")[-2]
        other = folder / f"{peer}.{result}.f32"
        if not other.exists():
            continue
        a, b = np.fromfile(path, "<f4"), np.fromfile(other, "<f4")
        if a.shape != b.shape:
            return f"{result} has {b.size} values, ours {a.size}"
        if case.lengths and result == "y":  # past a sequence's end anything goes
            mask = np.arange(case.steps)[:, None] < np.array(case.lengths)
            a, b = a.reshape(*mask.shape, -1)[mask], b.reshape(*mask.shape, -1)[mask]
        worst, scale = float(np.abs(a - b).max()), float(np.abs(a).max())
        if not worst <= TOLERANCE * scale:
            return f"{result} differs by {worst:.2g}, largest value {scale:.2g}"
        checked.append(result)
    needed = {"losses"} if case.mode == "classifier" else {"y", "dx", "dw"} if case.train else {"y"}
    missing = needed - set(checked)
    return f"no result {', '.join(sorted(missing))}" if missing else None
