"""What docs/simulator.md says and the other tests do not show."""

import re
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np

from souk.simulator.catalogue import BRANDS, DEPARTMENT_OF, draw_items
from souk.simulator.parameters import Parameters, Size
from tests.ports import free_port

PAGE = (Path(__file__).parents[1] / "docs" / "simulator.md").read_text("utf-8")


def test_three_fifths_of_the_quality_follow_from_what_is_known_of_an_item():
    """By least squares, group by group in turns; a group takes a share of the rest with it by chance alone."""
    assert "three fifths of its variance follow from seller, brand and condition" in PAGE
    count, shares = 20_000, []
    for seed in range(3):
        items = draw_items(np.random.default_rng(seed), Size(items=count), Parameters())
        known = [items.seller, DEPARTMENT_OF[items.leaf] * BRANDS + items.brand, items.condition]
        rest = items.quality
        for groups in known * 5:
            rest = rest - (np.bincount(groups, rest) / np.maximum(1, np.bincount(groups)))[groups]
        free = count - sum(len(np.unique(groups)) for groups in known)
        shares.append(1 - (rest**2).sum() / free)
    assert abs(np.mean(shares) - 3 / 5) < 0.04, shares


def test_the_command_before_the_simulation_waits_for_a_server_that_is_loading():
    """Its port opens late, and then it is not ready at once."""
    (line,) = re.findall(r"souk serve .* &\n(.+/ready) .*\nsouk simulate .*--policy", PAGE)
    statuses, port = [200, 503], free_port()

    class Loading(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(statuses.pop() if self.path == "/v2/models/souk/ready" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    def serve() -> None:
        with HTTPServer(("127.0.0.1", port), Loading) as server:
            server.handle_request()
            server.handle_request()

    late = threading.Timer(1.5, serve)
    late.start()
    subprocess.run(["bash", "-c", line.replace("8080", str(port))], check=True, timeout=60)
    late.join(10)
    assert not statuses
