"""Participants as processes: asked one at a time, stopped while others are measured."""

import ctypes
import json
import os
import pathlib
import select
import signal
import subprocess
import time

from grid import Case


class WorkerError(Exception):
    """The process ended or gave no answer."""


PR_SET_PDEATHSIG = 1


def prepare_child(cpus: list[int]) -> None:
    """Binds it to CPUs, and lets it die with its parent: a stopped process would never notice."""
    os.sched_setaffinity(0, cpus)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Worker:
    """A process that answers each line with a line of JSON. Between requests it is stopped (SIGSTOP), so that no thread
    of it spins while another participant is measured."""

    def __init__(
        self, command: list[str], environment: dict[str, str], cpus: list[int], log: pathlib.Path, greeting: bool = True
    ):
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log.open("a"),
            env=environment,
            preexec_fn=lambda: prepare_child(cpus),
        )
        self.buffer = b""
        self.version = ""
        if greeting:
            self.version = str(self.receive(120).get("version", ""))
        self.pause()

    def pause(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGSTOP)

    def ask(self, line: str, timeout: float) -> dict:
        if self.process.poll() is not None:
            raise WorkerError("the process has ended")
        self.process.send_signal(signal.SIGCONT)
        try:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise WorkerError(self.ending()) from None
        answer = self.receive(timeout)
        self.pause()
        return answer

    def receive(self, timeout: float) -> dict:
        end = time.monotonic() + timeout
        while b"\n" not in self.buffer:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                self.stop()
                raise WorkerError(f"no answer in {timeout:.0f} s")
            chunk = os.read(self.process.stdout.fileno(), 1 << 16)
            if not chunk:
                raise WorkerError(self.ending())
            self.buffer += chunk
        line, _, self.buffer = self.buffer.partition(b"\n")
        return json.loads(line)

    def ending(self) -> str:
        code = self.process.wait()
        return f"ended by signal {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def prepare_request(case: Case, folder: pathlib.Path) -> str:
    sizes = (case.steps, case.batch, case.input, case.hidden, case.layers, case.directions)
    return f"prepare {case.kind} {case.mode} {' '.join(map(str, sizes))} {folder}"
