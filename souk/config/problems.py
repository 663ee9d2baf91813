"""What is wrong with a config, in words for whoever wrote it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, get_origin

from pydantic import BaseModel, ValidationError

from souk.errors import SoukError, nearest, shown, unknown
from souk.schema import EventType

EXPERIMENTS = "docs/experiments.md"
PAGES = {"rerank": "docs/serving.md", "experiments": EXPERIMENTS, "exploration": EXPERIMENTS, "holdout": EXPERIMENTS}
SHOWN = 120  # characters of a value
KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "string": "a text"}
KINDS |= {"list": "a list", "tuple": "a list", "dict": "a mapping"}
LENGTHS = {"too_short": "{min_length} or more entries", "too_long": "{max_length} or fewer entries"}
LENGTHS |= {
    "string_too_short": "{min_length} or more characters",
    "string_too_long": "{max_length} or fewer characters",
}


def explain(error: ValidationError, values: Any, model: type[BaseModel], origin: str) -> SoukError:
    """The first problem as an error that ends with all others; a wrong key names the nearest right one.

    Args:
        error: what pydantic found.
        values: what it was given.
        model: of the whole file.
        origin: the file's name.
    """
    problems = _problems(error, values, model)
    first, *others = sorted(problems, key=lambda where: problems[where][0]["type"] != "extra_forbidden")
    mapped = "".join(dict.fromkeys(_of_the_file(problems[where][0], values) for where in (first, *others)))
    meant = {where: "" if mapped else _meant(problems[where]) for where in problems}
    also = "".join(
        f" Also {_named(where)}: {_words(problems[where], model)}.{f' {meant[where]}' if meant[where] else ''}"
        for where in others
    )
    if problems[first][0]["type"] == "extra_forbidden":
        of = _model_at(model, first[:-1])
        wrong = unknown(f"{origin}: key {_named(first)}", str(first[-1]), of.model_fields if of else {})
        return SoukError(wrong.expected, wrong.received, f"{wrong.remedy}{mapped}{also}".strip())
    what, received = _told(problems[first], model)
    remedy = f"{meant[first]} See {PAGES.get(str(first[0]) if first else '', 'docs/data.md')}.{mapped}{also}".strip()
    return SoukError(f"{origin}: {_named(first)}: {what}" if first else f"{origin}: {what}", received, remedy)


def _problems(error: ValidationError, values: Any, model: type[BaseModel]) -> dict[tuple[Any, ...], list[Any]]:
    """By place in the file; what each branch of a choice (a number, or `auto`) has against a value is one problem."""
    found: dict[tuple[Any, ...], list[Any]] = {}
    for problem in error.errors():
        found.setdefault(_place(problem, values, model), []).append(problem)
    # A list is also too short for what is wrong within it.
    follows = [
        where
        for where, (problem, *_) in found.items()
        if problem["type"] == "too_short" and any(len(o) > len(where) and o[: len(where)] == where for o in found)
    ]
    return {where: each for where, each in found.items() if where not in follows}


def _place(problem: Any, values: Any, model: type[BaseModel]) -> tuple[Any, ...]:
    """Where in `values`: pydantic's own location goes on with the branch that it tried."""
    location, inside = tuple(problem["loc"]), values
    for depth, part in enumerate(location):
        section = _model_at(model, location[:depth])
        there = (isinstance(inside, Mapping) and part in inside) or (isinstance(inside, list) and isinstance(part, int))
        if not there and not (section and part in section.model_fields):
            return location[:depth]
        inside = inside[part] if there else None
    return location


def _named(where: tuple[Any, ...]) -> str:
    return ".".join(map(str, where))


def _words(problems: list[Any], model: type[BaseModel]) -> str:
    if problems[0]["type"] == "extra_forbidden":
        return "no such key"
    what, received = _told(problems, model)
    return f"{what}, received {received}"


def _told(problems: list[Any], model: type[BaseModel]) -> tuple[str, str]:
    """What was expected, and what came."""
    wanted = []
    for problem in problems:
        section = _model_at(model, problem["loc"]) if problem["type"] == "model_type" else None
        missing = problem["type"] == "missing"
        wanted.append(_keys(section) if section else "a value, which is required" if missing else _wanted(problem))
    if problems[0]["type"] == "missing":
        return wanted[0], "none"
    received = problems[0].get("input")
    return ", or ".join(dict.fromkeys(wanted)), repr(shown(received) if isinstance(received, str) else received)[:SHOWN]


def _wanted(problem: Any) -> str:
    """What pydantic expected: a kind of value, one of some, or a value within bounds."""
    kind, _, what = problem["type"].partition("_")
    if kind in KINDS and what in ("type", "parsing", "from_float"):
        return KINDS[kind]
    if problem["type"] in ("literal_error", "enum"):
        return "one of " * (" or " in problem["ctx"]["expected"]) + problem["ctx"]["expected"].replace("'", "")
    if problem["type"] in LENGTHS:
        return LENGTHS[problem["type"]].format(**problem["ctx"])
    return str(problem["msg"]).removeprefix("Input should be ").removeprefix("Value error, ")


def _meant(problems: list[Any]) -> str:
    """The question for the word of a choice that may have been meant; "" where none is like what came."""
    choices = [problem for problem in problems if problem["type"] in ("literal_error", "enum")]
    words = {word for problem in choices for word in re.findall(r"'(.*?)'", problem["ctx"]["expected"])}
    received = problems[0].get("input")
    return nearest(received, words) if isinstance(received, str) else ""


def _of_the_file(problem: Any, values: Any) -> str:
    """What to write for an event that goes by its name in the file, or is missing; "" where the problem is another."""
    objective = problem["type"] in ("enum", "too_short") and problem["loc"][0] in ("objectives", "repeat")
    for part in ("data", "events", "event_types") if objective else ():
        values = values.get(part) if isinstance(values, Mapping) else None
    kinds = list(EventType)
    known = {name: kind for name, kind in values.items() if kind in kinds} if isinstance(values, Mapping) else {}
    if objective and problem["type"] == "too_short" and not known:
        return f" Events are {', '.join(kinds)}."
    if not objective or not known:
        return ""
    received = problem["input"]
    if isinstance(received, str) and received in values:
        return (
            f" data.events.event_types maps {received} to {known[received]}: write that." if received in known else ""
        )
    return f" data.events.event_types maps to {', '.join(sorted(set(known.values())))}."


def _keys(section: type[BaseModel]) -> str:
    *names, last = section.model_fields
    return f"a section with keys {', '.join(names)} and {last}" if names else f"a section with the key {last}"


def _model_at(model: Any, path: tuple[Any, ...]) -> type[BaseModel] | None:
    """The section at `path` of the whole file's `model`."""
    named = None  # what the sections of a mapping by name are
    for part in path:
        if named:
            model, named = named, None
            continue
        field = model.model_fields.get(part) if model else None
        annotation = field.annotation if field else getattr(model, "of_other_keys", None)
        options = (annotation, *getattr(annotation, "__args__", ()))
        model = next((each for each in options if isinstance(each, type) and issubclass(each, BaseModel)), None)
        if field and get_origin(annotation) is dict:
            model, named = None, model
    return model
