"""The page says what was measured, and nothing in a name breaks it."""

import re
from dataclasses import replace

import pytest

from souk.evaluation.at_a_glance import at_a_glance
from souk.evaluation.observed import Observed
from souk.evaluation.report import page, summary, tone
from souk.evaluation.verdict import Verdict
from tests.evaluation_fixtures import Tags
from tests.report_fixtures import *  # noqa: F403
from tests.report_fixtures import PARETO, RULE, VERDICT, measured, words


def test_page_is_self_contained_and_has_every_plot(html):
    tags = Tags()
    tags.feed(html)
    assert sum(tag == "svg" for tag, _ in tags.seen) == 6
    assert not any(tag in ("script", "link", "img") for tag, _ in tags.seen)
    assert not any(attrs.get("src") for _, attrs in tags.seen)
    assert "25 queries of 25 users; each ranks the items that were there by then, of 20 in all" in words(html)


def test_the_verdict_comes_first(html):
    text = words(html)
    assert text.index("rejected (champion: old)") < text.index("beside the baselines")
    assert "difference +0.0010 < margin" in html.replace("&lt;", "<")
    assert html.index("verdict reject") < html.index("<table>")


def test_the_page_begins_with_a_sentence_in_words(metrics, html):
    said = at_a_glance(metrics["protocols"]["rolling"], "old")
    assert words(html).index(said) < words(html).index("Test window from")
    assert said.startswith("Of 100 moments at which a user takes something that may be")
    assert ", the release old at" in said
    assert "is served" not in words(html) and "(served" not in html, "by the time of reading it may be another"


def test_the_release_that_it_was_judged_beside_is_named_wherever_it_is_meant(setting, metrics, html):
    text = words(html)
    assert "against old" in text and "What changed against the champion, old" in text
    assert "The champion of these figures is old." in summary(metrics, VERDICT)
    assert "The champion of" not in summary(measured(setting), VERDICT)


def test_what_an_unchanged_release_shows_is_of_when_it_was_the_challenger(setting, metrics):
    same = Verdict("unchanged", "new", (RULE,))
    before = "The figures are those of when it was judged beside old."
    assert all(before in told for told in (summary(metrics, same), words(page(metrics, same))))
    assert "unchanged: the models are those of the champion (champion: new)" in words(page(metrics, same))
    for found, verdict in ((measured(setting), same), (metrics, VERDICT), (metrics, None)):
        assert "The figures are those" not in summary(found, verdict) + page(found, verdict)


def test_a_page_without_a_gate_says_so_and_names_the_release_that_it_compares_with(metrics, setting):
    """`souk evaluate --against`: that release need not be what is served."""
    text = words(page(metrics | {"champion": "shop-1"}, None))
    assert "measured , not judged: shop-1 stands as the champion." in text and "the release shop-1 at " in text
    assert "What changed against the champion" in text
    assert "no champion" not in text and "served now" not in text
    alone = words(page(measured(setting), None))
    assert "measured , not judged: no champion was compared with." in alone and "stands as" not in alone


def test_what_changed_against_the_champion(html, setting):
    text = words(html)
    assert "What changed against the champion" in text
    assert re.search(r"Of the first ten items, \d+% are those that the champion would show", text)
    alone = words(page(measured(setting), VERDICT))
    assert "What changed against the champion" not in alone


@pytest.mark.parametrize(
    ("users", "told"),
    [
        (50, "Behind the champion in 1 of 1 slices of at least 50 users: user town: north (-0.2000"),
        (49, "In none of 0 slices of at least 50 users behind the champion beyond chance"),
    ],
)
def test_parts_that_got_worse_are_named_where_users_are_enough_to_tell(setting, users, told):
    found = measured(setting, ["i03", "i05"])
    north = found["protocols"]["rolling"]["slices"]["user town: north"]
    north["differences"]["champion"] = {"mean": -0.2, "low": -0.3, "high": -0.1}
    north["users"] = users
    assert told in words(page(found, VERDICT))


def test_the_slice_in_which_the_slate_is_behind_its_own_towers_is_named(setting):
    """Of those with users enough, the one whose interval lies lowest."""
    found = measured(setting)
    slices = found["protocols"]["rolling"]["slices"]
    north, south = slices["user town: north"], slices["user town: south"]
    assert "two towers" not in summary(found, VERDICT)
    north["users"] = south["users"] = 50
    north["differences"]["two_tower"] = {"mean": -0.2, "low": -0.4, "high": -0.01}
    south["differences"]["two_tower"] = {"mean": -0.1, "low": -0.11, "high": 0.0}
    told = (
        "Behind its own two towers in user town: {}: ndcg@10 -0.{}, 50 users; "
        "behind its own two towers in {} of 2 slices of at least 50"
    )
    one = told.format("north", "2000 (95% -0.4000 to -0.0100)", 1)
    assert one in summary(found, VERDICT)
    south["differences"]["two_tower"]["high"] = -0.02
    assert told.format("south", "1000 (95% -0.1100 to -0.0200)", 2) in summary(found, VERDICT)
    south["users"] = 49
    assert one.replace("of 2", "of 1") in summary(found, VERDICT)
    north["differences"]["two_tower"]["high"] = 0.0
    assert "two towers" not in summary(found, VERDICT)


