"""`python -m benchmarks.quality prepare|souk|peers|table`: Souk beside its peers on one data set.

`prepare` and `souk` run in Souk's environment, `peers` in the peers' (.venv-quality), `table` in either. What they
leave in `--output` is all that they share.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import souk
from benchmarks.quality.compare import TITLES, compare, markdown, not_run, table, verdicts
from benchmarks.quality.ranks import read_ranks
from benchmarks.setting import machine
from souk.errors import SoukError
from souk.folders import placed

RESULTS = Path(__file__).parents[1] / "results"
DATASET, RANKS, TUNING, CANDIDATES = "dataset", "ranks", "tuning", "candidates"


def prepare(given: argparse.Namespace) -> None:
    """Writes the config of a data set."""
    from benchmarks.quality.prepare import prepare as write  # YAML

    print(write(given.name, given.data, given.output))


def run_souk(given: argparse.Namespace) -> None:
    """Runs the pipeline, and ranks the test queries with its twin."""
    from benchmarks.quality.artifacts import link, run  # the environments share no heavy package
    from benchmarks.quality.own import rank_twin
    from benchmarks.quality.ranker_features import export

    found = run(given.output / "config.yaml", given.output / "workspace")
    dataset = link(found, given.output / DATASET)
    (given.output / RANKS).mkdir(exist_ok=True)
    rank_twin(dataset, found["twin"], given.output / RANKS, given.most)
    candidates = json.loads((found["twin"] / "bundle.json").read_text(encoding="utf-8"))["candidates"]
    for window, towers in (("validation", found["towers"]), ("test", found["release_towers"])):
        export(dataset, towers, window, candidates, given.output / CANDIDATES / f"{window}.parquet")


def run_peers(given: argparse.Namespace) -> None:
    """Tunes the peers one after the other; one that is there already is not run again."""
    os.environ["TF_USE_LEGACY_KERAS"] = "1"  # TensorFlow Recommenders knows no Keras 3
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from benchmarks.quality.run_peers import run  # pandas and the evaluation

    dataset = given.dataset or given.output / DATASET
    run(dataset, given.output, given.peers, given.trials, given.users, given.most, given.seed, given.minutes)


def show(given: argparse.Namespace) -> None:
    """Prints the tables, and writes `benchmarks/results/quality-NAME.json` and `OUTPUT/table.md`."""
    from rich.console import Console
    from rich.table import Table

    ranks = read_ranks(given.output / RANKS)
    tuned = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((given.output / TUNING).glob("*.json"))]
    if not ranks or not tuned:
        raise SoukError(f"ranks and tuned peers in {given.output}", "none", "Run `souk` and `peers` first.")
    found = compare(ranks, tuned)
    console = Console(width=200)
    for view, values in found.items():
        title = f"{given.name}, {TITLES[view]}: {values['queries']:,} queries of {values['users']:,} users"
        header, *rows = table(found, tuned, view)
        grid = Table(*header, title=title)
        for row in rows:
            grid.add_row(*row)
        console.print(grid)
        print(*verdicts(values), not_run(values), sep="\n")
    taken = datetime.now(UTC).isoformat(timespec="seconds")
    record = {"subject": given.name, "taken": taken, "version": souk.__version__, "machine": machine(), "views": found}
    with placed(RESULTS / f"quality-{given.name}.json") as fresh:
        fresh.write_text(json.dumps({**record, "peers": tuned}, indent=1) + "\n", encoding="utf-8")
    with placed(given.output / "table.md") as fresh:
        fresh.write_text(markdown(found, tuned), encoding="utf-8")


def parse(words: list[str]) -> argparse.Namespace:
    """The arguments."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    commands = parser.add_subparsers(required=True)
    one, two, three, four = (
        _command(commands, name, work)
        for name, work in (("prepare", prepare), ("souk", run_souk), ("peers", run_peers), ("table", show))
    )
    one.add_argument("name", help="movielens_100k, movielens_1m, amazon_beauty, online_retail or complete_journey")
    one.add_argument("--data", type=Path, default=Path(), help="folder of the raw files")
    for command in (two, three):
        command.add_argument("--most", type=int, default=20, help="queries of a user at most")
    three.add_argument("--dataset", type=Path, help="folder with tables/ and features/; default: OUTPUT/dataset")
    three.add_argument("--peers", default="", help="names, with commas; all by default")
    three.add_argument("--trials", type=int, default=8, help="settings that each peer may try on validation")
    three.add_argument(
        "--minutes", type=float, default=math.inf, help="of tuning, after which a peer begins no other setting"
    )
    three.add_argument("--users", type=int, default=2000, help="drawn from the validation window for tuning")
    three.add_argument("--seed", type=int, default=0)
    four.add_argument("name", help="of the data set")
    return parser.parse_args(words)


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    work: Callable[[argparse.Namespace], None],
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=work.__doc__)
    command.add_argument("--output", type=Path, required=True, help="folder of this data set's comparison")
    command.set_defaults(work=work)
    return command


def main() -> None:
    """Runs a command; an error that the reader can mend is told without a traceback."""
    given = parse(sys.argv[1:])
    try:
        given.work(given)
    except SoukError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
