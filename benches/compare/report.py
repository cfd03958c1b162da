"""Results: as a table on the screen and as CSV."""

import csv
import pathlib
import statistics
from dataclasses import dataclass, field

from grid import Case


@dataclass
class Result:
    """Times of all participants in one case, and the machine's limits in the same minutes."""

    case: Case
    threads: int
    times: dict[str, list[float]] = field(default_factory=dict)  # seconds per call
    left_out: dict[str, str] = field(default_factory=dict)  # participants that failed or disagree
    gflops: float = 0.0
    gbytes: float = 0.0

    def best(self, participant: str) -> float:
        return min(self.times[participant])

    def median(self, participant: str) -> float:
        return statistics.median(self.times[participant])

    def peers(self) -> list[str]:
        """The peers with a time, fastest first."""
        return sorted((p for p in self.times if p != "ours"), key=self.best)

    def ratio(self, peer: str) -> float:
        """How many times as long as ours the peer takes."""
        return self.best(peer) / self.best("ours")

    def rate(self, participant: str) -> float:
        """GFLOP/s of the necessary arithmetic."""
        return self.case.flops / self.best(participant) * 1e-9

    def fraction(self, participant: str) -> float:
        """The part of what the machine can do: of plain reads of the weights where they bind, else of the FMA peak."""
        if self.case.bound_by_reads:
            return self.case.bytes_read / self.best(participant) * 1e-9 / self.gbytes
        return self.rate(participant) / self.gflops


def duration(seconds: float) -> str:
    return f"{seconds * 1e6:.3g}" if seconds < 1e-3 else f"{seconds * 1e6:.0f}"


HEADER = ("case", "threads", "ours us", "med/min", "best peer", "peer us", "ratio", "of limit", "all ratios")
WIDTHS = (24, 8, 10, 8, 14, 10, 7, 11)


def line(cells: tuple[str, ...]) -> str:
    return (
        " ".join(
            cell.ljust(width) if i in (0, 4) else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, WIDTHS))
        )
        + "  "
        + cells[-1]
    )


def row(result: Result) -> str:
    case, peers = result.case, result.peers()
    ours = "ours" in result.times
    limit = ""
    if ours and case.mode == "classifier":
        limit = f"{case.tokens / result.best('ours') / 1000:.0f}k tok/s"
    elif ours and result.gflops:
        limit = f"{100 * result.fraction('ours'):.0f}% {'read' if case.bound_by_reads else 'FMA'}"
    ratios = [f"{p} {result.ratio(p):.2f}" if ours else f"{p} {duration(result.best(p))} us" for p in peers]
    return line(
        (
            case.name,
            str(result.threads),
            duration(result.best("ours")) if ours else "-",
            f"{result.median('ours') / result.best('ours'):.2f}" if ours else "",
            peers[0] if peers else "-",
            duration(result.best(peers[0])) if peers else "",
            f"{result.ratio(peers[0]):.2f}" if peers and ours else "",
            limit,
            ", ".join(ratios),
        )
    )


def write_csv(path: pathlib.Path, results: list[Result], versions: dict[str, str], machine: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        for name, value in machine.items():
            file.write(f"# {name}: {value}\n")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            [
                "case",
                "threads",
                "participant",
                "version",
                "samples",
                "min_us",
                "median_us",
                "gflops",
                "fma_gflops",
                "read_gbytes",
                "fraction_of",
                "fraction",
                "ratio_to_ours",
                "note",
            ]
        )
        for r in results:
            for participant in ["ours", *r.peers()]:
                if participant not in r.times:
                    continue
                bound = "read" if r.case.bound_by_reads else "fma"
                fraction = f"{r.fraction(participant):.4f}" if r.gflops and r.case.mode != "classifier" else ""
                writer.writerow(
                    [
                        r.case.name,
                        r.threads,
                        participant,
                        versions.get(participant, ""),
                        len(r.times[participant]),
                        f"{r.best(participant) * 1e6:.4f}",
                        f"{r.median(participant) * 1e6:.4f}",
                        f"{r.rate(participant):.3f}",
                        r.gflops,
                        r.gbytes,
                        bound if fraction else "",
                        fraction,
                        f"{r.ratio(participant):.4f}" if "ours" in r.times else "",
                        "",
                    ]
                )
            for participant, reason in r.left_out.items():
                writer.writerow(
                    [r.case.name, r.threads, participant, versions.get(participant, ""), 0, *[""] * 8, reason]
                )
