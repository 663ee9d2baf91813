"""What a Kubeflow Pipelines server answered instead of what was asked, said so that its reader can mend it."""

from __future__ import annotations

import json
import re
from typing import Any

from souk.errors import SoukError

SHOWN = 600  # characters of an answer
PORT_FORWARD = "kubectl -n kubeflow port-forward svc/ml-pipeline 8888 makes the API http://localhost:8888."


class NoAnswer(SoukError):
    """The server could not be reached, or is in trouble itself: the same request may succeed later."""


def no_connection(host: str, error: Exception) -> SoukError:
    """The error for a host that is down, unknown, or too slow."""
    reason = re.sub(r"^\S*Connection.*?\): ", "", str(error)) or type(error).__name__
    return NoAnswer(f"a Kubeflow Pipelines server at {host}", f"no answer ({reason})", f"Is it up? {PORT_FORWARD}")


def untrusted(host: str, reason: str) -> SoukError:
    """The error for a TLS connection that this machine does not accept."""
    reason = " ".join(reason.split())
    remedy = "Give the certificate of its authority: --ca-cert FILE."
    return SoukError(f"a certificate of {host} that is trusted here", reason[:SHOWN], remedy)


def not_kubeflow(host: str, kind: str, text: str) -> SoukError:
    """The error for an answer that no Kubeflow Pipelines server gives, a login page for instance."""
    title = re.search(r"<title>(.*?)</title>", text, re.I | re.S)
    shown = f", titled {' '.join(title[1].split())!r}" if title else ""
    remedy = f"A login page? Give a token (--token-file FILE), or reach the API itself: {PORT_FORWARD}"
    expected = f"a Kubeflow Pipelines server of version 2 at {host}"
    return SoukError(expected, f"an answer of another kind ({kind or 'no type'}{shown})", remedy)


def refused(host: str, task: str, status: int, body: str, location: str = "") -> SoukError:
    """The error for a status other than 2xx.

    Args:
        host: the server.
        task: what was asked of it, as "to create the run".
        status: of HTTP.
        body: of the answer.
        location: where a redirect leads.
    """
    said = f"HTTP {status} {message(body)}".rstrip(". ")
    if 300 <= status < 400:
        remedy = "Write the address that it leads to, or give a token (--token-file FILE) where it is a login."
        return SoukError(f"{host} {task}", f"HTTP {status}, a redirect to {location or 'nowhere'}", remedy)
    if status == 401:
        remedy = "Give a valid one: --token-file FILE, or the environment's SOUK_KFP_TOKEN."
        return SoukError(f"a token that {host} accepts, {task}", said, remedy)
    if status == 403:
        remedy = "Ask for that right in the namespace, or name one where you have it: --namespace NAME."
        return SoukError(f"the right {task} at {host}", said, remedy)
    if status == 429 or status >= 500:
        return NoAnswer(f"{host} {task}", said, "Try again later; the log of ml-pipeline tells more.")
    return SoukError(f"{host} {task}", said, "It was not taken; mend what the answer names.")


def message(body: str) -> str:
    """The words in an answer: of the API (`message`), of an upload (`error_message`), or its text."""
    try:
        value: Any = json.loads(body)
    except ValueError:
        return " ".join(re.sub(r"<[^>]*>", " ", body).split())[:SHOWN]
    if isinstance(value, dict):
        words = next((value[key] for key in ("message", "error_message", "error") if value.get(key)), value)
        return " ".join(str(words).split())[:SHOWN]
    return str(value)[:SHOWN]
