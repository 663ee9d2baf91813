"""Rows of events that nobody chose: updates of what a user has, what came with a device, what moved to a new one."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from souk.ingest import cells
from souk.ingest.guess.columns import Table
from souk.ingest.guess.deeds import settled
from souk.ingest.guess.fit import few_words
from souk.ingest.guess.names import FILLERS, INSTALLS, OBJECTS, SHIPPED
from souk.ingest.guess.phrases import act_of
from souk.ingest.profile import Column, snake
from souk.schema import EventType

BY_ITSELF = {"autoupdate", "autoupdated", "autoinstall", "autoinstalled", *SHIPPED}
UPDATES = {"update", "updated", "aktualisiert", "aktualisierung"}
UPGRADES = {"upgrade", "upgraded"}  # of a seat or a plan these are bought
# What a program does, or takes over from another device; a car may be `auto`, or the app in one, and a chair restored.
AUTOMATIC = {"auto", "automatic", "automatically", "automatisch", "autoplay", "autoplayed"}
PLAYS = {"play", "played", "next"}  # beside these: what a player goes on with
RESTORED = {"restore", "restored"}
BESIDE = {
    "device",
    "phone",
    "tablet",
    "backup",
    "cloud",
    "system",
    "os",
    "from",
    "factory",
    "oem",
    "video",
    "audio",
    "trailer",
    "media",
}  # changes nothing
# In the name of a column that says why a row came to be; elsewhere `auto` may be a car.
CAUSES = {"source", "trigger", "reason", "initiator", "origin", *UPDATES}
# Share of the rows that `auto` or `restore` alone may leave out: where it is of more, a player starts one by one.
MOST = 0.5
INSIDE = {"iap", "inapp"}  # what is bought in what a user has


def skip_unchosen(events: Table) -> None:
    """Leaves out, by `skip`, the events that a program made: learned from as choices, what is on every device would be
    what everybody is recommended, and an update of what a user has a wish for it. What is bought in what a user has is
    taken for an act on it."""
    _note_inside(events)
    found = [(column, words, skip_rows(events, column, words)) for column, words in _unchosen(events)]
    told = [f"{', '.join(words)} of {column.name} ({count})" for column, words, count in found if count]
    if told:
        events.notes["unchosen"] = f"nobody chose {'; '.join(told)}"


def _note_inside(events: Table) -> None:
    """Where apps are installed, what is bought in one is an act on what the user has, and no purchase of it."""
    words = {text: {*snake(text).split("_")} for text, (kind, _) in events.types.items() if kind is EventType.PURCHASE}
    if not any(own & INSTALLS for own in words.values()):
        return
    for text, own in words.items():
        if own & INSIDE or {"in", "app"} <= own:
            events.types[text] = EventType.CLICK, "bought in what the user has: an act on it, no purchase of it"


def _unchosen(events: Table) -> list[tuple[Column, list[str]]]:
    """The columns with values that tell it, and these."""
    found = []
    typed = events.mapped.get("event_type", (None, ""))[0]
    if typed is not None and "*" not in events.types:
        unknown = [text for text in events.types if text in events.unknown and _only_updates(text)]
        found.append((typed, unknown + [text for text in events.types if text not in unknown and unchosen(text, True)]))
    for column in events.free:
        if few_words(column) and (words := _told(column)) and not settled(events, column):
            found.append((column, words))
    return [(column, words) for column, words in found if words]


def unchosen(text: str, cause: bool = False) -> bool:
    """Whether a value says that a program did something by itself, and nothing else: `auto_suggest` is a list.

    Args:
        text: a value.
        cause: whether its column says what happened or why, so that `auto` or `restore` is enough, and `carrier` may
            stand beside `preload`: a `preloaded_card` is what pays.
    """
    words = _words(text)
    deeds = {*UPDATES, *UPGRADES, *INSTALLS}
    shipped = words & BY_ITSELF or ("pre" in words and words & {"installed", "loaded"})
    told = bool(shipped or (words & AUTOMATIC and words & deeds))
    if told:
        return cause or words <= {*BY_ITSELF, *AUTOMATIC, *RESTORED, *deeds, "pre", "loaded"}
    return cause and _vague(text)


def _told(column: Column) -> list[str]:
    """The values that tell it, of a column that is not the type."""
    cause = not CAUSES.isdisjoint(column.snake.split("_"))
    words = [text for text in sorted(pc.unique(column.texts).to_pylist()) if unchosen(text, cause)]
    vague = pa.array(filter(_vague, words), pa.string())
    often = MOST * len(column.values) < pc.sum(pc.is_in(column.texts, value_set=vague)).as_py()
    return [text for text in words if not (often and _vague(text))]


def _vague(text: str) -> bool:
    """Whether a value says by `auto` or `restore` alone, which may be something else, that a program did it."""
    words = _words(text)
    return bool(words & {*AUTOMATIC, *RESTORED}) and words <= {*AUTOMATIC, *RESTORED, *PLAYS}


def _words(text: str) -> set[str]:
    return {*snake(text).split("_")} - {*OBJECTS, *FILLERS, *BESIDE}


def _only_updates(text: str) -> bool:
    """Whether something is updated and nothing else done: a `cart_update` is one of a cart."""
    words = _words(text) - AUTOMATIC
    return bool(words) and words <= UPDATES and act_of(text) is None


def skip_rows(events: Table, column: Column, words: Sequence[str]) -> str:
    """Leaves the rows of these words out of the sample and of the source, and tells how many; "" where there are none,
    or no others."""
    own = next(each for each in events.columns if each.name == column.name)
    gone = pc.fill_null(pc.is_in(cells.parse_text(own.values)[0], value_set=pa.array(words)), False)
    count, rows = pc.sum(gone).as_py() or 0, len(gone)
    if not 0 < count < rows:
        return ""
    _keep(events, pc.invert(gone))
    for word in words:
        events.types.pop(word, None)
    events.unknown = [word for word in events.unknown if word not in words]
    skip = {**events.source.skip, column.name: (*events.source.skip.get(column.name, ()), *words)}
    events.source = events.source.model_copy(update={"skip": skip})
    return f"{count:,} of {rows:,} rows"


def _keep(events: Table, kept: pa.Array) -> None:
    """Takes the other rows out of the sample, so that no guess is made of what a run will not read."""
    events.columns = [Column(each.name, each.values.filter(kept)) for each in events.columns]
    events.declared = {
        target: (Column(each.name, each.values.filter(kept)), guess)
        for target, (each, guess) in events.declared.items()
    }
    events.mapped = {
        target: (Column(each.name, each.values.filter(kept)), why) for target, (each, why) in events.mapped.items()
    }
