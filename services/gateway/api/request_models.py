"""The bodies of requests, as OpenAPI describes them. Types are strict: "1" is not a number, and `true` is not 1.

What a name or an e-mail address must look like is not repeated here: the service that owns users says so.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

from services.common.runtime.text import is_unicode


def _sendable(text: str) -> str:
    """JSON can spell half of a surrogate pair, which is no text, and NUL, which PostgreSQL does not store."""
    if not is_unicode(text):
        raise PydanticCustomError("string_unicode", "must be valid Unicode")
    if "\0" in text:
        raise PydanticCustomError("string_nul", "must hold no NUL character")
    return text


Text = Annotated[str, AfterValidator(_sendable)]


class RequestModel(BaseModel):
    """What a request carries: strict, and nothing beside it."""

    model_config = ConfigDict(strict=True, extra="forbid")
