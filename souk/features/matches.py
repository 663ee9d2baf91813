"""Which features of the user or the visit speak of the same thing as one of the item, where the config leaves it to the
data."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from souk.features.agreement import Comparison, Counts, Said
from souk.features.taken import sample_taken
from souk.spec import SHARED_ROLES, Entity, Feature, FeatureSpec

LIFT = 1.2  # times chance that the two agree, at least, or by which chance fails them more often,
MORE = 0.05  # if that is so much more of what is taken;
CERTAINTY = 4.0  # standard errors above chance,
USERS = 30  # over so many users,
WORDS = 0.75  # and above it, at such a share of what is taken by words, each
WORD_PART = 0.25  # by so much of what all are above it; a word is judged alone
WORD_CERTAINTY = 3.0  # that is said so often that what all are above chance would be so many of its standard errors
FEW = 5  # words from which on another order of them would hardly agree as often by luck,
EXCHANGES = 200  # as so many others show
COPY = 0.95  # share from which on a visit's feature is likely the item's own, which no request has
SAME = 0.8  # share of the visits that disagree and are like the next of the item, where it is; of the user, where not
FLAGS = {"yes", "no", "true", "false", "none", "null", "other", "unknown", "ja", "nein", "oui", "non", "si", "sí"}
SEED = 17


class Match(NamedTuple):
    """Two features that agree in what users take: in which share of it, and in which share by chance.

    Args:
        own: of the user or the visit.
        theirs: of the item.
        share: of what a user takes.
        chance: of what others took.
        copied: whether the log seems to have the visit's feature from the item.
    """

    own: str
    theirs: str
    share: float
    chance: float
    copied: bool = False

    def __str__(self) -> str:
        said = f"{self.own} and {self.theirs} agree in {_percent(self.share)} of what a user takes, by chance in "
        said += _percent(self.chance)
        if self.copied:
            said += (
                ": left out, since the log likely has it from the item. Then take it out of columns.events, too; if "
                "requests do carry it, name it in build_features.matches, beside all others: what is named is all"
            )
        elif self.own.startswith("user_") and self.share >= COPY:
            said += (
                ": is it made of what the user took? Then it must be of before that, or learns what it is asked; what "
            )
            said += "the user said, as a diet, may stay"
        return said


def find_matches(tables: str | Path, spec: FeatureSpec, before: int) -> list[Match]:
    """The pairs of features that agree in what users take more often than by chance.

    Chance is what other users took at about the same time: what there was to take, and what was popular. So names of
    columns say nothing, nor does it that both know the same words: yes and no, or small numbers.

    Args:
        tables: output of ingest.
        spec: the feature specification.
        before: UTC epoch milliseconds, the start of validation: later events may not choose.
    """
    own = [(f, _table(f)) for f in (*spec.of(Entity.USER), *spec.context) if f.role in SHARED_ROLES]
    theirs = spec.shared
    if not own or not theirs:
        return []
    columns = {table: [f.source for f, of in own if of == table] for table in ("users", "events")}
    taken = sample_taken(Path(tables), spec, before, columns | {"items": [f.source for f in theirs]})
    numbers: dict[str, int] = {}
    kinds = spec.columns
    goods = [taken.said(f, "items", kinds.items[f.source], numbers) for f in theirs]
    which = {"users": taken.user, "events": np.arange(len(taken.user))}
    said = [Said.of(taken.said(f, of, getattr(kinds, of)[f.source], numbers), which[of]) for f, of in own]
    rule = _Rule(Comparison(taken, max(1, len(numbers))), np.array(list(numbers), object))
    found = (
        rule.judged(mine, feature, own_said, in_words)
        for feature, rows in zip(theirs, goods, strict=True)
        for in_words in [rule.comparison.items(rows)]
        for (mine, _), own_said in zip(own, said, strict=True)
    )
    return [match for match in found if match]


def _table(feature: Feature) -> str:
    return "users" if feature.entity is Entity.USER else "events"


class _Rule:
    """When two features match.

    Args:
        comparison: of what is taken with what others took.
        words: `[words]`, by number.
    """

    def __init__(self, comparison: Comparison, words: np.ndarray) -> None:
        self.comparison, self._words = comparison, words

    def judged(self, own: Feature, theirs: Feature, said: Said, items: Sequence[Said]) -> Match | None:
        """The match, if the two agree more often than by chance."""
        known = np.zeros(len(self._words) or 1, bool)
        for each in items:
            known[each.word] = True
        mine = said.only(known[said.word])
        if not len(mine.event):
            return None
        counts = self.comparison.counts(mine, items)
        if not (_agrees(counts) and self._mean_the_same(mine, items)):
            return None
        copied = _table(own) == "events" and self._copied(mine, items[0], counts.shares[0])
        return Match(own.name, theirs.name, *counts.shares, copied)

    def _mean_the_same(self, own: Said, items: Sequence[Said]) -> bool:
        """Whether it is these words that agree, and not any order of them: of what people of one kind like, any column
        about them tells something, and of two words one agrees more often with either."""
        shared = np.intersect1d(own.word, np.concatenate([each.word for each in items]))
        if len(shared) < FEW:
            return sum(map(_speaks, self._words[shared])) >= min(2, len(shared))
        found = self.comparison.exchanged(own, items, shared, EXCHANGES, SEED)
        return bool(found[0] >= found[1:].max())

    def _copied(self, own: Said, item: Said, share: float) -> bool:
        """Whether a visit's feature seems to be of the item: where the two disagree, since the item has changed, the
        next visit of the item says the same again. Of a visit's own, the next one of the user does."""
        events, same = self.comparison.stays(own, item, with_item=True)
        if events >= USERS and same >= SAME:
            return True
        events, same = self.comparison.stays(own, item, with_item=False)
        return share >= COPY and not (events >= USERS and same >= SAME)


def _agrees(counts: Counts) -> bool:
    more = counts.more
    if len(more) < USERS:
        return False
    share, chance = counts.shares
    certain = more.mean() > CERTAINTY * more.std() / np.sqrt(len(more))
    much = share >= LIFT * chance or 1 - chance >= max(LIFT * (1 - share), 1 - share + MORE)
    return bool(certain and much and _widely(counts.by_word))


def _widely(by_word: np.ndarray) -> bool:
    """Whether it is so of most words: each that is said often enough to tell, and all others together."""
    (said, agreed, _), more = by_word.sum(axis=1), float((by_word[1] - by_word[2]).sum())
    share, more = agreed / said, more / said
    if more <= 0:
        return False
    often = by_word[0] >= WORD_CERTAINTY**2 * share * (1 - share) / more**2
    events, agrees, chance = np.column_stack([by_word[:, often], by_word[:, ~often].sum(axis=1)])
    return bool(events[agrees - chance > WORD_PART * more * events].sum() >= WORDS * said)


def _speaks(word: str) -> bool:
    """Whether a word says something by itself: no number, no single letter, no yes or no."""
    return bool(re.search(r"[^\W\d_]{2}", word)) and word.casefold() not in FLAGS


def _percent(share: float) -> str:
    return f"{share:.1%}" if 0 < share < 0.095 else f"{share:.0%}"
