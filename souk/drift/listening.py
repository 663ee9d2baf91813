"""The address of the detector's server."""

from __future__ import annotations

import socket

from souk.errors import SoukError


def bind(host: str, port: int) -> socket.socket:
    """A TCP socket bound to an address that is free, port 0 for any.

    Raises:
        SoukError: the port is taken.
    """
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except (OSError, OverflowError) as error:
        bound.close()
        received = getattr(error, "strerror", None) or str(error)
        raise SoukError(f"{host}:{port} to be free", received, "Choose another --http-port.") from error
    return bound
