"""`souk init`: a text that is not UTF-8 costs its row where files have no encoding."""

from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from souk.ingest.faults import Reason
from tests.test_ingest_first_config import init, read

ROWS = [(f"u{n % 9}", f"i{n % 7}", 1_700_000_000 + n, b"K\xf6ln" if n == 40 else b"Rom") for n in range(99)]
NAMES = ("user", "item", "time", "city")


def write(path: Path) -> str:
    if path.suffix == ".jsonl":
        form = b'{"user": "%s", "item": "%s", "time": %d, "city": "%s"}\n'
        path.write_bytes(b"".join(form % (user.encode(), item.encode(), time, city) for user, item, time, city in ROWS))
        return str(path)
    table = pa.table(dict(zip(NAMES, map(list, zip(*ROWS, strict=True)), strict=True)))
    city = table["city"].combine_chunks()
    text = pa.Array.from_buffers(pa.string(), len(city), city.buffers())
    parquet.write_table(table.set_column(3, "city", text), path)
    return str(path)


def test_an_atomic_file_has_an_encoding(tmp_path: Path) -> None:
    rows = "".join(f"u{n % 9}\ti{n % 7}\t{1_700_000_000 + n}\tKöln\n" for n in range(99))
    head = "user_id:token\titem_id:token\ttimestamp:float\tcity:token\n"
    (tmp_path / "e.inter").write_bytes(f"{head}{rows}".encode("cp1252"))
    _, config = init(tmp_path, str(tmp_path / "e.inter"))
    assert config.data.events.encoding == "cp1252"


@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
def test_files_that_have_no_encoding_are_given_none(tmp_path: Path, ending: str) -> None:
    _, config = init(tmp_path, write(tmp_path / f"e.{ending}"))
    assert config.data.events.encoding == "utf-8"
    found = read(config, "events")
    assert {fault.reason: len(fault.rows) for fault in found.faults} == {Reason.ENCODING: 1}
