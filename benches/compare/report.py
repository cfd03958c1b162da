"""Results: as a table on the screen and as CSV."""

import csv
import pathlib
import statistics
from dataclasses import dataclass, field

from grid import Case
from participants import OURS


@dataclass
class Result:
    """Times of all participants in one case, and the machine's limits in the same minutes."""

    case: Case
    threads: int
    times: dict[str, list[float]] = field(default_factory=dict)  # seconds per call
    left_out: dict[str, str] = field(default_factory=dict)  # participants that failed or disagree
    memory: dict[str, int] = field(default_factory=dict)  # bytes at the peak
    gflops: float = 0.0
    gbytes: float = 0.0
    one: "Result | None" = None  # the same case on one thread

    def best(self, participant: str) -> float:
        return min(self.times[participant])

    def median(self, participant: str) -> float:
        return statistics.median(self.times[participant])

    def peers(self) -> list[str]:
        """The peers with a time, fastest first."""
        return sorted((p for p in self.times if p != OURS), key=self.best)

    def ratio(self, peer: str) -> float:
        """How many times as long as ours the peer takes."""
        return self.best(peer) / self.best(OURS)

    def rate(self, participant: str) -> float:
        """GFLOP/s of the necessary arithmetic."""
        return self.case.flops / self.best(participant) * 1e-9

    def of_peak(self, participant: str) -> float:
        """The part of the peak of multiply-adds."""
        return self.rate(participant) / self.gflops

    def of_reads(self, participant: str) -> float | None:
        """The part of the rate of plain reads of the weights, where they bind. The input product of all steps together
        is no matter of reads: its time at the peak is taken off, which is the least that it can have taken."""
        if not self.case.bound_by_reads:
            return None
        seconds = self.best(participant) - self.case.hoisted_flops / self.gflops * 1e-9
        return self.case.bytes_read / seconds * 1e-9 / self.gbytes

    def speedup(self, participant: str) -> float | None:
        """The time on one thread over this one."""
        if self.threads == 1 or self.one is None or not {participant} <= set(self.one.times) & set(self.times):
            return None
        return self.one.best(participant) / self.best(participant)


def duration(seconds: float) -> str:
    return f"{seconds * 1e6:.3g}" if seconds < 1e-3 else f"{seconds * 1e6:.0f}"


HEADER = (
    *("case", "threads", "ours us", "med/min", "best peer", "peer us", "ratio"),
    *("of peak", "of reads", "speedup", "MiB/torch", "all ratios"),
)
WIDTHS = (26, 8, 10, 8, 14, 10, 7, 8, 9, 8, 12)


def line(cells: tuple[str, ...]) -> str:
    return (
        " ".join(
            cell.ljust(width) if i in (0, 4) else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, WIDTHS))
        )
        + "  "
        + cells[-1]
    )


def percent(part: float | None) -> str:
    return "" if part is None else f"{100 * part:.0f}%"


def cells(result: Result) -> tuple[str, ...]:
    """What HEADER names."""
    case, peers = result.case, result.peers()
    best_peer = (peers[0], duration(result.best(peers[0]))) if peers else ("-", "")
    if OURS not in result.times:
        times = ", ".join(f"{p} {duration(result.best(p))} us" for p in peers)
        return (case.name, str(result.threads), "-", "", *best_peer, *[""] * 5, times)
    speedup = result.speedup(OURS)
    return (
        case.name,
        str(result.threads),
        duration(result.best(OURS)),
        f"{result.median(OURS) / result.best(OURS):.2f}",
        *best_peer,
        f"{result.ratio(peers[0]):.2f}" if peers else "",
        percent(result.of_peak(OURS)),
        percent(result.of_reads(OURS)),
        f"{speedup:.2f}" if speedup else "",
        "/".join(f"{result.memory[p] / 2**20:.1f}" for p in (OURS, "torch") if p in result.memory),
        ", ".join(f"{p} {result.ratio(p):.2f}" for p in peers),
    )


def row(result: Result) -> str:
    return line(cells(result))


COLUMNS = [
    *("case", "threads", "participant", "version", "samples", "min_us", "median_us", "gflops", "fma_gflops"),
    *("fma_fraction", "read_gbytes", "read_fraction", "ratio_to_ours", "speedup", "peak_bytes", "note"),
]


def fields(result: Result, participant: str, version: str) -> dict[str, object]:
    """A row of the CSV file."""
    speedup, reads = result.speedup(participant), result.of_reads(participant)
    return {
        "case": result.case.name,
        "threads": result.threads,
        "participant": participant,
        "version": version,
        "samples": len(result.times[participant]),
        "min_us": f"{result.best(participant) * 1e6:.4f}",
        "median_us": f"{result.median(participant) * 1e6:.4f}",
        "gflops": f"{result.rate(participant):.3f}",
        "fma_gflops": result.gflops,
        "fma_fraction": f"{result.of_peak(participant):.4f}",
        "read_gbytes": result.gbytes,
        "read_fraction": "" if reads is None else f"{reads:.4f}",
        "ratio_to_ours": f"{result.ratio(participant):.4f}" if OURS in result.times else "",
        "speedup": f"{speedup:.4f}" if speedup else "",
        "peak_bytes": result.memory.get(participant, ""),
    }


def write_csv(path: pathlib.Path, results: list[Result], versions: dict[str, str], machine: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        for name, value in machine.items():
            file.write(f"# {name}: {value}\n")
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for r in results:
            rows = [fields(r, p, versions.get(p, "")) for p in (OURS, *r.peers()) if p in r.times]
            for participant, reason in r.left_out.items():
                name = {"case": r.case.name, "threads": r.threads, "participant": participant}
                rows.append(name | {"version": versions.get(participant, ""), "samples": 0, "note": reason})
            writer.writerows(rows)
