"""Re-ranking: what each control does by construction, and what none may do."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from souk.config import Rerank, parse_config
from souk.errors import SoukError
from souk.rerank import Reranker, kept_rules, written
from souk.rerank_rules import Added
from tests.rerank_fixtures import NOW, SPEC, logs, reranker, shop

CONFIG = """
name: shop
data: {events: {path: e.csv}}
objectives: {engaged: {events: [click]}, satisfied: {events: [click]}}
columns: {items: {category: path, seller_id: categorical, tags: list, title: text}}
"""


def rerank(items, scores, values=None, **rules):
    """What is chosen of items 0, 1, … with falling scores, one after the other."""
    return reranker(items, rules, values).chosen(np.arange(len(scores)), logs(scores), NOW, len(scores))


def falling(count, ratio=0.9):
    return ratio ** np.arange(count)


def circle(*degrees):
    return np.stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], axis=1)


def test_nothing_moves_where_nothing_is_asked_for():
    plain = reranker(shop(circle(*range(30))), {})
    assert plain.controls == ()
    assert plain.order(np.arange(30), logs(falling(30)), NOW, 5).tolist() == list(range(30))


def test_what_is_chosen_stands_in_the_rankers_order_and_so_does_the_rest():
    plain = reranker(shop(circle(0, 1, 90, 91, 180)), {"diversity": 0.9, "slate": 3})
    order = [plain.order(np.arange(5), logs(falling(5)), NOW, k).tolist() for k in (1, 2, 3, 5)]
    assert plain.chosen(np.arange(5), logs(falling(5)), NOW, 2) == [0, 2]
    assert order == [[0, 1, 2, 3, 4], [0, 2, 1, 3, 4], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]


def test_diversity_takes_what_is_different_before_what_is_alike():
    items = shop(circle(0, 1, 2, 90))
    assert rerank(items, [0.9, 0.8, 0.7, 0.6], diversity=0.5) == [0, 3, 1, 2]
    assert rerank(items, [0.9, 0.8, 0.7, 1e-9], diversity=0.1)[-1] == 3, "nothing makes up for a score of none"


def test_the_slate_is_that_of_greatest_determinant_step_by_step():
    """The plain way: each place by the determinant of the whole kernel of what is chosen."""
    rng = np.random.default_rng(4)
    vectors = rng.normal(size=(40, 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = np.sort(rng.uniform(0.05, 0.4, 40))[::-1]
    quality, chosen = scores ** (0.6 / (2 * 0.4)), []
    kernel = quality[:, None] * (vectors @ vectors.T) * quality
    for _ in range(8):
        rest = [n for n in range(40) if n not in chosen]
        chosen.append(max(rest, key=lambda n: np.linalg.slogdet(kernel[np.ix_([*chosen, n], [*chosen, n])])[1]))
    assert rerank(shop(vectors), scores, diversity=0.4, slate=8) == chosen


def test_a_copy_of_what_is_chosen_comes_last():
    items = shop(circle(0, 0, 0, 60, 61))
    assert rerank(items, [0.9, 0.9, 0.9, 0.5, 0.4], diversity=0.5)[:2] == [0, 3]
    assert sorted(rerank(items, [0.9, 0.9, 0.9, 0.5, 0.4], diversity=1.0)) == [0, 1, 2, 3, 4]


def test_what_an_item_adds_is_of_directions_whatever_the_lengths():
    """Vectors of new items are shorter: a copy of one adds nothing all the same."""
    vectors = np.random.default_rng(3).normal(size=(6, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[5] = vectors[0]
    added = [Added(vectors * lengths, 3) for lengths in (1.0, np.array([[0.94], [1], [1], [0.94], [1], [0.94]]))]
    for each in added:
        each.take(0)
        each.take(2)
    np.testing.assert_allclose(added[0].squared, added[1].squared, atol=1e-5)
    assert added[1].squared[5] < 1e-5 < added[1].squared[1]


def test_caps_keep_the_best_of_each_value():
    sellers = [7, 7, 7, 7, 8, 8, 9, -1, -1, -1]
    found = rerank(shop(circle(*range(10))), falling(10), [sellers], caps={"seller_id": 2}, slate=6)
    assert found == [0, 1, 4, 5, 6, 7], "those without a seller are not capped"


def test_two_caps_hold_at_once():
    sellers, kinds = [1, 1, 2, 2, 3, 3], [1, 2, 1, 2, 1, 2]
    found = rerank(shop(circle(*range(6))), falling(6), [sellers, kinds], caps={"s": 1, "k": 1}, slate=2)
    assert found == [0, 3]


def test_caps_give_way_where_they_cannot_be_kept():
    """Three of seller 1, one of seller 2: the places are filled all the same, with what breaks the fewest caps."""
    found = rerank(shop(circle(*range(4))), falling(4), [[1, 1, 1, 2], [1, 1, 2, 1]], caps={"s": 1, "k": 2}, slate=4)
    assert found == [0, 3, 2, 1]


def test_new_items_get_their_share_of_the_places():
    ages = [400] * 15 + [3, 13, 15, np.nan, -1]
    items = shop(circle(*range(20)), ages=ages)
    rules = {"new_items": {"days": 14, "share": 0.2}}
    assert rerank(items, falling(20), **rules)[:11] == [0, 1, 2, 3, 15, 4, 5, 6, 7, 16, 8]
    assert rerank(items, falling(20), new_items={"days": 14, "share": 0.0}) == list(range(20))


def test_what_is_yet_to_come_and_what_has_no_date_is_not_new():
    items = reranker(shop(circle(*range(6)), ages=[-1, 0, 14, 14.1, np.nan, 400]), {"new_items": {"days": 14}})
    assert items.new(np.arange(6), NOW).tolist() == [False, True, True, False, False, False]


def test_a_cap_goes_before_the_share_of_new_items():
    items = shop(circle(*range(6)), ages=[400] * 3 + [1, 1, 1])
    rules = {"new_items": {"share": 1.0}, "caps": {"s": 1}}
    assert rerank(items, falling(6), [[1, 2, 3, 9, 9, 9]], **rules)[:4] == [3, 0, 1, 2]


def test_the_most_popular_count_a_power_of_their_score_however_popular_they_are():
    """Of 200 items the first two are the most popular 1%."""
    items = shop(np.eye(200), events=[4000, 1000, 500, *[0] * 197])
    scores = [0.5, 0.2, 0.18, 0.1, *[0.01] * 196]
    assert reranker(items, {}).popular(np.arange(4)).tolist() == [True, True, False, False]
    assert rerank(items, scores, popularity=0.05)[:4] == [0, 1, 2, 3]  # .483, .184, .18, .1
    assert rerank(items, scores, popularity=0.1)[:4] == [0, 2, 1, 3]  # .467, .170, .18, .1
    assert rerank(items, scores, popularity=1.8)[:4] == [2, 0, 3, 1]  # .144, .011, .18, .1
    assert rerank(items, [3.0, *scores[1:]], popularity=2.0)[0] == 0, "one that is no probability stays as it is"


def test_what_cannot_be_had_is_none_of_the_most_popular():
    """Of two hundred items that can be had, two are the most popular hundredth."""
    events = np.r_[np.full(100, 10_000), np.arange(200)]
    there = pa.table({"available": np.arange(300) >= 100})
    made = Reranker.of(Rerank(popularity=0.5), shop(np.eye(300), events), there, SPEC)
    assert made.edge == pytest.approx(np.log1p(198))


def test_a_release_of_before_has_the_share_that_it_was_judged_by():
    rules = Rerank(popularity=0.5)
    assert kept_rules(rules.model_dump()) == (rules, False) and kept_rules(written(rules)) == (rules, True)
    assert written(Rerank()) == Rerank().model_dump() and kept_rules({}) == (Rerank(), False)
    items = shop(np.eye(200), events=[4000, 1000, 500, *[0] * 197])
    before = replace(reranker(items, {"popularity": 0.5}), power=False)
    chosen = before.chosen(np.arange(200), logs([0.5, 0.2, 0.18, 0.1, *[0.01] * 196]), NOW, 200)
    assert chosen[:4] == [0, 2, 1, 3]  # .333, .133, .18, .1; as a power .354, .089, .18, .1
    empty = pa.table({"item_id": pa.array([], pa.string())})
    (variant,) = before.with_variants({"own": rules}, empty, empty, np.zeros(0, np.int64), SPEC).variants.values()
    assert variant.power, "of a file of today"


def test_where_nothing_was_engaged_with_nothing_is_popular():
    items = shop(np.eye(3), events=[0, 0, 0])
    assert not reranker(items, {}).popular(np.arange(3)).any()


@st.composite
def requests(draw):
    count, columns = draw(st.integers(1, 40)), draw(st.integers(0, 2))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    vectors = rng.normal(size=(count, 4))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    items = shop(vectors, rng.integers(0, 1000, count), rng.choice([np.nan, 1.0, 5.0, 90.0], count))
    scores = np.sort(np.round(rng.uniform(0, 1, count), 1))[::-1].astype(np.float32)
    rules = Rerank(
        diversity=draw(st.sampled_from([0.0, 0.3, 1.0])),
        caps={f"c{n}": draw(st.integers(1, 3)) for n in range(columns)},
        new_items={"share": draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))},
        popularity=draw(st.sampled_from([0.0, 0.4])),
        slate=draw(st.integers(1, 25)),
    )
    values = rng.integers(-1, 4, (columns, count))
    return reranker(items, rules, values), rng.permutation(count), logs(scores), draw(st.integers(1, 45))


@settings(max_examples=150)
@given(requests())
def test_whatever_is_asked_for(request):
    """Nothing is lost or twice; rules hold as far as the candidates allow; the same always comes out."""
    made, positions, scores, k = request
    order, chosen = made.order(positions, scores, NOW, k), made.chosen(positions, scores, NOW, k)
    assert sorted(order.tolist()) == list(range(len(positions)))
    assert made.order(positions, scores, NOW, k).tolist() == order.tolist()
    assert len(set(chosen)) == len(chosen) == min(k, made.rules.slate, len(positions))
    if made.controls:
        assert order.tolist() == sorted(chosen) + sorted(set(range(len(positions))) - set(chosen))
    values, new = made.values[positions], made.new(positions, NOW)
    for place, here in enumerate(chosen):
        before, rest = chosen[:place], np.setdiff1d(np.arange(len(positions)), chosen[:place])
        over = np.zeros(len(positions), int)
        for column, most in enumerate(made.rules.caps.values()):
            counts = np.array([(values[before, column] == value).sum() for value in values[:, column]])
            over += (values[:, column] >= 0) & (counts >= most)
        assert over[here] == over[rest].min(), "a cap was broken by an item while another one kept it"
        due = int(made.rules.new_items.share * (place + 1) + 1e-9)
        able = rest[(over[rest] == over[rest].min()) & new[rest]]
        assert new[before].sum() >= due or new[here] or not len(able), "a new item that the caps allow was passed over"
    assert made.chosen(positions, scores, NOW, max(1, k - 1))[: k - 1] == chosen[: k - 1]


@settings(max_examples=50)
@given(requests())
def test_the_scale_of_the_scores_does_not_matter(request):
    """But that rounding may take one of two equals. To `popularity` it does, but not that of the heads' weights."""
    made, positions, scores, k = request
    popular = replace(made, rules=Rerank(popularity=0.4))
    found = [popular.order(positions, power * logs(np.linspace(0.9, 0.1, len(scores))), NOW, k) for power in (1, 2, 99)]
    assert found[0].tolist() == found[1].tolist() == found[2].tolist()
    made = replace(made, rules=made.rules.model_copy(update={"popularity": 0.0}))
    apart = np.cumsum(np.full(len(scores), 0.37))[::-1]
    found = [made.order(positions, logs(scale * apart), NOW, k).tolist() for scale in (1.0, 2.0**-20)]
    assert found[0] == found[1]


