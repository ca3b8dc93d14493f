import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ChatRequest(_message.Message):
    __slots__ = ("join", "say")
    JOIN_FIELD_NUMBER: _ClassVar[int]
    SAY_FIELD_NUMBER: _ClassVar[int]
    join: JoinRoom
    say: SayMessage
    def __init__(self, join: _Optional[_Union[JoinRoom, _Mapping]] = ..., say: _Optional[_Union[SayMessage, _Mapping]] = ...) -> None: ...

class JoinRoom(_message.Message):
    __slots__ = ("room", "user_id", "name", "resume_after")
    ROOM_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    RESUME_AFTER_FIELD_NUMBER: _ClassVar[int]
    room: str
    user_id: str
    name: str
    resume_after: str
    def __init__(self, room: _Optional[str] = ..., user_id: _Optional[str] = ..., name: _Optional[str] = ..., resume_after: _Optional[str] = ...) -> None: ...

class SayMessage(_message.Message):
    __slots__ = ("text", "client_id")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    text: str
    client_id: str
    def __init__(self, text: _Optional[str] = ..., client_id: _Optional[str] = ...) -> None: ...

class ChatEvent(_message.Message):
    __slots__ = ("joined", "message", "presence", "refused", "missed")
    JOINED_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    PRESENCE_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    MISSED_FIELD_NUMBER: _ClassVar[int]
    joined: Presence
    message: ChatMessage
    presence: PresenceChange
    refused: Refusal
    missed: Missed
    def __init__(self, joined: _Optional[_Union[Presence, _Mapping]] = ..., message: _Optional[_Union[ChatMessage, _Mapping]] = ..., presence: _Optional[_Union[PresenceChange, _Mapping]] = ..., refused: _Optional[_Union[Refusal, _Mapping]] = ..., missed: _Optional[_Union[Missed, _Mapping]] = ...) -> None: ...

class ChatMessage(_message.Message):
    __slots__ = ("id", "room", "user_id", "name", "text", "client_id", "sent_at")
    ID_FIELD_NUMBER: _ClassVar[int]
    ROOM_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    SENT_AT_FIELD_NUMBER: _ClassVar[int]
    id: str
    room: str
    user_id: str
    name: str
    text: str
    client_id: str
    sent_at: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., room: _Optional[str] = ..., user_id: _Optional[str] = ..., name: _Optional[str] = ..., text: _Optional[str] = ..., client_id: _Optional[str] = ..., sent_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Presence(_message.Message):
    __slots__ = ("room", "people", "total")
    ROOM_FIELD_NUMBER: _ClassVar[int]
    PEOPLE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    room: str
    people: _containers.RepeatedCompositeFieldContainer[Person]
    total: int
    def __init__(self, room: _Optional[str] = ..., people: _Optional[_Iterable[_Union[Person, _Mapping]]] = ..., total: _Optional[int] = ...) -> None: ...

class Person(_message.Message):
    __slots__ = ("user_id", "name", "connections", "since")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    name: str
    connections: int
    since: _timestamp_pb2.Timestamp
    def __init__(self, user_id: _Optional[str] = ..., name: _Optional[str] = ..., connections: _Optional[int] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class PresenceChange(_message.Message):
    __slots__ = ("room", "person", "present")
    ROOM_FIELD_NUMBER: _ClassVar[int]
    PERSON_FIELD_NUMBER: _ClassVar[int]
    PRESENT_FIELD_NUMBER: _ClassVar[int]
    room: str
    person: Person
    present: bool
    def __init__(self, room: _Optional[str] = ..., person: _Optional[_Union[Person, _Mapping]] = ..., present: _Optional[bool] = ...) -> None: ...

class Refusal(_message.Message):
    __slots__ = ("client_id", "reason", "code")
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    client_id: str
    reason: str
    code: str
    def __init__(self, client_id: _Optional[str] = ..., reason: _Optional[str] = ..., code: _Optional[str] = ...) -> None: ...

class Missed(_message.Message):
    __slots__ = ("count", "first", "last")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    count: int
    first: str
    last: str
    def __init__(self, count: _Optional[int] = ..., first: _Optional[str] = ..., last: _Optional[str] = ...) -> None: ...

class PostRequest(_message.Message):
    __slots__ = ("room", "user_id", "name", "text", "client_id")
    ROOM_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    room: str
    user_id: str
    name: str
    text: str
    client_id: str
    def __init__(self, room: _Optional[str] = ..., user_id: _Optional[str] = ..., name: _Optional[str] = ..., text: _Optional[str] = ..., client_id: _Optional[str] = ...) -> None: ...

class HistoryRequest(_message.Message):
    __slots__ = ("room", "after", "limit", "since")
    ROOM_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    room: str
    after: str
    limit: int
    since: _timestamp_pb2.Timestamp
    def __init__(self, room: _Optional[str] = ..., after: _Optional[str] = ..., limit: _Optional[int] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class HistoryPage(_message.Message):
    __slots__ = ("messages", "more")
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[ChatMessage]
    more: bool
    def __init__(self, messages: _Optional[_Iterable[_Union[ChatMessage, _Mapping]]] = ..., more: _Optional[bool] = ...) -> None: ...

class ListRoomsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListRoomsResponse(_message.Message):
    __slots__ = ("rooms",)
    ROOMS_FIELD_NUMBER: _ClassVar[int]
    rooms: _containers.RepeatedCompositeFieldContainer[Room]
    def __init__(self, rooms: _Optional[_Iterable[_Union[Room, _Mapping]]] = ...) -> None: ...

class Room(_message.Message):
    __slots__ = ("name", "messages", "people")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    PEOPLE_FIELD_NUMBER: _ClassVar[int]
    name: str
    messages: int
    people: int
    def __init__(self, name: _Optional[str] = ..., messages: _Optional[int] = ..., people: _Optional[int] = ...) -> None: ...

class GetPresenceRequest(_message.Message):
    __slots__ = ("room",)
    ROOM_FIELD_NUMBER: _ClassVar[int]
    room: str
    def __init__(self, room: _Optional[str] = ...) -> None: ...
