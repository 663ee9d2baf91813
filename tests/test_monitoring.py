"""Alerts and dashboard: right by Prometheus's own tool, and about nothing that the server does not tell."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from souk.serving.metrics import LAG_SECONDS, SECONDS
from souk.serving.worker_metrics import merged
from tests.helm_chart import CHART, template
from tests.requirements import require
from tests.serving_fixtures import write_workspace
from tests.serving_process import serving

DOCS = Path(__file__).parents[1] / "docs"
RULES, DASHBOARD = CHART / "files/rules.yaml", CHART / "files/dashboard.json"
ON = ("--set", "monitoring.rules=true", "--set", "monitoring.dashboard=true")
INSTALL = "make tools (needs Go)"
METRIC = re.compile(r"\b(?:souk|process)_[a-z0-9_]+")
BY, LEGEND = re.compile(r"\bby \(([^)]*)\)"), re.compile(r"\{\{(\w+)\}\}")
PARTS = ("_bucket", "_sum", "_count")


def rules():
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def panels():
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def expressions():
    found = [rule["expr"] for rule in rules()]
    found += [target["expr"] for panel in panels() for target in panel["targets"]]
    return found + [note["expr"] for note in json.loads(DASHBOARD.read_text())["annotations"]["list"]]


def test_the_rules_are_right_and_fire_when_they_should(tmp_path):
    promtool = require("promtool", INSTALL)
    for file in (RULES, Path(__file__).with_name("rules_test.yaml")):
        shutil.copy(file, tmp_path)
    for words in (["check", "rules", "rules.yaml"], ["test", "rules", "rules_test.yaml"]):
        done = subprocess.run([promtool, *words], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_is_seen_to_fire():
    tests = yaml.safe_load(Path(__file__).with_name("rules_test.yaml").read_text())["tests"]
    fired = {each["alertname"] for test in tests for each in test["alert_rule_test"] if each.get("exp_alerts")}
    assert fired == {rule["alert"] for rule in rules() if "alert" in rule}


def test_each_expression_of_the_dashboard_is_promql(tmp_path):
    promtool = require("promtool", INSTALL)
    rows = [expression.replace("$__rate_interval", "5m").replace("$namespace", ".*") for expression in expressions()]
    groups = [{"name": "all", "rules": [{"record": f"r{n}", "expr": row} for n, row in enumerate(rows)]}]
    (tmp_path / "all.yaml").write_text(yaml.safe_dump({"groups": groups}))
    done = subprocess.run([promtool, "check", "rules", "all.yaml"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_alert_says_what_is_wrong_and_what_to_do():
    alerts = [rule for rule in rules() if "alert" in rule]
    assert len(alerts) >= 10
    for alert in alerts:
        assert alert["annotations"].keys() == {"summary", "action"} and alert["labels"]["severity"], alert["alert"]
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    used = {name for rule in rules() for name in re.findall(r"\bsouk:[a-z0-9_:]+", rule["expr"])}
    assert used <= recorded


def test_what_a_quantile_is_compared_with_is_a_bound_of_its_histogram():
    """Between two bounds Prometheus draws a line, and tells whatever the calls did there."""
    recorded = {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}
    bounds, seen = {"souk_request_seconds": SECONDS, "souk_item_lag_seconds": LAG_SECONDS}, set()
    for rule in rules():
        name = re.match(r"souk:[a-z0-9_:]+", rule["expr"])
        expression = recorded[name[0]] if name else rule["expr"]
        if "alert" in rule and expression.startswith("histogram_quantile"):
            [histogram] = re.findall(r"(souk_\w+)_bucket", expression)
            assert float(rule["expr"].rpartition(" > ")[2]) in bounds[histogram], rule["alert"]
            seen.add(histogram)
    assert seen == set(bounds)


def test_a_change_of_the_release_is_seen_of_servers_that_follow_no_pointer_too():
    """Those of the chart are given their release, so that they never count a change."""
    [serve] = template()["ServingRuntime", "souk"]["spec"]["containers"]
    assert any(word.startswith("--release=") for word in serve["args"])
    [note] = json.loads(DASHBOARD.read_text())["annotations"]["list"]
    assert set(METRIC.findall(note["expr"])) == {"souk_release"}


def test_panels_do_not_overlap():
    taken = set()
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        at = panel["gridPos"]
        own = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not own & taken and at["x"] + at["w"] <= 24, panel["title"]
        taken |= own
    assert len({panel["id"] for panel in json.loads(DASHBOARD.read_text())["panels"]}) == len(panels()) + 5


def test_the_chart_has_them_where_they_are_asked_for():
    plain, whole = template(), template(*ON)
    assert whole.keys() - plain.keys() == {("PrometheusRule", "souk"), ("ConfigMap", "souk-dashboard")}
    assert whole["PrometheusRule", "souk"]["spec"] == yaml.safe_load(RULES.read_text())
    board = whole["ConfigMap", "souk-dashboard"]
    assert json.loads(board["data"]["souk.json"]) == json.loads(DASHBOARD.read_text())
    assert board["metadata"]["labels"]["grafana_dashboard"] == "1"


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """The kinds of a real server's metrics, and their labels as far as any line has them."""
    root = tmp_path_factory.mktemp("monitored")
    workspace = write_workspace(root / "workspace")
    workspace.experiments.write_text("experiments: {x: {arms: {a: {share: 0.5}, b: {share: 0.5}}}}")
    with serving(workspace.root, root / "log") as server:
        server.slates({"user_id": "ann"}, {"user_id": "stranger"})
        text = server.call("/metrics", method="GET")[1].decode()
    text += merged({"0": None}).decode()  # what several workers tell beside it
    labels = {}
    for name, inside in re.findall(r"^(souk_[a-z0-9_]+)\{(.*?)\} ", text, re.MULTILINE):
        labels.setdefault(name, set()).update(re.findall(r"(\w+)=\"", inside))
    return dict(re.findall(r"^# TYPE ((?:souk|process)_\S+) (\S+)$", text, re.MULTILINE)), labels


