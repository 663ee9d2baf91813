"""The sections of the config that say where what Souk makes is kept, and where it is served."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from souk.config.tables import MILVUS, MILVUS_WORDS, Section, spelled
from souk.errors import SoukError

REDIS = r"^redis(?P<tls>s?)://(?P<host>[A-Za-z0-9._-]+)(:(?P<port>[0-9]{1,5}))?(/(?P<db>[0-9]{1,4}))?/?$"
REDIS_WORDS = "redis://HOST[:PORT][/DATABASE], or rediss:// with TLS, and the password in SOUK_REDIS_PASSWORD alone"


class OnlineStore(Section):
    """`uri` is empty for sqlite in the workspace, or the address of a Redis: see REDIS_WORDS."""

    uri: Annotated[str, spelled(f"|{REDIS}", REDIS_WORDS)] = ""


class LoadIndex(Section):
    """`uri` is empty for Milvus Lite in the workspace, or the address of a Milvus server, `http://host:port`."""

    uri: Annotated[str, spelled(f"|{MILVUS}", f"{MILVUS_WORDS}: write http://localhost:19530")] = ""
    recall_bar: float = Field(default=0.95, ge=0, le=1)


class Deploy(Section):
    slate_size: int = Field(default=20, ge=1)
    max_slate_size: int = Field(default=200, ge=1, le=10_000)


DNS = "([-a-z0-9]*[a-z0-9])?"  # the rest of a name in Kubernetes
OF_DNS = "small letters, digits and -, no - at either end"


class Rollout(Section):
    """Where `deploy` puts a release, and how much traffic it gets there. See `docs/rollout.md`.

    `canary_percent` is the share of requests that a release starts with while the one before it keeps the rest; 0
    gives it all of them. `storage` + `/` + the release's name is the address that KServe mounts or downloads. Where
    neither `min_replicas` nor `max_replicas` is given, a service keeps those that it has, and a new one has 1 and 1.
    """

    target: Literal["workspace", "inference_service"] = "workspace"
    name: Annotated[str, spelled("[a-z]" + DNS, f"{OF_DNS}, the first a letter")] = Field(default="souk", max_length=38)
    namespace: Annotated[str, spelled("[a-z0-9]" + DNS, OF_DNS)] = Field(default="souk", max_length=63)
    mode: Literal["standard", "knative"] = "standard"
    canary_percent: int = Field(default=0, ge=0, le=99)
    storage: Annotated[str, spelled(r"[a-z0-9]+://[^/].*[^/]", "SCHEME://PLACE without a / at its end")] = (
        "pvc://souk-workspace/releases"
    )
    runtime: str = Field(default="souk", min_length=1)
    min_replicas: int | None = Field(default=None, ge=1)
    max_replicas: int | None = Field(default=None, ge=1)
    deadline_seconds: float = Field(default=600, gt=0)

    @model_validator(mode="after")
    def _replicas_in_order(self) -> Rollout:
        fewest, most = self.replicas or (1, 1)
        if most < fewest:
            raise ValueError(f"max_replicas {most} is below min_replicas {fewest}")
        return self

    @property
    def replicas(self) -> tuple[int, int] | None:
        """Fewest and most servers, 1 where one of them is not given; None where neither is."""
        if self.min_replicas is None and self.max_replicas is None:
            return None
        return self.min_replicas or 1, self.max_replicas or 1

    def check_index(self, index: LoadIndex) -> None:
        """A service of several servers needs an index that they share.

        Raises:
            SoukError: the target is a cluster and the index is Milvus Lite, whose file one process holds.
        """
        if self.target == "inference_service" and not index.uri:
            raise SoukError(
                "the address of a Milvus server in load_index.uri, since rollout.target is inference_service",
                "none, which is Milvus Lite: one process holds its file",
                "Set load_index.uri, to http://milvus.milvus:19530 for instance, or rollout.target to workspace.",
            )

    def check_store(self, store: OnlineStore, kept: bool = False) -> None:
        """Several servers need a store of user states that they share.

        Args:
            store: of the states.
            kept: whether the service may have several already, which it keeps where this section says no number.

        Raises:
            SoukError: a cluster runs more than one, and the states are in sqlite.
        """
        most = self.replicas and self.replicas[1]
        if self.target == "inference_service" and (most > 1 if most else kept) and not store.uri:
            why = f"rollout.max_replicas is {most}" if most else f"service {self.name} may have several servers"
            raise SoukError(
                f"the address of a Redis in online_store.uri, since {why}",
                "none, which is sqlite: a file that one machine can share",
                "Set online_store.uri, to redis://redis.redis:6379 for instance, or rollout.max_replicas to 1.",
            )
