"""Bodies of the calculator's responses."""

from __future__ import annotations

from pydantic import BaseModel, Field


class Value(BaseModel):
    """A number."""

    value: float = Field(examples=[3.0])
