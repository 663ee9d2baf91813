"""The addresses that servers listen on."""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from souk.errors import SoukError


def bind(host: str, port: int, option: str = "--http-port") -> socket.socket:
    """A TCP socket bound to an address that is free, port 0 for any.

    Args:
        host: the address.
        port: of it.
        option: by which another port can be chosen.

    Raises:
        SoukError: the port is taken, or the address is none of this machine.
    """
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except (OSError, OverflowError) as error:
        bound.close()
        received = (getattr(error, "strerror", None) or str(error)).lower()
        number = getattr(error, "errno", errno.EADDRINUSE)  # a port beyond 65,535 has none
        remedy = f"Choose another {option}." if number in (errno.EADDRINUSE, errno.EACCES) else "Mend --host."
        raise SoukError(f"{address(host, port)} to be free to listen on", received, remedy) from error
    return bound


@contextmanager
def shared_port(host: str, port: int, option: str) -> Iterator[int]:
    """A free port that several processes may listen on meanwhile, each with a socket of its own (SO_REUSEPORT); nobody
    else who asks for it so has it. Arguments and errors are those of `bind`."""
    with bind(host, port, option) as held, socket.socket(socket.AF_UNIX) as lock:
        port = int(held.getsockname()[1])
        if sys.platform == "linux":  # where a name that begins with 0 is of no file, and ends with its socket
            try:
                lock.bind(f"\0souk-port-{port}")
            except OSError as error:
                other = f"{address(host, port)} to be free to listen on", "workers of another server have it"
                raise SoukError(*other, f"Choose another {option}.") from error
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        yield port


def address(host: str, port: int) -> str:
    """Host and port as a URL has them: of IPv6 in brackets (RFC 3986, section 3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
