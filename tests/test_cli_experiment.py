"""`souk experiment`: what a file holds, who is where, and what came of it."""

import json
import math
from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from souk.cli import main
from souk.config.experiments import parse_experiments
from souk.experiments import held_out
from souk.release.manifest import write_manifest
from souk.serving.events.log import EventLog, every_file
from souk.serving.experiments.results import results
from souk.serving.impressions.log import ImpressionLog
from souk.serving.impressions.sinks import PartFiles
from souk.serving.slate import Slate
from tests.arms_fixtures import user_in
from tests.serving_fixtures import SPEC

NOON = int(datetime(2024, 2, 29, 12, tzinfo=UTC).timestamp() * 1000)
TEXT = """
holdout: 0.1
experiments:
  colour: {traffic: 0.5, arms: {control: {share: 0.5}, red: {share: 0.5, weights: {satisfied: 2}}}}
  shuffle: {unit: request, arms: {a: {share: 0.5}, b: {share: 0.5}}}
"""

NOT_OF_ONE_VALUE = {name: kind for name, kind in SPEC.columns.items.items() if kind not in ("categorical", "path")}
BUNDLE = {"objectives": {"engaged": 1, "satisfied": 0}}


@pytest.fixture
def place(tmp_path):
    (tmp_path / "w").mkdir()
    (tmp_path / "e.yaml").write_text(TEXT)
    return tmp_path / "w"


def souk(capsys, *words):
    code = main(["experiment", *map(str, words)])
    told = capsys.readouterr()
    return code, told.out + told.err


def logged(folder, arms):
    """An impression log with the users' slates, in their order."""
    log = ImpressionLog(PartFiles(folder, "w"), lambda: NOON)
    log.record(Slate(f"r{n}", user, NOON, "shop", arm, (), ()) for n, (user, arm) in enumerate(arms))
    assert log.flush()


def test_a_file_is_described_and_put_in_its_place(place, capsys, tmp_path):
    code, told = souk(capsys, "check", tmp_path / "e.yaml")
    assert code == 0 and "held out: 10.00% of users" in told and "colour: 50.00% of users" in told
    assert "red               50.00%  weights" in told and "control           50.00%  as released" in told
    assert souk(capsys, "apply", tmp_path / "e.yaml", "--workspace", place)[0] == 0
    assert (place / "experiments.yaml").read_text() == TEXT
    (tmp_path / "bad.yaml").write_text("experiments: {x: {arms: {}}}")
    code, told = souk(capsys, "apply", tmp_path / "bad.yaml", "--workspace", place)
    assert code == 2 and "bad.yaml: experiments.x.arms" in told and (place / "experiments.yaml").read_text() == TEXT
    (tmp_path / "bad.yaml").write_text(TEXT.replace("weights: {satisfied: 2}", "release: gone"))
    code, told = souk(capsys, "apply", tmp_path / "bad.yaml", "--workspace", place)
    assert code == 2 and "a release gone" in told and (place / "experiments.yaml").read_text() == TEXT
    (place / "releases" / "shop-1").mkdir(parents=True)
    (place / "releases" / "shop-1" / "bundle.json").write_text(json.dumps(BUNDLE))
    (place / "releases" / "shop-1" / "spec.json").write_text(SPEC.to_json())
    write_manifest(place / "releases" / "shop-1", "shop-1", {}, {})
    (place / "releases" / "current").symlink_to("shop-1")
    arm = f"{tmp_path / 'bad.yaml'}: experiments.colour.arms.red"
    (tmp_path / "bad.yaml").write_text(TEXT.replace("weights: {satisfied: 2}", "weights: {satisfed: 2}"))
    code, told = souk(capsys, "apply", tmp_path / "bad.yaml", "--workspace", place)
    assert code == 2 and f"{arm}.weights: an objective of shop-1" in told and "'satisfied'?" in told
    (tmp_path / "bad.yaml").write_text(TEXT.replace("weights: {satisfied: 2}", "rerank: {caps: {categroy: 2}}"))
    code, told = souk(capsys, "apply", tmp_path / "bad.yaml", "--workspace", place)
    capped = f"{arm}.rerank.caps: a categorical or path column of items of shop-1"
    assert code == 2 and capped in told and "'category'?" in told
    for column in (*NOT_OF_ONE_VALUE, "item_id"):
        (tmp_path / "bad.yaml").write_text(
            TEXT.replace("weights: {satisfied: 2}", f"rerank: {{caps: {{{column}: 2}}}}")
        )
        code, told = souk(capsys, "apply", tmp_path / "bad.yaml", "--workspace", place)
        assert code == 2 and "one of category" in told and f"'{column}'" in told, "which has no one value to count"
    (place / "releases" / "shop-2").mkdir()
    (place / "releases" / "shop-2" / "spec.json").write_text((other := replace(SPEC, dataset="other")).to_json())
    write_manifest(place / "releases" / "shop-2", "shop-2", {}, {})
    (tmp_path / "bad.yaml").write_text(TEXT.replace("weights: {satisfied: 2}", "release: shop-2"))
    code, told = souk(capsys, "apply", tmp_path / "bad.yaml", "--workspace", place)
    assert code == 2 and f"specification {SPEC.hash}, that of shop-1" in told and f"{other.hash} in shop-2" in told
    assert (place / "experiments.yaml").read_text() == TEXT
    (place / "releases" / "shop-2" / "spec.json").write_text(replace(SPEC, acts=("click", "cart")).to_json())
    write_manifest(place / "releases" / "shop-2", "shop-2", {}, {})
    assert souk(capsys, "apply", tmp_path / "bad.yaml", "--workspace", place)[0] == 0, "states do not depend on it"
    (tmp_path / "e.yaml").write_text(good := TEXT.replace("weights: {satisfied: 2}", "rerank: {caps: {category: 2}}"))
    assert souk(capsys, "apply", tmp_path / "e.yaml", "--workspace", place)[0] == 0
    assert (place / "experiments.yaml").read_text() == good
    assert souk(capsys, "stop", "--workspace", place)[0] == 0 and not (place / "experiments.yaml").exists()
    assert souk(capsys, "assign", "--user", "x", "--workspace", place)[0] == 2


