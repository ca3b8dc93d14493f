"""Who we are to Consul: the ACL token and basic authentication, as headers.

A token file wins over a token, and is read again whenever it changes, so that a rotated token needs no restart.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from meshwright.errors import ValidationError, Violation

if TYPE_CHECKING:
    from pathlib import Path

    from meshwright.config import ConsulConfig


class Credentials:
    """The headers of each request. Raises `ValidationError` for a token file that cannot be read at the start."""

    def __init__(self, config: ConsulConfig) -> None:
        self._token = (config.token or "").strip(" ")
        if not _is_usable(self._token):
            problem = Violation("CONSUL_HTTP_TOKEN", "expected printable ASCII")
            raise ValidationError("the token for Consul", [problem])
        self._file = config.token_file
        self._seen: tuple[int, int] | None = None
        self._basic = ""
        if config.auth:
            self._basic = f"Basic {base64.b64encode(config.auth.encode()).decode()}"
        if self._file is not None:
            try:
                self._refresh(self._file)
            except (OSError, ValueError) as error:
                reason = error.strerror if isinstance(error, OSError) else "expected one line of printable ASCII"
                problem = Violation("CONSUL_HTTP_TOKEN_FILE", f"cannot read {self._file}: {reason}")
                raise ValidationError("the token for Consul", [problem]) from error

    def headers(self) -> dict[str, str]:
        if self._file is not None:
            self._refresh_if_possible(self._file)
        token = {"X-Consul-Token": self._token} if self._token else {}
        return token | ({"Authorization": self._basic} if self._basic else {})

    def _refresh_if_possible(self, file: Path) -> None:
        try:
            self._refresh(file)
        except (OSError, ValueError):
            return  # being replaced just now, perhaps; the token that we have is as good as none is

    def _refresh(self, file: Path) -> None:
        status = file.stat()
        stamp = (status.st_mtime_ns, status.st_size)
        if stamp != self._seen:
            token = file.read_text().strip()
            if not _is_usable(token):
                raise ValueError("not a token")
            self._token = token or self._token
            self._seen = stamp


def _is_usable(token: str) -> bool:
    """Whether it can be sent in a header."""
    return token.isascii() and (token.isprintable() or not token)
