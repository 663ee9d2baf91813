"""What a request states of itself: values of declared columns, of the visit (`context`) or of the user (`profile`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from souk.schema import Kind
from souk.serving.fields import LARGEST, is_text, known_keys

LONGEST = 4096  # characters of a text


class Stated:
    """Checks values of the declared columns of one table.

    Args:
        kinds: the columns.
        widths: of the vectors among them.
    """

    def __init__(self, kinds: Mapping[str, Kind], widths: Mapping[str, int]) -> None:
        self._kinds, self._widths = kinds, widths

    def parse(self, path: str, values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """The well-formed values at `path` of a body, and the columns of the others; None is left out.

        Raises:
            SoukError: a column is not declared.
        """
        known_keys(path, values, self._kinds)
        present = {name: value for name, value in values.items() if value is not None}
        good = {name: value for name, value in present.items() if self._fits(name, value)}
        return good, [name for name in present if name not in good]

    def _fits(self, name: str, value: Any) -> bool:
        kind = self._kinds[name]
        if kind is Kind.NUMERIC:
            return _is_number(value)
        if kind is Kind.LIST:
            return isinstance(value, list) and all(map(_is_word, value))
        if kind is Kind.VECTOR:
            return isinstance(value, list) and len(value) == self._widths[name] and all(map(_is_number, value))
        return _is_word(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST and is_text(value)
