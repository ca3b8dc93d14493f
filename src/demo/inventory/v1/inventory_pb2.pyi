from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReservationState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RESERVATION_UNKNOWN: _ClassVar[ReservationState]
    HELD: _ClassVar[ReservationState]
    RELEASED: _ClassVar[ReservationState]
    SHIPPED: _ClassVar[ReservationState]
    OUT_OF_STOCK: _ClassVar[ReservationState]
RESERVATION_UNKNOWN: ReservationState
HELD: ReservationState
RELEASED: ReservationState
SHIPPED: ReservationState
OUT_OF_STOCK: ReservationState

class Item(_message.Message):
    __slots__ = ("sku", "quantity")
    SKU_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    sku: str
    quantity: int
    def __init__(self, sku: _Optional[str] = ..., quantity: _Optional[int] = ...) -> None: ...

class ReserveRequest(_message.Message):
    __slots__ = ("key", "items")
    KEY_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    key: str
    items: _containers.RepeatedCompositeFieldContainer[Item]
    def __init__(self, key: _Optional[str] = ..., items: _Optional[_Iterable[_Union[Item, _Mapping]]] = ...) -> None: ...

class ReleaseRequest(_message.Message):
    __slots__ = ("key",)
    KEY_FIELD_NUMBER: _ClassVar[int]
    key: str
    def __init__(self, key: _Optional[str] = ...) -> None: ...

class ShipRequest(_message.Message):
    __slots__ = ("key",)
    KEY_FIELD_NUMBER: _ClassVar[int]
    key: str
    def __init__(self, key: _Optional[str] = ...) -> None: ...

class Reservation(_message.Message):
    __slots__ = ("key", "state", "items", "missing", "total_cents")
    KEY_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    TOTAL_CENTS_FIELD_NUMBER: _ClassVar[int]
    key: str
    state: ReservationState
    items: _containers.RepeatedCompositeFieldContainer[Item]
    missing: _containers.RepeatedCompositeFieldContainer[Item]
    total_cents: int
    def __init__(self, key: _Optional[str] = ..., state: _Optional[_Union[ReservationState, str]] = ..., items: _Optional[_Iterable[_Union[Item, _Mapping]]] = ..., missing: _Optional[_Iterable[_Union[Item, _Mapping]]] = ..., total_cents: _Optional[int] = ...) -> None: ...

class GetStockRequest(_message.Message):
    __slots__ = ("sku",)
    SKU_FIELD_NUMBER: _ClassVar[int]
    sku: str
    def __init__(self, sku: _Optional[str] = ...) -> None: ...

class Stock(_message.Message):
    __slots__ = ("sku", "title", "price_cents", "available", "reserved", "shipped")
    SKU_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    PRICE_CENTS_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    RESERVED_FIELD_NUMBER: _ClassVar[int]
    SHIPPED_FIELD_NUMBER: _ClassVar[int]
    sku: str
    title: str
    price_cents: int
    available: int
    reserved: int
    shipped: int
    def __init__(self, sku: _Optional[str] = ..., title: _Optional[str] = ..., price_cents: _Optional[int] = ..., available: _Optional[int] = ..., reserved: _Optional[int] = ..., shipped: _Optional[int] = ...) -> None: ...

class ListStockRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListStockResponse(_message.Message):
    __slots__ = ("stock",)
    STOCK_FIELD_NUMBER: _ClassVar[int]
    stock: _containers.RepeatedCompositeFieldContainer[Stock]
    def __init__(self, stock: _Optional[_Iterable[_Union[Stock, _Mapping]]] = ...) -> None: ...

class RestockRequest(_message.Message):
    __slots__ = ("key", "sku", "quantity", "title", "price_cents")
    KEY_FIELD_NUMBER: _ClassVar[int]
    SKU_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    PRICE_CENTS_FIELD_NUMBER: _ClassVar[int]
    key: str
    sku: str
    quantity: int
    title: str
    price_cents: int
    def __init__(self, key: _Optional[str] = ..., sku: _Optional[str] = ..., quantity: _Optional[int] = ..., title: _Optional[str] = ..., price_cents: _Optional[int] = ...) -> None: ...
