"""HTTP/1.1 for a plain service: a client with a bounded pool of connections, and a server of one page.

h11 frames the messages (RFC 9112); what is here moves bytes. It is enough for Consul, for the keys that tokens are
signed with, and for `/metrics`, so that a service needs no HTTP framework (docs/decisions/0145).
"""

from meshwright.http1.connection import Response
from meshwright.http1.errors import BrokenResponseError, ConnectError, DisconnectedError, HttpError
from meshwright.http1.fetching import fetch
from meshwright.http1.origin import Origin, Url
from meshwright.http1.page import serving_page
from meshwright.http1.pool import HEADERS, Pool

__all__ = [
    "HEADERS",
    "BrokenResponseError",
    "ConnectError",
    "DisconnectedError",
    "HttpError",
    "Origin",
    "Pool",
    "Response",
    "Url",
    "fetch",
    "serving_page",
]
