"""What features are called in an explanation."""

from __future__ import annotations

from souk.acts import ACT
from souk.affinity import AFFINITY, BOUGHT, LATELY, VISIT
from souk.levels import NEAR
from souk.matches import MATCH
from souk.pairs import RESPONSE

NAMES = {
    "user_id": "what was learned about this user",
    "query_hour": "the hour of the day (UTC)",
    "query_weekday": "the day of the week",
    "query_since_last": "the seconds since the last event",
    "query_events": "how much the user has done so far",
    "query_events_1d": "how much the user did today",
    "query_events_7d": "how much the user did in the last 7 days",
    "query_events_30d": "how much the user did in the last 30 days",
    "log_rank": "its place by the fit with the user",
    "log_events": "how often it was chosen by everyone so far",
    "log_lately": "how often it was chosen by everyone lately",
    "satisfied_rate": "how often those who chose it were satisfied",
    RESPONSE: "how often it is chosen where it is shown",
    "window_events": "how often the user came to it lately",
    "window_recency": "how long ago the user last came to it",
    "similarity_mean": "its likeness to recent events",
    "similarity_max": "its likeness to the nearest recent event",
    "similarity_last": "its likeness to the last event",
    "shared_mean": "what it has in common with past events",
    "shared_max": "the most that it has in common with past events",
    "age": "the days that it has been on offer",
    "age_known": "whether it is known how long it has been on offer",
    "co_visitation": "what others went on to after the same events",
    "co_visitation_rank": "its place by what others went on to",
    "ease": "what is chosen by those who choose the same",
    "ease_rank": "its place by what such users choose",
    "again": "the user's habit of choosing it",
    "again_rank": "its place by the user's habits",
    "popularity": "its popularity among such users at such times",
    "popularity_rank": "its place by that popularity",
    "satisfied_before": "how satisfied the user was so far",
    "satisfied_lately": "how satisfied the user was lately",
    "satisfied_alike": "how satisfied the user was with things like it",
    "satisfied_shared": "how satisfied the user was with things of its kind",
    **dict.fromkeys(  # one reason: a model that has all three sets one against another
        ("past_events", "past_recency", "due"),
        "how often and how long ago the user chose it, beside the usual time between",
    ),
    "past_hour": "the time of day at which the user chose it",
    "past_weekday": "the day of the week on which the user chose it",
}
BESIDE = {  # where an item's own is more, or less, than the mean candidate's
    "log_events": "that everyone chose it {} often so far than the mean candidate",
    "log_lately": "that everyone chose it {} often lately than the mean candidate",
    "popularity": "that it is {} popular among such users at such times than the mean candidate",
    "satisfied_rate": "that those who chose it were satisfied {} often than with the mean candidate",
    RESPONSE: "that it is chosen {} often where it is shown than the mean candidate",
    "age": "that it has been on offer for {} time than the mean candidate",
}
OTHERS = ("log_events", "log_lately", "popularity")
TAKEN = "that others choose it {} than the mean candidate"  # all of these: a model sets one against another
ALIKE, UNLIKE = "what {} and {} have in common", "that {} and {} have nothing in common"
GOES_TO = {
    AFFINITY: "how much of the user's past goes to {}",
    LATELY: "how much of what the user did of late goes to {}",
    VISIT: "how much of what the user did in this visit goes to {}",
    BOUGHT: "how much of what the user bought of late goes to {}",
}
NEAR_BY = "how near {} is to what the user looked at of late"
UNKNOWN = "that {} or {} is not known"
OF = {"user": "the user's {}", "item": "the item's {}", "context": "the {} of the visit"}
DONE = {
    "click": "clicked",
    "cart": "put in the cart",
    "purchase": "bought",
    "return": "returned",
    "rating": "rated",
}
LAST = "how long ago the user last {}"  # of one type of events


def plain_name(name: str) -> str:
    """A feature in plain words."""
    if name.startswith(f"{MATCH}:"):
        return ALIKE.format(*both(name))
    if name.startswith(f"{ACT}:"):
        done = DONE[name.removeprefix(f"{ACT}:")]
        return LAST.format(f"{done} it" if done != DONE["cart"] else "put it in the cart")
    taste, _, of = name.partition(":")
    if taste in GOES_TO:
        return GOES_TO[taste].format(plain_name(of))
    if name.startswith(f"{NEAR}:"):
        return NEAR_BY.format(plain_name(name.removeprefix(f"{NEAR}:")))
    entity, _, source = name.partition("_")
    return NAMES.get(name) or OF.get(entity, "{}").format(source.replace("_", " "))


def both(match: str) -> list[str]:
    """The two features of a match in plain words, the item's first."""
    return [plain_name(name) for name in reversed(match.split(":")[1:])]
