"""Puts values into the text of a config, and leaves everything else of it, comments too, as it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

from souk.config.text import dumped, meant, sections
from souk.errors import SoukError

PAGE = "docs/data.md"
Edit = tuple[int, int, str]  # from, to, what stands there then


def with_settings(text: str, settings: Mapping[str, Any]) -> str:
    """The YAML `text` with the values of `settings` (`section.key` to value).

    Where the text is written so that this cannot be done place by place, it is written anew, without its comments.
    """
    wanted = sections(text, "config", PAGE)
    for name, value in settings.items():
        section, key = name.split(".")
        wanted[section] = {**(wanted.get(section) or {}), key: value}
    new = _edited(text, settings)
    try:
        same = meant(sections(new, "config", PAGE)) == meant(wanted)
    except SoukError:
        same = False
    return new if same else dumped(wanted)


def _edited(text: str, settings: Mapping[str, Any]) -> str:
    root: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    nodes = {key.value: value for key, value in root.value}
    sections: dict[str, dict[str, Any]] = {}
    for name, value in settings.items():
        section, key = name.split(".")
        sections.setdefault(section, {})[key] = value
    edits: list[Edit] = []
    added = ""
    for section, values in sections.items():
        if isinstance(nodes.get(section), yaml.MappingNode):
            edits += _edits(text, nodes[section], values)
        elif section in nodes:  # a key with nothing behind it
            start, end = nodes[section].start_mark.index, nodes[section].end_mark.index
            inside = ", ".join(f"{key}: {_written(value)}" for key, value in values.items())
            edits.append((start, end, f"{' ' * text[:start].endswith(':')}{{{inside}}}"))
        else:
            added += f"{section}:\n" + "".join(f"  {key}: {_written(value)}\n" for key, value in values.items())
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return (text if text.endswith("\n") else f"{text}\n") + added


def _edits(text: str, section: yaml.MappingNode, values: Mapping[str, Any]) -> list[Edit]:
    """How the keys of a section get their values: in the place of the old ones, or as new first keys."""
    old = {name.value: value for name, value in section.value}
    edits: list[Edit] = []
    for key in values.keys() & old.keys():
        start, end = old[key].start_mark.index, old[key].end_mark.index
        after = text[start:end][len(text[start:end].rstrip()) :]  # a list in lines ends where the next key begins
        level = not section.flow_style and old[key].start_mark.column <= section.start_mark.column
        before = "  " if level else ""  # a list in lines may stand as far left as its key, one in brackets not
        edits.append((start, end, before + _written(values[key]) + after))
    new = [f"{key}: {_written(value)}" for key, value in values.items() if key not in old]
    if new and section.flow_style:
        start = section.start_mark.index + 1
        edits.append((start, start, ", ".join([*new, ""] if old else new)))
    elif new:
        start = section.start_mark.index
        edits.append((start, start, "".join(f"{line}\n{' ' * section.start_mark.column}" for line in new)))
    return edits


def _written(value: Any) -> str:
    """A value in one line, as both YAML and JSON read it; 1e-05 would be text in YAML."""
    return format(value, "f").rstrip("0") if isinstance(value, float) and "e" in repr(value) else json.dumps(value)
