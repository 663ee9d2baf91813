"""The relinked TFDV extension loads, relinking twice changes nothing, and uv's cache keeps the file as published."""

import glob
import os
import runpy
import struct
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import SimpleNamespace

import pytest

SCRIPT = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "requirements" / "relink_tfdv.py")))
OLD_LIBC = ("glibc", "2.36")
NEW_LIBC = ("glibc", "2.39")


def published() -> bytes:
    """A 64-bit ELF image of the two sections that matter: names, and the versions needed from one library."""
    names = [*SCRIPT.NAMES, *SCRIPT.VERSIONS, *SCRIPT.VERSIONS.values(), b"libc.so.6", b"kept", b"GLIBC_2.14"]
    strings = b"\0" + b"".join(name + b"\0" for name in names)
    at = {name: strings.index(b"\0" + name + b"\0") + 1 for name in names}
    versions = [b"GLIBC_2.14", *SCRIPT.VERSIONS]
    needs = struct.pack("<HHIII", 1, len(versions), at[b"libc.so.6"], 16, 0)
    for index, version in enumerate(versions):
        following = 16 if index < len(versions) - 1 else 0
        needs += struct.pack("<IHHII", SCRIPT.elf_hash(version), 0, index + 2, at[version], following)
    header = bytearray(64)
    struct.pack_into("<Q", header, 40, 64 + len(strings) + len(needs))
    struct.pack_into("<HH", header, 58, 64, 2)
    string_table = struct.pack("<IIQQQQIIQQ", 0, 3, 0, 0, 64, len(strings), 0, 0, 1, 0)
    version_table = struct.pack("<IIQQQQIIQQ", 0, 0x6FFFFFFE, 0, 0, 64 + len(strings), len(needs), 0, 1, 8, 0)
    return bytes(header) + strings + needs + string_table + version_table


def needed(image: bytes) -> list[tuple[int, bytes]]:
    """The (hash, version name) records of an image made by `published`."""
    records = image.index(b"GLIBC_2.14\0") + len(b"GLIBC_2.14\0") + 16
    found = [struct.unpack_from("<IHHII", image, records + 16 * i) for i in range(1 + len(SCRIPT.VERSIONS))]
    return [(value, image[64 + name : image.index(b"\0", 64 + name)]) for value, _, _, name, _ in found]


def test_names_and_versions_become_their_older_twins() -> None:
    image = bytearray(published())
    assert SCRIPT.relink(image)
    for old, new in SCRIPT.NAMES.items():
        assert b"\0" + old + b"\0" not in image
        assert b"\0" + new + b"\0" in image
    expected = [b"GLIBC_2.14", *SCRIPT.VERSIONS.values()]
    assert needed(bytes(image)) == [(SCRIPT.elf_hash(name), name) for name in expected]
    assert len(image) == len(published())


def test_the_hash_is_the_one_of_the_system_v_abi() -> None:
    assert SCRIPT.elf_hash(b"GLIBC_2.2.5") == 0x09691A75  # as readelf prints it for any program


def test_relinking_twice_changes_nothing() -> None:
    image = bytearray(published())
    SCRIPT.relink(image)
    once = bytes(image)
    assert not SCRIPT.relink(image)
    assert bytes(image) == once


def test_the_linked_file_in_the_cache_stays_as_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached, installed = tmp_path / "cached.so", tmp_path / "installed.so"
    cached.write_bytes(published())
    os.link(cached, installed)
    run(installed, OLD_LIBC, monkeypatch)
    assert cached.read_bytes() == published()
    assert installed.read_bytes() != published()
    assert sorted(tmp_path.iterdir()) == [cached, installed]


def test_a_newer_system_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = tmp_path / "installed.so"
    installed.write_bytes(published())
    run(installed, NEW_LIBC, monkeypatch)
    assert installed.read_bytes() == published()


@pytest.mark.skipif(sys.platform != "linux", reason="the extension is an ELF file")
def test_the_installed_extension_loads() -> None:
    [path] = glob.glob(os.path.join(sysconfig.get_path("purelib"), SCRIPT.EXTENSION))
    # In a process of its own: its symbols must not meet those of TensorFlow in this one.
    subprocess.run([sys.executable, "-c", f"import ctypes; ctypes.CDLL({path!r})"], check=True)


def run(path: Path, libc: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs the script on `path` as if on a system with that C library."""
    monkeypatch.setattr("platform.libc_ver", lambda: libc)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(sys, "argv", ["relink_tfdv.py", str(path)])
    SCRIPT.main()
