"""Schemas as they are handed to `ingest`: packed, for all parameters of a step are one word of its command line, and
Linux takes 128 KiB for a word."""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Mapping

from souk.errors import SoukError


def packed(texts: Mapping[str, str]) -> str:
    """The texts of schemas by table as one line of ASCII, a tenth as long: their names repeat."""
    text = json.dumps(texts, sort_keys=True, ensure_ascii=False)
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def unpacked(text: str) -> dict[str, str]:
    """The texts of schemas by table; none of "". JSON, which submissions of before have, is read as it is.

    Raises:
        SoukError: it is neither.
    """
    try:
        plain = text if text.startswith("{") or not text else zlib.decompress(base64.b64decode(text)).decode()
        texts: dict[str, str] = json.loads(plain or "{}")
    except (binascii.Error, zlib.error, ValueError) as error:
        remedy = "Put the schemas beside the config, and let `souk run` or `souk submit` hand them on."
        raise SoukError("the parameter `schema` to be packed schemas, or JSON", repr(text[:40]), remedy) from error
    return texts
