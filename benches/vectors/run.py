"""Readers of word vectors and nearest neighbours beside gensim, fastText and NumPy, on the same files in one run.

    cargo build --release
    python3 -m venv target/vectors-venv
    target/vectors-venv/bin/pip install numpy gensim fasttext-wheel
    target/vectors-venv/bin/python benches/vectors/run.py read [FILE ...]  # MB/s and peak memory of each reader
    target/vectors-venv/bin/python benches/vectors/run.py nearest          # queries a second on 10^6 x 300

Files are made once, in target/vectors-bench, from a seed. Each reader runs in a process of its own, in turns; the minimum
counts. The file is in the page cache. A Python process without our reader takes about 10 MB, with NumPy and gensim 100 MB.
"""

import ctypes
import json
import os
import resource
import struct
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
FILES = TARGET / "vectors-bench"
WORDS, DIM, BUCKETS = 100_000, 100, 100_000


# ---------------------------------------------------------------- files


def words(count):
    return [f"{'слово' if i % 4 == 0 else 'word'}{i}" for i in range(count)]


def make_files():
    import numpy as np

    if (FILES / "done").exists():
        return
    FILES.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    table = rng.standard_normal((WORDS, DIM), np.float32) / 4
    names = words(WORDS)
    with open(FILES / "word2vec.bin", "wb") as binary, open(FILES / "word2vec.txt", "w") as text, \
            open(FILES / "glove.txt", "w") as glove:
        binary.write(b"%d %d\n" % table.shape)
        text.write("%d %d\n" % table.shape)
        for name, row in zip(names, table):
            binary.write(name.encode() + b" " + row.tobytes() + b"\n")
            text.write(name + " " + " ".join(map(str, row)) + "\n")
            glove.write(name + " " + " ".join(f"{v:.5f}" for v in row) + "\n")
    subprocess.run(["gzip", "-1kf", FILES / "glove.txt"], check=True)
    with open(FILES / "fasttext.bin", "wb") as model:
        model.write(struct.pack("<2i", 793712314, 12))
        model.write(struct.pack("<12id", DIM, 5, 5, 1, 5, 1, 2, 2, BUCKETS, 3, 6, 100, 1e-4))
        model.write(struct.pack("<3i2q", WORDS, WORDS, 0, 10**6, -1))
        for i, name in enumerate(names):
            model.write(name.encode() + b"\0" + struct.pack("<qb", 2 * WORDS - i, 0))
        model.write(struct.pack("<b2q", 0, WORDS + BUCKETS, DIM) + table.tobytes())
        model.write((rng.standard_normal((BUCKETS, DIM), np.float32) / 4).tobytes())
        model.write(struct.pack("<b2q", 0, WORDS, DIM) + np.zeros((WORDS, DIM), np.float32).tobytes())
    (FILES / "done").touch()


# ---------------------------------------------------------------- ours, through the C ABI


class Ours:
    def __init__(self):
        self.lib = ctypes.CDLL(str(TARGET / "release/libsimdrnn.so"))
        self.error = ctypes.create_string_buffer(516)

    def check(self, status):
        if status:
            raise SystemExit(self.error.raw[4:].split(b"\0")[0].decode())

    def open(self, path):
        handle = ctypes.c_void_p()
        self.check(self.lib.srnn_vectors_open(os.fsencode(path), None, ctypes.byref(handle), self.error))
        return handle

    def pool(self, threads):
        if threads == 1:
            return None
        handle = ctypes.c_void_p()
        self.check(self.lib.srnn_pool_create(ctypes.c_size_t(threads), ctypes.byref(handle), self.error))
        return handle

    def nearest(self, vectors, pool, query, count):
        import numpy as np

        indices, similar = np.zeros(count, np.uintp), np.zeros(count, np.float32)
        found, size = ctypes.c_size_t(), ctypes.c_size_t
        self.check(self.lib.srnn_vectors_nearest(
            vectors, pool, query.ctypes.data_as(ctypes.c_void_p), size(len(query)), None, size(0),
            indices.ctypes.data_as(ctypes.c_void_p), size(count), similar.ctypes.data_as(ctypes.c_void_p), size(count),
            ctypes.byref(found), self.error))
        return indices[:found.value], similar[:found.value]


# ---------------------------------------------------------------- readers


def read_ours(path):
    ours = Ours()
    return lambda: ours.open(path)


