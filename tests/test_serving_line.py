"""The line before the models: what is answered together and in turn, what is sent away, and that one call never fails
another."""

import asyncio
import math
import threading

import pytest

from souk.serving.line import Line, Overloaded
from souk.serving.request import Request
from souk.serving.turns import LONGEST, MOST, TIGHT


class Models:
    """Answers batches when the test lets it, and keeps them."""

    def __init__(self):
        self.batches, self.held, self.now = [], threading.Semaphore(0), 0.0
        self.line = Line(self.answer, self.fallback, lambda: self.now)
        self.fallbacks = []

    def answer(self, requests):
        self.held.acquire(timeout=60)
        names = [request.user_id for request in requests]
        self.batches.append(names)
        self.now += 0.01 * len(names)
        if "exits" in names:
            raise SystemExit
        if "bad" in names or "worst" in names:
            raise ArithmeticError("bad")
        return [name.upper() for name in names]

    def fallback(self, requests):
        names = [request.user_id for request in requests]
        self.fallbacks.append(names)
        if "worst" in names:
            raise ArithmeticError("worse")
        return [f"safe {name}" for name in names]

    async def busy(self):
        """A call that is being answered, so that the next ones wait."""
        first = asyncio.create_task(self.ask("first"))
        while not self.line._turns.running:
            await asyncio.sleep(0.001)
        return first

    async def ask(self, *names, deadline=math.inf):
        return await self.line.slates([Request(name, 1, 0, deadline=deadline) for name in names])


@pytest.fixture
def models():
    return Models()


def test_what_waits_is_answered_together_and_each_call_gets_its_own(models):
    async def scene():
        first = await models.busy()
        others = [asyncio.create_task(models.ask(*names)) for names in (["a"], ["b", "c"], ["d"])]
        await asyncio.sleep(0)
        models.held.release(99)
        return await asyncio.gather(first, *others)

    assert asyncio.run(scene()) == [["FIRST"], ["A"], ["B", "C"], ["D"]]
    assert models.batches == [["first"], ["a", "b", "c", "d"]]


def test_a_batch_is_bounded_and_a_call_is_one_answer(models):
    async def scene():
        first = await models.busy()
        calls = [asyncio.create_task(models.ask(*"x" * size)) for size in (MOST - 1, 2, MOST + 5, 1)]
        await asyncio.sleep(0)
        models.held.release(99)
        await asyncio.gather(first, *calls)

    asyncio.run(scene())
    assert [len(batch) for batch in models.batches] == [1, MOST, MOST - 1, 5, 3], "a long one comes in parts"


def test_who_has_little_time_left_is_in_nobodys_way(models):
    async def scene():
        first = await models.busy()
        lefts = {"a": 60.0, "pressed": TIGHT / 2, "b": 60.0, "c": 60.0, "late": 0.001, "d": 60.0}
        calls = [asyncio.create_task(models.ask(name, deadline=models.now + left)) for name, left in lefts.items()]
        await asyncio.sleep(0)
        models.held.release(99)
        await asyncio.gather(first, *calls)

    asyncio.run(scene())
    assert models.batches == [["first"], ["a"], ["pressed"], ["b", "c"], ["late"], ["d"]]


def test_a_call_that_would_wait_for_more_than_half_of_its_time_is_sent_away_at_once_and_told_when_to_come_back(models):
    """Who is let in at the end of it gets a slate without its stages."""
    models.held.release(1)
    assert asyncio.run(models.ask("a")) == ["A"]  # a request costs .01 s

    async def scene():
        first = await models.busy()
        with pytest.raises(Overloaded):
            await models.ask(*"abc", deadline=models.now + 0.039)
        # A call of many takes more than half of its time by itself: behind the first it has enough of it all the same.
        waiting = asyncio.create_task(models.ask(*"abc", deadline=models.now + 0.041))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded) as refused:
            await models.ask("d", deadline=models.now + 0.079)
        assert refused.value.seconds == pytest.approx(0.04)
        fits = asyncio.create_task(models.ask("d", deadline=models.now + 0.081))
        await asyncio.sleep(0)
        models.held.release(99)
        return await asyncio.gather(first, waiting, fits)

    assert asyncio.run(scene()) == [["FIRST"], ["A", "B", "C"], ["D"]]
    assert models.line.waiting == 0


def test_with_nothing_before_it_a_call_is_taken_however_late_it_will_be(models):
    models.held.release(3)
    asyncio.run(models.ask("a"))
    assert asyncio.run(models.ask(*"abcdef", deadline=models.now)) == [*"ABCDEF"]


