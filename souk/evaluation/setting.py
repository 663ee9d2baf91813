"""The data of an evaluation: the items, the users of a window, and what is known of both."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from souk.config import Evaluate
from souk.evaluation.content import Content
from souk.evaluation.protocol import METRICS, TOP
from souk.evaluation.queries import Catalogue
from souk.evaluation.window import Window
from souk.evaluation.windows import read_window
from souk.progress import report
from souk.spec import FeatureSpec

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Setting:
    """What an evaluation is of.

    Args:
        settings: the protocol's bounds.
        spec: that of the data.
        catalogue: the items, as they were known before the window.
        window: who engages in it.
        content: what is known of the items beside their events.
        tables: output of `ingest`.
        features: output of `build_features`.
        tell: is told what begins.
        places: of a slate that the figures of what is shown look at.
    """

    settings: Evaluate
    spec: FeatureSpec
    catalogue: Catalogue
    window: Window
    content: Content
    tables: Path
    features: Path
    tell: Tell
    places: int = TOP

    @classmethod
    def read(
        cls,
        settings: Evaluate,
        spec: FeatureSpec,
        tables: Path,
        features: Path,
        tell: Tell = report,
        context: Collection[str] = (),
    ) -> Setting:
        """The test window; its queries carry the columns `context` of events, too."""
        catalogue, window = read_window(tables, features, spec, most=settings.max_users, tell=tell, context=context)
        content = Content.read(features, spec, catalogue)
        return cls(settings, spec, catalogue, window, content, tables, features, tell)

    @property
    def items(self) -> int:
        """How many items some query of the window ranks."""
        return int(self.catalogue.listed.sum())

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of the ranking metrics, those of the places that are shown among them."""
        shown = f"hr@{self.places}", f"ndcg@{self.places}"
        return tuple(dict.fromkeys((*METRICS, *shown, self.settings.primary)))
