"""The re-ranking rules of an arm: what it gives, over what the release has."""

from types import SimpleNamespace

from souk.config import Rerank
from souk.config.experiments import Arm, Experiments
from souk.config.settings import NewItems
from souk.serving.experiments.rules import rules_of


def test_an_arm_changes_of_a_section_in_its_rules_only_what_it_gives():
    """And caps as a whole: which columns are capped is one thing."""
    own = Rerank(new_items={"days": 60, "share": 0.1}, caps={"a": 2, "b": 1}, slate=9)
    served = SimpleNamespace(bundle=SimpleNamespace(settings=SimpleNamespace(rerank=own.model_dump())))
    for given, wanted in (
        ({"new_items": {"share": 0.2}}, {"new_items": NewItems(days=60, share=0.2)}),
        ({"new_items": {"days": 7}}, {"new_items": NewItems(days=7, share=0.1)}),
        ({"new_items": {"days": 14}}, {"new_items": NewItems(days=14, share=0.1)}),
        ({"caps": {"a": 3}, "diversity": 0.2}, {"caps": {"a": 3}, "diversity": 0.2}),
        ({"caps": {}}, {"caps": {}}),
    ):
        arms = {"control": Arm(share=0.5), "other": Arm(share=0.5, rerank=given)}
        (rules,) = rules_of(Experiments(experiments={"e": {"arms": arms}}), served).values()
        assert rules == own.model_copy(update=wanted)
