"""Readers of word vectors and nearest neighbours beside gensim, fastText, Navec and NumPy, on the same files in one run.

    cargo build --release
    python3 -m venv target/vectors-venv
    target/vectors-venv/bin/pip install numpy gensim fasttext-wheel navec threadpoolctl
    target/vectors-venv/bin/python benches/vectors/run.py read [FILE ...]      # MB/s and peak memory of each reader
    target/vectors-venv/bin/python benches/vectors/run.py nearest [WORDS]      # queries a second on 10^6 x 300
    target/vectors-venv/bin/python benches/vectors/run.py restricted [GB]      # a large file read for 10 000 words

Files are made once, in target/vectors-bench, from a seed; those of `restricted` (5 GB each) are removed again. Each reader
runs in a process of its own with one thread, in turns. Files are in the page cache, so a reader's time is processor time,
which other load on the machine changes least: that is what is compared, the minimum of three. The peak is how far a
process's memory rose above what its imports had taken. `read` also writes target/vectors-bench/read.csv.
"""

import ctypes
import json
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
FILES = TARGET / "vectors-bench"
WORDS, DIM, BUCKETS = 100_000, 100, 100_000
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ["OPENBLAS", "OMP", "MKL"]}


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
            open(FILES / "glove.txt", "w") as glove, open(FILES / "fasttext.vec", "w") as vec:
        binary.write(b"%d %d\n" % table.shape)
        text.write("%d %d\n" % table.shape)
        vec.write("%d %d\n" % table.shape)
        for name, row in zip(names, table):
            binary.write(name.encode() + b" " + row.tobytes() + b"\n")
            text.write(name + " " + " ".join(map(str, row)) + "\n")
            glove.write(name + " " + " ".join(f"{v:.5f}" for v in row) + "\n")
            vec.write(name + " " + "".join(f"{v:.5g} " for v in row) + "\n")
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
    make_navec(rng)
    (FILES / "done").touch()


