"""The base of request models. Types are strict: "1" is not a number, and `true` is not 1."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

from services.common.runtime.text import is_unicode


def _sendable(text: str) -> str:
    """Rejects lone surrogates, which JSON can contain, and NUL, which PostgreSQL does not store."""
    if not is_unicode(text):
        raise PydanticCustomError("string_unicode", "must be valid Unicode")
    if "\0" in text:
        raise PydanticCustomError("string_nul", "must hold no NUL character")
    return text


Text = Annotated[str, AfterValidator(_sendable)]


class RequestModel(BaseModel):
    """A request body: strict types, no unknown fields."""

    model_config = ConfigDict(strict=True, extra="forbid")
