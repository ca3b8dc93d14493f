"""Bodies of requests to the calculator."""

from __future__ import annotations

from pydantic import Field, FiniteFloat

from services.gateway.api.request_models import RequestModel


class Operands(RequestModel):
    """Two numbers."""

    a: FiniteFloat = Field(examples=[1])
    b: FiniteFloat = Field(examples=[2])
