"""The description of the server's HTTP routes (OpenAPI 3.1), made from the release that answers."""

from souk.serving.openapi.document import ApiDocument, document

__all__ = ["ApiDocument", "document"]
