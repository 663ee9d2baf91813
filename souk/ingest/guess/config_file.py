"""Writes the file of a first config."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from souk import outputs
from souk.errors import SoukError
from souk.folders import whole_file
from souk.readers.storage import storage


def write_config(text: str, path: Path, force: bool = False, inputs: Collection[str] = ()) -> None:
    """Writes a config file; an existing one only with `force`, and none in the place of the data.

    Args:
        text: of the config.
        path: of the file.
        force: whether an existing config is replaced.
        inputs: paths or URLs of the data.

    Raises:
        SoukError: as `free_config`.
    """
    free_config(path, force, inputs)
    with whole_file(path) as fresh:
        fresh.write_text(text, encoding="utf-8")


def free_config(path: Path, force: bool = False, inputs: Collection[str] = ()) -> None:
    """Sees that a config may be written at `path`, as `write_config` is asked to.

    Raises:
        SoukError: the file exists, or is no config, or a folder, or one of the inputs, or in the folder of one.
    """
    for source in inputs:
        if _is_of(path, source):
            raise SoukError("a file to write that is none of the data", f"{path}, of {source}", "Name another.")
    if path.is_dir():
        raise SoukError("a file to write", f"{path}, which is a folder", f"Name a file, such as {path / 'my.yaml'}.")
    if path.exists() and not force:
        raise SoukError("a new file to write", f"{path} exists", "Name another, or add --force to replace it.")
    if path.parent.is_dir():
        outputs.free_file(path, outputs.CONFIG)
    else:
        outputs.free_folder(path.parent)


def _is_of(path: Path, source: str) -> bool:
    if "://" in source and not source.startswith("file://"):
        return False
    fs, root = storage(source)
    parts = [Path(part) for part in ([root] if fs.exists(root) else fs.glob(root))]
    above = [place for place in (path, *path.resolve().parents) if place.exists()]
    return any(part.samefile(place) for part in parts for place in above)
