"""Makes the files beside it, and what the packages that made them say about them (expected.safetensors).

    python3 -m venv venv && venv/bin/pip install numpy gensim fasttext-wheel navec
    venv/bin/python make_files.py

All comes from one seed; but training in those packages rests on their own random numbers, so other versions of them may
make other files. What counts is that a file and its entry in expected.safetensors are made together.
"""

import io
import json
import lzma
import random
import struct
import zipfile
from pathlib import Path

import fasttext
import numpy as np
from gensim.models import FastText, KeyedVectors, Word2Vec
from gensim.models.fasttext import load_facebook_vectors, save_facebook_model
from navec.meta import Meta
from navec.navec import Navec
from navec.pq import PQ
from navec.vocab import Vocab

HERE = Path(__file__).parent
DIM = 6
UNKNOWN = ["кошечка", "catlike", "x", "ж", "日本語", "naïveté", "где-то", "🙂!"]
expected = {}


def corpus():
    rng = random.Random(5)
    nouns = "кот кошка собака дом молоко cat dog house milk naïve 東京".split()
    verbs = "спит ест видит sleeps eats sees".split()
    return [
        " ".join([rng.choice(nouns), rng.choice(verbs), rng.choice(nouns), rng.choice(["очень", "very", "."])])
        for _ in range(300)
    ]


def expect(name, words, vectors):
    vectors = np.asarray(vectors, np.float32)
    assert vectors.shape == (len(words), vectors.shape[1])
    expected[name] = (list(words), vectors)


def expect_keyed(name, keyed):
    expect(name, keyed.index_to_key, keyed.vectors)


def word2vec(sentences):
    model = Word2Vec([s.split() for s in sentences], vector_size=DIM, min_count=1, seed=1, workers=1, epochs=3).wv
    model.save_word2vec_format(HERE / "gensim.bin", binary=True)
    model.save_word2vec_format(HERE / "gensim.txt", binary=False)
    model.save_word2vec_format(HERE / "gensim.glove", binary=False, write_header=False)
    model.save_word2vec_format(HERE / "gensim.txt.gz", binary=False)
    expect_keyed("gensim.bin", KeyedVectors.load_word2vec_format(HERE / "gensim.bin", binary=True))
    expect_keyed("gensim.txt", KeyedVectors.load_word2vec_format(HERE / "gensim.txt"))
    expect_keyed("gensim.txt.gz", KeyedVectors.load_word2vec_format(HERE / "gensim.txt.gz"))
    expect_keyed("gensim.glove", KeyedVectors.load_word2vec_format(HERE / "gensim.glove", no_header=True))
    # The C tool's habits: a space after the last number, a line feed after each vector.
    with open(HERE / "c_tool.bin", "wb") as binary, open(HERE / "c_tool.txt", "wb") as text:
        for file in (binary, text):
            file.write(b"%d %d\n" % model.vectors.shape)
        for word, vector in zip(model.index_to_key, model.vectors):
            binary.write(word.encode() + b" " + vector.tobytes() + b"\n")
            text.write((word + " " + "".join(f"{v:f} " for v in vector) + "\n").encode())
    expect_keyed("c_tool.bin", KeyedVectors.load_word2vec_format(HERE / "c_tool.bin", binary=True))
    expect_keyed("c_tool.txt", KeyedVectors.load_word2vec_format(HERE / "c_tool.txt"))


def expect_model(file, model, unknown=True):
    model.save_model(str(HERE / file))
    words = model.get_words()
    expect(file, words, [model.get_word_vector(w) for w in words])
    if unknown:
        expect(file + ":unknown", UNKNOWN, [model.get_word_vector(w) for w in UNKNOWN])


def packed():
    """gensim.txt again: xz in two streams with padding and checks of two kinds, and a zip of unknown sizes from macOS."""
    text = (HERE / "gensim.txt").read_bytes()
    parts = lzma.compress(text[:300], check=lzma.CHECK_CRC64), lzma.compress(text[300:], check=lzma.CHECK_CRC32, preset=0)
    (HERE / "gensim.txt.xz").write_bytes(parts[0] + bytes(4) + parts[1])
    (HERE / "newlines.xz").write_bytes(lzma.compress(b"1 2\na 1 2\n" + b"\n" * (5 << 20), preset=9))
    archive = NoSeek()
    with zipfile.ZipFile(archive, "w") as file:
        for name, data in [("vectors/", b""), ("vectors/gensim.txt", text), ("__MACOSX/vectors/._gensim.txt", b"junk" * 9)]:
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_STORED if name.endswith("/") else zipfile.ZIP_DEFLATED
            file.writestr(info, data)
    (HERE / "gensim.txt.zip").write_bytes(archive.data)


