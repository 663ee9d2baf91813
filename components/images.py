"""The container images of Souk: the only place that names them, what they hold and how they are tagged.

    python -m components.images [--registry R] [--build [IMAGE ...]]

prints each image with the command that builds it, or builds them. The compiled pipelines, the chart and kserve/ carry
the registry `localhost` and the tag `dev`; `souk submit --registry R --tag T` and the chart's values put real ones in
their place. A real tag is the version and a hash of what goes into the images, so it never names two things.
"""

import argparse
import hashlib
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REGISTRY = "localhost"
TAG = "dev"
ROOT = Path(__file__).resolve().parents[1]
ENGINES = ("podman", "docker")
IGNORED = {"__pycache__", ".pyc"}  # as .dockerignore


@dataclass(frozen=True)
class Image:
    """What an image holds: `extras` of setup.cfg, from requirements/`lock`.txt."""

    extras: tuple[str, ...]
    lock: str = "main"


# Steps of the pipeline also carry `pipeline`: kfp's executor runs them.
IMAGES = {
    "pipeline": Image(("pipeline",)),
    "preprocess": Image(("pipeline", "preprocess")),
    "train": Image(("pipeline", "train")),
    "index": Image(("pipeline", "index")),
    "deploy": Image(("pipeline", "deploy")),
    "serve": Image(("serve", "telemetry", "kafka")),
    "drift": Image(("drift",), lock="drift"),
}


def image(name: str, registry: str = REGISTRY, tag: str = TAG) -> str:
    """The reference of an image: registry/souk-name:tag."""
    if name not in IMAGES:
        raise ValueError(f"Expected one of the images {', '.join(IMAGES)}. Received: {name!r}.")
    return f"{registry.rstrip('/')}/souk-{name}:{tag}"


def content_tag(root: Path = ROOT) -> str:
    """`<version>-<12 hex digits>` over the table, the Containerfile and every file that it copies."""
    digest = hashlib.sha256(repr(IMAGES).encode())
    for path in sources(root):
        digest.update(f"{path.relative_to(root)}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    [version] = re.findall(r'^__version__ = "(.+)"$', (root / "souk/__init__.py").read_text("utf-8"), re.M)
    return f"{version.replace('+', '_')}-{digest.hexdigest()[:12]}"


def sources(root: Path) -> Iterator[Path]:
    """The files that make the images, in a fixed order."""
    yield root / "Containerfile"
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", (root / "Containerfile").read_text("utf-8"), re.M)
    for name in sorted(name for line in copies for name in line.split()):
        path = root / name
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (f for f in files if f.is_file() and not IGNORED & {*f.relative_to(root).parts, f.suffix})


def build_command(name: str, registry: str, tag: str, engine: str = ENGINES[0]) -> list[str]:
    """The command that builds an image, to be run in the repository's root."""
    row = IMAGES[name]
    values = (f"EXTRAS={','.join(row.extras)}", f"LOCK={row.lock}")
    arguments = [word for value in values for word in ("--build-arg", value)]
    reference = image(name, registry, tag)
    return [
        engine,
        "build",
        "--platform",
        "linux/amd64",
        "--file",
        "Containerfile",
        *arguments,
        "--tag",
        reference,
        ".",
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--registry", default=REGISTRY, help="where the images will lie (default: %(default)s)")
    parser.add_argument("--build", nargs="*", choices=IMAGES, metavar="IMAGE", help="build these, or all")
    arguments = parser.parse_args()
    tag = content_tag()
    if arguments.build is None:
        for name in IMAGES:
            print(shlex.join(build_command(name, arguments.registry, tag)))
        return 0
    engine = next(filter(shutil.which, ENGINES), None)
    if engine is None:
        print(f"Expected {' or '.join(ENGINES)} on PATH. Received: neither. Install one of them.", file=sys.stderr)
        return 2
    for name in arguments.build or IMAGES:
        built = subprocess.run(build_command(name, arguments.registry, tag, engine), cwd=ROOT, check=False)
        if built.returncode:
            remedy = f"What {engine} said stands above; is its daemon running?"
            received = f"exit code {built.returncode}"
            print(f"Expected {engine} to build souk-{name}. Received: {received}. {remedy}", file=sys.stderr)
            return 1
    print(f"tag {tag}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