@pytest.mark.slow
def test_the_documentation_names_every_metric_of_a_server_and_no_other(told):
    """With its labels, where the server has a line of it; `_total` alone stands behind the name before it."""
    kinds, labels = told
    text = "".join((DOCS / name).read_text() for name in ("serving.md", "experiments.md"))
    written = re.findall(r"`(souk_[a-z0-9_]+)(?:\{([a-z, =\"]*)\})?`", text)
    short = tuple(re.findall(r"`(_[a-z_]+_total)`", text))
    assert {name for name, _ in written} <= kinds.keys()
    names = {name for name, _ in written}
    own = [name for name in kinds if name.startswith("souk_")]
    assert not [n for n in own if n not in names and not n.endswith((*short, "_created"))]
    for name, inside in written:
        own = {label.split("=")[0].strip() for label in inside.split(",") if label}
        seen = labels.get(name) or labels.get(f"{name}_count") or own
        assert not own or own <= seen, name


@pytest.mark.slow
def test_the_server_tells_every_metric_that_they_name(told):
    told, labels = told
    for expression in expressions():
        for name in METRIC.findall(expression):
            if name.startswith("souk_drift_"):  # of another server, in another environment (tests/drift)
                continue
            base = next((name.removesuffix(part) for part in PARTS if name.removesuffix(part) in told), name)
            assert base in told, f"{name} of {expression}"
            assert (base == name) or told[base] == "histogram", name
            inside = re.findall(re.escape(name) + r"\{([^}]*)\}", expression)
            asked = {label for part in inside for label in re.findall(r"(\w+)\s*[=!]", part)} - {"namespace"}
            assert name not in labels or asked <= labels[name], expression


@pytest.mark.slow
def test_what_they_group_and_write_in_legends_are_labels_of_its_metrics(told):
    labels = told[1]
    for panel in panels():
        for target in panel["targets"]:
            grouped = {label.strip() for part in BY.findall(target["expr"]) for label in part.split(",")}
            assert set(LEGEND.findall(target["legendFormat"])) <= grouped, target["legendFormat"]
    for expression in expressions():
        names = METRIC.findall(expression)
        if names and all(name in labels for name in names):
            grouped = {label.strip() for part in BY.findall(expression) for label in part.split(",")}
            known = set[str]().union(*(labels[name] for name in names))
            assert grouped <= known | {"namespace", "pod", "instance", "worker", "le"}, expression
