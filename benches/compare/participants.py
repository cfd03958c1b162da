"""Gets the participants ready under target/compare: a virtual environment with the peers in Python, programs for the
others. What cannot be had is reported and left out."""

import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import sysconfig

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILD = ROOT / "target" / "compare"
VENV = BUILD / "venv"
LIBRARY = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"

# For each peer, the PyPI packages it needs. PyTorch's build for Linux does not load without the packages it depends on.
PACKAGES = {
    "": ["numpy==2.4.6", "matplotlib==3.11.2"],
    "torch": ["torch==2.15.0"],
    "onnxruntime": ["onnxruntime==1.32.0", "onnx==1.23.2"],
    "openvino": ["openvino==2026.4.1", "onnx==1.23.2"],
    "onednn3": ["onednn-cpu-gomp==2023.2.0", "onednn-devel-cpu-gomp==2023.2.0"],
}
PACKAGES["torch-padded"] = PACKAGES["torch"]
DEBIAN_PACKAGES = {"onednn2": "libdnnl-dev", "openblas": "libopenblas-dev", "blis": "libblis-dev"}
PEERS = ["torch", "torch-padded", "onnxruntime", "openvino", "onednn3", "onednn2", "openblas", "blis"]
NOT_LIMITED = ["onnxruntime"]  # takes what the CPU has, whatever the environment says
OURS = "ours"


def venv_python() -> pathlib.Path:
    return VENV / "bin" / "python"


def make_venv(peers: list[str]) -> None:
    """Creates the environment and installs what is missing in it."""
    if not venv_python().exists():
        print(f"making {VENV.relative_to(ROOT)}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
    listing = subprocess.run(
        [venv_python(), "-m", "pip", "freeze", "--all"], check=True, capture_output=True, text=True
    )
    present = set(listing.stdout.lower().split())
    for peer in ["", *peers]:
        missing = [p for p in PACKAGES.get(peer, []) if p not in present]
        if missing:
            print(f"installing {' '.join(missing)}", flush=True)
            subprocess.run([venv_python(), "-m", "pip", "install", "--quiet", *missing], check=not peer)
            present.update(missing)


def install_debian_packages(peers: list[str]) -> None:
    names = [DEBIAN_PACKAGES[p] for p in peers if p in DEBIAN_PACKAGES]
    if names:
        subprocess.run(["apt-get", "install", "--yes", "--no-install-recommends", *names], check=True)


def library_folder(name: str) -> pathlib.Path | None:
    """Where a Debian package keeps one of several implementations of one interface."""
    triplet = sysconfig.get_config_var("MULTIARCH") or f"{platform.machine()}-linux-gnu"
    for variant in {"openblas": ("openblas-pthread", "openblas-openmp"), "blis": ("blis-openmp", "blis-pthread")}[name]:
        folder = pathlib.Path("/usr/lib") / triplet / variant
        if folder.exists():
            return folder
    return None


def compile_program(name: str, source: str, *arguments: object) -> str | None:
    """Compiles one program; the reason if that fails."""
    compiler = os.environ.get("CXX", "c++") if source.endswith(".cpp") else os.environ.get("CC", "cc")
    standard = "-std=c++17" if source.endswith(".cpp") else "-std=gnu11"
    command = [compiler, standard, "-O2", HERE / "native" / source, *arguments, "-lpthread", "-o", BUILD / name]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        return f"no compiler {compiler}"
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if "error" in line or "cannot find" in line]
        return (errors or done.stderr.splitlines() or ["the compiler failed"])[0]
    return None


def link_library() -> None:
    """Puts our shared library beside the programs, under the name they will look for."""
    listing = subprocess.run(
        ["readelf", "-d", LIBRARY / "libsimdrnn.so"], check=True, capture_output=True, text=True
    ).stdout
    soname = re.search(r"soname: \[(.*)\]", listing)
    for name in {"libsimdrnn.so", soname[1] if soname else "libsimdrnn.so"}:
        (BUILD / name).unlink(missing_ok=True)
        (BUILD / name).symlink_to(LIBRARY / "libsimdrnn.so")


