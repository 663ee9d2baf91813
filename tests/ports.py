"""A port for a server of another's, which takes its number as a word."""

import random
import socket

LOW, HIGH = 20_000, 32_000  # below those that the system gives to who asks for any (ip_local_port_range), as clients do


def free_port() -> int:
    """One that is free, and that nobody is given by chance before its server takes it, or while it is down."""
    draw = random.SystemRandom()
    while True:
        port = draw.randrange(LOW, HIGH)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