def test_it_says_where_a_user_is(place, capsys, tmp_path):
    file = ["--file", tmp_path / "e.yaml"]
    red = user_in(TEXT, colour="red")
    code, told = souk(capsys, "assign", "--user", red, *file)
    assert code == 0 and told == "colour: red\nshuffle: by request\n"
    told = json.loads(souk(capsys, "assign", "--user", red, "--request", "r1", "--json", *file)[1])
    assert told["arms"].keys() == {"colour", "shuffle"} and not told["held_out"]
    plan = parse_experiments(TEXT)
    held = next(f"u{n}" for n in range(100) if held_out(plan, f"u{n}"))
    assert souk(capsys, "assign", "--user", held, *file)[1] == f"{held} is held out of all experiments\n"


def test_results_compare_arms_by_user_and_leave_out_who_had_both(place, capsys, tmp_path):
    users = [(f"c{n}", "colour=control") for n in range(50)] + [(f"d{n}", "colour=red") for n in range(50)]
    logged(
        tmp_path / "log",
        [*users, ("both", "colour=red"), ("both", "colour=control"), ("d0", "colour=red,x=y"), ("n", "")],
    )
    events = [{"event_id": f"e{n}", "request_id": f"r{n}", "event_type": "click"} for n in range(40, 75)]
    events += [events[0], {"event_id": "x", "request_id": "gone", "event_type": "click"}]
    events += [{"event_id": "y", "request_id": "r60", "event_type": "impression"}]
    events += [{"event_id": "z", "request_id": "r60", "event_type": "click"}]
    plan = parse_experiments(TEXT)
    found = results("colour", plan.experiments["colour"], str(tmp_path / "log"), events)
    assert found.units == {"control": 50, "red": 50} and found.slates == {"control": 51, "red": 52}
    assert found.mixed == 1
    told = found.to_json()["arms"]
    assert told["control"]["events"]["click"]["mean"] == 10 / 50
    red = told["red"]["events"]["click"]
    assert red["mean"] == 26 / 50 and red["difference"] == pytest.approx(0.32)
    wide = 1.959964 * ((0.2 * 0.8 / 49) + (28 / 50 - 0.52**2) / 49) ** 0.5
    assert (red["high"] - red["low"]) / 2 == pytest.approx(wide)
    (tmp_path / "e.csv").write_text(
        "event_id,request_id,event_type\n" + "".join(f"e{n},r{n},click\n" for n in range(75))
    )
    words = ["--file", tmp_path / "e.yaml", "--log", tmp_path / "log", "--events", tmp_path / "e.csv"]
    code, text = souk(capsys, "results", *words, "--workspace", place)
    assert code == 0 and "colour: 100 users; sample ratio p = 1" in text and "to control (95%:" in text
    assert "1 were seen in two arms" in text
    assert text.count("Each interval is for one look, at an end that was fixed before the start") == 1
    log = EventLog(place / "events", "w", lambda: NOON)
    log.append([{"event_id": f"e{n}", "request_id": f"r{n}", "event_type": "click"} for n in range(75)])
    of_the_log = souk(capsys, "results", *words[:4], "--workspace", place)
    assert of_the_log == (code, text)