@pytest.mark.parametrize("size", [1, MOST + 1])
def test_the_line_has_an_end_even_for_those_with_all_the_time(models, size):
    """One for calls of few and one for calls of many, so that neither fills the other's."""

    async def scene():
        first = await models.busy()
        waiting = [asyncio.create_task(models.ask(*"x" * size)) for _ in range((LONGEST - 1) // size)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await models.ask(*"y" * size)
        other = asyncio.create_task(models.ask(*"z" * (MOST + 2 - size)))
        await asyncio.sleep(0)
        models.held.release(999)
        await asyncio.gather(first, *waiting, other)

    asyncio.run(scene())


def learned(models):
    """A request costs .01 s."""
    models.held.release(1)
    assert asyncio.run(models.ask("a")) == ["A"]
    models.batches.clear()


def of(name, parts):
    return [name] * parts * MOST


def test_a_call_of_many_is_in_turn_with_the_others_and_neither_waits_for_all_of_the_other(models):
    learned(models)

    async def scene():
        first = await models.busy()
        calls = [asyncio.create_task(models.ask(*of("m", 3), deadline=models.now + 9))]
        await asyncio.sleep(0)
        # Behind what runs and one part of the three.
        with pytest.raises(Overloaded) as refused:
            await models.ask("a", deadline=models.now + 0.33)
        assert refused.value.seconds == pytest.approx(0.17)
        calls += [asyncio.create_task(models.ask(name, deadline=models.now + 0.5)) for name in "ab"]
        await asyncio.sleep(0)
        for _ in range(2):
            models.held.release(1)
            while models.line._turns.running != MOST:
                await asyncio.sleep(0.001)
        models.held.release(1)
        await asyncio.gather(*calls[1:])  # while a part of many goes on
        calls += [asyncio.create_task(models.ask("c", deadline=models.now + 0.5))]
        await asyncio.sleep(0)
        models.held.release(99)
        return await asyncio.gather(first, *calls)

    assert asyncio.run(asyncio.wait_for(scene(), 60)) == [["FIRST"], of("M", 3), ["A"], ["B"], ["C"]]
    few = [batch for batch in models.batches if batch[0] != "m"]
    assert few == [["first"], ["a", "b"], ["c"]]
    assert [batch[0] for batch in models.batches] == ["first", "m", "a", "m", "c", "m"]


def test_a_call_of_many_has_time_for_the_others_that_come_while_it_is_answered(models):
    learned(models)

    async def scene():
        first = await models.busy()
        with pytest.raises(Overloaded):  # .64 s for its two parts and for two batches of others, behind .01 s
            await models.ask(*of("m", 2), deadline=models.now + 0.645)
        calls = [asyncio.create_task(models.ask(*of("m", 2), deadline=models.now + 0.655))]
        await asyncio.sleep(0)
        for _ in range(5 * MOST):
            calls.append(asyncio.create_task(models.ask("x")))
        await asyncio.sleep(0)
        models.held.release(99)
        await asyncio.gather(first, *calls)

    asyncio.run(asyncio.wait_for(scene(), 60))
    assert [batch[0] for batch in models.batches[:4]] == ["first", "m", "x", "m"]


def test_of_calls_of_many_the_one_whose_time_is_up_first_goes_first_where_that_makes_no_other_late(models):
    learned(models)

    async def scene():
        first = await models.busy()
        lefts = {"l": 2.3, "p": 0.9}
        calls = [asyncio.create_task(models.ask(*of(name, 2), deadline=models.now + n)) for name, n in lefts.items()]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):  # that alone would be in time
            await models.ask(*of("q", 4), deadline=models.now + 2.2)
        models.held.release(99)
        return await asyncio.gather(first, *calls)

    assert asyncio.run(scene()) == [["FIRST"], of("L", 2), of("P", 2)]
    assert [batch[0] for batch in models.batches] == ["first", "p", "p", "l", "l"]


@pytest.mark.parametrize("name", ["bad", "worst"])
def test_of_a_call_of_many_the_part_that_fails_is_answered_without_the_models(models, name):
    async def scene():
        first = await models.busy()
        call = asyncio.create_task(models.ask(*of("m", 1), name, *of("m", 1)[1:], *of("m", 1)))
        await asyncio.sleep(0)
        models.held.release(99)
        return await asyncio.gather(first, call, return_exceptions=True)

    _, answer = asyncio.run(scene())
    if name == "bad":
        assert answer == [*of("M", 1), "safe bad", *["safe m"] * (MOST - 1), *of("M", 1)]
    else:
        assert isinstance(answer, ArithmeticError)


def test_of_a_call_of_many_whose_client_went_away_the_rest_costs_nothing(models):
    async def scene():
        first = await models.busy()
        gone = asyncio.create_task(models.ask(*of("m", 9)))
        await asyncio.sleep(0)
        models.held.release(1)
        while models.line._turns.running != MOST:
            await asyncio.sleep(0.001)
        gone.cancel()
        await asyncio.sleep(0)
        models.held.release(99)
        await first
        return await models.ask("a")

    assert asyncio.run(asyncio.wait_for(scene(), 60)) == ["A"]
    assert models.batches == [["first"], of("m", 1), ["a"]] and models.line.waiting == 0


def test_a_call_that_cannot_be_answered_costs_no_other_its_answer(models):
    async def scene():
        first = await models.busy()
        calls = [asyncio.create_task(models.ask(name)) for name in ("a", "bad", "worst", "b")]
        await asyncio.sleep(0)
        models.held.release(99)
        return await asyncio.gather(first, *calls, return_exceptions=True)

    *_, a, bad, worst, b = asyncio.run(scene())
    assert (a, bad, b) == (["A"], ["safe bad"], ["B"]) and isinstance(worst, ArithmeticError)
    assert models.fallbacks == [["bad"], ["worst"]]


def test_what_would_end_the_thread_costs_no_other_call_its_answer(models):
    async def scene():
        first = await models.busy()
        calls = [asyncio.create_task(models.ask(name)) for name in ("a", "exits", "b")]
        await asyncio.sleep(0)
        models.held.release(99)
        answers = await asyncio.gather(first, *calls)
        return [*answers, await models.ask("c")]

    assert asyncio.run(asyncio.wait_for(scene(), 60)) == [["FIRST"], ["A"], ["safe exits"], ["B"], ["C"]]


def test_a_client_that_went_away_is_not_answered(models):
    async def scene():
        first = await models.busy()
        gone, stays = asyncio.create_task(models.ask("gone")), asyncio.create_task(models.ask("stays"))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        models.held.release(99)
        await first
        assert await stays == ["STAYS"]

    asyncio.run(scene())
    assert models.batches == [["first"], ["stays"]] and models.line.waiting == 0
