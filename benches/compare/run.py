#!/usr/bin/env python3
"""Compares this library with its peers, side by side in one run: see README.md beside this file."""

import argparse
import os
import pathlib
import sys

import grid
import participants
from participants import BUILD, OURS, PEERS


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="cases whose name contains one of these, comma separated"
    )
    parser.add_argument("--threads", default="1", help="numbers of threads, comma separated (default: 1)")
    parser.add_argument(
        "--peers", help=f"comma separated, or none (default: {','.join(PEERS)}; with --curves: none)"
    )
    parser.add_argument(
        "--seconds", type=float, default=1.0, help="time for each participant in each case (default: 1)"
    )
    parser.add_argument("--isa", choices=["avx2"], help="limit everybody to an instruction set")
    parser.add_argument(
        "--curves", action="store_true", help="fractions of the peak over sizes, instead of the cases"
    )
    parser.add_argument("--install", action="store_true", help="install Debian packages of peers first (as root)")
    parser.add_argument("--list", action="store_true", help="print the cases' names")
    parser.add_argument("--out", type=pathlib.Path, metavar="FILE", help="where to write the CSV (charts go beside it)")
    parser.add_argument(
        "--record", action="store_true", help="keep CSV and charts under benches/record/, with the date"
    )
    return parser.parse_args()


def in_venv(peers: list[str]) -> None:
    """Goes on in the virtual environment."""
    if pathlib.Path(sys.prefix).resolve() == participants.VENV.resolve():
        return
    BUILD.mkdir(parents=True, exist_ok=True)
    participants.make_venv(peers)
    python = participants.venv_python()
    os.execv(python, [str(python), *sys.argv])


def main() -> None:
    args = arguments()
    chosen = args.peers or ("none" if args.curves else ",".join(PEERS))
    peers = [] if chosen == "none" else chosen.split(",")
    unknown = set(peers) - set(PEERS)
    if unknown:
        raise SystemExit(f"unknown peers: {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}")
    wanted = args.only.split(",")
    cases = [c for c in (grid.curves() if args.curves else grid.grid()) if any(text in c.name for text in wanted)]
    if args.list:
        print("\n".join(c.name for c in cases))
        return
    if not cases:
        raise SystemExit(f"no case with {args.only} in its name; --list shows them")
    if args.install:
        participants.install_debian_packages(peers)
    in_venv(peers)

    missing = participants.build(peers)
    if args.isa and "avx512f" in participants.cpu_flags():
        missing |= dict.fromkeys(set(peers) & set(participants.NOT_LIMITED), f"cannot be limited to {args.isa}")
    for peer, reason in missing.items():
        print(f"without {peer}: {reason}")
    names = [OURS, *(p for p in peers if p not in missing)]
    import comparison  # needs the virtual environment

    comparison.compare(args, cases, names)


if __name__ == "__main__":
    main()
