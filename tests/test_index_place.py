"""The address of a Milvus server: what `souk serve` takes for one."""

import pytest

from souk.cli import main
from souk.errors import SoukError
from souk.index.place import check_server


def test_an_address_has_a_scheme():
    for uri in (
        "",
        "http://localhost:19530",
        "https://u:secret@milvus",
        "tcp://milvus:19530",
        "unix:///run/milvus.sock",
    ):
        check_server(uri)
    with pytest.raises(SoukError) as error:
        check_server("u:secret@milvus:19530")
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("uri", ["localhost:19530", "shop.db", "grpc://milvus:19530"])
def test_a_server_does_not_start_with_what_is_no_address(tmp_path, capsys, uri, workers):
    """It started, and every slate was `index_unavailable` for good."""
    assert main(["serve", "--workspace", str(tmp_path), "--milvus-uri", uri, "--workers", workers]) == 2
    told = capsys.readouterr().err
    assert f"Received: '{uri}'. Write http://localhost:19530" in told and "loading" not in told
