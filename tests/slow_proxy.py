"""A TCP proxy on this machine that hands bytes on late."""

import contextlib
import select
import socket
import threading
import time


class SlowProxy:
    """Connections to `port` go on to another port; answers come `delay` seconds late.

    Args:
        target: the port of the server behind it.
    """

    def __init__(self, target):
        self.delay = 0.0
        self._target = target
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        """Takes no more connections."""
        self._listening.close()

    def _accept(self):
        with contextlib.suppress(OSError):  # it was closed
            while True:
                client = self._listening.accept()[0]
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with client, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._target)) as server:
            while True:
                for source in select.select([client, server], [], [])[0]:
                    content = source.recv(65536)
                    if not content:
                        return
                    if source is server:
                        time.sleep(self.delay)
                    (client if source is server else server).sendall(content)


@contextlib.contextmanager
def slow_proxy(target):
    """A proxy that runs."""
    proxy = SlowProxy(target)
    try:
        yield proxy
    finally:
        proxy.close()
