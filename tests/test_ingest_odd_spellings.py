"""Words that differ in capitals or white space alone are told where they are many."""

import pyarrow as pa
import pytest

from souk.ingest.odd.spellings import odd_spellings
from souk.schema import Kind


def told(words, kind=Kind.CATEGORICAL):
    table = pa.table({"item_id": [f"i{n}" for n in range(len(words))], "city": words})
    return list(odd_spellings("items", table, {"city": kind}))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["Berlin"] * 98 + ["BERLIN", "berlin"], "2 of the 3 words of city differ"),
        (["Berlin"] * 99 + ["BERLIN"], "1% of the rows have them, as 'BERLIN' beside 'Berlin'"),
        (["Berlin"] * 100 + ["BERLIN"], ""),  # less than one in a hundred
        (["Berlin", "Bern", None, "Basel"], ""),
        (["New  York", "New York", "New York"], "as 'New  York' beside 'New York'"),
        (["STRASSE", "Straße", "Straße"], "as 'STRASSE' beside 'Straße'"),
        ([None, None], ""),
        (pa.nulls(2, pa.string()), ""),
    ],
)
def test_what_is_told_of_spellings(words, said):
    found = told(words)
    assert len(found) == bool(said) and all(said in line for line in found), found


def test_words_of_lists_count_too_and_texts_do_not():
    assert "1 of the 3 words" in told([["Red", "wool"], ["Red"], ["red"]], Kind.LIST)[0]
    assert "1 of the 2 words" in told(["Home/Sofas", "home/Sofas"], Kind.PATH)[0]
    assert not told(["Red boots", "red boots"], Kind.TEXT)
