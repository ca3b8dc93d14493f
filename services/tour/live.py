"""The slides about real-time communication."""

from __future__ import annotations

STOPS = ()
