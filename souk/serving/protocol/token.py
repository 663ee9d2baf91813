"""Bearer tokens: who may call the server, where no mesh says so (docs/security.md)."""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
from starlette.responses import JSONResponse

from souk.errors import SoukError

logger = logging.getLogger(__name__)
SHORTEST = 16  # characters: what is shorter can be tried out
# Those who look whether the server is well have no token: kubelet, load balancers, Prometheus.
FREE_PATHS = frozenset(
    {"/", "/metrics", "/v2/health/live", "/v2/health/ready", "/v1/models", "/v1/models/souk", "/v2/models/souk/ready"}
)
FREE_CALLS = ("/ServerLive", "/ServerReady", "/ModelReady")
SCHEME = "bearer "
REFUSED = str(SoukError("a token that the server knows", "none, or another", "Send `Authorization: Bearer <token>`."))


class Tokens:
    """The tokens of a file, one a line; any of them will do, so that one can be replaced while both hold.

    The file is read again when it changes. Where that fails, those of before hold: a mistake in the file neither opens
    the server nor closes it.

    Args:
        path: the file.

    Raises:
        SoukError: it cannot be read, or holds no token of SHORTEST characters or more, or one that no header can carry.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._seen = self._stamp()
        self._digests = self._read()

    def allow(self, authorization: str) -> bool:
        """Whether the value of an `Authorization` header has one of the tokens; as long for a wrong one as for a right
        one, however much of it is right."""
        self._look()
        scheme, token = authorization[: len(SCHEME)], authorization[len(SCHEME) :]
        given = hashlib.sha256(token.strip().encode(errors="surrogateescape")).digest()
        found = False
        for digest in self._digests:
            found |= hmac.compare_digest(given, digest)
        return found and scheme.lower() == SCHEME

    def _look(self) -> None:
        stamp = self._stamp()
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            self._digests = self._read()
            logger.warning("%s: %d tokens from now on", self._path, len(self._digests))
        except SoukError as error:
            logger.error("the tokens of before hold: %s", error)

    def _stamp(self) -> tuple[int, ...]:
        try:
            status = self._path.stat()
        except OSError:
            return ()
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _read(self) -> list[bytes]:
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise SoukError(f"a token in {self._path}", f"{type(error).__name__}", "Write one, on a line.") from error
        tokens = [line.strip() for line in lines if line.strip()]
        if not tokens or min(map(len, tokens)) < SHORTEST:
            received = "a shorter one" if tokens else "none"
            remedy = "Make one: python -c 'import secrets; print(secrets.token_urlsafe(32))'."
            raise SoukError(f"tokens of at least {SHORTEST} characters in {self._path}", received, remedy)
        if not all(token.isascii() and token.isprintable() and " " not in token for token in tokens):
            remedy = "Make one: python -c 'import secrets; print(secrets.token_urlsafe(32))'."
            raise SoukError(f"tokens of printable ASCII without spaces in {self._path}", "another character", remedy)
        return [hashlib.sha256(token.encode()).digest() for token in tokens]


class TokenCheck:
    """ASGI middleware: without a token a call gets 401 before its body is read.

    Args:
        app: what answers the others.
        tokens: those that hold.
    """

    def __init__(self, app: Any, tokens: Tokens) -> None:
        self._app, self._tokens = app, tokens

    async def __call__(self, scope: Any, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        """Passes the call on, or refuses it."""
        if scope["type"] == "http" and scope["path"] not in FREE_PATHS:
            given = [value for name, value in scope["headers"] if name == b"authorization"]
            if len(given) != 1 or not self._tokens.allow(given[0].decode("latin-1")):
                headers = {"www-authenticate": "Bearer"}
                await JSONResponse({"error": REFUSED}, 401, headers)(scope, receive, send)
                return
        await self._app(scope, receive, send)


class TokenInterceptor(grpc.aio.ServerInterceptor):
    """The same for gRPC, by the metadata `authorization`: UNAUTHENTICATED."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        """The handler of a call, or one that refuses."""
        given = [value for name, value in details.invocation_metadata if name == "authorization"]
        if details.method.endswith(FREE_CALLS) or (len(given) == 1 and self._tokens.allow(str(given[0]))):
            return await continuation(details)

        async def refuse(_: Any, context: Any) -> None:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, REFUSED)

        return grpc.unary_unary_rpc_method_handler(refuse, request_deserializer=bytes)
