"""What every store of user states does, published or not."""

import threading

import pytest

from tests.store_fixtures import NOW, one_more, state


class StoreContract:
    """What every `OnlineStore` does. A subclass gives the fixture `store`, empty of the users below."""

    @pytest.fixture
    def beside(self, store):
        """What another thread, or where several processes may write another process, has of the same states."""
        return store

    def test_updates_at_the_same_time_lose_nothing(self, store, beside):
        store.write([state("zoe", 0), state("yan", 0)], NOW)

        def update(own):
            for _ in range(30):
                own.update(["zoe", "x", "yan"], one_more, NOW)
                own.update(["yan"], one_more, NOW)

        threads = [threading.Thread(target=update, args=(own,)) for own in (store, beside)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [one and one.count for one in store.read(["zoe", "x", "yan"])] == [60, None, 120]

    def test_an_update_that_fails_changes_nothing_and_holds_nobody_up(self, store, beside):
        store.write([state("zoe", 0)], NOW)
        with pytest.raises(ZeroDivisionError):
            store.update(["zoe"], lambda states: 1 / 0, NOW)
        beside.update(["zoe"], one_more, NOW)
        assert store.read(["zoe"])[0].count == 1

    def test_what_was_written_is_read(self, store):
        states = [state("bob"), state("é\n", 40), state("nothing yet", 0)]
        store.write(states, NOW)
        assert repr(store.read([one.user_id for one in states])) == repr(states)

    def test_unknown_users_are_none_in_their_place(self, store):
        store.write([state("bob")], NOW)
        assert [found and found.user_id for found in store.read(["x", "bob", "", "bob"])] == [None, "bob", None, "bob"]

    def test_nobody_is_asked_for(self, store):
        assert store.read([]) == []
        store.write([], NOW)

    def test_the_last_state_counts(self, store):
        store.write([state("carl", 5)], NOW)
        for count, now in ((2, NOW + 1), (3, NOW + 1), (1, NOW)):  # at one time, or by a clock that was put back
            store.write([state("carl", count)], now)
            assert store.read(["carl"])[0].count == count

    def test_many_threads_read(self, store):
        store.write([state(f"user {n}", n % 7) for n in range(20)], NOW)
        wrong = []

        def read(number):
            for n in range(20):
                found = store.read([f"user {(n + number) % 20}"])[0]
                if found is None or found.count != (n + number) % 20 % 7:
                    wrong.append(found)

        threads = [threading.Thread(target=read, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