class NoSeek(io.RawIOBase):
    def __init__(self):
        self.data = bytearray()

    def writable(self):
        return True

    def write(self, data):
        self.data += bytes(data)
        return len(data)


def fasttext_models(sentences):
    text = HERE / "corpus.tmp"
    text.write_text("\n".join(sentences))
    labelled = HERE / "labelled.tmp"
    labelled.write_text("\n".join(f"__label__{i % 2} {s}" for i, s in enumerate(sentences)))
    common = dict(dim=DIM, minCount=1, thread=1, epoch=2, verbose=0)
    models = {
        "skipgram": fasttext.train_unsupervised(str(text), "skipgram", minn=2, maxn=4, bucket=50, **common),
        "cbow_words_only": fasttext.train_unsupervised(str(text), "cbow", maxn=0, bucket=50, **common),
        "supervised": fasttext.train_supervised(str(labelled), minn=3, maxn=6, bucket=40, wordNgrams=2, **common),
        "supervised_words_only": fasttext.train_supervised(str(labelled), **common),
    }
    for name, model in models.items():
        expect_model(f"fasttext_{name}.bin", model, unknown=not name.endswith("words_only"))
    # As fastText's own print of vectors: five digits and a space at the end.
    skipgram = models["skipgram"]
    with open(HERE / "fasttext.vec", "w") as vec:
        vec.write(f"{len(skipgram.get_words())} {DIM}\n")
        for word in skipgram.get_words():
            vec.write(word + " " + "".join(f"{v:.5g} " for v in skipgram.get_word_vector(word)) + "\n")
    expect_keyed("fasttext.vec", KeyedVectors.load_word2vec_format(HERE / "fasttext.vec"))
    # Quantization needs 256 rows.
    quantized = fasttext.train_supervised(str(labelled), minn=3, maxn=6, bucket=300, **common)
    quantized.quantize(input=str(labelled), retrain=False)
    expect_model("fasttext.ftz", quantized)
    # All that fastText can do: norms apart, few buckets left, a last part that is narrower, a quantized output.
    labelled.write_text("\n".join(f"__label__{i} {s}" for i, s in enumerate(sentences)))
    pruned = fasttext.train_supervised(str(labelled), minn=2, maxn=4, bucket=400, **(common | {"dim": 7}))
    pruned.quantize(input=str(labelled), qnorm=True, qout=True, cutoff=300, dsub=2)
    expect_model("fasttext_pruned.ftz", pruned)
    text.unlink()
    labelled.unlink()


def gensim_fasttext(sentences):
    model = FastText([s.split() for s in sentences], vector_size=DIM, min_count=1, bucket=30, min_n=3, max_n=5, seed=1,
                     workers=1, epochs=2)
    file = "gensim_fasttext.bin"
    save_facebook_model(model, str(HERE / file))
    keyed = load_facebook_vectors(str(HERE / file))
    expect_keyed(file, keyed)
    expect(file + ":unknown", UNKNOWN, [keyed[w] for w in UNKNOWN])


def navec():
    rng = np.random.default_rng(7)
    words = ["кот", "собака", "дом", "ёлка", "и", "<unk>", "<pad>"]
    parts, centroids = 3, 5
    codes = rng.standard_normal((parts, centroids, DIM // parts), np.float32)
    codes[:, centroids - 1] = 0
    indexes = rng.integers(0, centroids - 1, (len(words), parts)).astype(np.uint8)
    indexes[-1] = centroids - 1
    pq = PQ(len(words), DIM, parts, centroids, indexes, codes)
    Navec(Meta("made_for_tests"), Vocab(words, [9, 8, 7, 2, 1, 0, 0]), pq).dump(HERE / "navec.tar")
    loaded = Navec.load(HERE / "navec.tar")
    expect("navec.tar", loaded.vocab.words, [loaded[w] for w in loaded.vocab.words])


def write_expected():
    header, data = {"__metadata__": {name: "\n".join(words) for name, (words, _) in expected.items()}}, b""
    for name, (_, vectors) in expected.items():
        bytes_ = vectors.tobytes()
        header[name] = {"dtype": "F32", "shape": list(vectors.shape), "data_offsets": [len(data), len(data) + len(bytes_)]}
        data += bytes_
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (HERE / "expected.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)


if __name__ == "__main__":
    lines = corpus()
    word2vec(lines)
    packed()
    fasttext_models(lines)
    gensim_fasttext(lines)
    navec()
    write_expected()
    print({name: len(words) for name, (words, _) in expected.items()})
