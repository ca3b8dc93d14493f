"""A client of the demo's public API, for programs with asyncio: accounts, chat, notifications, orders.

It speaks HTTP and the WebSocket of the gateway (docs/reference/realtime.md) and knows nothing of any user interface;
the mobile client, the tour and tests are built on it. Each part keeps what the network breaks: tokens are renewed,
the socket reconnects and goes on after the last message, and nothing that is sent is done twice.
"""

from services.client.demo_client import DemoClient
from services.client.errors import ProblemError
from services.client.live import LiveConnection, LiveState
from services.client.notifications import Notification, Notifications
from services.client.orders import Order, Orders, OrderStep
from services.client.room import Delivery, Message, OutgoingMessage, Person, Room
from services.client.session import Session, Tokens, TokenStore

__all__ = [
    "Delivery",
    "DemoClient",
    "LiveConnection",
    "LiveState",
    "Message",
    "Notification",
    "Notifications",
    "Order",
    "OrderStep",
    "Orders",
    "OutgoingMessage",
    "Person",
    "ProblemError",
    "Room",
    "Session",
    "TokenStore",
    "Tokens",
]
