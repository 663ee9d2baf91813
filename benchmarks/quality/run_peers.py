"""Tunes the peers on one data set and leaves their ranks, settings and seconds."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.quality.peers import LAMBDAMART, PEERS, Peer
from benchmarks.quality.ranks import write_ranks
from benchmarks.quality.tuning import PRIMARY, Asked, tune
from souk.errors import SoukError, unknown
from souk.features.windows import read_windows
from souk.folders import placed
from souk.spec import read_spec

FULL_SOFTMAX_ITEMS = 10_000


def run(
    dataset: Path, output: Path, names: str, trials: int, users: int, most: int, seed: int, minutes: float = math.inf
) -> None:
    """Runs every peer whose ranks are not there yet; one that was stopped goes on after its finished settings.

    Args:
        dataset: a folder with `tables` and `features`.
        output: gets `ranks/NAME.parquet` and `tuning/NAME.json`, and `unfinished/` while a peer is tuned.
        names: of peers, with commas; "" for all.
        trials: settings that each may try.
        users: drawn from the validation window.
        most: queries of a user at most.
        seed: of all draws.
        minutes: of tuning after which a peer begins no further setting.
    """
    if not (dataset / "features" / "spec.json").exists():
        raise SoukError("a folder with tables/ and features/", str(dataset), "Run `souk` first, or name it: --dataset.")
    dated = not read_windows(dataset / "features" / "windows.json").last_out
    known = {peer.name: peer if dated else peer.undated for peer in (*PEERS, LAMBDAMART)}
    wanted = [name for name in names.split(",") if name] or list(known)
    for name in wanted:
        if name not in known:
            raise unknown("a peer", name, known)
    spec = read_spec(dataset / "features" / "spec.json")
    validation = Asked.read(dataset, spec, "validation", most).drawn(users, seed)
    test = Asked.read(dataset, spec, "test", most)
    print(f"{spec.dataset}: {len(validation.queries):,} validation and {len(test.queries):,} test queries", flush=True)
    for name in wanted:
        if (output / "tuning" / f"{name}.json").exists():
            print(f"{name}: there already", flush=True)
        elif name == LAMBDAMART.name:
            _run_lambdamart(output, test, trials, seed, minutes)
        else:
            kept = output / "unfinished" / f"{name}-{users}-{most}-{seed}.json"
            peer = known[name].sampled if test.past.size > FULL_SOFTMAX_ITEMS else known[name]
            _run(peer, output, validation, test, trials, seed, kept, minutes)
            kept.unlink(missing_ok=True)


def _run(
    peer: Peer, output: Path, validation: Asked, test: Asked, trials: int, seed: int, kept: Path, minutes: float
) -> None:
    tuned = tune(peer, validation, test, trials, seed, report=_tell, kept=kept, minutes=minutes)
    (output / "ranks").mkdir(parents=True, exist_ok=True)
    write_ranks(output / "ranks" / f"{peer.name}.parquet", peer.name, dict(tuned.ranks))
    record = tuned.to_json() | _budget(trials, minutes)
    _write(output, record)
    for view, best in record["best"].items():
        values = " ".join(f"{name} {value:.4f}" for name, value in best["values"][view].items())
        print(f"{peer.name} {view}: {values} with {best['settings']} in {tuned.seconds:.0f} s", flush=True)


def _tell(text: str) -> None:
    print(text, flush=True)


def _run_lambdamart(output: Path, test: Asked, trials: int, seed: int, minutes: float) -> None:
    """The ranker's peer: chosen on held-out users of the validation window's candidates."""
    from benchmarks.quality.lambdamart import Candidates, LambdaMart, fit  # LightGBM is there only in one environment

    folder = output / "candidates"
    if not (folder / "test.parquet").exists():
        print(f"{LAMBDAMART.name}: left out, for {folder} has no candidates (`souk` writes them)", flush=True)
        return
    began, candidates = time.monotonic(), Candidates.read(folder / "validation.parquet")
    fits: list[tuple[Mapping[str, Any], Any, float]] = []
    for drawn in LAMBDAMART.trials(trials, seed):
        if not fits or time.monotonic() - began < 60 * minutes:
            fits.append((drawn, *fit(candidates, drawn, seed)))
    settings, booster, value = max(fits, key=lambda found: found[2])
    seconds = time.monotonic() - began
    scorer = LambdaMart(Candidates.read(folder / "test.parquet"), booster, test.past.size)
    asked = replace(test, queries=[query for query in test.queries if scorer.knows(query)])
    (output / "ranks").mkdir(parents=True, exist_ok=True)
    write_ranks(output / "ranks" / f"{scorer.name}.parquet", scorer.name, asked.measured(scorer))
    records = [_trial(each, score) for each, _, score in fits]
    record = {"name": scorer.name, "seconds": round(seconds, 1), "ranker": True, "trials": records}
    record |= _budget(trials, minutes)
    _write(output, {**record, "best": {"all": _trial(settings, value)}})
    print(f"{scorer.name}: held-out {PRIMARY} {value:.4f} with {settings} in {seconds:.0f} s", flush=True)


def _trial(settings: Mapping[str, Any], value: float) -> dict[str, Any]:
    return {"settings": dict(settings), "epochs": 0, "values": {"all": {PRIMARY: value}}}


def _budget(trials: int, minutes: float) -> dict[str, float | None]:
    """What a peer was allowed; minutes are None where it had as many as it took."""
    return {"most_trials": trials, "most_minutes": minutes if math.isfinite(minutes) else None}


def _write(output: Path, record: Mapping[str, Any]) -> None:
    (output / "tuning").mkdir(parents=True, exist_ok=True)
    with placed(output / "tuning" / f"{record['name']}.json") as fresh:
        fresh.write_text(json.dumps(record, indent=1), encoding="utf-8")
