"""Which numbers of a column of ratings say that there is none."""

from __future__ import annotations

from collections import Counter

from souk.ingest.profile import Column

FEWEST, OFTENER = 0.05, 3  # share of the rows, and times as often as the worst rating, that is given seldom
WORST, BEST = 0.5, 3  # the least rating beside, and the least that is the best


def unrated(column: Column) -> tuple[list[str], str]:
    """The values of a column of ratings that stand for none, as the 0 of what was read and not rated, and why; none
    and "" where a 0 is the worst of them.

    Args:
        column: of numbers, whole or halves.
    """
    counts = Counter(column.numbers.tolist())
    rated = sorted(number for number in counts if number > 0)
    none = [number for number in counts if number <= 0]
    if not none or not rated or min(none) < -1 or rated[0] < WORST or rated[-1] < BEST or len(rated) < BEST:
        return [], ""
    often = sum(counts[number] for number in none)
    if often < FEWEST * len(column.numbers) or often < OFTENER * counts[rated[0]]:
        return [], ""
    texts = [text for text in set(column.texts.to_pylist()) if float(text) <= 0]
    told = f"{often:,} of {len(column.numbers):,} are {' or '.join(f'{number:g}' for number in sorted(none))}"
    return sorted(texts), f"{told}, which stands for no rating beside {rated[0]:g} to {rated[-1]:g}"
