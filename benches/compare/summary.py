"""A run's results against the bars, and as a page of Markdown."""

import math

import participants
import report
from bars import BARS, NEIGHBOUR, NEIGHBOURS_FROM, PARTS, SLOPE, figures
from participants import OURS
from report import Result


def table(header: tuple[str, ...], rows: list[tuple[str, ...]], left: int = 1) -> str:
    rule = "|".join("---" if i < left else "---:" for i in range(len(header)))
    return "\n".join([f"| {' | '.join(header)} |", f"|{rule}|", *(f"| {' | '.join(row)} |" for row in rows)])


def shown(name: str, value: float) -> str:
    return f"{100 * value:.0f} %" if name in PARTS else f"{value:.2f}"


def of_cases(results: list[Result]) -> str:
    """For each bar, how many of its cases meet it, the case that is farthest from it, and all that do not."""
    every = {(r.case.name, r.threads): r for r in results}
    rows = []
    for bar in BARS:
        reached = []  # how far of the bar, which case, what it has
        for result in filter(bar.covers, results):
            have = {name: value for name, value in figures(result, every).items() if name in bar.least}
            if have:
                part = max(value / bar.least[name] for name, value in have.items())
                reached.append((part, f"{result.case.name} {', '.join(shown(n, v) for n, v in have.items())}"))
            else:
                reached.append((0.0, f"{result.case.name} {'no figure' if OURS in result.times else 'not measured'}"))
        if reached:
            below = [text for part, text in reached if part < 1]
            met = "yes" if not below else f"{len(reached) - len(below)} of {len(reached)}"
            rows.append((bar.family, str(bar.threads), bar.text(), met, min(reached)[1], "; ".join(below)))
        else:
            rows.append((bar.family, str(bar.threads), bar.text(), "not run", "", ""))
    return table(("family", "threads", "bar", "met", "farthest", "below"), rows, left=6)


def level(size: int) -> int:
    """The level of cache that holds so many bytes; the one after the last if none does."""
    caches = participants.cache_sizes()
    return 1 + sum(size > cache for cache in caches)


def of_curves(results: list[Result]) -> str:
    """Slopes between sizes 2^n, and the cost of 2^n + 1, on one thread."""
    lines: dict[str, dict[int, Result]] = {}
    for r in results:
        if r.threads == 1 and r.case.family == "hidden" and OURS in r.times:
            lines.setdefault(r.case.name.rpartition("-")[0], {})[r.case.hidden] = r
    rows = []
    for name, points in lines.items():
        sizes = sorted(points)
        powers = [size for size in sizes if size & (size - 1) == 0]
        for small, large in zip(powers, powers[1:]):
            a, b = points[small], points[large]
            slope = math.log(b.best(OURS) / b.case.steps * a.case.steps / a.best(OURS)) / math.log(
                b.case.flops / b.case.steps * a.case.steps / a.case.flops
            )
            levels = level(a.case.weight_bytes), level(b.case.weight_bytes)
            if levels[0] == levels[1]:
                rows.append((name, f"{small} to {large}", "slope", f"{slope:.3f}", "yes" if slope <= SLOPE else "no"))
            else:
                rows.append((name, f"{small} to {large}", "slope", f"{slope:.3f}", f"L{levels[0]} to L{levels[1]}"))
        for size in (size for size in powers if size + 1 in points):
            cost = points[size].rate(OURS) / points[size + 1].rate(OURS)
            met = ("yes" if cost <= NEIGHBOUR else "no") if size >= NEIGHBOURS_FROM else "small"
            rows.append((name, f"{size + 1} beside {size}", "cost", f"{cost:.3f}", met))
    bars = f"slope ≤ {SLOPE} within a level of cache; cost per operation ≤ {NEIGHBOUR} from {NEIGHBOURS_FROM} on"
    return f"{bars}\n\n" + table(("curve", "sizes", "", "", "met"), rows, left=3)


def page(verdict: str, results: list[Result], about: dict[str, str]) -> str:
    header = report.HEADER[:-1]
    rows = [report.cells(r)[:-1] for r in results]
    machine = "\n".join(f"- {name}: {value}" for name, value in about.items())
    return f"# Bars\n\n{verdict}\n\n# Cases\n\n{table(header, rows)}\n\n# Machine and versions\n\n{machine}\n"
