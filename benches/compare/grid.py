"""The cases: what is computed, in which shapes, and how much of it is necessary arithmetic."""

import random
from dataclasses import dataclass

GATES = {"rnn": 1, "gru": 3, "lstm": 4}


@dataclass(frozen=True)
class Case:
    """One case. Modes:

    step        one step of a stream, state carried inside or outside
    infer       forward over a batch of sequences
    train       forward and backward of everything: gradients of x, initial state and all weights
    dense       y = x W^T, (batch, input) by (hidden, input)
    classifier  training steps of a text classifier: embedding, layers, dense, cross-entropy, Adam
    A mode that ends in "len" has sequences of different lengths.
    """

    name: str
    kind: str
    mode: str
    steps: int
    batch: int
    input: int
    hidden: int
    layers: int = 1
    directions: int = 1
    classes: int = 0
    words: int = 0
    batches: int = 0

    @property
    def train(self) -> bool:
        return self.mode.startswith("train")

    @property
    def lengths(self) -> list[int] | None:
        """Lengths of the sequences, the same in every run; of all batches, one after another, for the classifier."""
        draw = random.Random(5)
        if self.mode == "classifier":
            return [min(self.steps, 2 + int(draw.gammavariate(2.5, 3))) for _ in range(self.batch * self.batches)]
        if self.mode.endswith("len"):
            return [draw.randint(1, self.steps) for _ in range(self.batch)]
        return None

    @property
    def tokens(self) -> int:
        """Time steps of all sequences together."""
        return sum(self.lengths or [self.steps * self.batch])

    @property
    def weights(self) -> int:
        """Values of all recurrent layers' parameters, biases included."""
        gates = GATES[self.kind]
        inputs = [self.input] + [self.directions * self.hidden] * (self.layers - 1)
        return sum(self.directions * gates * self.hidden * (i + self.hidden + 2) for i in inputs)

    @property
    def flops(self) -> int:
        """Multiply-adds that the mathematics needs, counted as two; backward counts double."""
        if self.mode == "dense":
            return 2 * self.batch * self.input * self.hidden
        gates = GATES[self.kind]
        inputs = [self.input] + [self.directions * self.hidden] * (self.layers - 1)
        once = sum(2 * self.directions * gates * self.hidden * (i + self.hidden) for i in inputs)
        return once * self.tokens * (3 if self.train or self.mode == "classifier" else 1)

    @property
    def hoisted_flops(self) -> int:
        """The part of `flops` that can be one product over all steps: the input's, if there is more than one step."""
        return self.flops * self.input // (self.input + self.hidden) if self.mode != "dense" and self.steps > 1 else 0

    @property
    def family(self) -> str:
        return self.name.split("-")[0]

    @property
    def weight_bytes(self) -> int:
        """Bytes that one step must read: the recurrent weights, and the input weights too if steps come one by one."""
        if self.mode == "dense":
            return 4 * self.input * self.hidden
        columns = self.hidden + (self.input if self.mode == "step" else 0)
        return 4 * GATES[self.kind] * self.hidden * columns

    @property
    def bound_by_reads(self) -> bool:
        return self.batch == 1 and self.layers == self.directions == 1 and not self.train

    @property
    def bytes_read(self) -> int:
        """Bytes of weights that a call must read, step by step, in a case that is bound by reads."""
        return self.weight_bytes * (1 if self.mode == "dense" else self.steps)