@pytest.mark.parametrize(
    ("control", "red", "clicks", "told"),
    [(20, 20, 1, True), (19, 20, 1, False), (20, 19, 1, False), (20, 20, 40, False)],  # the last: each of them once
)
def test_an_interval_of_few_units_or_of_units_that_did_the_same_is_not_told(
    place, capsys, tmp_path, control, red, clicks, told
):
    users = [(f"c{n}", "colour=control") for n in range(control)] + [(f"d{n}", "colour=red") for n in range(red)]
    logged(tmp_path / "log", users)
    lines = [f"r{n},click\n" for n in range(clicks)]
    (tmp_path / "e.csv").write_text("request_id,event_type\n" + "".join(lines))
    words = ["--file", tmp_path / "e.yaml", "--log", tmp_path / "log", "--events", tmp_path / "e.csv"]
    words += ["--workspace", place]
    assert ("(95%: too little to tell)" not in souk(capsys, "results", *words)[1]) == told
    click = json.loads(souk(capsys, "results", *words, "--json")[1])["colour"]["arms"]["red"]["events"]["click"]
    assert (click["low"] is not None, click["high"] is not None) == (told, told)
    assert click["difference"] == pytest.approx(
        min(max(0, clicks - control), red) / red - min(clicks, control) / control
    )


def test_a_sample_ratio_that_is_off_is_said_and_the_exit_code_tells(place, capsys, tmp_path):
    logged(tmp_path / "log", [(f"u{n}", "colour=red" if n % 4 else "colour=control") for n in range(400)])
    code, text = souk(capsys, "results", "--file", tmp_path / "e.yaml", "--log", tmp_path / "log", "--workspace", place)
    assert code == 1 and "the arms are not as large as planned" in text
    code, text = souk(capsys, "results", "--file", tmp_path / "e.yaml", "--workspace", place)
    assert code == 2 and "an impression log at" in text


def test_an_experiment_that_nobody_is_in_yet_is_json(place, capsys, tmp_path):
    logged(tmp_path / "log", [("u", "")])
    words = ["--file", tmp_path / "e.yaml", "--log", tmp_path / "log", "--workspace", place]
    code, text = souk(capsys, "results", *words, "--json")
    told = json.loads(text, parse_constant=pytest.fail)
    assert code == 0 and told["colour"]["sample_ratio_p"] == 1 and told["colour"]["arms"]["red"]["units"] == 0
    assert "0 users; sample ratio p = 1" in souk(capsys, "results", *words)[1]


