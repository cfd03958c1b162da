"""What is asked of each family of cases, as data, and which figures of a run it is compared with."""

from collections.abc import Callable
from dataclasses import dataclass

from grid import Case, whole
from participants import OURS
from report import Result

SAME = 0.97  # of one speed: what two measurements of the same code may differ by


@dataclass(frozen=True)
class Bar:
    """In every case of a family that it applies to, one of some figures is at least so much."""

    family: str
    threads: int
    least: dict[str, float]
    where: str = ""
    applies: Callable[[Case], bool] = lambda case: True

    def covers(self, result: Result) -> bool:
        families = self.family.split()
        return result.threads == self.threads and result.case.family in families and self.applies(result.case)

    def text(self) -> str:
        figures = " or ".join(
            f"{figure} ≥ {f'{100 * least:.0f} %' if figure in PARTS else f'{least:g}'}"
            for figure, least in self.least.items()
        )
        return f"{self.where}: {figures}" if self.where else figures


PARTS = ("of peak", "of reads", "of the rate at full length")


def figures(result: Result, every: dict[tuple[str, int], Result]) -> dict[str, float]:
    """The figures of a case that bars name."""
    if OURS not in result.times:
        return {}
    found = {"of peak": result.of_peak(OURS), "of reads": result.of_reads(OURS), "speedup": result.speedup(OURS)}
    for name, among in (
        ("× best peer", result.peers()),
        ("× PyTorch", [p for p in result.peers() if p == "torch"]),
        ("× BLAS", [p for p in result.peers() if p in ("openblas", "blis")]),
    ):
        found[name] = result.ratio(among[0]) if among else None
    twin = every.get((whole(result.case.name), result.threads))
    if twin and OURS in twin.times:
        found["of the rate at full length"] = result.rate(OURS) / twin.rate(OURS)
    return {name: value for name, value in found.items() if value is not None}


# More than RTNeural's 24, 42 and 39 %.
STEP_OF_PEAK = {"step-lstm-1-16": 0.28, "step-lstm-1-40": 0.46, "step-gru-42-96": 0.42}
LAYERS = "seq8 batch bi2 full"


def lstm(case: Case) -> bool:
    return case.kind == "lstm"


def not_lstm(case: Case) -> bool:
    return case.kind != "lstm"


def large(case: Case) -> bool:
    return case.input >= 256 and case.hidden >= 512 and case.batch >= 64


BARS = [
    Bar("gemm", 1, {"of peak": 0.95}, "k ≥ 256, n ≥ 512, m ≥ 64", large),
    Bar("gemm", 1, {"of peak": 0.85}, "k ≥ 256, m < 64", lambda c: c.input >= 256 and c.batch < 64),
    Bar("gemm gemv", 1, {"× BLAS": 1}),
    Bar("gemv", 1, {"of reads": 0.9}),
    Bar("gemm", 2, {"speedup": 1.85}),
    Bar("gemv", 2, {"of reads": 0.9}),
    Bar("gemm gemv", 2, {"× BLAS": 1}),
    *(Bar("step", 1, {"of peak": p}, name, lambda c, name=name: c.name == name) for name, p in STEP_OF_PEAK.items()),
    Bar("step", 1, {"× best peer": 1.3}, "the others", lambda c: c.name not in STEP_OF_PEAK),
    Bar("step", 2, {"speedup": SAME}),
    Bar("seq1", 1, {"× best peer": 1.5}, "H ≤ 128", lambda c: c.hidden <= 128),
    Bar("seq1", 1, {"× best peer": 1.15}, "H 256, 512", lambda c: c.hidden in (256, 512)),
    Bar("seq1", 1, {"× best peer": 1}, "H 1024", lambda c: c.hidden >= 1024),
    Bar("seq1", 1, {"of reads": 0.85}),
    Bar("seq1", 2, {"× best peer": 1.5}, "H ≤ 256", lambda c: c.hidden <= 256),
    Bar("seq1", 2, {"× best peer": 1.3}, "H > 256", lambda c: c.hidden > 256),
    Bar(LAYERS, 1, {"× best peer": 1.15, "of peak": 0.92}),
    Bar(LAYERS, 1, {"of peak": 0.88}, "H 512", lambda c: c.hidden == 512),
    Bar(LAYERS, 1, {"of peak": 0.78}, "H 128", lambda c: c.hidden == 128),
    Bar(LAYERS, 2, {"speedup": 1.8}),
    Bar("train", 1, {"× best peer": 1.2, "of peak": 0.88}),
    Bar("train", 1, {"× PyTorch": 1.3}, "LSTM", lstm),
    Bar("train", 1, {"× PyTorch": 1.5}, "GRU, Elman", not_lstm),
    Bar("train", 2, {"speedup": 1.8}),
    Bar("len trainlen", 1, {"of the rate at full length": 0.9}),
    Bar("len", 1, {"× best peer": 1.6}),
    Bar("trainlen", 1, {"× PyTorch": 2.2}, "LSTM", lstm),
    Bar("trainlen", 1, {"× PyTorch": 4}, "GRU, Elman", not_lstm),
    Bar("len trainlen", 2, {"speedup": 1.7}),
    Bar("classifier", 1, {"× PyTorch": 5}),
    Bar("classifier", 2, {"speedup": 1.6}),
    Bar("odd", 1, {"× best peer": 1}),
    Bar("odd", 2, {"× best peer": 1}),
]

# The cost curve: time per step against work, log-log, within one level of cache; and sizes 2^n + 1 beside 2^n.
SLOPE, NEIGHBOUR, NEIGHBOURS_FROM = 1.05, 1.15, 128