def test_the_slice_in_which_a_simple_rule_is_ahead_is_named_in_summary_and_page(setting):
    """Of all rules and slices with users enough, that whose interval lies lowest; a slice counts once."""
    found = measured(setting)
    slices = found["protocols"]["rolling"]["slices"]
    north, south = slices["user town: north"], slices["user town: south"]
    lost = {"mean": -0.3, "low": -0.4, "high": -0.2}
    for part in slices.values():
        part["users"], part["differences"] = 49, dict.fromkeys(part["differences"], lost)
    assert "a simple rule" not in summary(found, VERDICT) + page(found, VERDICT)
    north["users"] = south["users"] = 50
    level = {"mean": 0.0, "low": -0.1, "high": 0.1}
    north["differences"] = {"item_knn": {"mean": -0.2, "low": -0.4, "high": -0.01}, "popularity": level}
    south["differences"] = {"item_knn": level, "popularity": level}
    told = (
        "Behind {}, a simple rule, in user town: {}: ndcg@10 {}), 50 users; "
        "behind a simple rule in {} of 2 slices of at least 50 users"
    )
    one = told.format("item_knn", "north", "-0.2000 (95% -0.4000 to -0.0100", 1)
    assert one in summary(found, VERDICT) and one in words(page(found, VERDICT))
    north["differences"]["popularity"] = {"mean": -0.1, "low": -0.2, "high": -0.02}
    assert told.format("popularity", "north", "-0.1000 (95% -0.2000 to -0.0200", 1) in summary(found, VERDICT)
    south["differences"]["popularity"] = {"mean": -0.1, "low": -0.2, "high": -0.03}
    assert told.format("popularity", "south", "-0.1000 (95% -0.2000 to -0.0300", 2) in summary(found, VERDICT)
    north["differences"] = south["differences"] = {"item_knn": level, "popularity": level}
    assert "a simple rule" not in summary(found, VERDICT) + page(found, VERDICT)
    rules = {"item_knn": level, "popularity": lost, "fresh": lost}
    for name, family in (("item category: a", "item category"), ("new items", "known or new")):
        part = slices[name] = {**north, "side": "item", "family": family, "differences": rules}
        assert "a simple rule" not in summary(found, VERDICT), "they are right wherever what they show is asked for"
        part["differences"] = rules | {"item_knn": lost}
        assert f"Behind item_knn, a simple rule, in {name}" in summary(found, VERDICT)
        del slices[name]
    slices["new to the user"] = {**north, "side": "item", "family": "new to the user", "differences": rules}
    assert re.search("Behind (fresh|popularity), a simple rule, in new to the user", summary(found, VERDICT))


def test_the_shop_says_what_its_figures_are_of(metrics):
    """What is of the log, and what of slates; evaluations of before counted the price of whatever engages."""
    rolling = metrics["protocols"]["rolling"]

    def told(**business):
        shop = {"business": rolling["business"] | business}
        return words(page(metrics | {"protocols": metrics["protocols"] | {"rolling": rolling | shop}}, None))

    assert "orders 20; average order value 6.25. These are of the log" in told()
    assert "price of what was bought and shown" in told() and "taken and shown" not in told()
    assert "of the log, whatever" not in told(window={}), "what follows is of slates"
    before = {key: value for key, value in rolling["business"].items() if key != "valued"}
    rolling = rolling | {"business": before}
    assert "price of what was taken and shown" in told()


def test_what_no_label_tells_is_a_dash(metrics):
    assert "nan" not in words(page(metrics, VERDICT))
    bare = metrics | {"ranker": {"slate": Observed().measure({}, samples=100)}}
    assert "slate engaged 0 0 – – – – – –" in words(page(bare, VERDICT))


def test_the_order_of_the_ranker_is_not_called_that_of_a_head(metrics):
    """One order stands in the rows of all heads, of one that is not learned too."""
    heads = "NDCG@10 at its positives: of the ranker's order of the retrievers' order difference"
    assert heads in words(page(metrics, VERDICT)).replace("&#39;", "'")


