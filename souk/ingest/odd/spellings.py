"""Words of a column that differ in capitals or white space alone: to the models they are different words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from souk.schema import Kind

WORDS = (Kind.CATEGORICAL, Kind.PATH, Kind.LIST)
WORTH = 0.01  # share of the words in the table that are not in the usual spelling, from which it is told
LONGEST = 40  # characters of a word that is shown


def odd_spellings(name: str, rows: pa.Table, kinds: Mapping[str, Kind]) -> Iterator[str]:
    """Which columns spell words in several ways.

    Args:
        name: of the table.
        rows: it.
        kinds: its declared columns.
    """
    for column, kind in kinds.items():
        if kind not in WORDS or column not in rows.column_names:
            continue
        words = rows[column].combine_chunks()
        words = (words.flatten() if pa.types.is_list(words.type) else words).drop_null()
        if not pa.types.is_string(words.type) or not len(words):
            continue
        counts = pa.table({"word": words}).group_by("word").aggregate([("word", "count")]).to_pandas()
        counts["plain"] = counts["word"].str.casefold().str.split().str.join(" ")
        usual = counts.sort_values(["word_count", "word"], ascending=[False, True]).drop_duplicates("plain")
        odd = counts.drop(usual.index)
        odd = odd[odd["plain"] != ""].sort_values(["word_count", "word"], ascending=[False, True])
        share = odd["word_count"].sum() / pc.sum(pa.array(counts["word_count"])).as_py()
        if share < WORTH:
            continue
        other = odd["word"].iloc[0]
        same = usual.loc[usual["plain"] == odd["plain"].iloc[0], "word"].iloc[0]
        told = (
            f"{len(odd):,} of the {len(counts):,} words of {column} differ from others in capitals or white space alone"
        )
        such = f"{share:.0%} of the rows have them, as {other[:LONGEST]!r} beside {same[:LONGEST]!r}"
        yield f"{name}: {told}. {such}: to the models these are different words. Write them alike"
