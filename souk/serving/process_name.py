"""A name for this process in the logs of a workspace that servers of many machines share."""

from __future__ import annotations

import os
import re
import secrets
import socket


def process_name(now: int) -> str:
    """`<start>-<host>-<pid>-<random>`: in a cluster all servers may be process 1 and start in the same millisecond.

    Args:
        now: UTC epoch milliseconds.
    """
    host = re.sub(r"[^A-Za-z0-9]+", "-", socket.gethostname())[:63].strip("-")
    return f"{now}-{host}-{os.getpid()}-{secrets.token_hex(4)}"


def started(name: str) -> int:
    """When the process of such a name began, UTC epoch milliseconds; 0 where the name does not say."""
    moment = name.partition("-")[0]
    return int(moment) if moment.isdecimal() else 0
