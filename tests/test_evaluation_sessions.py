"""What visitors ask: users' queries with nothing known but the session, by hand."""

import numpy as np
import pytest

from souk.config import Evaluate
from souk.evaluation import sessions
from souk.evaluation.baselines import ItemKnn, Popularity
from souk.evaluation.measure import measure_models
from souk.evaluation.protocol import Ranking
from souk.evaluation.queries import rolling_queries
from souk.evaluation.report import page, summary
from souk.evaluation.sessions import continued, of_queries, session_queries
from souk.evaluation.setting import Setting
from souk.next_steps import PAUSE_MS
from tests.evaluation_fixtures import (
    START,
    FixedSlates,
    make_spec,
    reader,
    shop_setting,
    write_artifacts,
    write_examples,
)
from tests.marketplace import CONFIG

BESIDE = ("popularity", "item_knn")
PROFILED = {**CONFIG, "repeat": "always", "columns": {**CONFIG["columns"], "users": {"city": "categorical"}}}


def asked(tmp_path, *times, kind="click"):
    """The queries of one user who clicks `a` at START, after events with `b`, `c`, ... at earlier times."""
    before = [("ann", item, kind, START - time) for item, time in zip("bcd", times, strict=False)]
    spec = make_spec(PROFILED)
    users = [{"user_id": "ann", "city": "fes"}]
    window, catalogue = reader(tmp_path)(spec, [*before, ("ann", "a", "click", START)], users=users)
    queries = rolling_queries(window, catalogue, spec, 20)
    return queries, *session_queries(queries, catalogue.position, spec), catalogue, window


def test_a_visitor_is_known_by_the_session_alone(tmp_path):
    (query,), places, (visitor,), catalogue, _ = asked(tmp_path, 3 * PAUSE_MS, 2 * PAUSE_MS, PAUSE_MS)
    assert (query.state.profile, [event.item_id for event in query.state.events]) == ({"city": "fes"}, ["b", "c", "d"])
    assert places == [0]
    assert [event.item_id for event in visitor.past] == ["b", "c", "d"]  # no pause is longer than PAUSE_MS
    assert (visitor.user_id, visitor.state.user_id) == ("visitor 0", "visitor 0")
    assert (visitor.state.profile, visitor.profile) == ({}, {})
    assert [event.item_id for event in visitor.state.events] == ["b", "c", "d"]
    assert [catalogue.ids[place] for place in visitor.history] == ["b", "c", "d"]
    for name in ("timestamp", "context", "targets", "target_events", "until"):
        assert np.array_equal(getattr(visitor, name), getattr(query, name)), name


@pytest.mark.parametrize(
    ("times", "session"),
    [
        ((2 * PAUSE_MS + 1, PAUSE_MS, 1), "cd"),  # a pause of one millisecond too many before c
        ((9 * PAUSE_MS, PAUSE_MS + 2, 1), "d"),
        ((3 * PAUSE_MS, 2 * PAUSE_MS, PAUSE_MS + 1), ""),  # up to the query itself
        ((), ""),
    ],
)
def test_a_pause_ends_a_session(tmp_path, times, session):
    _, places, visitors, catalogue, _ = asked(tmp_path, *times)
    assert places == [0] * bool(session)
    assert [[event.item_id for event in visitor.past] for visitor in visitors] == [list(session)] * bool(session)
    taken = [[catalogue.ids[place] for place in visitor.history] for visitor in visitors]
    assert taken == [list(session)] * bool(session), "what baselines know"


def test_what_is_no_engagement_is_seen_and_no_history(tmp_path):
    _, _, (visitor,), *_ = asked(tmp_path, PAUSE_MS, kind="cart")
    assert ([event.item_id for event in visitor.state.events], visitor.history.tolist()) == (["b"], [])


def test_what_a_visitor_took_before_may_be_shown_but_for_what_the_session_tells(tmp_path):
    spec = make_spec(PROFILED | {"repeat": "never"})
    events = [("ann", item, "click", START - time) for item, time in (("b", 9 * PAUSE_MS), ("c", 5), ("a", 0))]
    window, catalogue = reader(tmp_path)(spec, events)
    queries = rolling_queries(window, catalogue, spec, 20)
    _, (visitor,) = session_queries(queries, catalogue.position, spec)
    barred = [[catalogue.ids[place] for place in query.excluded] for query in (*queries, visitor)]
    assert barred == [["b", "c"], ["c"]]


def test_of_many_some_are_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(sessions, "MOST", 20)
    spec = make_spec(PROFILED)
    events = [("ann", "abcd"[time % 4], "click", START + time) for time in range(60)]
    window, catalogue = reader(tmp_path)(spec, events)
    queries = rolling_queries(window, catalogue, spec, 60)
    places, visitors = session_queries(queries, catalogue.position, spec)
    assert (len(queries), len(places)) == (60, 20)
    assert places == sorted({*places}), "in the order of the queries, for whoever looks at both"
    assert 0 not in places, "the first has no session"
    assert places != list(range(1, 21)) and max(places) > 30, "drawn from all, not the first ones"
    assert [visitor.timestamp for visitor in visitors] == [queries[place].timestamp for place in places]


