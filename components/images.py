"""The container images of Souk: the only place that names them.

One image per extra of setup.cfg (Containerfile). The compiled pipelines carry this registry and this tag;
`souk submit --registry R --tag T` puts real ones in their place.
"""

REGISTRY = "localhost"
TAG = "dev"


def image(extra: str) -> str:
    """The image with the packages of `extra`: registry/name:tag."""
    return f"{REGISTRY}/souk-{extra}:{TAG}"
