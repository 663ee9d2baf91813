"""Times with the English name of their month, as programs write them: `Tue Apr 03 18:00:09 +0000 2012`."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
DAYS = "Mon|Tue|Wed|Thu|Fri|Sat|Sun"
MONTH, CLOCK, OFFSET = rf"({'|'.join(MONTHS)})", r"(\d{2}:\d{2}(?::\d{2})?)", r"([+-]\d{4}|GMT|UTC)?"
# As the C library, Ruby and Twitter write them, and as mails do.
LAST_YEAR = rf"^(?:{DAYS}) {MONTH} +(\d{{1,2}}) {CLOCK} ?{OFFSET} (\d{{4}})$"
MAIL = rf"^(?:(?:{DAYS}), )?(\d{{1,2}}) {MONTH} (\d{{4}}) {CLOCK} ?{OFFSET}$"


def in_numbers(text: pa.Array) -> pa.Array:
    """Times with the name of a month as ISO writes them; all else as it is."""
    worded = pc.fill_null(pc.match_substring_regex(text, rf"{LAST_YEAR}|{MAIL}"), False)
    if not pc.any(worded).as_py():
        return text
    time = pc.replace_substring_regex(pc.if_else(worded, text, None), LAST_YEAR, r"\5-\1-\2T\3\4")
    time = pc.replace_substring_regex(time, MAIL, r"\3-\2-\1T\4\5")
    for number, month in enumerate(MONTHS, start=1):
        time = pc.replace_substring(time, f"-{month}-", f"-{number:02}-")
    time = pc.replace_substring_regex(time, r"-(\d)T", r"-0\1T")
    return pc.if_else(worded, pc.replace_substring_regex(time, "(GMT|UTC)$", "Z"), text)
