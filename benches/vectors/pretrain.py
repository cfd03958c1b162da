"""Word vectors from a corpus that anybody can fetch, for the classifier on the shipped reviews.

    (cd target && apt-get download wordnet-base fortunes fortunes-min fortunes-ru && for d in *.deb; do dpkg-deb -x "$d" deb; done)
    target/vectors-venv/bin/python benches/vectors/pretrain.py target/deb target/pretrained
    cargo run --release --example text_classifier -- --embeddings target/pretrained.bin

The corpus: WordNet 3.0's glosses and the fortunes of Debian, English and Russian. Writes PREFIX.bin (fastText, skip-gram,
64 values) and PREFIX.w2v (the same words in Word2Vec's binary form).
"""

import re
import sys
from pathlib import Path

import fasttext
import numpy as np


def texts(root):
    for name in sorted((root / "usr/share/wordnet").glob("data.*")):
        for line in name.read_text("latin-1").splitlines():
            if " | " in line:
                yield line.split(" | ", 1)[1]
    for path in sorted((root / "usr/share/games/fortunes").rglob("*")):
        if path.is_file() and path.suffix == "" and not path.is_symlink():
            yield from path.read_text("utf-8", errors="replace").split("\n%\n")


def main():
    root, prefix = Path(sys.argv[1]), Path(sys.argv[2])
    corpus = prefix.with_suffix(".txt")
    tokens = 0
    with open(corpus, "w") as out:
        for text in texts(root):
            words = re.findall(r"[^\W_]+(?:['-][^\W_]+)*|[^\w\s]", text.lower())
            tokens += len(words)
            out.write(" ".join(words) + "\n")
    print(f"{tokens} tokens")
    model = fasttext.train_unsupervised(str(corpus), "skipgram", dim=64, minCount=2, epoch=5, bucket=200_000, thread=2, verbose=0)
    model.save_model(str(prefix.with_suffix(".bin")))
    words = model.get_words()
    with open(prefix.with_suffix(".w2v"), "wb") as out:
        out.write(b"%d 64\n" % len(words))
        for word in words:
            out.write(word.encode() + b" " + np.asarray(model.get_word_vector(word), np.float32).tobytes() + b"\n")
    print(f"{len(words)} words")


if __name__ == "__main__":
    main()