def test_a_control_alone_leaves_the_others_out():
    rules = Rerank(diversity=0.3, caps={"c": 2}, new_items={"days": 7, "share": 0.1}, popularity=0.2, slate=9)
    whole = reranker(shop(circle(*range(5))), rules, np.zeros((1, 5), np.int64))
    assert whole.controls == ("diversity", "caps", "new_items", "popularity")
    for control in whole.controls:
        alone = whole.alone(control)
        assert alone.controls == (control,) and alone.rules.slate == 9 and alone.rules.new_items.days == 7
        assert getattr(alone.rules, control) == getattr(rules, control)
    assert whole.alone("").controls == ()
    many, sellers = shop(circle(*range(6))), [[1, 1, 1, 2, 2, 3]]
    both = reranker(many, {"diversity": 0.9, "caps": {"s": 1}, "slate": 3}, sellers)
    assert both.alone("caps").chosen(np.arange(6), logs(falling(6)), NOW, 3) == [0, 3, 5]


def test_capped_columns_are_read_from_the_item_table():
    table = pa.table(
        {
            "available": [True] * 4,
            "item_category": [["toys", "toys/cars"], ["toys", "toys/dolls"], ["food"], []],
            "item_seller_id": ["s1", "", "s1", "s2"],
        }
    )
    made = Reranker.of(Rerank(caps={"category": 1, "seller_id": 1}), shop(np.eye(4)), table, SPEC)
    assert made.values.tolist() == [[0, 0], [0, -1], [1, 0], [-1, 1]]
    with pytest.raises(SoukError, match="brand"):
        Reranker.of(Rerank(caps={"brand": 1}), shop(np.eye(4)), table, SPEC)


def test_only_declared_columns_of_one_value_are_capped():
    parsed = parse_config(CONFIG + "rerank: {caps: {category: 3, seller_id: 2}}")
    assert parsed.rerank.caps == {"category": 3, "seller_id": 2}
    for caps, word in (("{brand: 2}", "brand"), ("{tags: 2}", "list"), ("{title: 1}", "text"), ("{category: 0}", "1")):
        with pytest.raises(SoukError, match=word):
            parse_config(CONFIG + f"rerank: {{caps: {caps}}}")
    assert sorted(parsed.columns.cappable) == ["category", "seller_id"]
