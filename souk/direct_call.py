"""HTTP calls that end at the address that they name.

`urllib` follows a redirect of a POST with a GET without its body, sends the caller's `Authorization` along, to another
host too, and takes what comes of it for the answer.
"""

from __future__ import annotations

import urllib.error
import urllib.parse
import urllib.request
from typing import Any

TOKEN = "Give a token that the server knows: --token-file FILE."  # what to do about a 401


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer like another: an `HTTPError`, by its status."""

    def http_error_302(self, req: Any, fp: Any, code: Any, msg: Any, headers: Any) -> None:
        """Leaves it to the handler of errors."""

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def direct_call(request: urllib.request.Request, seconds: float) -> Any:
    """The answer to a request, to be closed; redirects are not followed.

    Args:
        request: to an http:// or https:// address, which the caller has seen to.
        seconds: how long to wait for each part of it.

    Raises:
        urllib.error.HTTPError: the status is none of 2xx.
        OSError: nothing answers.
        http.client.HTTPException: what answers is no HTTP.
    """
    return urllib.request.build_opener(_NoRedirect).open(request, timeout=seconds)  # nosec B310: see Args


def redirect_of(error: urllib.error.HTTPError) -> str:
    """Where a redirect leads, scheme and host alone; "" for another answer, or where that is no address."""
    if not 300 <= error.code < 400:
        return ""
    try:
        parts = urllib.parse.urlsplit(urllib.parse.urljoin(error.url, error.headers.get("location", "")))
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
