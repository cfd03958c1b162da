"""SVG charts of results."""

import pathlib

import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, NullLocator

from report import Result

plt.switch_backend("svg")
plt.rcParams["svg.hashsalt"] = "simdrnn"  # the same file for the same numbers

COLOURS = {"lstm": "tab:blue", "gru": "tab:orange", "rnn": "tab:green"}
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
        rows = [r for r in results if r.threads == threads and "ours" in r.times and r.peers()]
        if not rows:
            continue
        values = [r.ratio(r.peers()[0]) for r in rows]
        figure, axes = plt.subplots(figsize=(8, 1 + 0.22 * len(rows)))
        bars = axes.barh(
            [r.case.name for r in rows],
            [v - 1 for v in values],
            left=1,
            log=True,
            color=["tab:blue" if v >= 1 else "tab:red" for v in values],
        )
        axes.bar_label(bars, [f" {v:.2f} {r.peers()[0]} " for v, r in zip(values, rows)], fontsize=7)
        axes.axvline(1, color="black", linewidth=0.8)
        axes.set_xlim(min(0.6, 0.4 * min(values)), max(1.8, 2.8 * max(values)))
        low, high = axes.get_xlim()
        axes.set_xticks([x for x in TICKS if low <= x <= high])
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.invert_yaxis()
        axes.margins(y=0.01)
        axes.tick_params(axis="y", labelsize=7)
        axes.set_xlabel("best peer's time / ours (right of 1: ours is faster)")
        axes.set_title(f"{threads} thread{'s' if threads > 1 else ''}")
        paths.append(save(figure, stem.with_name(f"{stem.name}-ratios-{threads}.svg")))
    return paths


def curves(results: list[Result], stem: pathlib.Path) -> list[pathlib.Path]:
    """Our fraction of the FMA peak over the hidden size and over the batch size."""
    paths = []
    for family, label, extent in (
        ("hidden", "hidden size, batch 64", "hidden"),
        ("batch", "batch size, hidden size 256", "batch"),
    ):
        lines: dict[tuple[str, str, int], list[tuple[int, float]]] = {}
        for r in results:
            if r.case.name.startswith(family) and "ours" in r.times:
                key = (r.case.kind, r.case.mode, r.threads)
                fraction = r.rate("ours") / r.gflops
                lines.setdefault(key, []).append((getattr(r.case, extent), fraction))
        if not lines:
            continue
        figure, axes = plt.subplots(figsize=(7, 4.5))
        for (kind, mode, threads), points in lines.items():
            style = ("-" if threads == 1 else "--") if mode == "infer" else ("-." if threads == 1 else ":")
            what = "training" if mode == "train" else "inference"
            axes.plot(
                *zip(*sorted(points)),
                style,
                marker=".",
                color=COLOURS[kind],
                label=f"{NAMES[kind]}, {what}, threads {threads}",
            )
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:.0f}%"))
        axes.set_ylim(0, 1)
        axes.grid(alpha=0.3)
        axes.set_xlabel(label)
        axes.set_ylabel("necessary arithmetic, of the FMA peak")
        axes.legend(fontsize=7)
        paths.append(save(figure, stem.with_name(f"{stem.name}-{family}.svg")))
    return paths
