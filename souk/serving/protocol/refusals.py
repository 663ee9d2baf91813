"""What KServe 0.21 would answer with 422, 500 or 501 although the request is wrong, and what no client may ask for."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

from kserve.constants.constants import INFERENCE_CONTENT_LENGTH_HEADER
from kserve.errors import InferenceError, InvalidInput, ModelNotFound, ModelNotReady
from kserve.model_repository import ModelRepository
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.model_repository_extension import ModelRepositoryExtension

from souk.serving.protocol.drain import Drain

MAX_BODY_BYTES = 4 << 20  # of rows of items and events
MAX_REQUEST_BYTES = 1 << 20  # of requests for slates: JSON of this size is read in 5 ms, in which nothing else is


class StrictDataPlane(DataPlane):
    """What KServe cannot decode, or cannot encode as the client asked, is the client's mistake.

    Args:
        models: that answer.
        drain: from whose begin on the server is not ready.
    """

    def __init__(self, models: ModelRepository, drain: Drain) -> None:
        super().__init__(models)
        self._drain = drain

    async def ready(self) -> bool:
        """Whether new calls should come here."""
        return not self._drain.begun

    def decode(self, body: Any, headers: Any, *args: Any, **kwargs: Any) -> Any:
        """As KServe's; bytes without a length header are all JSON, whatever the content type."""
        with _refusing("a JSON body, or the binary form that the headers name"):
            if isinstance(body, bytes) and INFERENCE_CONTENT_LENGTH_HEADER not in headers:
                headers = {**headers, INFERENCE_CONTENT_LENGTH_HEADER: str(len(body))}
            return super().decode(body, headers, *args, **kwargs)

    def encode(self, *args: Any, **kwargs: Any) -> Any:
        """As KServe's, with one error."""
        with _refusing("headers and outputs that name a form to answer in"):
            return super().encode(*args, **kwargs)


class FixedModels(ModelRepositoryExtension):
    """The model is loaded at the start and stays."""

    async def load(self, model_name: str) -> None:
        """Refuses."""
        raise InvalidInput("Expected no call to load. Received: one. The pipeline and `souk rollback` move releases.")

    async def unload(self, model_name: str) -> None:
        """Refuses."""
        raise InvalidInput("Expected no call to unload. Received: one. Stop the server with SIGTERM.")


@contextlib.contextmanager
def _refusing(expected: str) -> Iterator[None]:
    try:
        yield
    except (ModelNotFound, ModelNotReady):
        raise
    except Exception as error:
        raise InvalidInput(refusal(error, expected)) from error


def too_large(most: int) -> InvalidInput:
    """The error for a body of more than `most` bytes."""
    return InvalidInput(f"Expected a body of at most {most} bytes. Received: more. Send less.")


def again_after(seconds: float) -> dict[str, str]:
    """Headers of a call that is sent away: HTTP's, in whole seconds, and the same as it is, for who has less time."""
    return {"Retry-After": str(max(1, math.ceil(seconds))), "Retry-After-Ms": str(max(1, math.ceil(1000 * seconds)))}


def refusal(error: Exception, expected: str = "a request in the form of the protocol") -> str:
    """The text for a request that is wrong: ours as it is, KServe's and others' in our form."""
    text = str(error).encode(errors="backslashreplace").decode()  # it may quote half a surrogate pair
    if text.startswith("Expected"):
        return text
    reason = text if isinstance(error, InvalidInput | InferenceError) else f"{type(error).__name__}: {text}"
    if isinstance(error, KeyError):  # KServe's, of a field that it wants
        reason = f"none with {text}"
    return f"Expected {expected}. Received: {reason[:200].rstrip('.')}. See docs/serving.md."
