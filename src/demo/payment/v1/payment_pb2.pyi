import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PaymentState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PAYMENT_UNKNOWN: _ClassVar[PaymentState]
    CHARGED: _ClassVar[PaymentState]
    REFUNDED: _ClassVar[PaymentState]
    DECLINED: _ClassVar[PaymentState]
PAYMENT_UNKNOWN: PaymentState
CHARGED: PaymentState
REFUNDED: PaymentState
DECLINED: PaymentState

class ChargeRequest(_message.Message):
    __slots__ = ("key", "user_id", "amount_cents")
    KEY_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_CENTS_FIELD_NUMBER: _ClassVar[int]
    key: str
    user_id: str
    amount_cents: int
    def __init__(self, key: _Optional[str] = ..., user_id: _Optional[str] = ..., amount_cents: _Optional[int] = ...) -> None: ...

class RefundRequest(_message.Message):
    __slots__ = ("key",)
    KEY_FIELD_NUMBER: _ClassVar[int]
    key: str
    def __init__(self, key: _Optional[str] = ...) -> None: ...

class Payment(_message.Message):
    __slots__ = ("key", "state", "user_id", "amount_cents", "reason")
    KEY_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_CENTS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    key: str
    state: PaymentState
    user_id: str
    amount_cents: int
    reason: str
    def __init__(self, key: _Optional[str] = ..., state: _Optional[_Union[PaymentState, str]] = ..., user_id: _Optional[str] = ..., amount_cents: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class DepositRequest(_message.Message):
    __slots__ = ("key", "user_id", "amount_cents")
    KEY_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_CENTS_FIELD_NUMBER: _ClassVar[int]
    key: str
    user_id: str
    amount_cents: int
    def __init__(self, key: _Optional[str] = ..., user_id: _Optional[str] = ..., amount_cents: _Optional[int] = ...) -> None: ...

class GetAccountRequest(_message.Message):
    __slots__ = ("user_id",)
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    def __init__(self, user_id: _Optional[str] = ...) -> None: ...

class Account(_message.Message):
    __slots__ = ("user_id", "balance_cents")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    BALANCE_CENTS_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    balance_cents: int
    def __init__(self, user_id: _Optional[str] = ..., balance_cents: _Optional[int] = ...) -> None: ...

class ListBookingsRequest(_message.Message):
    __slots__ = ("user_id", "limit")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    limit: int
    def __init__(self, user_id: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class ListBookingsResponse(_message.Message):
    __slots__ = ("bookings",)
    BOOKINGS_FIELD_NUMBER: _ClassVar[int]
    bookings: _containers.RepeatedCompositeFieldContainer[Booking]
    def __init__(self, bookings: _Optional[_Iterable[_Union[Booking, _Mapping]]] = ...) -> None: ...

class Booking(_message.Message):
    __slots__ = ("key", "kind", "amount_cents", "balance_after_cents", "booked_at")
    KEY_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_CENTS_FIELD_NUMBER: _ClassVar[int]
    BALANCE_AFTER_CENTS_FIELD_NUMBER: _ClassVar[int]
    BOOKED_AT_FIELD_NUMBER: _ClassVar[int]
    key: str
    kind: str
    amount_cents: int
    balance_after_cents: int
    booked_at: _timestamp_pb2.Timestamp
    def __init__(self, key: _Optional[str] = ..., kind: _Optional[str] = ..., amount_cents: _Optional[int] = ..., balance_after_cents: _Optional[int] = ..., booked_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
