"""How far new items lean to the known ones of their content: as far as known items can afford."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from souk.models.judge import RetrievalJudge
from souk.models.retrieve import item_vectors, vectors_of
from souk.models.sequences import Catalogue
from souk.models.towers import LEAN, LENGTH, TwoTower, as_new

LEANS = ((LEAN, LENGTH), (0.2, 1.0), (0.1, 1.0), (0.05, 1.0), (0.0, 1.0))  # and lengths, what costs most first
SHARE = 0.1  # of the known items, as many as stand among them as if they were new
KEPT = 0.98  # of the known items' figure


def choose_lean(
    model: TwoTower,
    catalogue: Catalogue,
    taken: np.ndarray,
    judge: RetrievalJudge,
    seed: int,
    report: Callable[[str], None],
) -> None:
    """Gives the item tower the first of LEANS at which known items keep KEPT of what they have without any.

    A draw of the known items stands among all once more, as if nothing were known of them but their content; none of
    them is one that they lean to. Who has no item yet that training never saw learns so what later ones will cost.

    Args:
        model: fitted towers.
        catalogue: the items.
        taken: `[items]`, how often each was a target of the fit.
        judge: of moments after it.
        seed: of the draw.
        report: takes a line of progress.
    """
    tower, known = model.item_tower, np.flatnonzero(taken)
    drawn = np.random.default_rng(seed).permutation(known)[: max(1, round(SHARE * len(known)))]
    others = taken.copy()
    others[drawn] = 0
    tower.lean_to(catalogue.features, others)
    again = as_new(catalogue.features, drawn)
    queries = judge.queries(model)

    def figure(lean: float, length: float) -> float:
        tower.lean_by(lean, length)
        vectors = np.concatenate([item_vectors(model, catalogue), vectors_of(model, again)])
        return judge.figure(queries, vectors, taken > 0)

    bare = figure(*LEANS[-1])
    found = next((each for each in LEANS[:-1] if figure(*each) >= KEPT * bare), LEANS[-1])
    tower.lean_by(*found)
    report(f"new items lean by {found[0]:g} to the known items of their content, and are {found[1]:g} long")
    tower.lean_to(catalogue.features, taken)
