"""Print what setup.cfg asks for, with these extras, one requirement a line: what an image installs before Souk itself.

Usage: python requirements/extras.py [EXTRA,EXTRA...]
"""

import configparser
import pathlib
import sys


def requirements(extras: list[str]) -> list[str]:
    """The requirements of Souk and of `extras`; an extra that setup.cfg does not have is an error."""
    config = configparser.ConfigParser()
    config.read(pathlib.Path(__file__).resolve().parents[1] / "setup.cfg", encoding="utf-8")
    known = config["options.extras_require"]
    unknown = [extra for extra in extras if extra not in known]
    if unknown:
        sys.exit(f"Expected extras of setup.cfg: {', '.join(known)}. Received: {', '.join(unknown)}.")
    groups = [config["options"]["install_requires"], *(known[extra] for extra in extras)]
    return [line for group in groups for line in group.split("\n") if line]


if __name__ == "__main__":
    print(*requirements([extra for extra in "".join(sys.argv[1:]).split(",") if extra]), sep="\n")