def test_rankings_of_some_queries_are_theirs():
    top = np.array([[1, 2], [3, 4], [5, 6]])
    ranking = Ranking("slate", [np.array([n]) for n in range(3)], [np.array([-n]) for n in range(3)], top)
    some = of_queries(ranking, [0, 2])
    assert ([each.tolist() for each in some.ranks], some.new_ranks) == ([[0], [2]], [])
    assert some.top.tolist() == [[1, 2], [5, 6]]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Ann and bob take c: ann a minute after a, bob a day after. A slate that knows ann by her town finds it."""
    spec, folder = make_spec(PROFILED), tmp_path_factory.mktemp("told")
    events = [
        ("ann", "b", "click", START - 9),
        ("bob", "a", "click", START - 8),
        ("ann", "a", "click", START + 2 * PAUSE_MS - 60_000),
        ("ann", "c", "click", START + 2 * PAUSE_MS),
        ("bob", "c", "click", START + 100 * PAUSE_MS),
    ]
    users = [{"user_id": "ann", "city": "fes"}, {"user_id": "bob", "city": ""}]
    tables, features = write_artifacts(folder / "shop", events, dict.fromkeys("abcd", True), START, users)
    write_examples(features, {})
    return Setting.read(Evaluate(bootstrap=100), spec, tables, features)


class ByTown(FixedSlates):
    """`c` first for who is known to live in Fes, else last."""

    def score(self, queries):
        scores = super().score(queries)
        place = self.catalogue.position["c"]
        scores[:, place] = [9.0 if query.state.profile.get("city") == "fes" else -9.0 for query in queries]
        return scores


def test_what_visitors_get_is_told_beside_what_users_get(told):
    slates = ByTown(told.catalogue, list("abcd"), {"a": 0.5})
    slates.catalogue = told.catalogue
    metrics, _ = measure_models(told, [slates], [Popularity(told.catalogue)])
    found = metrics["protocols"]["sessions"]
    assert (found["queries"], found["users"], set(found["models"])) == (1, 1, {"slate", "popularity"})
    assert (found["models"]["slate"]["mrr"]["mean"], found["known"]["slate"]["mrr"]["mean"]) == (0.25, 1.0)
    rolling = metrics["protocols"]["rolling"]
    assert rolling["queries"] == 3  # bob's and ann's click on a have no session
    said, known = (
        summary(metrics, None),
        "slate's ndcg@10 is 1.0000 (95% 1.0000 to 1.0000) on the same queries, averaged",
    )
    assert (
        "for visitors, of whom only the session is known (1 queries from 1 users, averaged by user): slate 0.4307"
        in said
    )
    assert known in said
    html = page(metrics, None).replace("&#39;", "'")
    visitors = html[html.index("<h2>Visitors</h2>") :]
    assert known in visitors and "1 queries from 1 users" in visitors


def test_visitors_are_averaged_by_the_users_whose_sessions_they_are(tmp_path):
    """Three queries of ann for b, the second item, and one of bob for a, the first."""
    spec = make_spec(PROFILED)
    events = [("ann", "c", "click", START - 9), *(("ann", "b", "click", START + 60_000 * n) for n in range(3))]
    events += [("bob", "c", "click", START + 8), ("bob", "a", "click", START + 9)]
    tables, features = write_artifacts(tmp_path / "shop", events, dict.fromkeys("abcd", True), START)
    write_examples(features, {})
    setting = Setting.read(Evaluate(bootstrap=100), spec, tables, features)
    slate = FixedSlates(setting.catalogue, list("abcd"), {"a": 0.9, "b": 0.8})
    metrics, _ = measure_models(setting, [slate], [Popularity(setting.catalogue)])
    found = metrics["protocols"]["sessions"]
    assert (found["queries"], found["users"]) == (4, 2)
    assert found["models"]["slate"]["mrr"]["mean"] == pytest.approx((1 / 2 + 1) / 2)
    assert (found["models"]["slate"]["mrr"]["low"], found["models"]["slate"]["mrr"]["high"]) == (0.5, 1.0)
    assert found["known"]["slate"] == found["models"]["slate"], "it knows nobody: both are averaged alike"
    assert "(4 queries from 2 users, averaged by user)" in summary(metrics, None)


def test_the_slate_is_held_against_the_best_baseline_under_each_protocol(told):
    slate = FixedSlates(told.catalogue, list("abcd"), {"d": 0.9})
    metrics, _ = measure_models(told, [slate], [Popularity(told.catalogue), ItemKnn(told.catalogue)])
    said, html = summary(metrics, None), page(metrics, None)
    for name, protocol in metrics["protocols"].items():
        models, best = protocol["models"], protocol["best_baseline"]
        lead = protocol["differences"][best]["ndcg@10"]
        assert models[best]["ndcg@10"]["mean"] == max(models[each]["ndcg@10"]["mean"] for each in BESIDE), name
        assert lead["mean"] == pytest.approx(models["slate"]["ndcg@10"]["mean"] - models[best]["ndcg@10"]["mean"])
        assert f"Slate less {best}, the best baseline: ndcg@10 {lead['mean']:+.4f}" in said, name
    assert said.count("the best baseline: ndcg@10") == html.count("<small>best baseline</small>") == 3
    del metrics["protocols"]["frozen"]["differences"], metrics["protocols"]["frozen"]["best_baseline"]
    assert summary(metrics, None).count("the best baseline: ndcg@10") == 2, "as metrics of an earlier version"
    assert page(metrics, None).count("<small>best baseline</small>") == 2


def test_where_nobody_has_a_session_nothing_is_told_of_visitors(tmp_path):
    setting = shop_setting(tmp_path)
    metrics, _ = measure_models(
        setting, [FixedSlates(setting.catalogue, ["i00"], {"i00": 0.5})], [Popularity(setting.catalogue)]
    )
    assert "sessions" not in metrics["protocols"]
    assert "visitors" not in summary(metrics, None) and "Visitors" not in page(metrics, None)


@pytest.mark.parametrize("times", [(1,), ()])
def test_another_item_does_not_continue(tmp_path, times):
    queries, _, _, catalogue, window = asked(tmp_path, *times)
    assert continued(queries, window, catalogue.position) == []


def test_what_names_the_last_item_of_the_session_again_is_told_by_both_types(tmp_path):
    """A cart of a, then clicks on a and b at once, on a after too long, on b after c; on c after clicks on c."""
    spec = make_spec(PROFILED)
    events = [
        ("ann", "a", "cart", START),
        ("ann", "a", "click", START + PAUSE_MS),
        ("ann", "b", "click", START + PAUSE_MS),
        ("bob", "a", "cart", START),
        ("bob", "a", "click", START + PAUSE_MS + 1),
        ("eve", "b", "cart", START),
        ("eve", "c", "cart", START + 1),
        ("eve", "b", "click", START + 2),
        ("joe", "d", "cart", START - 1),
        ("joe", "c", "click", START),
        ("joe", "c", "click", START + 1),
        ("joe", "c", "click", START + 2),
    ]
    window, catalogue = reader(tmp_path)(spec, events)
    queries = rolling_queries(window, catalogue, spec, 20)
    found = continued(queries, window, catalogue.position)
    assert [(each["last"], each["asked"]) for each in found] == [("click", "click"), ("cart", "click")]
    assert [each["share"] for each in found] == pytest.approx([2 / 6, 1 / 6])


def steps(*parts):
    return [{"last": last, "asked": asked, "share": share} for last, asked, share in parts]


FURTHER, AGAIN = (
    "Most are a further step with it: to ask for what is found, let",
    "Most are no further step: the log does",
)


@pytest.fixture(scope="module")
def warned(told):
    """The metrics of `told`, but for what continues."""
    slate = FixedSlates(told.catalogue, list("abcd"), {"a": 0.5})
    metrics, _ = measure_models(told, [slate], [Popularity(told.catalogue)])
    rolling = metrics["protocols"]["rolling"]
    assert rolling["continued"] == []
    return lambda found: metrics | {"protocols": metrics["protocols"] | {"rolling": rolling | {"continued": found}}}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (steps(("click", "purchase", 0.19)), []),
        (steps(("click", "purchase", 0.11), ("click", "click", 0.08)), []),
        (steps(("click", "purchase", 0.2)), ["20% of the", "(purchase after click 20%)", "engaged be click alone"]),
        (steps(("cart", "purchase", 0.3), ("click", "cart", 0.1)), ["40% of the", "engaged be click alone"]),
        (steps(("cart", "purchase", 0.3)), ["engaged be cart alone"]),
        (steps(("click", "click", 0.83)), ["83% of the", "(click after click 83%)", AGAIN]),
        (steps(("purchase", "click", 0.2)), [AGAIN]),  # back to what was bought
        (
            steps(("click", "click", 0.2), ("click", "purchase", 0.15)),
            ["35% of the", "purchase after click 15%)", AGAIN],
        ),
    ],
)
def test_much_of_the_last_item_is_told_with_what_was_done(warned, found, said):
    text = summary(warned(found), None)
    assert ("answered by the item of the user's last event" in text) == bool(said)
    assert all(part in text for part in said)
    assert (FURTHER in text, AGAIN in text) == (any("alone" in part for part in said), AGAIN in said)
    assert ("Where nobody wants it again, `repeat: {pause_minutes: 30}`" in text) == (AGAIN in said), "music comes back"


def test_on_the_page_it_stands_under_the_figures_that_it_is_about(warned):
    html = page(warned(steps(("click", "click", 0.83))), None).replace("&#39;", "'")
    beside = html[html.index("<h2>The next engagement") : html.index("<h3>The slate less each other model")]
    assert html.count("the user's last event") == beside.count("the user's last event") == 1
