"""The one error that the registry's core raises: a status code and the text that Consul would send with it."""

from __future__ import annotations


class HttpError(Exception):
    """Answer this request with `status` and `text`."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


def bad_request(text: str) -> HttpError:
    """400: the request is wrong as it stands."""
    return HttpError(400, text)


def refused(text: str) -> HttpError:
    """500: the servers refused it; Consul answers so for most of what its RPC layer rejects."""
    return HttpError(500, text)
