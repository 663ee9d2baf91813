"""Where user states are kept online: a sqlite file of the workspace, or a Redis, by its address."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any

from souk.config.places import REDIS
from souk.errors import SoukError, shown

PASSWORD = "SOUK_REDIS_PASSWORD"  # nosec B105: the name of an environment variable
PORT = 6379


def online_store(
    uri: str, sqlite: str, timeout_ms: int = 0, environment: Mapping[str, str] = os.environ, again: bool = False
) -> Any:
    """Feast's settings of an online store.

    Args:
        uri: `redis://host[:port][/db]`, `rediss://` with TLS, or "" for sqlite.
        sqlite: the file.
        timeout_ms: the longest wait for a Redis to connect or to answer; 0 for Feast's own patience, which has no end.
        environment: may hold the password. Settings name it and do not contain it: they are kept in a file.
        again: whether one that did not answer in that time, or broke off, is asked some times more.

    Raises:
        SoukError: an address that is none.
    """
    if not uri:
        return {"type": "sqlite", "path": sqlite}
    found = re.fullmatch(REDIS, uri)
    if not found:
        raise SoukError("redis://host[:port][/db] or rediss://…", repr(shown(uri)), f"A password goes into {PASSWORD}.")
    parts = [f"{found['host']}:{found['port'] or PORT}", f"db={found['db'] or 0}"]
    parts += ["ssl=true"] if found["tls"] else []
    parts += [f"password=${{{PASSWORD}}}"] if environment.get(PASSWORD) else []
    if timeout_ms:
        seconds = timeout_ms / 1000
        parts += [f"socket_timeout={seconds}", f"socket_connect_timeout={seconds}", *["retry=null"] * (not again)]
    # Whoever writes a state has read it before, so the last one written counts, whatever its time.
    return {"type": "redis", "connection_string": ",".join(parts), "skip_dedup": True}


def address(settings: Mapping[str, Any]) -> str:
    """The inverse: the `uri` of Feast's settings of an online store."""
    if settings.get("type") != "redis":
        return ""
    place, *options = str(settings["connection_string"]).split(",")
    known = dict(option.partition("=")[::2] for option in options)
    return f"redis{'s' if known.get('ssl') == 'true' else ''}://{place}/{known.get('db', '0')}"


def with_password(settings: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Settings with the password in the place of its name, as Feast's client needs them.

    Raises:
        SoukError: a password that Feast's form cannot hold.
    """
    password, text = environment.get(PASSWORD, ""), settings.get("connection_string", "")
    if "," in password:
        raise SoukError(f"a password without a comma in {PASSWORD}", "one with", "Feast reads it as the end.")
    quoted = json.dumps(password)  # Feast reads each value as JSON where it is any: 1e5 would be a number
    return {**settings, "connection_string": text.replace(f"${{{PASSWORD}}}", quoted)} if text else dict(settings)
