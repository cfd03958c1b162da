"""SVG charts of results: on no background and in colours that are readable on a light and on a dark one."""

import itertools
import pathlib
from collections.abc import Callable

import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, NullLocator

from participants import OURS
from report import Result

GREY, BLUE, RED = "#797979", "#3b82d6", "#d9534f"
COLOURS = [BLUE, "#e08a1e", "#2a9d6f", "#b065c4", RED]

plt.switch_backend("svg")
plt.rcParams.update(
    {
        "svg.hashsalt": "simdrnn",  # the same file for the same numbers
        "svg.fonttype": "none",  # text as text
        "font.family": "sans-serif",
        "font.size": 9,
        "savefig.transparent": True,
        "legend.frameon": False,
        "axes.titlesize": 10,
        **dict.fromkeys(
            ["text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "grid.color"], GREY
        ),
    }
)

TICKS = (0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10, 20, 50, 100, 200, 500)
NAMES = {"lstm": "LSTM", "gru": "GRU", "rnn": "Elman"}


def save(figure: plt.Figure, path: pathlib.Path) -> pathlib.Path:
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
    return path


def ratios(results: list[Result], stem: pathlib.Path) -> list[pathlib.Path]:
    """For each number of threads, a bar a case: the best peer's time over ours."""
    paths = []
    for threads in sorted({r.threads for r in results}):
        rows = [r for r in results if r.threads == threads and OURS in r.times and r.peers()]
        if not rows:
            continue
        values = [r.ratio(r.peers()[0]) for r in rows]
        figure, axes = plt.subplots(figsize=(8, 1 + 0.2 * len(rows)))
        bars = axes.barh(
            [r.case.name for r in rows],
            [v - 1 for v in values],
            left=1,
            log=True,
            color=[BLUE if v >= 1 else RED for v in values],
        )
        axes.bar_label(bars, [f"{v:.2f} {r.peers()[0]}" for v, r in zip(values, rows)], fontsize=8, padding=3)
        axes.axvline(1, color=GREY, linewidth=0.8)
        axes.set_xlim(min(0.6, 0.4 * min(values)), max(1.8, 2.8 * max(values)))
        low, high = axes.get_xlim()
        axes.set_xticks([x for x in TICKS if low <= x <= high])
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.invert_yaxis()
        axes.margins(y=0.01)
        axes.tick_params(axis="y", labelsize=8)
        axes.set_xlabel("best peer's time / ours (right of 1: ours is faster)")
        axes.set_title(f"{threads} thread{'s' if threads > 1 else ''}")
        paths.append(save(figure, stem.with_name(f"{stem.name}-ratios-{threads}.svg")))
    return paths


# The rows of a figure of curves: the cases' names, what is drawn, and of what it is a part.
Part = Callable[[Result, str], float | None]
FIGURES: dict[str, tuple[str, list[tuple[str, str, Part]]]] = {
    "hidden": (
        "hidden size (= input size)",
        [
            ("hidden-batch", "batch 64, of the FMA peak", Result.of_peak),
            ("hidden-train", "training, batch 64, of the FMA peak", Result.of_peak),
            ("hidden-seq1", "batch 1, of plain reads", Result.of_reads),
        ],
    ),
    "batch": (
        "batch size, hidden size 256",
        [
            ("batch-infer", "inference, of the FMA peak", Result.of_peak),
            ("batch-train", "training, of the FMA peak", Result.of_peak),
        ],
    ),
}


def curves(results: list[Result], stem: pathlib.Path) -> list[pathlib.Path]:
    """A panel for each kind of cell and of call, a line for each participant and number of threads through the powers
    of two; crosses are their odd neighbours."""
    paths = []
    for extent, (label, rows) in FIGURES.items():
        chosen = [r for r in results if r.case.family == extent]
        kinds = [kind for kind in NAMES if any(r.case.kind == kind for r in chosen)]
        if not chosen:
            continue
        rows = [row for row in rows if any(r.case.name.startswith(row[0]) for r in chosen)]
        figure, panels = plt.subplots(
            *(len(rows), len(kinds)), figsize=(3.3 * len(kinds), 2.5 * len(rows)), sharex=True, squeeze=False
        )
        participants = sorted({p for r in chosen for p in r.times}, key=lambda p: (p != OURS, p))
        for (start, title, part), line in zip(rows, panels):
            for kind, axes in zip(kinds, line):
                panel = [r for r in chosen if r.case.name.startswith(f"{start}-{kind}-")]
                draw(axes, panel, participants, lambda r: getattr(r.case, extent), part)
                axes.set_title(f"{NAMES[kind]}: {title}", fontsize=8)
        for axes in panels[-1]:
            axes.set_xlabel(label)
        handles, names = max((axes.get_legend_handles_labels() for axes in panels.flat), key=lambda h: len(h[1]))
        figure.legend(handles, names, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4)
        figure.tight_layout()
        paths.append(save(figure, stem.with_name(f"{stem.name}-{extent}.svg")))
    return paths


def draw(axes: plt.Axes, results: list[Result], participants: list[str], x: Callable, part: Part) -> None:
    for participant, colour in zip(participants, itertools.cycle(COLOURS)):
        for threads in sorted({r.threads for r in results}):
            points = sorted(
                (x(r), part(r, participant)) for r in results if r.threads == threads and participant in r.times
            )
            line = [(size, value) for size, value in points if size & (size - 1) == 0]
            neighbours = [(size, value) for size, value in points if size & (size - 1)]
            if line:
                axes.plot(
                    *zip(*line),
                    "-" if threads == 1 else "--",
                    marker=".",
                    linewidth=1.8 if participant == OURS else 1,
                    color=colour,
                    label=f"{participant}, {threads} thread{'s' if threads > 1 else ''}",
                )
            if neighbours:
                axes.plot(*zip(*neighbours), "x", markersize=4, color=colour)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:.0f}%"))
    axes.set_ylim(0, max(1.0, axes.get_ylim()[1]))
    axes.grid(alpha=0.3)