def test_the_gap_of_segments_has_an_interval(metrics):
    gap = {"highest": "user town: north", "lowest": "user town: south", "gap": 0.5, "low": 0.2, "high": 0.8}
    rolling = metrics["protocols"]["rolling"]

    def told(**bounds):
        return words(
            page(
                metrics
                | {"protocols": metrics["protocols"] | {"rolling": rolling | {"parity": {"town": gap | bounds}}}},
                None,
            )
        )

    assert "user town: north less user town: south is 50% of the mean (95%, all pairs together: 20% to 80%)." in told()
    assert "-10% to 110%); no pair differs beyond chance." in told(low=-0.1, high=1.1)


def test_examples_and_slices_are_told(html):
    text = words(html)
    assert text.count("took:") == 10
    assert 'class="hit"' in html
    assert re.search(r"user town south 13 13 [\d. a-z+-]* north 12 12", text)


def test_page_escapes_names(setting):
    titles = tuple(f"<b>{item} & co" for item in setting.content.titles)
    spec = replace(setting.spec, dataset="<b>shop & co</b>")
    html = page(measured(replace(setting, spec=spec, content=replace(setting.content, titles=titles))), VERDICT)
    assert "<b>shop" not in html
    assert "<b>i0" not in html
    assert "&lt;b&gt;shop &amp; co" in html
    assert "&lt; margin" in html


def test_page_without_training_or_calibration(metrics):
    bare = metrics | {"calibration": {"engaged": [], "satisfied": []}, "training": {"ranker": []}}
    html = page(bare, VERDICT)
    assert html.count("<svg") == 4
    assert "Training" not in html


def test_page_is_the_same_for_the_same_numbers(metrics, html):
    assert page(metrics, VERDICT) == html


def test_only_a_difference_beyond_chance_has_a_tone():
    assert tone({"low": 0.1, "high": 0.2}, 20) == "better"
    assert tone({"low": -0.2, "high": -0.1}, 20) == "worse"
    assert tone({"low": -0.1, "high": 0.1}, 20) == ""
    assert tone({"low": 0.1, "high": 0.2}, 19) == tone({"low": -0.2, "high": -0.1}, 19) == "", "of too few to tell"


@pytest.mark.parametrize("users", [19, 20])
def test_of_few_users_nothing_is_better_or_worse(metrics, users):
    """Neither by its colour nor in words: of 1 user whom the slate alone serves the interval is 1 to 1."""
    certain = {"mean": 0.5, "low": 0.4, "high": 0.6}
    rolling = metrics["protocols"]["rolling"] | {"users": users}
    rolling["differences"] = {name: dict.fromkeys(own, certain) for name, own in rolling["differences"].items()}
    found = metrics | {"protocols": dict.fromkeys(("rolling", "frozen"), rolling)}
    html = page(found, None)
    assert ("too narrow to tell" in summary(found, None)) == ("too narrow to tell" in html) == (users < 20)
    main = html[: html.index("<h2>Where positives are lost")]
    assert (main.count('class="better"') > 0) == ("beyond chance" in main.partition("</p>")[0]) == (users >= 20)
    assert "Does a column tell" not in html or users >= 20


def told(mean, **more):
    return {"mean": mean, "low": mean - 0.01, "high": mean + 0.01, **more}


def test_the_price_of_re_ranking_is_a_table_of_its_controls(metrics):
    values = {"ndcg@10": told(0.31), "diversity@10": told(0.4), "top1_share@10": told(0.1), "coverage@10": 0.5}
    lower = values | {"ndcg@10": told(0.27), "coverage@10": 0.625}
    rows = {
        "none": values | {"new_share@10": 0.0, "difference": told(0.0)},
        "new_items": lower | {"new_share@10": 0.125, "difference": told(-0.04)},
    }
    rolling = metrics["protocols"]["rolling"]
    assert "re-ranking costs" not in words(page(metrics, None))
    protocols = metrics["protocols"] | {"rolling": rolling | {"reranking": rows}}
    html = page(metrics | {"protocols": protocols}, None)
    assert "What re-ranking costs and brings" in words(html)
    assert '<td class="worse">-0.0400' in html and "62.5%" in html and "0.125" in html
    assert html.count("<svg") == page(metrics, None).count("<svg") + 1


def test_the_front_of_weights_is_drawn_with_the_weight_that_is_served(metrics):
    html = page(metrics | {"pareto": PARETO}, None)
    assert "weight of satisfaction costs" in words(html) and "weight of satisfaction" not in words(page(metrics, None))
    svg = html[html.index("weight of satisfaction costs") :]
    svg = svg[svg.index("<svg") : svg.index("</svg>")]
    assert svg.count("<!-- 0.75 -->") == 2 and "<!-- NDCG@10 of what satisfied -->" in svg
    assert "<!-- as it is expected -->" in svg and "<!-- as held-out users saw it -->" in svg
