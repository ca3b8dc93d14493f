import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Position(_message.Message):
    __slots__ = ("source", "position")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    source: str
    position: int
    def __init__(self, source: _Optional[str] = ..., position: _Optional[int] = ...) -> None: ...

class UserView(_message.Message):
    __slots__ = ("id", "name", "email", "status", "balance_cents", "last_activity", "total_orders", "phone")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    BALANCE_CENTS_FIELD_NUMBER: _ClassVar[int]
    LAST_ACTIVITY_FIELD_NUMBER: _ClassVar[int]
    TOTAL_ORDERS_FIELD_NUMBER: _ClassVar[int]
    PHONE_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    email: str
    status: str
    balance_cents: int
    last_activity: _timestamp_pb2.Timestamp
    total_orders: int
    phone: str
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., email: _Optional[str] = ..., status: _Optional[str] = ..., balance_cents: _Optional[int] = ..., last_activity: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., total_orders: _Optional[int] = ..., phone: _Optional[str] = ...) -> None: ...

class GetUserViewRequest(_message.Message):
    __slots__ = ("id", "at_least")
    ID_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    id: str
    at_least: _containers.RepeatedCompositeFieldContainer[Position]
    def __init__(self, id: _Optional[str] = ..., at_least: _Optional[_Iterable[_Union[Position, _Mapping]]] = ...) -> None: ...

class SearchUsersRequest(_message.Message):
    __slots__ = ("query", "limit", "at_least")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    query: str
    limit: int
    at_least: _containers.RepeatedCompositeFieldContainer[Position]
    def __init__(self, query: _Optional[str] = ..., limit: _Optional[int] = ..., at_least: _Optional[_Iterable[_Union[Position, _Mapping]]] = ...) -> None: ...

class SearchUsersResponse(_message.Message):
    __slots__ = ("users",)
    USERS_FIELD_NUMBER: _ClassVar[int]
    users: _containers.RepeatedCompositeFieldContainer[UserView]
    def __init__(self, users: _Optional[_Iterable[_Union[UserView, _Mapping]]] = ...) -> None: ...

class ListUserViewsRequest(_message.Message):
    __slots__ = ("limit", "after")
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    limit: int
    after: str
    def __init__(self, limit: _Optional[int] = ..., after: _Optional[str] = ...) -> None: ...

class ListUserViewsResponse(_message.Message):
    __slots__ = ("users",)
    USERS_FIELD_NUMBER: _ClassVar[int]
    users: _containers.RepeatedCompositeFieldContainer[UserView]
    def __init__(self, users: _Optional[_Iterable[_Union[UserView, _Mapping]]] = ...) -> None: ...

class GetLagRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RebuildRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Lag(_message.Message):
    __slots__ = ("sources", "rebuilding", "generation")
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    REBUILDING_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    sources: _containers.RepeatedCompositeFieldContainer[SourceLag]
    rebuilding: bool
    generation: int
    def __init__(self, sources: _Optional[_Iterable[_Union[SourceLag, _Mapping]]] = ..., rebuilding: _Optional[bool] = ..., generation: _Optional[int] = ...) -> None: ...

class SourceLag(_message.Message):
    __slots__ = ("source", "position", "head", "seconds")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    source: str
    position: int
    head: int
    seconds: float
    def __init__(self, source: _Optional[str] = ..., position: _Optional[int] = ..., head: _Optional[int] = ..., seconds: _Optional[float] = ...) -> None: ...