def grid() -> list[Case]:
    cases = []

    def add(
        family: str,
        kind: str,
        mode: str,
        steps: int,
        batch: int,
        sizes: list[tuple[int, int]],
        suffix: str = "",
        **more: int,
    ) -> None:
        for i, h in sizes:
            cases.append(Case(f"{family}-{kind}-{i}-{h}{suffix}", kind, mode, steps, batch, i, h, **more))

    def square(*hidden: int) -> list[tuple[int, int]]:
        return [(h, h) for h in hidden]

    add("step", "lstm", "step", 1, 1, [(1, 8), (1, 16), (1, 40), (128, 128), (512, 512)])
    add("step", "gru", "step", 1, 1, [(1, 8), (42, 96), (1024, 1024)])
    for kind in ("lstm", "gru", "rnn"):
        add("seq1", kind, "infer", 100, 1, square(64, 256, 512))
        add("seq1", kind, "infer", 50, 1, square(1024))
    add("seq8", "lstm", "infer", 50, 8, square(256))
    for kind in ("lstm", "gru", "rnn"):
        add("batch", kind, "infer", 50, 64, square(128, 512))
    add("bi2", "lstm", "infer", 50, 16, [(300, 256)], layers=2, directions=2)
    for kind in ("lstm", "gru", "rnn"):
        add("train", kind, "train", 50, 32, square(128, 256))
        add("train", kind, "train", 50, 64, square(512))
    add("train-bi2", "lstm", "train", 50, 32, [(300, 128)], layers=2, directions=2)
    for kind in ("lstm", "gru", "rnn"):
        add("full", kind, "infer", 50, 32, square(256))
        add("len", kind, "infer-len", 50, 32, square(256))
        add("trainlen", kind, "train-len", 50, 32, square(256))
    add("full-bi", "gru", "infer", 50, 32, square(128), directions=2)
    add("len-bi", "gru", "infer-len", 50, 32, square(128), directions=2)
    add("train-bi", "gru", "train", 50, 32, square(128), directions=2)
    add("trainlen-bi", "gru", "train-len", 50, 32, square(128), directions=2)
    cases.append(
        Case("classifier", "lstm", "classifier", 30, 32, 64, 64, directions=2, classes=8, words=2000, batches=8)
    )

    kinds, batches = ("lstm", "gru", "rnn"), (2, 7, 90)
    for row, hidden in enumerate((10, 33, 129, 300, 511, 700)):
        for column, kind in enumerate(kinds):
            batch = batches[(row + column) % 3]
            add("odd", kind, "infer", 25, batch, square(hidden), f"-b{batch}")
    for kind, hidden, batch in (("rnn", 10, 90), ("lstm", 33, 7), ("gru", 129, 90), ("lstm", 300, 2), ("gru", 511, 7)):
        add("odd-train", kind, "train", 25, batch, square(hidden), f"-b{batch}")
    add("odd-len", "gru", "infer-len", 25, 7, [(50, 33)], "-b7")
    add("odd-len", "lstm", "infer-len", 25, 90, [(33, 300)], "-b90")
    add("odd-trainlen", "rnn", "train-len", 25, 90, [(7, 129)], "-b90")
    add("odd-trainlen", "lstm", "train-len", 25, 7, [(129, 300)], "-b7")

    for m, n, k in (
        (1, 256, 64),
        (1, 512, 128),
        (1, 1024, 256),
        (1, 2048, 512),
        (1, 4096, 1024),
        (8, 1024, 256),
        (16, 1024, 256),
        (64, 512, 128),
        (64, 2048, 512),
        (100, 1024, 256),
        (1600, 1024, 256),
        (3200, 2048, 512),
    ):
        cases.append(Case(f"{'gemv' if m == 1 else 'gemm'}-{m}x{n}x{k}", "rnn", "dense", 1, m, k, n))
    return cases


def whole(case: str) -> str | None:
    """For a case with lengths, the one of the same shape where all sequences are of full length."""
    family, _, rest = case.partition("-")
    twin = {"len": "full", "trainlen": "train"}.get(family)
    return f"{twin}-{rest}" if twin else None


def curves() -> list[Case]:
    """Sizes on a scale: hidden sizes 16 to 2048 and their neighbours at batch 1 and 64, batches 1 to 256 at hidden
    size 256."""
    cases = []
    for kind in GATES:
        for hidden in (h for power in range(4, 12) for h in (2**power, 2**power + 1) if h <= 2048):
            steps = 50 if hidden < 300 else 10
            cases.append(Case(f"hidden-seq1-{kind}-{hidden}", kind, "infer", steps, 1, hidden, hidden))
            cases.append(Case(f"hidden-batch-{kind}-{hidden}", kind, "infer", steps, 64, hidden, hidden))
            cases.append(Case(f"hidden-train-{kind}-{hidden}", kind, "train", steps, 64, hidden, hidden))
        for batch in (1, 2, 4, 8, 16, 32, 64, 128, 256):
            cases.append(Case(f"batch-infer-{kind}-{batch}", kind, "infer", 50, batch, 256, 256))
            cases.append(Case(f"batch-train-{kind}-{batch}", kind, "train", 50, batch, 256, 256))
    return cases
