"""The stores of the usual chain, a process each: `python -m benchmarks.serving.chain_stores ROLE PORT FOLDER`.

`features` is Feast's own feature server on the states of a workspace, `index` Milvus Lite's own server on its files.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.serving.process import HOST
from souk.workspace import Workspace


def feast_server(workspace: Workspace, port: int) -> None:
    """Feast's own, on the states of the workspace."""
    import uvicorn
    from feast import FeatureStore
    from feast.feature_server import get_app

    from souk.store.definitions import repo_config

    app = get_app(FeatureStore(config=repo_config(workspace.feast)))
    uvicorn.run(app, host=HOST, port=port, log_level="warning", access_log=False)


def index_server(folder: str, port: int) -> None:
    """Milvus Lite's own."""
    from milvus_lite.adapter.grpc.server import start_server_in_thread

    server, _, _ = start_server_in_thread(data_dir=folder, host=HOST, port=port)
    server.wait_for_termination()


def main() -> None:
    """Serves a role until SIGTERM."""
    role, port, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    if role == "features":
        feast_server(Workspace(Path(folder)), port)
    else:
        index_server(folder, port)


if __name__ == "__main__":
    main()
