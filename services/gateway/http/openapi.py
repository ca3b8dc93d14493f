"""Problem documents in the OpenAPI document: their schema, and the responses of each route."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from services.gateway import errors
from services.gateway.http.problems import MEDIA_TYPE


class WrongField(BaseModel):
    """A field that is wrong."""

    field: str = Field(description="path in the body, parameter, or header", examples=["email"])
    detail: str = Field(examples=["is required"])


class ProblemBody(BaseModel):
    """What went wrong (RFC 9457)."""

    model_config = ConfigDict(title="Problem")

    type: str = Field(examples=["about:blank"])
    title: str = Field(description="the phrase of the status", examples=["Conflict"])
    status: int = Field(examples=[409])
    detail: str = Field(examples=["another user has this e-mail address"])
    instance: str = Field(description="the path that was asked for", examples=["/api/v1/users"])
    code: str | None = Field(None, description="gRPC's name of the status", examples=["ALREADY_EXISTS"])
    reason: str | None = Field(None, description="for programs", examples=["EMAIL_TAKEN"])
    errors: list[WrongField] | None = None
    trace_id: str | None = Field(None, description="what to look for in the traces")


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems that a route may answer with, for OpenAPI: its own by number, and those that any may have."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    own: dict[int | str, dict[str, Any]] = {
        status: {"description": errors.title(status), "content": content} for status in statuses
    }
    return own | {"default": {"description": "Any other problem", "content": content}}
