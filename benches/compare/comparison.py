"""The measurement: all participants in turns, case by case."""

import argparse
import dataclasses
import datetime
import os
import pathlib
import signal
import tempfile
import time

import charts
import inputs
import participants
import report
import summary
from grid import Case
from participants import BUILD, OURS, ROOT
from report import Result
from workers import Worker, WorkerError, prepare_request

BURST = 80  # milliseconds
PATIENCE = 180.0  # seconds for one answer


class Comparison:
    """Workers for one number of threads, and what they measure."""

    def __init__(self, threads: int, args: argparse.Namespace, wide: bool):
        self.threads, self.seconds = threads, args.seconds
        self.environment = participants.environment(threads, args.isa)
        self.cpus = participants.cores()[:threads]
        self.log = BUILD / "peers.log"
        self.versions: dict[str, str] = {}
        self.workers: dict[str, Worker] = {}
        self.broken: set[str] = set()  # those that do not even start
        self.limits = self.start_limits("avx512" if wide else "avx2")

    def start_limits(self, isa: str) -> Worker:
        command = [str(BUILD / "limits"), str(self.threads), isa]
        return Worker(command, self.environment, self.cpus, self.log, greeting=False)

    def peak(self, isa: str) -> dict[str, str]:
        worker = self.start_limits(isa)
        rate = worker.ask("4096 400", PATIENCE)["gflops"]
        worker.stop()
        return {f"FMA peak, {isa}, threads {self.threads}": f"{rate:.0f} GFLOP/s"}

    def start(self, name: str) -> Worker:
        worker = self.workers.get(name)
        if worker is None:
            try:
                worker = Worker(participants.command(name, self.threads), self.environment, self.cpus, self.log)
            except WorkerError as error:
                self.broken.add(name)
                raise WorkerError(f"does not start: {error}; see {os.path.relpath(self.log)}") from None
            self.workers[name], self.versions[name] = worker, worker.version
        return worker

    def drop(self, name: str) -> None:
        if name in self.workers:
            self.workers.pop(name).stop()

    def close(self) -> None:
        for name in list(self.workers):
            self.drop(name)
        self.limits.stop()

    def measure(self, case: Case, names: list[str], folder: pathlib.Path) -> Result:
        """Prepares all participants, compares their results with ours, then times them in turns."""
        result = Result(case, self.threads)
        for path in inputs.results(folder):
            path.unlink()
        active = []
        for participant in (name for name in names if name not in self.broken):
            try:
                answer = self.start(participant).ask(prepare_request(case, folder), PATIENCE)
            except WorkerError as error:
                answer = {"error": str(error)}
                self.drop(participant)
            if "skip" in answer and participant != OURS:
                continue
            reason = answer.get("error", answer.get("skip"))
            if not reason and participant != OURS:
                reason = inputs.disagreement(case, folder, participant)
                reason = reason and f"disagrees: {reason}"
            if reason:
                result.left_out[participant] = reason
                if participant == OURS:  # nothing to compare with
                    return result
            else:
                active.append(participant)
        spent = dict.fromkeys(active, 0.0)
        for number in range(1000):
            turn = [p for p in active if spent[p] < self.seconds or number < 3]
            if not turn:
                break
            limits = self.limits.ask(f"{case.weight_bytes} {BURST // 2}", PATIENCE)
            result.gflops, result.gbytes = max(result.gflops, limits["gflops"]), max(result.gbytes, limits["gbytes"])
            for participant in turn[number % len(turn) :] + turn[: number % len(turn)]:
                try:
                    answer = self.workers[participant].ask(f"burst {BURST}", PATIENCE)
                except WorkerError as error:
                    answer = {"error": str(error)}
                    self.drop(participant)
                if "times" not in answer:
                    result.left_out[participant] = answer.get("error", "no times")
                    result.times.pop(participant, None)
                    active.remove(participant)
                    continue
                result.times.setdefault(participant, []).extend(answer["times"])
                spent[participant] += max(BURST * 1e-3, sum(answer["times"]))
        return result


