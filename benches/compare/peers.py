"""A participant in Python: answers the requests that native/worker.hpp describes. usage: peers.py NAME THREADS"""

import ctypes
import gc
import json
import os
import pathlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from grid import GATES, Case

Call = Callable[[], object]


class Skip(Exception):
    """Why a participant takes no part in a case."""


@dataclass(frozen=True)
class Problem(Case):
    """A case and the folder with its files."""

    folder: pathlib.Path = pathlib.Path()
    participant: str = ""

    def read(self, name: str, *shape: int) -> np.ndarray:
        kind = {"f32": "<f4", "u32": "<u4", "u64": "<u8", "i64": "<i8"}[name.rsplit(".", 1)[1]]
        values = np.fromfile(self.folder / name, kind)
        return values.reshape(shape) if shape else values

    def write(self, result: str, values: np.ndarray) -> None:
        values.astype("<f4").tofile(self.folder / f"{self.participant}.{result}.f32")

    def layer_parameters(self) -> list[list[np.ndarray]]:
        """For each layer and direction: weight_ih, weight_hh, bias_ih, bias_hh."""
        flat, at, all_parameters = self.read("w.f32"), 0, []
        rows = GATES[self.kind] * self.hidden
        for layer in range(self.layers):
            inputs = self.input if layer == 0 else self.directions * self.hidden
            for _ in range(self.directions):
                parameters = []
                for shape in ((rows, inputs), (rows, self.hidden), (rows,), (rows,)):
                    size = int(np.prod(shape))
                    parameters.append(flat[at : at + size].reshape(shape))
                    at += size
                all_parameters.append(parameters)
        return all_parameters


def run(call: Call, count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        call()
    return time.perf_counter() - start


def samples(call: Call) -> int:
    """How many calls make a sample of about a millisecond."""
    inner, took = 1, run(call, 1)
    while took < 1e-3:
        inner *= 8 if took < 1e-4 else 2
        took = run(call, inner)
    return inner


def burst(call: Call, inner: int, seconds: float) -> list[float]:
    first = run(call, inner)  # warms the caches
    if first >= seconds:
        return [first / inner]
    times, end = [], time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        times.append(run(call, inner) / inner)
    return times


def resident(field: str) -> int:
    """Bytes of this process in memory: VmRSS now or VmHWM at the peak."""
    status = pathlib.Path("/proc/self/status").read_text()
    return next(1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith(field + ":"))


def trim() -> None:
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


def peak(call: Call) -> int:
    trim()
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    run(call, 2)
    return resident("VmHWM")


def fork() -> bool:
    """In the child, True. In the parent, False, when the child has ended."""
    child = os.fork()
    if child and (status := os.waitpid(child, 0)[1]):
        raise RuntimeError(f"the child failed with status {status}")
    return not child


def load(name: str, threads: int) -> tuple[str, Callable[[Problem], Call]]:
    """The version of a peer and the function that prepares its call."""
    if name.startswith("torch"):
        import peer_torch

        return peer_torch.load(name, threads)
    import peer_onnx

    return peer_onnx.load(name, threads)


def parse(line: str, participant: str) -> Problem:
    _, kind, mode, *numbers, folder = line.split(maxsplit=9)
    return Problem("", kind, mode, *map(int, numbers), folder=pathlib.Path(folder), participant=participant)


def main() -> None:
    name, threads = sys.argv[1], int(sys.argv[2])
    answers = os.fdopen(os.dup(1), "w")  # what libraries print goes to the standard error stream
    os.dup2(2, 1)

    def answer(**fields: object) -> None:
        print(json.dumps(fields), file=answers, flush=True)

    version, prepare = load(name, threads)
    answer(version=version)
    call, inner, before = None, 1, 0
    for line in sys.stdin:
        try:
            if line.startswith("prepare"):
                call = None
                trim()
                before = resident("VmRSS")
                call = prepare(parse(line.strip(), name))
                inner = samples(call)
                answer(ok=True)
            elif line == "memory\n":
                answer(grown=max(0, peak(call) - before))
            elif line == "fork\n":
                if fork():
                    answer(ok=True)
            elif line == "end\n":
                answer(ok=True)
                os._exit(0)
            else:
                answer(times=burst(call, inner, float(line.split()[1]) * 1e-3))
        except Skip as skip:
            answer(skip=str(skip))
        except Exception as error:
            answer(error=f"{type(error).__name__}: {error}"[:300])


if __name__ == "__main__":
    sys.modules["peers"] = sys.modules["__main__"]  # one Skip for all files
    main()
