"""A row of a file of items, on its way to a running server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, eq=False)
class ItemRow:
    """A row of a file of items.

    Args:
        value: what a server is sent: a JSON object, or what is none as it stands in the file.
        number: of the row in its file, from 1; header and blank lines do not count.
        file: its name, where there are several; "" of one alone.
        wrong: why it is not sent; "" where it is.
        skipped: the rule that leaves it out, `skip.COLUMN` or `repeated_ids`; "" where none does.
        torn: whether it is of delimited text, and could not be split into cells.
    """

    value: Any
    number: int = 1
    file: str = ""
    wrong: str = ""
    skipped: str = ""
    torn: bool = False

    @property
    def item(self) -> Any:
        """The id that it gives its item; None where it gives none."""
        return self.value.get("item_id") if isinstance(self.value, dict) else None

    @property
    def of_file(self) -> str:
        return f" of {self.file}" if self.file else ""
