"""Texts of data on a terminal: a title is a seller's, and may hold what moves a cursor or names a window."""

from __future__ import annotations

import unicodedata


def plain(text: str) -> str:
    """A text in one line, its control characters written out (`\\x1b`)."""
    return "".join(repr(c)[1:-1] if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in text)
