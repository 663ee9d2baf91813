"""What holds for the properties of every test file."""

import re
import time
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


@given(st.none())
def test_an_example_that_is_off_the_processor_for_a_moment_breaks_nothing(nothing):
    time.sleep(0.25)  # more than hypothesis allows


def test_who_passes_over_a_check_passes_over_that_of_slow_data_too():
    """A list of one test's own takes the place of that of all."""
    own = re.compile(r"suppress_health_check=\[(.+?)\]")
    lists = [found for path in Path(__file__).parent.rglob("test_*.py") for found in own.findall(path.read_text())]
    assert lists and all("HealthCheck.too_slow" in found for found in lists)
    assert HealthCheck.too_slow in settings.default.suppress_health_check
