"""The look for known vulnerabilities: what it says of what pip-audit says."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "requirements" / "audit.py"
LOCK = (
    "# the lock\nhttpx==0.28.1 \\\n    --hash=sha256:00\nold==1.0 ; python_version < '3.13' \\\n    --hash=sha256:01\n"
)
FAKE = """
import json, pathlib, sys
known = json.loads(pathlib.Path(__file__).with_name("known.json").read_text())
names = [line.split("==")[0] for line in open(sys.argv[-1]) if "==" in line and not line.startswith(" ")]
if known is None:
    sys.exit("no route to host")
print(json.dumps({"dependencies": [known[name] for name in names], "fixes": []}))
"""
FINE = {"name": "httpx", "version": "0.28.1", "vulns": []}
OLD = {"name": "old", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"]}]}
SKIPPED = {"name": "httpx", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("known", "status", "said"),
    [
        (
            {"httpx": FINE, "old": {**OLD, "vulns": []}},
            0,
            "2 packages looked at, 0 with known vulnerabilities, 0 unknown",
        ),
        ({"httpx": FINE, "old": OLD}, 1, "old 1.0: PYSEC-1, mended in 1.1"),
        (
            {"httpx": FINE, "old": {**SKIPPED, "name": "old"}},
            0,
            "1 packages looked at, 0 with known vulnerabilities, 1 unknown",
        ),
        ({"httpx": SKIPPED, "old": OLD}, 0, "was not looked at"),
        (None, 0, "was not looked at"),
    ],
)
def test_what_is_not_looked_at_is_not_said_to_be_sound(tmp_path, known, status, said):
    (tmp_path / "pip_audit.py").write_text(FAKE)
    (tmp_path / "known.json").write_text(json.dumps(known))
    lock = tmp_path / "lock.txt"
    lock.write_text(LOCK)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, SCRIPT, lock], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == status and said in done.stdout, done.stderr
