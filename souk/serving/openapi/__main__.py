"""Prints the description of a dataset config's routes, as a server has it at `/openapi.json`.

python -m souk.serving.openapi configs/movielens_100k.yaml > docs/openapi.json
"""

from __future__ import annotations

import argparse
import sys

import orjson

from souk.config import load_config
from souk.serving.openapi.document import document
from souk.spec import FeatureSpec


def described(path: str) -> str:
    """The document of a config, whose name stands for a release's."""
    config = load_config(path)
    spec = FeatureSpec(config.name, config.columns, config.objectives, config.repeat, config.build_features)
    made = document(spec, config.deploy.slate_size, config.deploy.max_slate_size, config.name)
    return orjson.dumps(made, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", metavar="FILE", help="a dataset config")
    sys.stdout.write(described(parser.parse_args().config))


if __name__ == "__main__":
    main()
