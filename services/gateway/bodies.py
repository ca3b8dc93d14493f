"""The bodies of requests, as OpenAPI describes them. Types are strict: "1" is not a number, and `true` is not 1.

What a name or an e-mail address must look like is not repeated here: the service that owns users says so.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat
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


class Body(BaseModel):
    """What a request carries: strict, and nothing beside it."""

    model_config = ConfigDict(strict=True, extra="forbid")


class NewUser(Body):
    """A user to be."""

    name: Text = Field(description="1 to 100 characters", examples=["Ada Lovelace"])
    email: Text = Field(description="unique without regard to case", examples=["ada@example.org"])
    phone: Text = Field("", description="with its country code, or empty", examples=["+4930123456"])


class NewProfile(NewUser):
    """A user to be, from version 2 on."""

    avatar: Text = Field("", description="an https address of a picture", examples=["https://example.org/ada.png"])


class NewMember(NewProfile):
    """A user to be, of the caller's tenant."""

    password: Text = Field("", description="with one, the user can sign in", examples=["correct horse battery"])


class UserChanges(Body):
    """What to change; fields that are not there stay as they are."""

    name: Text = Field("", examples=["Ada King"])
    email: Text = Field("", examples=["ada.king@example.org"])
    phone: Text = Field("", description="empty: none any more", examples=["+4930123456"])
    active: bool = Field(default=True, examples=[False])

    def given(self) -> dict[str, Any]:
        """The fields that the request carried."""
        return self.model_dump(include=self.model_fields_set)


class ProfileChanges(UserChanges):
    """What to change, from version 2 on."""

    avatar: Text = Field("", description="empty: the derived one", examples=["https://example.org/ada.png"])


class Operands(Body):
    """Two numbers."""

    a: FiniteFloat = Field(examples=[1])
    b: FiniteFloat = Field(examples=[2])


class Value(BaseModel):
    """A number."""

    value: float = Field(examples=[3.0])


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