def test_events_without_ids_count_each_and_a_file_without_requests_is_refused(place, capsys, tmp_path):
    logged(tmp_path / "log", [(f"u{n}", "colour=red" if n % 2 else "colour=control") for n in range(8)])
    words = ["--file", tmp_path / "e.yaml", "--log", tmp_path / "log", "--workspace", place, "--json"]

    def clicks(name, table):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(table) if isinstance(table, str) else pq.write_table(table, path)
        folder = path if path.parent == tmp_path else path.parent.parent
        code, text = souk(capsys, "results", *words, "--events", folder)
        return json.loads(text)["colour"]["arms"]["red"]["events"]["click"]["mean"] if code == 0 else text

    rows = ["r1,click", "r3,click", "r3,click", "r5,", ",click"]
    assert clicks("a.csv", "\n".join(["request_id,event_type", *rows])) == 3 / 4
    assert clicks("b.csv", "\n".join(["event_id,request_id,event_type", *("," + row for row in rows)])) == 3 / 4
    of_pandas = {"request_id": ["r1", "r3", "r3"], "event_type": ["click"] * 3, "event_id": [math.nan, 7.0, 7.0]}
    assert clicks("c.parquet", pa.table(of_pandas)) == 2 / 4
    text = clicks("d.csv", "user_id,event_type\nu1,click\n")
    assert "events with request_id in" in text and "the columns event_type, user_id" in text
    assert "events with request_id and event_type in" in clicks("e.csv", "user_id\nu1\n")
    lines = "".join(json.dumps({"request_id": f"r{n}", "event_type": "click"}) + "\n" for n in (1, 3, 3))
    assert clicks("exports/day=2024-02-29/part-0.jsonl", lines) == 3 / 4, "of another program, by day as the event log"
    assert "events with request_id" in clicks("others/day/part-0.jsonl", '{"user_id": "u1"}\n')


def test_damaged_lines_of_the_event_log_are_told(place, capsys, tmp_path):
    logged(tmp_path / "log", [(f"u{n}", "colour=red" if n % 2 else "colour=control") for n in range(8)])
    log = EventLog(place / "events", "w", lambda: NOON)
    log.append([{"event_id": f"e{n}", "request_id": f"r{n}", "event_type": "click"} for n in range(8)])
    (file,) = every_file(place / "events")
    file.write_text(file.read_text().replace('"r3"', '"r4"').replace('"r1"', '"r2"'))
    code, text = souk(capsys, "results", "--file", tmp_path / "e.yaml", "--log", tmp_path / "log", "--workspace", place)
    assert code == 0 and text.count(f"2 damaged lines of the event log are passed over: {file}") == 1
    assert "click             0.5000 a unit" in text


def test_of_a_request_eight_bytes_and_its_unit_are_kept(tmp_path):
    """A log of weeks is larger than the memory that its texts would take: the 176 bytes of each."""
    count, users = 20_000, 500
    labels = ["colour=red" if n % users < 250 else "colour=control" for n in range(count)]
    ids = {"request_id": [f"{n:032x}" for n in range(count)], "user_id": [f"u{n % users}" for n in range(count)]}
    pq.write_table(pa.table(ids | {"arm": labels}), tmp_path / "part.parquet")
    found = results("colour", parse_experiments(TEXT).experiments["colour"], str(tmp_path))
    assert found.requests.nbytes + found.of.nbytes == 12 * count and len(found.arms) == users
    assert found.units == {"control": 250, "red": 250} and found.slates == {"control": 10_000, "red": 10_000}
    assert found.unit_of("gone") is None and found.unit_of(f"{3:032x}") == found.unit_of(f"{503:032x}")


@pytest.mark.parametrize(
    ("unlearned", "told"), [({"satisfied": "too few"}, True), ({"engaged": "none"}, False), (None, False)]
)
def test_an_arm_that_weighs_what_is_not_learned_is_told_to_change_nothing(place, capsys, tmp_path, unlearned, told):
    release = place / "releases" / "shop-1"
    (release / "evaluation").mkdir(parents=True)
    (release / "bundle.json").write_text(json.dumps(BUNDLE))
    (release / "spec.json").write_text(SPEC.to_json())
    if unlearned is not None:
        (release / "evaluation" / "metrics.json").write_text(json.dumps({"not_learned": unlearned}))
    write_manifest(release, "shop-1", {}, {})
    (place / "releases" / "current").symlink_to("shop-1")
    code, text = souk(capsys, "apply", tmp_path / "e.yaml", "--workspace", place)
    assert (
        code == 0
        and (
            "Note: colour.red may change no order: the twin that shop-1 was judged by did not learn satisfied." in text
        )
        == told
    )