class Memory:
    """Workers that fork for each case and run it on one thread in the child."""

    MEASURED = (OURS, "torch")

    def __init__(self, args: argparse.Namespace):
        # What is given back goes back to the kernel, so that the peak is what was in use.
        self.environment = participants.environment(1, args.isa) | {"MALLOC_MMAP_THRESHOLD_": str(1 << 17)}
        self.workers: dict[str, Worker] = {}

    def measure(self, result: Result, folder: pathlib.Path) -> None:
        for participant in self.MEASURED:
            if participant in result.times:
                try:
                    result.memory[participant] = self.peak(result.case, participant, folder)
                except WorkerError as error:
                    print(f"    no memory of {participant}: {error}", flush=True)
                    self.drop(participant)

    def peak(self, case: Case, participant: str, folder: pathlib.Path) -> int:
        """How much the process grows with model, outputs and everything that the calls need."""
        if participant not in self.workers:
            cpus = participants.cores()[:1]
            command = participants.command(participant, 1)
            self.workers[participant] = Worker(command, self.environment, cpus, BUILD / "peers.log")
        worker = self.workers[participant]
        tiny = dataclasses.replace(case, steps=min(2, case.steps), batch=min(2, case.batch), input=8, hidden=8)
        answer: dict = {}
        with tempfile.TemporaryDirectory() as path:
            inputs.write(tiny, pathlib.Path(path))
            for request in (
                "fork",
                prepare_request(tiny, pathlib.Path(path)),  # loads the code
                prepare_request(case, folder),
                "memory",
                "end",
            ):
                answer |= worker.ask(request, PATIENCE)
                if "error" in answer or "skip" in answer:
                    raise WorkerError(f"{request.split()[0]}: {answer}")
        return max(0, answer["grown"] - inputs.held(case, folder, participant))

    def drop(self, participant: str) -> None:
        if participant in self.workers:
            self.workers.pop(participant).stop()

    def close(self) -> None:
        for participant in list(self.workers):
            self.drop(participant)


def machine(args: argparse.Namespace, versions: dict[str, str], limits: dict[str, str]) -> dict[str, str]:
    return {
        "date": datetime.datetime.now().isoformat(timespec="minutes"),
        "cpu": participants.cpu_name(),
        "cores": str(len(participants.cores())),
        "isa": f"all limited to {args.isa}" if args.isa else "as chosen by each",
        "commit": participants.tool_version("git", "-C", str(ROOT), "describe", "--always", "--dirty"),
        "rustc": participants.tool_version("rustc", "--version"),
        "load": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        **limits,
        **versions,
    }


def measure_all(
    args: argparse.Namespace, cases: list[Case], names: list[str], limits: dict[str, str], versions: dict[str, str]
) -> list[Result]:
    """Case by case, all numbers of threads one after another. An interrupt ends it early."""
    wide = "avx512f" in participants.cpu_flags() and args.isa != "avx2"
    available = len(participants.cores())
    counts = [int(count) for count in args.threads.split(",")]
    for count in (c for c in counts if c > available):
        print(f"no {count} cores to run {count} threads on")
    comparisons = [Comparison(count, args, wide) for count in counts if count <= available]
    memory = Memory(args)
    results: list[Result] = []
    try:
        for comparison in comparisons:
            for isa in ("avx2", "avx512") if wide else ("avx2",):
                limits |= comparison.peak(isa)
        print(report.line(report.HEADER), flush=True)
        for case in cases:
            with tempfile.TemporaryDirectory() as path:
                folder = pathlib.Path(path)
                inputs.write(case, folder)
                one = None
                for comparison in comparisons:
                    result = comparison.measure(case, names, folder)
                    one = result if comparison.threads == 1 else one
                    result.one = one
                    if comparison is comparisons[0] and not args.curves:
                        memory.measure(result, folder)
                    results.append(result)
                    print(report.row(result), flush=True)
                    for participant, reason in result.left_out.items():
                        print(f"    left out: {participant}: {reason}", flush=True)
    except KeyboardInterrupt:
        print("stopped; what was measured so far:")
    finally:
        memory.close()
        for comparison in comparisons:
            comparison.close()
            versions |= comparison.versions
    return results


def compare(args: argparse.Namespace, cases: list[Case], names: list[str]) -> None:
    """Measures, prints and writes."""
    limits: dict[str, str] = {}
    versions: dict[str, str] = {}
    start = time.monotonic()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    results = measure_all(args, cases, names, limits, versions)
    about = machine(args, versions, limits) | {"minutes": f"{(time.monotonic() - start) / 60:.1f}"}
    print()
    for name, value in about.items():
        print(f"{name}: {value}")
    if not results:
        return
    stamp = datetime.date.today().isoformat()
    kind = ("curves" if args.curves else "compare") + (f"-{args.isa}" if args.isa else "")
    out = args.out or (ROOT / "benches" / "record" / f"{stamp}-{kind}.csv" if args.record else BUILD / f"{kind}.csv")
    verdict = (summary.of_curves if args.curves else summary.of_cases)(results)
    print(f"\n{verdict}")
    report.write_csv(out, results, versions, about)
    text = out.with_suffix(".md")
    text.write_text(summary.page(verdict, results, about))
    written = [out, text, *(charts.curves if args.curves else charts.ratios)(results, out.with_suffix(""))]
    print("\n".join(f"wrote {os.path.relpath(path)}" for path in written))