def make_navec(rng, count=200_000, dim=300, parts=100, centroids=256):
    import numpy as np
    from navec.meta import Meta
    from navec.navec import Navec
    from navec.pq import PQ
    from navec.vocab import Vocab

    names = words(count - 2) + ["<unk>", "<pad>"]
    codes = rng.standard_normal((parts, centroids, dim // parts), np.float32)
    indexes = rng.integers(0, centroids, (count, parts)).astype(np.uint8)
    pq = PQ(count, dim, parts, centroids, indexes, codes)
    Navec(Meta("from_a_seed"), Vocab(names, list(range(count, 0, -1))), pq).dump(str(FILES / "navec.tar"))


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
        self.check(self.lib.srnn_vectors_set_pool(vectors, pool, self.error))
        self.check(self.lib.srnn_vectors_nearest(
            vectors, query.ctypes.data_as(ctypes.c_void_p), size(len(query)), None, size(0),
            indices.ctypes.data_as(ctypes.c_void_p), size(count), similar.ctypes.data_as(ctypes.c_void_p), size(count),
            ctypes.byref(found), self.error))
        return indices[:found.value], similar[:found.value]


    def nearest_batch(self, vectors, pool, queries, count):
        import numpy as np

        several, size = len(queries), ctypes.c_size_t
        indices, similar = np.zeros((several, count), np.uintp), np.zeros((several, count), np.float32)
        counts = np.zeros(several, np.uintp)
        at = lambda array: (array.ctypes.data_as(ctypes.c_void_p), size(array.size))
        self.check(self.lib.srnn_vectors_set_pool(vectors, pool, self.error))
        self.check(self.lib.srnn_vectors_nearest_batch(
            vectors, *at(queries), None, size(0), *at(indices), *at(similar), *at(counts), self.error))
        return indices


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


def read_navec(path):
    from navec import Navec

    return lambda: Navec.load(str(path))


def read_navec_unpacked(path):
    from navec import Navec

    def read():
        loaded = Navec.load(str(path))
        return loaded, loaded.pq.unpack()

    return read


READERS = {"simdrnn": read_ours, "gensim": read_gensim, "fasttext": read_fasttext, "navec": read_navec,
           "navec, unpacked": read_navec_unpacked}


def peak():
    """The most memory this process ever had, in MB; getrusage would count that of the process which started it, too."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6


def reader_process(reader, path):
    read = READERS[reader](Path(path))
    before, start = peak(), (time.process_time(), time.perf_counter())
    kept = read()
    seconds, wall = time.process_time() - start[0], time.perf_counter() - start[1]
    print(json.dumps({"seconds": seconds, "wall": wall, "peak": peak() - before}), flush=True)
    del kept
    os._exit(0)


PEERS = {
    "word2vec.bin": ["gensim"],
    "word2vec.txt": ["gensim"],
    "fasttext.vec": ["gensim"],
    "glove.txt": ["gensim"],
    "glove.txt.gz": ["gensim"],
    "fasttext.bin": ["fasttext", "gensim"],
    "navec.tar": ["navec", "navec, unpacked"],
}


def compare_readers(names, rounds=3):
    make_files()
    lines = ["file,MB,reader,seconds,MB/s,peak MB,time / simdrnn,peak / simdrnn"]
    print(f"{'file':14} {'MB':>5}  {'reader':15} {'s':>7} {'MB/s':>6} {'peak MB':>7} {'time ratio':>10} {'peak ratio':>10}")
    for name in names:
        path = FILES / name
        size = path.stat().st_size / 1e6
        readers = ["simdrnn", *PEERS[name]]
        best = {}
        for _ in range(rounds):
            for reader in readers:
                output = subprocess.run([sys.executable, __file__, "reader", reader, path], capture_output=True, text=True,
                                        env=os.environ | ONE_THREAD)
                if output.returncode:
                    raise SystemExit(f"{reader} {name}: {output.stderr}")
                result = json.loads(output.stdout.strip().splitlines()[-1])
                if reader not in best or result["seconds"] < best[reader]["seconds"]:
                    best[reader] = result
        ours = best["simdrnn"]
        for reader in readers:
            r = best[reader]
            ratios = r["seconds"] / ours["seconds"], r["peak"] / ours["peak"]
            print(f"{name:14} {size:5.0f}  {reader:15} {r['seconds']:7.3f} {size / r['seconds']:6.0f} {r['peak']:7.0f}"
                  f" {ratios[0]:10.2f} {ratios[1]:10.2f}", flush=True)
            lines.append(f'{name},{size:.1f},"{reader}",{r["seconds"]:.4f},{size / r["seconds"]:.1f},{r["peak"]:.1f},'
                         f"{ratios[0]:.3f},{ratios[1]:.3f}")
    (FILES / "read.csv").write_text("\n".join(lines) + "\n")


# ---------------------------------------------------------------- large files, few words


def write_large(kind, path, gigabytes, dim=300):
    """About so many GB; names are w0, w1, ...; vectors come from a pool of 1000 rows."""
    import numpy as np

    rng = np.random.default_rng(3)
    rows = rng.standard_normal((1000, dim), np.float32)
    tails = [b" " + row.tobytes() for row in rows]
    if kind == "text":
        tails = [b" " + " ".join(f"{v:.6f}" for v in row).encode() + b"\n" for row in rows]
    size = 10 + sum(map(len, tails)) / len(tails)
    with open(path, "wb") as file:
        if kind == "fasttext":
            count, buckets = int(1e9 * gigabytes / 4 / dim / 3), int(1e9 * gigabytes / 4 / dim / 3)
            file.write(struct.pack("<2i", 793712314, 12))
            file.write(struct.pack("<12id", dim, 5, 5, 1, 5, 1, 2, 2, buckets, 3, 6, 100, 1e-4))
            file.write(struct.pack("<3i2q", count, count, 0, 10**6, -1))
            for start in range(0, count, 1000):
                file.write(b"".join(b"w%d\0" % i + struct.pack("<qb", 1, 0) for i in range(start, min(count, start + 1000))))
            block = rows.tobytes()
            for height in (count + buckets, count):
                file.write(struct.pack("<b2q", 0, height, dim))
                for start in range(0, height, 1000):
                    file.write(block[:4 * dim * min(1000, height - start)])
            return
        count = int(1e9 * gigabytes / size) // 1000 * 1000
        file.write(b"%d %d\n" % (count, dim))
        for start in range(0, count, 1000):
            file.write(b"".join(b"w%d" % (start + i) + tail for i, tail in enumerate(tails)))


def restricted_process(path):
    ours = Ours()
    wanted = [b"w%d" % (37 * i) for i in range(10_000)]
    array, vocab, embedding = (ctypes.c_char_p * len(wanted))(*wanted), ctypes.c_void_p(), ctypes.c_void_p()
    ours.check(ours.lib.srnn_vocab_create(array, ctypes.c_size_t(len(wanted)), 0, 0, ctypes.byref(vocab), ours.error))
    before, start = peak(), (time.process_time(), time.perf_counter())
    ours.check(ours.lib.srnn_embedding_open_vectors(os.fsencode(path), vocab, None, ctypes.c_size_t(0), None,
                                                 ctypes.byref(embedding), None, ours.error))
    seconds, wall = time.process_time() - start[0], time.perf_counter() - start[1]
    size = Path(path).stat().st_size
    print(f"{Path(path).name:16} {size / 1e9:5.2f} GB: {seconds:6.2f} s of processor time ({size / 1e6 / seconds:.0f} MB/s),"
          f" {wall:.2f} s in all; peak {peak() - before:.1f} MB above {before:.1f} MB", flush=True)


def compare_restricted(gigabytes):
    FILES.mkdir(parents=True, exist_ok=True)
    for kind in ["binary", "text", "fasttext"]:
        path = FILES / f"large-{kind}"
        try:
            write_large(kind, path, gigabytes)
            subprocess.run([sys.executable, __file__, "few", path], check=True)
        finally:
            path.unlink(missing_ok=True)


# ---------------------------------------------------------------- neighbours


PLAIN_READ = """
#include <stddef.h>
#include <stdint.h>
uint32_t plain_read(const uint32_t *values, size_t count) {
  uint32_t sum[64] = {0};
  for (size_t i = 0; i + 64 <= count; i += 64)
    for (size_t j = 0; j < 64; ++j) sum[j] ^= values[i + j];
  for (size_t j = 1; j < 64; ++j) sum[0] ^= sum[j];
  return sum[0];
}
"""


def plain_reader():
    source, library = FILES / "plain_read.c", FILES / "plain_read.so"
    source.write_text(PLAIN_READ)
    subprocess.run(["cc", "-O3", "-march=native", "-shared", "-fPIC", source, "-o", library], check=True)
    return ctypes.CDLL(str(library)).plain_read


def compare_nearest(count=1_000_000, dim=300, queries=24, batch=64, top=10):
    import numpy as np
    import threadpoolctl
    from concurrent.futures import ThreadPoolExecutor

    FILES.mkdir(parents=True, exist_ok=True)
    path, rng = FILES / f"large-{count}.bin", np.random.default_rng(2)
    table = np.empty((count, dim), np.float32)
    for start in range(0, count, 10_000):
        table[start:start + 10_000] = rng.standard_normal((min(10_000, count - start), dim), np.float32)
    if not path.exists():
        with open(path, "wb") as file:
            file.write(b"%d %d\n" % (count, dim))
            for i, row in enumerate(table):
                file.write(b"w%d " % i + row.tobytes())
    ours = Ours()
    vectors = ours.open(path)
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    asked = rng.standard_normal((max(queries, batch), dim), np.float32)
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    read, size = plain_reader(), ctypes.c_size_t

    def best_of(scores):
        best = np.argpartition(-scores, top)[:top]
        return best[np.argsort(-scores[best])]

    def plain(threads):
        part = table.size // threads
        at = lambda i: read(ctypes.c_void_p(table.ctypes.data + 4 * part * i), size(part))
        list(workers.map(at, range(threads))) if threads > 1 else at(0)

    blas = {b["internal_api"] + " " + b["version"] + " " + b["architecture"] for b in threadpoolctl.threadpool_info()}
    print(f"{count} x {dim}; BLAS of NumPy {np.__version__}: {', '.join(sorted(blas))}")
    for threads in sorted({1, min(2, len(os.sched_getaffinity(0)))}):
        pool, times, workers = ours.pool(threads), {}, ThreadPoolExecutor(threads)

        def timed(who, work):
            # OpenBLAS's threads look for work for some 30 ms after each product, on the core of whoever comes next.
            time.sleep(0.1)
            start = time.perf_counter(), time.process_time()
            result = work()
            wall, cpu = time.perf_counter() - start[0], time.process_time() - start[1]
            times.setdefault(who, []).append((wall, cpu))
            return result

        with threadpoolctl.threadpool_limits(threads):
            ours.nearest(vectors, pool, asked[0], top)
            for query in asked[:queries]:
                timed("plain read of the table", lambda: plain(threads))
                timed("NumPy, matrix-vector product alone", lambda: table @ query)
                expected = timed("NumPy, with argpartition", lambda: best_of(table @ query))
                found, _ = timed("simdrnn", lambda: ours.nearest(vectors, pool, query, top))
                assert list(found) == list(expected), (found, expected)
            many = np.ascontiguousarray(asked[:batch])
            for _ in range(3):
                timed(f"NumPy, {batch} at once, product alone", lambda: many @ table.T)
                timed(f"NumPy, {batch} at once, with argpartition", lambda: [best_of(row) for row in many @ table.T])
                found = timed(f"simdrnn, {batch} at once", lambda: ours.nearest_batch(vectors, pool, many, top))
            assert list(found[0]) == list(best_of(table @ many[0]))
        for who, seconds in times.items():
            # With one thread processor time, which other load changes least.
            best = min(wall if threads > 1 else cpu for wall, cpu in seconds)
            once = batch if "at once" in who else 1
            rate = f"{4e-9 * count * dim / best:6.1f} GB/s" if once == 1 else f"{2e-9 * count * dim * once / best:6.1f} GFLOP/s"
            print(f"{threads} threads  {who:40} {once / best:7.1f} queries/s  {rate}", flush=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["reader", reader, path]:
            reader_process(reader, path)
        case ["read", *names]:
            compare_readers(names or list(PEERS))
        case ["files"]:
            make_files()
        case ["nearest", *count]:
            compare_nearest(*map(int, count))
        case ["restricted", *gigabytes]:
            compare_restricted(*map(float, gigabytes or ["5"]))
        case ["few", path]:
            restricted_process(path)
        case _:
            raise SystemExit(__doc__)
