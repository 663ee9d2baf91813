"""Compiles the pipelines into pipelines/compiled/: `python -m pipelines.compile`, or `--check` to compare only."""

import argparse
import sys
import tempfile
import warnings
from pathlib import Path

from kfp import compiler

from pipelines.training import training
from pipelines.tuning import tuning

COMPILED = Path(__file__).parent / "compiled"
PIPELINES = {"training": training, "tuning": tuning}


def compile_into(folder: Path) -> list[Path]:
    """Writes the intermediate representation of every pipeline into `folder`; the same source, the same bytes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, pipeline in PIPELINES.items():
            compiler.Compiler().compile(pipeline, str(folder / f"{name}.yaml"))
    return [folder / f"{name}.yaml" for name in PIPELINES]


def stale(folder: Path = COMPILED) -> list[str]:
    """The files in `folder` that differ from what the source compiles to now."""
    with tempfile.TemporaryDirectory() as fresh:
        compiled = {path.name: path.read_bytes() for path in compile_into(Path(fresh))}
    present = {path.name: path.read_bytes() for path in folder.glob("*.yaml")}
    return sorted(name for name in compiled.keys() | present.keys() if compiled.get(name) != present.get(name))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with the committed files and write nothing")
    if not parser.parse_args().check:
        print(*compile_into(COMPILED), sep="\n")
        return 0
    old = stale()
    if old:
        print(f"Expected pipelines/compiled to match the source. Received: {', '.join(old)} differ.", file=sys.stderr)
        print("Run `make compile`, look at the difference and commit it.", file=sys.stderr)
    return 1 if old else 0


if __name__ == "__main__":
    sys.exit(main())
