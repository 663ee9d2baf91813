"""No file holds a key: those of clouds and code hosts are told by their form."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = (
    ".ci benchmarks charts components configs docs feature_repo kserve manifests pipelines requirements souk tests"
)
FORMS = (
    rb"-----BEGIN [A-Z ]*PRIVATE KEY",
    rb"\b(AKIA|ASIA)[0-9A-Z]{16}\b",  # Amazon
    rb"\bAIza[0-9A-Za-z_-]{35}\b",  # Google
    rb"\bgh[pousr]_[0-9A-Za-z]{36}|\bgithub_pat_\w{22}|\bglpat-[\w-]{20}",
    rb"\bxox[abprs]-[0-9A-Za-z-]{10}|\b[rs]k_live_[0-9A-Za-z]{16}",  # Slack, Stripe
    rb"\bpypi-[0-9A-Za-z_-]{50}",
)
KEY = re.compile(b"|".join(FORMS))


def test_no_file_holds_a_key():
    files = [path for name in FOLDERS.split() for path in (ROOT / name).rglob("*") if path.is_file()]
    files += [path for path in ROOT.iterdir() if path.is_file()]
    files = [path for path in files if path.suffix != ".pyc"]
    assert len(files) > 500
    assert [str(path) for path in files if KEY.search(path.read_bytes())] == []


@pytest.mark.parametrize(
    "key",
    ["-----BEGIN RSA PRIVATE" + " KEY-----", "id: AKIA" + 16 * "7", '"ghp_' + 36 * "a" + '"', "sk_live_" + 24 * "0"],
)
def test_a_key_is_told_by_its_form(key):
    assert KEY.search(key.encode()) and not KEY.search(key[:-9].encode())
