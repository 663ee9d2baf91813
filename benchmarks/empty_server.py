"""KServe's own model server with a model that does nothing: what any KServe answer costs.

`python -m benchmarks.empty_server PORT`
"""

from __future__ import annotations

import sys
from typing import Any

from kserve import Model, ModelServer


class Empty(Model):
    """Answers each instance with an empty object."""

    def load(self) -> bool:
        """There is nothing to load."""
        self.ready = True
        return True

    async def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
        """As many empty predictions as instances."""
        return {"predictions": [{} for _ in payload["instances"]]}


class LoopbackServer(ModelServer):
    """KServe binds every interface; this one listens on the loopback alone."""

    async def _serve(self) -> None:
        self._rest_server.config.host = "127.0.0.1"
        await super()._serve()


def main() -> None:
    """Serves until SIGTERM."""
    model = Empty("empty")
    model.load()
    server = LoopbackServer(http_port=int(sys.argv[1]), enable_grpc=False, workers=1, enable_latency_logging=False)
    server.start([model])


if __name__ == "__main__":
    main()
