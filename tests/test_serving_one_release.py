"""An answer is of one release and one plan of experiments, whatever changes while its parts are answered."""

import asyncio
from types import SimpleNamespace

import pytest

from souk.serving.model import SoukModel
from souk.serving.protocol.tracing import opened
from tests.arms_fixtures import arms_of, beside, user_in, write
from tests.serving_fixtures import NOW, write_workspace

PLAN = "experiments: {next: {arms: {control: {share: 0.5}, other: {share: 0.5, release: shop-2}}}}"
SIZE = 40  # instances: answered in parts


@pytest.mark.parametrize(("before", "after"), [("", PLAN), (PLAN, "")])
def test_what_changes_between_the_parts_of_a_call_changes_the_next_call(tmp_path, before, after):
    workspace = write_workspace(tmp_path / "workspace")
    beside(workspace, "shop-2")
    arms, parts = arms_of(workspace, before), []
    recommend = arms.recommend

    def changing(requests):
        slates = recommend(requests)
        parts.append(len(requests))
        if len(parts) == 1:
            write(workspace, after)
            assert arms.look()
        return slates

    arms.recommend = changing
    metrics = SimpleNamespace(count=lambda slates: None, stages=lambda seconds: None)
    model = SoukModel(arms, [], metrics, lambda: NOW, lambda: "r", opened({}))
    body = {"instances": [{"user_id": user_in(PLAN, next="other"), "k": 2}] * SIZE}

    async def releases():
        headers = {}
        slates, _ = await model.predict(await model.preprocess(body), response_headers=headers)
        return {slate.release for slate in slates} | {headers["x-souk-release"]}

    named = {"": workspace.current_release(), PLAN: "shop-2"}
    assert asyncio.run(releases()) == {named[before]} and len(parts) > 1
    assert asyncio.run(releases()) == {named[after]}
