"""What counts how often items are taken knows nothing of what follows a boundary, and reads any log."""

import numpy as np
import pytest

from souk.features.responses import PRIOR
from tests.test_features_responses import IDS, slate, spec, told  # noqa: F401


@pytest.mark.parametrize("seed", range(8))
def test_a_boundary_knows_what_a_log_that_ends_there_knows(tmp_path, spec, seed):  # noqa: F811
    """Impressions come before what was taken, after it, twice, and not at all."""
    rng = np.random.default_rng(seed)
    rows = []
    for request in range(60):
        for place, item in enumerate(rng.permutation(IDS).tolist()):
            at = int(rng.integers(60, 140))
            name = f"r{request}"
            rows += [("impression", item, at, name, place)] * int(rng.choice([0, 1, 1, 1, 2]))
            for _ in range(int(rng.choice([0, 0, 1, 2]))):
                own = [None, place, int(rng.integers(3))][rng.integers(3)]
                rows.append(("click", item, at + int(rng.integers(-30, 31)), name, own))
    whole = told(tmp_path, rows, spec)
    before = told(tmp_path, [row for row in rows if row[2] < 100], spec)
    np.testing.assert_array_equal(whole[0], before[0])


def test_what_was_taken_before_its_impression_is_shown_once_at_every_boundary(tmp_path, spec):  # noqa: F811
    """One is told of at 150 and again at 250; of the log of before it is known as what was taken alone."""
    rows = [("click", "a", 10, "r1", 0), ("click", "b", 20, "r2", 0), *slate("r3", 30, "c")]
    rows += [*slate("r1", 150, "a"), *slate("r1", 250, "a")]
    third = [(1 + PRIOR) / (2 / 3 + PRIOR)] * 2 + [PRIOR / (2 / 3 + PRIOR)]
    again = [(2 + PRIOR) / (1.5 + PRIOR), (1 + PRIOR) / (0.75 + PRIOR), PRIOR / (0.75 + PRIOR)]
    np.testing.assert_allclose(told(tmp_path, rows, spec), np.log([third, third, again]), atol=1e-6)


def test_a_request_of_a_long_name_costs_no_more_than_its_length(tmp_path, spec):  # noqa: F811
    """Beside it 20,000 others are not as long: as texts of one width they were 8 GB."""
    names = [*(f"r{n}" for n in range(20_000)), "r" * 100_000]
    rows = [row for name in names for row in [("impression", "a", 1, name, 0), ("click", "a", 2, name, 0)]]
    rows += [("impression", "b", 1, "r0", 0)]
    rate = 20_001 / 20_002
    expected = (20_001 + 3) / (20_001 * rate + 3), 3 / (rate + 3)
    np.testing.assert_allclose(told(tmp_path, rows, spec)[0][:2], np.log(expected), atol=1e-5)
