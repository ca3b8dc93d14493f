"""The `signal` messages of clients, as docs/reference/webrtc.md specifies them: each field is bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from services.common.runtime.text import is_unicode
from services.gateway.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_SDP = 49_152
"""Of a description, in characters: four media sections with all codecs of a browser have about 10,000."""
MAX_CANDIDATE = 1_024


def _unicode(text: str) -> str:
    if not is_unicode(text):
        raise ValueError("must be text: there is half a surrogate pair in it")
    return text


Line = Annotated[str, AfterValidator(_unicode)]
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,100}$")]
Kind = Literal["host", "srflx", "prflx", "relay"]


class _Model(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class Ring(_Model):
    """Starts a call with everyone in the room, or with the user `to`."""

    kind: Literal["ring"]
    room: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    to: Annotated[str, Field(max_length=128, pattern=r"^[!-~]*$")] = ""


class Accept(_Model):
    kind: Literal["accept"]
    call: Id


class Decline(_Model):
    kind: Literal["decline"]
    call: Id


class Busy(_Model):
    kind: Literal["busy"]
    call: Id


class HangUp(_Model):
    kind: Literal["hang_up"]
    call: Id


class Resume(_Model):
    """Takes a participation over to this connection."""

    kind: Literal["resume"]
    call: Id
    participant: Id
    token: Id


class SessionDescription(_Model):
    """RTCSessionDescriptionInit (W3C WebRTC, 4.6.2)."""

    type: Literal["offer", "answer", "pranswer", "rollback"]
    sdp: Annotated[Line, Field(max_length=MAX_SDP)] = ""


class IceCandidate(_Model):
    """RTCIceCandidateInit (W3C WebRTC, 4.8.1). An empty `candidate` ends those of a generation."""

    candidate: Annotated[Line, Field(max_length=MAX_CANDIDATE)] = ""
    sdpMid: Annotated[Line, Field(max_length=64)] | None = None  # noqa: N815 - as the standard has it
    sdpMLineIndex: Annotated[int, Field(ge=0, le=255)] | None = None  # noqa: N815
    usernameFragment: Annotated[Line, Field(max_length=256)] | None = None  # noqa: N815


class Description(_Model):
    kind: Literal["description"]
    call: Id
    to: Id
    description: SessionDescription

    @property
    def content(self) -> dict[str, Any]:
        return {"description": self.description.model_dump()}


class Candidate(_Model):
    """`candidate`: None: there are no more."""

    kind: Literal["candidate"]
    call: Id
    to: Id
    candidate: IceCandidate | None

    @property
    def content(self) -> dict[str, Any]:
        return {"candidate": self.candidate.model_dump(exclude_none=True) if self.candidate else None}


class Report(_Model):
    """What a participant sees of its connection to `peer`: RTCIceTransportState, and the selected candidate pair."""

    kind: Literal["report"]
    call: Id
    peer: Id
    state: Literal["checking", "connected", "completed", "disconnected", "failed", "closed"]
    media: bool = False
    """Whether media or data has arrived."""
    local: Kind | None = None
    remote: Kind | None = None
    protocol: Literal["udp", "tcp"] | None = None
    rtt: Annotated[float, Field(ge=0, le=60, allow_inf_nan=False)] | None = None
    """In seconds, as `currentRoundTripTime` of RTCIceCandidatePairStats."""
    tried: Annotated[list[Kind], Field(max_length=8)] = []
    """Types of the candidates that were gathered."""

    @property
    def attributes(self) -> dict[str, Any]:
        """Span attributes."""
        found = {
            "webrtc.peer": self.peer,
            "webrtc.ice.state": self.state,
            "webrtc.ice.local_candidate.type": self.local,
            "webrtc.ice.remote_candidate.type": self.remote,
            "network.transport": self.protocol,
            "webrtc.ice.round_trip_time": self.rtt,
            "webrtc.ice.candidate_types": ",".join(sorted(set(self.tried))),
        }
        return {name: value for name, value in found.items() if value not in {None, ""}}


Addressed = Description | Candidate
SignalMessage = Annotated[
    Ring | Accept | Decline | Busy | HangUp | Resume | Description | Candidate | Report,
    Field(discriminator="kind"),
]
_ADAPTER: TypeAdapter[Any] = TypeAdapter(SignalMessage)


def parse_signal(document: Mapping[str, Any]) -> Any:
    """The message as one of the models above. Raises ApiError with all invalid fields."""
    try:
        return _ADAPTER.validate_python(dict(document))
    except ValidationError as error:
        wrong = {_path(item["loc"]): str(item["msg"])[:200] for item in error.errors(include_url=False)}
        detail = "; ".join(f"{name} {what}" for name, what in wrong.items())
        raise ApiError("INVALID_ARGUMENT", detail[:500], reason="INVALID_MESSAGE", fields=wrong) from None


def _path(location: tuple[int | str, ...]) -> str:
    """The path of a field; the first part is the kind, of which the model is."""
    parts = location[1:] if len(location) > 1 else location
    return ".".join(str(part) for part in parts) or "kind"