def build(peers: list[str]) -> dict[str, str]:
    """Builds this library and the native programs. Returns the peers that are missing, with the reason."""
    subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=ROOT, check=True)

    def link(folder: pathlib.Path, library: str) -> list[object]:
        return [f"-L{folder}", f"-l{library}", f"-Wl,-rpath,{folder}"]

    link_library()
    for name, source, arguments in (
        (OURS, "ours.cpp", [f"-I{ROOT / 'include'}", *link(BUILD, "simdrnn")]),
        ("limits", "limits.c", []),
    ):
        reason = compile_program(name, source, *arguments)
        if reason:
            raise SystemExit(f"{name}: {reason}")
    missing = {}
    for peer in peers:
        reason = None
        if peer == "onednn3":
            reason = compile_program(peer, "onednn.cpp", "-isystem", VENV / "include", *link(VENV / "lib", "dnnl"))
        elif peer == "onednn2":
            reason = compile_program(peer, "onednn.cpp", "-ldnnl")
        elif peer in ("openblas", "blis"):
            folder = library_folder(peer)
            reason = compile_program(peer, "blas.cpp", *link(folder, peer)) if folder else "not installed"
        if reason:
            hint = f" (Debian: {DEBIAN_PACKAGES[peer]}, or --install)" if peer in DEBIAN_PACKAGES else ""
            missing[peer] = reason + hint
    return missing


def command(participant: str, threads: int) -> list[str]:
    if participant == OURS or participant in DEBIAN_PACKAGES or participant == "onednn3":
        return [str(BUILD / participant), participant, str(threads)]
    return [str(venv_python()), str(HERE / "peers.py"), participant, str(threads)]


def environment(threads: int, isa: str | None) -> dict[str, str]:
    """The same for every participant: nothing set that tunes one of them but the number of threads and the limit."""
    tuning = (
        "BLIS_",
        "DNNL_",
        "GOMP_",
        "KMP_",
        "MKL_",
        "NVPL_",
        "OMP_",
        "ONEDNN_",
        "OPENBLAS_",
        "ATEN_",
        "SIMDRNN_",
        "TORCH",
    )
    result = {name: value for name, value in os.environ.items() if not name.startswith(tuning)}
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "BLIS_NUM_THREADS"):
        result[name] = str(threads)
    if isa == "avx2":
        result |= {
            "SIMDRNN_ISA": "avx2",
            "ATEN_CPU_CAPABILITY": "avx2",
            "DNNL_MAX_CPU_ISA": "AVX2",
            "ONEDNN_MAX_CPU_ISA": "AVX2",
            "MKL_ENABLE_INSTRUCTIONS": "AVX2",
            "OPENBLAS_CORETYPE": "Haswell",
        }
    return result


def cpu_name() -> str:
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        names = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines[:30])}
        return f"{names['model name']} (family {names['cpu family']}, model {names['model']})"
    except (OSError, KeyError):
        return platform.processor() or platform.machine()


def cpu_flags() -> set[str]:
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text()
        return set(next(line for line in text.splitlines() if line.startswith("flags")).split())
    except (OSError, StopIteration):
        return set()


def cores() -> list[int]:
    """One of the allowed CPUs for each physical core."""
    chosen = {}
    for cpu in sorted(os.sched_getaffinity(0)):
        siblings = pathlib.Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings")
        chosen.setdefault(siblings.read_text() if siblings.exists() else str(cpu), cpu)
    return list(chosen.values())


def cache_sizes() -> list[int]:
    """Bytes of the data caches that one core has, by level."""
    sizes = []
    for index in sorted(pathlib.Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        if (index / "type").read_text().strip() != "Instruction":
            sizes.append(1024 * int((index / "size").read_text().strip().rstrip("K")))
    return sizes


def tool_version(*command: str) -> str:
    """The first line of what a command says, if it exists and knows."""
    if not shutil.which(command[0]):
        return "unknown"
    said = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    return said[0] if said else "unknown"
