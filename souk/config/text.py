"""YAML as the values that it stands for."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError

from souk.errors import SoukError

CELLS = "event_types"  # the keys of this one are cells of a file, and no names
TAG = "tag:yaml.org,2002:"
GUESSED = {f"{TAG}{kind}" for kind in ("int", "float", "timestamp", "bool")}  # that YAML takes a text for
PLAIN = re.compile(r"-?(0|[1-9]\d*)|[-+]?\.inf|\.nan|true|false", re.IGNORECASE)
WRITTEN = "!written"


def composed(name: str) -> str:
    """A name in Unicode's composed form (NFC): editors and file systems write an ö in one sign, or in two."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def with_composed_names(values: Any) -> Any:
    """The values of a config with each of its keys `composed`, but those of CELLS."""
    if isinstance(values, list):
        return [with_composed_names(each) for each in values]
    if not isinstance(values, dict):
        return values
    return {
        composed(key) if isinstance(key, str) else key: each if key == CELLS else with_composed_names(each)
        for key, each in values.items()
    }


class Written(str):
    """A text without quotes that YAML takes for something else: 010 for 8, 1.10 for 1.1, 12:30 for 750, 0000-00-00 for
    a day that there is not, and the country NO for false. What wants a number or a truth value reads it as one."""

    @property
    def meant(self) -> Any:
        """What YAML takes it for; the text where that is nothing."""
        try:
            return yaml.safe_load(self)
        except ValueError:
            return str(self)


def meant(value: Any) -> Any:
    """A value of a config as YAML takes it."""
    if isinstance(value, dict):
        return {meant(key): meant(each) for key, each in value.items()}
    if isinstance(value, list):
        return list(map(meant, value))
    return value.meant if isinstance(value, Written) else value


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice in one mapping, of which YAML would take the last without a word, and takes a
    text for something else only where that is written as the text is."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        tag = str(super().resolve(kind, value, implicit))
        plain = tag not in GUESSED or PLAIN.fullmatch(value)
        return tag if plain or (tag == f"{TAG}float" and str(yaml.safe_load(value)) == value) else WRITTEN

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        lines: dict[str, int] = {}
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in lines:
                problem = f"the key {key.value!r} stands twice, first on line {lines[key.value]}, then"
                raise ConstructorError(None, None, problem, key.start_mark)
            if key.tag == f"{TAG}null":
                problem = f"the key {key.value or 'of no signs'}, which is no name unless it stands in quotes,"
                raise ConstructorError(None, None, problem, key.start_mark)
            lines[key.value] = key.start_mark.line + 1
        return super().construct_mapping(node, deep=True)  # else an alias within what it stands for makes a loop


_Loader.add_constructor(WRITTEN, lambda loader, node: Written(node.value))


class _Dumper(yaml.SafeDumper):
    """Writes a `Written` as it was."""


_Dumper.add_representer(
    Written, lambda dumper, value: dumper.represent_scalar(dumper.resolve(yaml.ScalarNode, value, (True, False)), value)
)


def dumped(values: Any) -> str:
    """YAML that `sections` reads as the same."""
    return str(yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True))


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        SoukError: it is not UTF-8.
        OSError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        received = f"byte {error.object[error.start]:#x} at {error.start:,}"
        raise SoukError(f"{path} in UTF-8", received, "Save it as UTF-8.") from error


def sections(text: str, origin: str, page: str) -> dict[str, Any]:
    """The sections of a YAML text; none where it has nothing but comments.

    Args:
        text: of a file.
        origin: its name, for errors.
        page: what explains it.

    Raises:
        SoukError: not YAML, a key that stands twice, or no mapping.
    """
    try:
        values = yaml.load(text, Loader=_Loader)  # nosec B506: a safe loader
    except (yaml.YAMLError, ValueError) as error:  # the latter of a number of thousands of digits
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        received = f"{problem} on line {mark.line + 1}" if mark and problem else " ".join(str(error).split())
        raise SoukError(f"{origin} to be YAML", received, "Mend the line.") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise SoukError(f"{origin} to be a mapping of sections", type(values).__name__, f"See {page}.")
    return values
