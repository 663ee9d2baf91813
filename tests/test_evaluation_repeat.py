"""What `repeat` keeps out of catalogue and targets where other events than engagements say so."""

from souk.evaluation.queries import CAUSES, Asked, ask, frozen_queries, nothing_asked
from tests.evaluation_fixtures import DAY, EVENTS, START, reader, spec_of


def shown(query, catalogue):
    return query.user_id, query.timestamp - START, [catalogue.ids[target] for target in query.targets]


def test_what_was_bought_and_what_is_at_hand_leave_catalogue_and_targets(tmp_path):
    """Clicks engage, and keep nothing out for good."""
    read = reader(tmp_path)
    spec = spec_of({"rule": "never", "events": ["purchase"]})
    again = [("ann", "a", "click", START + 8), ("ann", "c", "click", START + 9)]
    window, catalogue = read(spec, [*EVENTS, *again])
    asked = ask(window, catalogue, spec, most=20)
    found = [("ann", 1, ["c", "d"]), ("ann", 5, ["b"]), ("ann", 9, ["c"]), ("eve", 7, ["new"])]
    assert [shown(query, catalogue) for query in asked.queries] == found
    assert [[catalogue.ids[i] for i in query.excluded] for query in asked.queries] == [
        ["a"],
        ["a", "d"],
        ["a", "d"],
        [],
    ]
    assert asked.queries[0].state.engaged == {"a": START - 9 * DAY}
    assert (asked.causes["taken before"], asked.causes["at hand"]) == (1, 0), "a was bought"
    spec = spec_of({"pause_minutes": 7 / 60_000})  # milliseconds
    window, catalogue = read(spec, [*EVENTS, *again])
    asked = ask(window, catalogue, spec, most=20)
    found = [("ann", 1, ["c", "d"]), ("ann", 5, ["b"]), ("ann", 8, ["a"]), ("ann", 9, ["c"]), ("eve", 7, ["new"])]
    assert [shown(query, catalogue) for query in asked.queries] == found
    excluded = [[catalogue.ids[i] for i in query.excluded] for query in asked.queries]
    assert excluded == [[], ["c", "d"], ["b", "d", "gone"], ["a", "b", "gone"], []], "d was bought after its look"
    spec = spec_of({"pause_minutes": 9 / 60_000})
    window, catalogue = read(spec, [*EVENTS, *again])
    assert ask(window, catalogue, spec, most=20).causes["at hand"] == 1, "c"
    told = str(nothing_asked(Asked([], dict.fromkeys(CAUSES, 0) | {"at hand": 7})))
    assert "Received: none: 7 at hand. " in told and "lower repeat.pause_minutes" in told
    (frozen, _) = frozen_queries(window, catalogue, spec)
    assert not len(frozen.excluded), "nothing is at hand when the window begins"
