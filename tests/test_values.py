"""Raw values are the same from a file and from a request."""

import math

import pyarrow as pa
import pytest

from souk.ingest import cells
from souk.values import clean


@pytest.mark.parametrize("text", ["Fes", " Fes", "Fes \t", "\u00a0Fes\n", "New  York", "  ", ""])
def test_white_space_around_a_word_is_none_of_it_as_in_a_file(text):
    assert clean(text, "string") == (cells.parse_text(pa.array([text]))[0].to_pylist()[0] or "")


def test_lists_have_words_as_those_of_a_file():
    words = [" jazz", "", " ", "rock\t", "a b"]
    assert clean(words, "string", 9) == cells.parse_list(pa.array([words]))[0].to_pylist()[0] == ["jazz", "rock", "a b"]
    assert clean(words, "string", 2) == ["jazz", "rock"]


def test_what_is_missing_has_one_form():
    assert clean(None, "string") == clean(math.nan, "string") == ""
    assert clean(None, "string", 3) == clean(None, "float32", 3) == []
    assert clean(None, "int64") == 0 and math.isnan(clean(None, "float32"))
    assert clean(["1", 2], "float32", 3) == [1.0, 2.0]