def read_gensim(path):
    from gensim.models import KeyedVectors
    from gensim.models.fasttext import load_facebook_vectors

    if path.name == "fasttext.bin":
        return lambda: load_facebook_vectors(str(path))
    return lambda: KeyedVectors.load_word2vec_format(
        str(path), binary=path.suffix == ".bin", no_header=path.name.startswith("glove"))


def read_fasttext(path):
    import fasttext

    fasttext.FastText.eprint = lambda *_: None
    return lambda: fasttext.load_model(str(path))


READERS = {"simdrnn": read_ours, "gensim": read_gensim, "fasttext": read_fasttext}


def reader_process(reader, path):
    read = READERS[reader](Path(path))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    kept = read()
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": seconds, "before": before, "after": after}), flush=True)
    del kept
    os._exit(0)


NAMES = ["word2vec.bin", "word2vec.txt", "glove.txt", "glove.txt.gz", "fasttext.bin"]


def compare_readers(names, rounds=3):
    make_files()
    print(f"{'file':14} {'MB':>6}  {'reader':9} {'s':>7} {'MB/s':>7} {'peak MB':>8} {'/ simdrnn':>9}")
    for name in names:
        path = FILES / name
        size = path.stat().st_size / 1e6
        readers = ["simdrnn", "gensim"] + (["fasttext"] if name == "fasttext.bin" else [])
        best = {}
        for _ in range(rounds):
            for reader in readers:
                output = subprocess.run([sys.executable, __file__, "reader", reader, path], capture_output=True, text=True)
                if output.returncode:
                    raise SystemExit(f"{reader} {name}: {output.stderr}")
                result = json.loads(output.stdout.strip().splitlines()[-1])
                if reader not in best or result["seconds"] < best[reader]["seconds"]:
                    best[reader] = result
        for reader in readers:
            r = best[reader]
            ratio = r["seconds"] / best["simdrnn"]["seconds"]
            peak = (r["after"] - r["before"]) / 1e3
            print(f"{name:14} {size:6.0f}  {reader:9} {r['seconds']:7.3f} {size / r['seconds']:7.0f} {peak:8.0f} {ratio:9.2f}",
                  flush=True)


# ---------------------------------------------------------------- neighbours


def compare_nearest(count=1_000_000, dim=300, queries=8, top=10):
    import numpy as np

    path = FILES / "large.bin"
    FILES.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(2)
    if not path.exists():
        with open(path, "wb") as file:
            file.write(b"%d %d\n" % (count, dim))
            for start in range(0, count, 10_000):
                rows = rng.standard_normal((10_000, dim), np.float32)
                for i, row in enumerate(rows):
                    file.write(b"w%d " % (start + i) + row.tobytes())
    ours = Ours()
    vectors = ours.open(path)
    table = np.empty((count, dim), np.float32)
    with open(path, "rb") as file:
        file.readline()
        for row in table:
            while file.read(1) != b" ":
                pass
            row[:] = np.frombuffer(file.read(4 * dim), np.float32)
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    threads = len(os.sched_getaffinity(0))
    pools = {n: ours.pool(n) for n in sorted({1, threads})}
    asked = rng.standard_normal((queries, dim), np.float32)

    def numpy_nearest(query):
        scores = table @ (query / np.linalg.norm(query))
        best = np.argpartition(-scores, top)[:top]
        return best[np.argsort(-scores[best])]

    times = {}
    for query in asked:
        expected, start = None, time.perf_counter()
        expected = numpy_nearest(query)
        times.setdefault("NumPy, its threads", []).append(time.perf_counter() - start)
        for n, pool in pools.items():
            start = time.perf_counter()
            found, _ = ours.nearest(vectors, pool, query, top)
            times.setdefault(f"simdrnn, {n} threads", []).append(time.perf_counter() - start)
            assert list(found) == list(expected), (found, expected)
    for who, seconds in times.items():
        seconds = sorted(seconds)
        rate = 1 / seconds[len(seconds) // 2]
        print(f"{who:20} {rate:6.1f} queries/s (median), {1 / seconds[0]:6.1f} at best,"
              f" {4e-9 * count * dim / seconds[0]:5.1f} GB/s")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["reader", reader, path]:
            reader_process(reader, path)
        case ["read", *names]:
            compare_readers(names or NAMES)
        case ["files"]:
            make_files()
        case ["nearest"]:
            compare_nearest()
        case _:
            raise SystemExit(__doc__)
