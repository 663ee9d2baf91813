"""Known vulnerabilities of locked packages: python requirements/audit.py requirements/main.txt

pip-audit asks the Python Package Index for the advisories of each package. Where it does not give any (a mirror, a
proxy, no network), pip-audit says that nothing was found; this says that nothing was looked at. Ends with 1 where a
package has one.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any


def audited(lock: Path) -> list[dict[str, Any]]:
    """What pip-audit says of each package of a lock; nothing where it fails."""
    options = ["--disable-pip", "--no-deps", "--progress-spinner", "off", "--timeout", "10", "--format", "json"]
    command = [sys.executable, "-m", "pip_audit", *options, "--requirement", str(lock)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        return list(json.loads(done.stdout)["dependencies"])
    except (ValueError, KeyError, TypeError):
        print(done.stderr.strip()[-500:], file=sys.stderr)
        return []


def reachable(lock: Path) -> bool:
    """Whether there are advisories to ask for: one package is looked up before all are."""
    first = next(line.split(";")[0].strip(" \\") for line in lock.read_text().splitlines() if "==" in line[:100])
    with tempfile.TemporaryDirectory() as folder:
        one = Path(folder, "one.txt")
        one.write_text(first.split(" ")[0] + "\n")
        found = audited(one)
    return bool(found) and not any("skip_reason" in each for each in found)


def main(lock: Path) -> int:
    """The exit status."""
    if not reachable(lock):
        print(f"pip-audit: {lock} was not looked at: no index of advisories answers here")
        return 0
    found = audited(lock)
    if not found:
        print(f"pip-audit: {lock} was not looked at: see above")
        return 0
    wrong = [each for each in found if each.get("vulns")]
    for each in wrong:
        for advisory in each["vulns"]:
            mended = ", ".join(advisory.get("fix_versions", ())) or "no version"
            print(f"{each['name']} {each['version']}: {advisory['id']}, mended in {mended}")
    skipped = sum("skip_reason" in each for each in found)
    looked = len(found) - skipped
    print(f"pip-audit: {looked} packages looked at, {len(wrong)} with known vulnerabilities, {skipped} unknown")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
