"""What a team brings into the request path of its own: retrievers and a ranker, named in the config by `package:Class`.

A class is made once, when a release is loaded, with the items and the `options` of the config. It is called in threads,
never twice at once, and knows an item by its position. `souk.testing` has the tests that it has to pass.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np

from souk.config.objectives import may_name
from souk.errors import SoukError
from souk.state import Event

WHERE = "Install its package where releases are evaluated and served, or name another one in the config."


@dataclass(frozen=True)
class Items:
    """The catalogue as it is at the moment: upserts replace it, and new items stand at the end.

    Arrays and mappings are read-only: every request sees the same ones.

    Args:
        ids: by position.
        positions: by id.
        titles: "" where an item has none.
        available: `[items]` bool.
        vectors: `[items, dim]` float32, by the item tower: unit length, new items up to a tenth less.
        created_at: `[items]` float64, UTC epoch milliseconds; NaN where unknown.
        events: `[items]` float32, engaging events up to the training.
        numbers: by declared numeric column, `[items]` float32; NaN where an item has none.
        having: of a declared categorical, path or list column and a word, `[items]` bool: who has it; nobody has any of
            another column.
        available_until: `[items]` float64, UTC epoch milliseconds, the last moment; inf where an item has no end.
            Hold it against the time of the request alone: in the evaluation it has sales that are still to come.
    """

    ids: tuple[str, ...]
    positions: Mapping[str, int]
    titles: tuple[str, ...]
    available: np.ndarray
    vectors: np.ndarray
    created_at: np.ndarray
    events: np.ndarray
    numbers: Mapping[str, np.ndarray]
    having: Callable[[str, str], np.ndarray]
    available_until: np.ndarray

    def __post_init__(self) -> None:
        """Whatever was given is seen as read-only; its owner may still change it."""
        names = ("available", "vectors", "created_at", "available_until", "events")
        arrays = {name: getattr(self, name) for name in names}
        numbers = MappingProxyType({name: _read_only(values) for name, values in self.numbers.items()})
        seen = {name: _read_only(values) for name, values in arrays.items()}
        for name, value in {**seen, "numbers": numbers, "positions": MappingProxyType(self.positions)}.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True)
class Query:
    """Who asks, and when. Its arrays and mappings are read-only: a user's state is kept for the next request.

    Args:
        user_id: of the user.
        time: of the request, UTC epoch milliseconds.
        history: the user's last events, oldest first; those of the request included. They have no `context`.
        profile: declared columns of the user; those that the request states in the place of the stored ones.
        context: declared columns of the moment.
        vector: `[dim]` float32, by the query tower; None where it did not answer.
    """

    user_id: str
    time: int
    history: tuple[Event, ...]
    profile: Mapping[str, Any]
    context: Mapping[str, Any]
    vector: np.ndarray | None

    def __post_init__(self) -> None:
        """As of `Items`."""
        object.__setattr__(self, "profile", MappingProxyType(self.profile))
        object.__setattr__(self, "context", MappingProxyType(self.context))
        object.__setattr__(self, "vector", None if self.vector is None else _read_only(self.vector))


def _read_only(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False
    return view


class Retriever(ABC):
    """Brings candidates.

    Args:
        items: as they are when the release is loaded.
        options: of the config.
    """

    def __init__(self, items: Items, **options: Any) -> None:
        if options:
            raise TypeError(f"no options, received {', '.join(options)}")

    @abstractmethod
    def retrieve(self, query: Query, items: Items, count: int) -> np.ndarray:
        """Positions of items, best first, each once.

        What may not be shown (unavailable, excluded, filtered, owned) is taken out afterwards, so that more than
        `count` may be worth it; beyond `count` that are left, none is looked at.

        Args:
            query: the query. The same one gets the same answer: golden requests are compared.
            items: as they are now.
            count: how many are looked at.
        """


class Ranker(ABC):
    """Gives candidates their probabilities.

    Args:
        items: as they are when the release is loaded.
        options: of the config.
    """

    def __init__(self, items: Items, **options: Any) -> None:
        if options:
            raise TypeError(f"no options, received {', '.join(options)}")

    @abstractmethod
    def probabilities(
        self,
        features: Mapping[str, np.ndarray],
        items: Items,
        positions: np.ndarray,
        request: np.ndarray,
        pair: np.ndarray,
    ) -> Mapping[str, np.ndarray]:
        """By objective `[M]`, 0 to 1: `engaged`, and any others, which are given engagement. Their names are such as a
        config may give (`souk.config.objectives.may_name`).

        Args:
            features: raw features of B requests, `[B]` or `[B, length]`: `user_*`, `query_*`, `context_*`, `token_*`.
            items: as they are now.
            positions: `[M]` int64, the candidates of all requests.
            request: `[M]` int64, ascending, which of the B each belongs to.
            pair: `[M, P]` float32, columns as in `souk.pairs.PAIR_FEATURES`, and behind them others that depend on the
                data, as `souk.pairs.pair_names` has them: do not count on their places.
        """


Plug = TypeVar("Plug", Retriever, Ranker)


def class_of(use: str, kind: type[Plug]) -> type[Plug]:
    """The class that a config names.

    Args:
        use: `package.module:Class`.
        kind: what the class has to be.

    Raises:
        SoukError: there is no such class, or it is no `kind`.
    """
    module, _, name = use.partition(":")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except (Exception, SystemExit) as error:  # whatever a module does when it is imported
        raise SoukError(f"the module {module} of {use}", f"{type(error).__name__}: {error}", WHERE) from error
    if found is None:
        raise SoukError(f"a class {name} in {module}", "none", WHERE)
    if not (inspect.isclass(found) and issubclass(found, kind)):
        raise SoukError(f"{use} to be a class derived of souk.plugs.{kind.__name__}", repr(found), "See souk/plugs.py.")
    if inspect.isabstract(found):
        missing = ", ".join(sorted(found.__abstractmethods__))
        raise SoukError(f"{use} to have what souk.plugs.{kind.__name__} asks for", f"no {missing}", "Write it.")
    return found


def code_of(use: str) -> str:
    """16 hex digits over the source of a class, as found without importing its module: its file, and in a package those
    beside it. Nothing where there is no source, or none is found; whoever makes the class says why.

    Args:
        use: `package.module:Class`.
    """
    module = use.partition(":")[0]
    try:
        found = importlib.util.find_spec(module)
    except (Exception, SystemExit):  # it imports the packages above the module, which do what they like
        found = None
    if found is None or not found.origin or not Path(found.origin).is_file():
        return ""
    file, digest = Path(found.origin), hashlib.sha256()
    beside = file.parent.glob("*.py") if "." in module or found.submodule_search_locations else ()
    for path in sorted({file, *beside}):
        digest.update(f"\0{path.name}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def changed(named: Iterable[Mapping[str, Any]]) -> list[str]:
    """The classes whose source is another by now than a bundle noted, or is gone.

    Args:
        named: each with `use` and the `code` of then; one of before there was a `code` counts as it is.
    """
    return sorted({of["use"] for of in named if of.get("code") not in (None, code_of(of["use"]))})


def made(use: str, kind: type[Plug], items: Items, options: Mapping[str, Any]) -> Plug:
    """The object that a config asks for.

    Args:
        use: `package.module:Class`.
        kind: what the class has to be.
        items: for its constructor.
        options: for its constructor.

    Raises:
        SoukError: there is no such class, it is no `kind`, or it cannot be made of these options.
    """
    found = class_of(use, kind)
    try:
        return found(items, **options)
    except (Exception, SystemExit) as error:
        received = f"{type(error).__name__}: {error}"
        raise SoukError(f"{use} to be made of the options {sorted(options)}", received, "Mend the config.") from error


def as_positions(found: Any, size: int) -> np.ndarray:
    """What a retriever brought, `[n]` int64.

    Raises:
        ValueError: it is no list of distinct positions of `size` items.
    """
    positions = np.asarray(found)
    if positions.ndim != 1 or (positions.size and positions.dtype.kind not in "iu"):
        raise ValueError(f"expected positions [n] of an integer type, received {positions.dtype} {positions.shape}")
    positions = positions.astype(np.int64)
    if positions.size and not 0 <= positions.min() <= positions.max() < size:
        raise ValueError(f"expected positions from 0 to {size - 1}, received {positions.min()} to {positions.max()}")
    if len(np.unique(positions)) < len(positions):
        raise ValueError("expected each position once")
    return positions


def as_heads(found: Any, count: int) -> dict[str, np.ndarray]:
    """What a ranker gave, by objective `[count]` float32.

    Raises:
        ValueError: it is no such mapping, a name is one of something else, of a column of the impression log for
            example, or its numbers are no probabilities.
    """
    if not isinstance(found, Mapping) or "engaged" not in found:
        raise ValueError("expected a mapping of objectives with engaged among them")
    heads = {str(name): np.array(values, np.float32) for name, values in found.items()}
    for name, values in heads.items():
        if not may_name(name):
            raise ValueError(f"expected names that a config may give objectives, received {name}")
        if values.shape != (count,):
            raise ValueError(f"expected {name} [{count}], received {list(values.shape)}")
        if not bool(((values >= 0) & (values <= 1)).all()):  # nor is NaN
            raise ValueError(f"expected probabilities from 0 to 1 of {name}")
    return heads
