"""What is in memory for good is no work for the collector of garbage."""

import gc
import weakref

from souk.serving.memory import settled


class Round:
    """Is its own."""

    def __init__(self):
        self.own = self


def test_what_is_there_is_left_out_of_collections_and_what_is_garbage_is_gone():
    kept, garbage = Round(), Round()
    gone = weakref.ref(garbage)
    gc.disable()
    try:
        del garbage
        assert gone() is not None
        settled()
        assert gone() is None
        assert gc.get_freeze_count() > 1000 and not any(thing is kept for thing in gc.get_objects())
        settled()
        again = weakref.ref(kept)
        del kept
        settled()
        assert again() is None, "what was left out before, too"
    finally:
        gc.enable()
        gc.unfreeze()
