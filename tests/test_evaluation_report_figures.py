"""Each figure of the page is that of metrics.json: all of these differ, and none stands in the place of another."""

import copy
import re
from collections import defaultdict
from html.parser import HTMLParser
from itertools import count

import pytest

from souk.evaluation.page_style import STYLE
from souk.evaluation.places import headers, shown
from souk.evaluation.report import page
from tests.report_fixtures import *  # noqa: F403
from tests.report_fixtures import VERDICT, words

ROLLING = "The next engagement, beside the baselines"
PAIRED = "The slate less each other model, paired by user"
FROZEN = "Everything frozen at the window's start"


class Tables(HTMLParser):
    """The tables of a page by the heading above them: rows of cells, each its text."""

    def __init__(self):
        super().__init__()
        self.of, self._heading, self._text = defaultdict(list), "", []

    def handle_starttag(self, tag, attrs):
        if tag == "table":
            self.of[self._heading].append([])
        elif tag == "tr":
            self.of[self._heading][-1].append([])
        elif tag in ("h2", "h3", "td", "th"):
            self._text = []
        elif tag == "br":
            self._text.append(" ")

    def handle_data(self, data):
        self._text.append(data)

    def handle_endtag(self, tag):
        text = " ".join("".join(self._text).split())
        if tag in ("h2", "h3"):
            self._heading = text
        elif tag in ("td", "th"):
            self.of[self._heading][-1][-1].append(text)


def distinct(values, number):
    """The same with another figure in the place of each, between 0 and 1, no two of which look alike in four digits;
    what is counted stays."""
    if isinstance(values, dict) and values.keys() >= {"low", "mean", "high"}:
        return values | dict(zip(("low", "mean", "high"), sorted(next(number) for _ in range(3)), strict=True))
    if isinstance(values, dict):
        return {name: distinct(each, number) for name, each in values.items()}
    if isinstance(values, list):
        return [distinct(each, number) for each in values]
    return next(number) if isinstance(values, float) else values


@pytest.fixture(scope="module")
def told(metrics):
    number = (n * 7_919 % 99_991 / 99_991 for n in count(1))
    told = copy.deepcopy(metrics)
    told["ranker"] = distinct(told["ranker"], number)
    for protocol in told["protocols"].values():
        for part in ("models", "differences", "slices", "business", "stages", "reranking"):
            if part in protocol:
                protocol[part] = distinct(protocol[part], number)
    return told


@pytest.fixture(scope="module")
def tables(told):
    tables = Tables()
    tables.feed(page(told, VERDICT).replace(STYLE, ""))
    return tables.of


def interval(value, digits=4, sign=""):
    return f"{value['mean']:{sign}.{digits}f} {value['low']:.{digits}f} to {value['high']:.{digits}f}"


@pytest.mark.parametrize(
    ("protocol", "models", "differences"),
    [("rolling", (ROLLING, 0), (PAIRED, 0)), ("frozen", (FROZEN, 0), (FROZEN, 1))],
)
def test_a_row_a_model_with_its_own_figures(told, tables, protocol, models, differences):
    found, names = told["protocols"][protocol], headers(10)
    rows = [[name, *(interval(values[m]) for m in names)] for name, values in found["models"].items()]
    heading, place = models
    assert tables[heading][place] == [["model", *names.values()], *rows]
    best = found["best_baseline"]
    rows = [
        [f"{name} best baseline" if name == best else name, *(interval(values[m], sign="+") for m in names)]
        for name, values in found["differences"].items()
    ]
    heading, place = differences
    assert tables[heading][place] == [["slate less", *names.values()], *rows]


def test_what_is_beyond_accuracy(told, tables):
    names = shown(10)
    rows = [
        [
            name,
            f"{100 * values[names['coverage']]:.1f}%",
            f"{values[names['gini']]:.3f}",
            *(
                interval(values[names[metric]], digits) if names[metric] in values else "–"
                for metric, digits in (("popularity", 1), ("novelty", 2), ("diversity", 3), ("top1_share", 3))
            ),
        ]
        for name, values in told["protocols"]["rolling"]["models"].items()
    ]
    assert tables["Beyond accuracy"][0][1:] == rows


def test_what_changed_against_the_champion(told):
    rolling, names = told["protocols"]["rolling"], shown(10)
    ours, theirs = (rolling["models"][name][names["coverage"]] for name in ("slate", "champion"))
    text = words(page(told, VERDICT))
    assert f"Coverage {100 * (ours - theirs):+.1f} points." in text
    change = rolling["differences"]["champion"]
    assert f"Novelty, bits: {change[names['novelty']]['mean']:+.4f}" in text
    lead = rolling["differences"]["champion"]["ndcg@10"]
    assert f"against old {interval(lead, sign='+')}" in text
    best = rolling["best_baseline"]
    assert f"against {best} {interval(rolling['differences'][best]['ndcg@10'], sign='+')}" in text
    own = rolling["models"]["slate"]
    assert f"ndcg@10 {interval(own['ndcg@10'])}" in text
    assert f"catalogue shown {100 * own[names['coverage']]:.1f}%" in text
    assert f"Of the {rolling['stages']['slate']['positives']} engagements of these moments" in text


def test_slices_have_the_figures_of_each_model(told, tables):
    rolling = told["protocols"]["rolling"]
    models, others = list(rolling["models"]), ["champion", rolling["best_baseline"]]
    head, *rows = tables["Slices"][0]
    assert head == ["slice", "queries", "users", *models, *(f"less {name}" for name in others)]
    expected = []
    for name, values in rolling["slices"].items():
        found = {model: values["models"][model]["ndcg@10"] for model in models}
        bounds = f"{found['slate']['low']:.3f} to {found['slate']['high']:.3f}"
        cells = [f"{own['mean']:.4f}" + (f" {bounds}" if model == "slate" else "") for model, own in found.items()]
        for other in others:
            lead = values["differences"][other]
            cells.append(f"{lead['mean']:+.4f} {lead['low']:.3f} to {lead['high']:.3f}")
        short = name.removeprefix(f"{values['family']}: ")
        expected.append([short, str(values["queries"]), str(values["users"]), *cells])
    assert [row for row in rows if len(row) > 1] == expected


def test_the_ranker_beside_the_retrievers(told, tables):
    expected = []
    for model, found in told["ranker"].items():
        for head, values in found["heads"].items():
            order = found["ndcg@10"][head]
            figures = [f"{values[name]:.4f}" for name in ("auc", "log_loss", "calibration_error")]
            orders = [f"{order[name]['mean']:.4f}" for name in ("ranker", "retrieval")]
            counts = [str(values["examples"]), str(values["positives"])]
            expected.append([model, head, *counts, *figures, *orders, interval(order["difference"], sign="+")])
    rows = [row[:7] + row[8:] for row in tables["The ranker on its candidates"][0][1:]]
    assert rows == expected


def test_the_shop_of_each_model(told, tables):
    names = shown(10)
    models = told["protocols"]["rolling"]["business"]["models"]
    assert models, "the fixtures have prices"
    assert tables["The shop"][0][1:] == [
        [name, interval(values[names["value_per_slate"]], 3), f"{100 * values[names['value_share']]:.1f}%"]
        for name, values in models.items()
    ]


def test_all_figures_differ(told):
    figures = re.findall(r"\.\d{16,}", str([told["protocols"]["rolling"]["models"], told["ranker"]]))
    assert len({figure[:6] for figure in figures}) > 0.99 * len(figures) > 50
