"""The messages, the lecture's claims, and the measurements."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

USER: dict[str, Any] = {
    "name": "John Doe",
    "email": "john.doe@example.com",
    "age": 30,
    "city": "New York",
    "country": "USA",
    "phone": "+1-555-123-4567",
}
"""The body of the lecture's createUser."""
TEXT, SPEAKER = "Hi there!", "Jane"
"""The lecture's chat message."""
TOKEN = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9." + 86 * "eyJ" + "x"
"""As long as a signed token (296 characters), so that the headers have about the slide's 480 bytes."""
USER_AGENT = "MyApp/1.0"
REQUESTS = 1000


@dataclass(frozen=True, slots=True)
class LectureClaim:
    """A claim of the lecture, and its slide."""

    slide: str
    text: str


CLAIMS = {
    "bytes-http": LectureClaim(
        "HTTP vs gRPC: size comparison", "a request over HTTP/JSON takes ~650 bytes: 650 KB for 1,000"
    ),
    "bytes-grpc": LectureClaim("HTTP vs gRPC: size comparison", "over gRPC ~85 bytes: 85 KB for 1,000, 87 % less"),
    "bytes-websocket": LectureClaim("Performance comparison", "over WebSocket ~50 KB for 1,000, after the connection"),
    "speed": LectureClaim("Internal vs External API", "gRPC is 7x faster than JSON"),
    "polling": LectureClaim(
        "HTTP Polling", "empty responses waste bandwidth; 200+ bytes of headers each; 2 s of delay"
    ),
}


SLIDE_KB = {("HTTP/1.1 JSON", "createUser"): 650, ("gRPC", "createUser"): 85, ("WebSocket", "chat"): 50}
"""The lecture's KB per 1,000 operations, which are bytes per operation, by protocol and kind of work."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes of TCP payload, without the headers of TCP and IP."""

    up: int = 0
    """From the client."""
    down: int = 0

    @property
    def both(self) -> int:
        return self.up + self.down

    def __sub__(self, other: Traffic) -> Traffic:
        return Traffic(self.up - other.up, self.down - other.down)


@dataclass(frozen=True, slots=True)
class Timing:
    """Latencies, throughput and processor time."""

    latencies: tuple[float, ...]
    """Seconds of each operation, run sequentially."""
    per_second: float
    """Operations per second, run concurrently."""
    client_cpu: float
    """Seconds of processor time for each operation, in the client's process."""
    server_cpu: float

    def quantile(self, q: float) -> float:
        """The `q` quantile of latencies, in seconds."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


@dataclass(frozen=True, slots=True)
class Measurement:
    """One transport with one kind of work, `count` operations."""

    transport: str
    work: str
    count: int
    opening: Traffic
    """Connections and handshakes."""
    traffic: Traffic
    """Of all operations."""
    timing: Timing

    @property
    def each(self) -> float:
        """Bytes of one operation, both ways."""
        return self.traffic.both / self.count


@dataclass(frozen=True, slots=True)
class Report:
    """A whole run."""

    measurements: tuple[Measurement, ...]
    empty_poll: Traffic
    """A poll without new messages."""
    codec: dict[str, float] = field(default_factory=dict)
    """Seconds to encode and decode the user once, by format; and its bytes, as `<format> bytes`."""

    def of(self, transport: str, work: str) -> Measurement:
        return next(one for one in self.measurements if (one.transport, one.work) == (transport, work))


def verdicts(report: Report) -> list[tuple[LectureClaim, str]]:
    """The lecture's claims with the measured results."""
    return [
        (CLAIMS["bytes-http"], _http(report)),
        (CLAIMS["bytes-grpc"], _grpc(report)),
        (CLAIMS["bytes-websocket"], _websocket(report)),
        (CLAIMS["speed"], _speed(report)),
        (CLAIMS["polling"], _polling(report.empty_poll)),
    ]


def _up(report: Report, transport: str) -> float:
    """Bytes of one createUser request."""
    one = report.of(transport, "createUser")
    return one.traffic.up / one.count


def _http(report: Report) -> str:
    one = report.of("HTTP/1.1 JSON", "createUser")
    down, both = one.traffic.down / one.count, one.each * REQUESTS / 1000
    return (
        f"true of requests: {_up(report, one.transport):.0f} bytes; the response is {down:.0f} more, "
        f"which the slide leaves out: {both:.0f} KB for 1,000"
    )


def _grpc(report: Report) -> str:
    with_token, without = _up(report, "gRPC"), _up(report, "gRPC, no token")
    less = 1 - with_token / _up(report, "HTTP/1.1 JSON")
    bare_less = 1 - without / _up(report, "HTTP/1.1 JSON, no token")
    mixed = 1 - without / _up(report, "HTTP/1.1 JSON")
    body = report.codec["protobuf bytes"]
    return (
        f"only without the token that the other side has: {without:.0f} bytes, {body:.0f} of them the message; that "
        f"is {mixed:.0%} less than HTTP/1.1 with a token, and {bare_less:.0%} less than without. With a token on both "
        f"sides {with_token:.0f} bytes, {less:.0%} less: it goes along with each call, since gRPC puts no header of "
        "the caller's own into HPACK's table"
    )


def _websocket(report: Report) -> str:
    one = report.of("WebSocket", "chat")
    up, down = one.traffic.up / one.count, one.traffic.down / one.count
    return (
        f"true one way: {up:.0f} bytes from the speaker and {down:.0f} to each listener, "
        f"after {one.opening.both} bytes for two connections"
    )


def _speed(report: Report) -> str:
    http, grpc = report.of("HTTP/1.1 JSON", "createUser"), report.of("gRPC", "createUser")
    codec = report.codec["json"] / report.codec["protobuf"]
    throughput = grpc.timing.per_second / http.timing.per_second
    latency = grpc.timing.quantile(0.5) / http.timing.quantile(0.5)
    return (
        f"of encoding and decoding alone: {codec:.1f}x; a whole call makes {throughput:.1f}x the requests per second, "
        f"and takes {latency:.1f}x the time where one follows another (Python on both sides)"
    )


def _polling(empty: Traffic) -> str:
    minute = empty.both * 30 / 1000
    return (
        f"true, and too kind: an empty poll takes {empty.up} bytes up and {empty.down} down, which every 2 s is "
        f"{minute:.0f} KB a minute for each idle client"
    )
