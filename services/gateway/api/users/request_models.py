"""Bodies of requests about users, as OpenAPI describes them.

The user service owns the rules for names and e-mail addresses; they are not repeated here.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from services.gateway.api.request_models import RequestModel, Text


class NewUser(RequestModel):
    """A new user."""

    name: Text = Field(description="1 to 100 characters", examples=["Ada Lovelace"])
    email: Text = Field(description="unique without regard to case", examples=["ada@example.org"])
    phone: Text = Field("", description="with its country code, or empty", examples=["+4930123456"])


class NewProfile(NewUser):
    """A new user, from version 2 on."""

    avatar: Text = Field("", description="an https address of a picture", examples=["https://example.org/ada.png"])


class NewMember(NewProfile):
    """A new user of the caller's tenant."""

    password: Text = Field("", description="with one, the user can sign in", examples=["correct horse battery"])


class UserChanges(RequestModel):
    """Changes of a user; missing fields stay unchanged."""

    name: Text = Field("", examples=["Ada King"])
    email: Text = Field("", examples=["ada.king@example.org"])
    phone: Text = Field("", description="empty: none any more", examples=["+4930123456"])
    active: bool = Field(default=True, examples=[False])

    def given(self) -> dict[str, Any]:
        """The fields of the request."""
        return self.model_dump(include=self.model_fields_set)


class ProfileChanges(UserChanges):
    """Changes of a user, from version 2 on."""

    avatar: Text = Field("", description="empty: the derived one", examples=["https://example.org/ada.png"])
