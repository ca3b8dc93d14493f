"""The bytes of a run as an SVG: a bar for each protocol and kind of work, split into requests and responses, and the
lecture's claim."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from services.protocols.domain import SLIDE_KB

if TYPE_CHECKING:
    from services.protocols.domain import Measurement, Report

WIDTH, LEFT, BAR, GAP = 860, 190, 16, 8
UP, DOWN, SLIDE = "#0b6e99", "#9fcbdd", "#c2410c"
_TITLES = {"createUser": "createUser: bytes of one call", "chat": "a chat message: bytes until it is heard"}


def drawn(report: Report) -> str:
    """An SVG document."""
    works = [(work, [one for one in report.measurements if one.work == work]) for work in _TITLES]
    height = sum(70 + len(measurements) * (BAR + GAP) for _, measurements in works) + 30
    style = "background:#fff;font:13px system-ui,sans-serif"
    root = ET.Element("svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH} {height}", style=style)
    ET.SubElement(root, "title").text = "Bytes on the wire, by protocol"
    most = max(one.each for one in report.measurements)
    y = 30
    for work, measurements in works:
        _text(root, 10, y, _TITLES[work], weight="600")
        y += 14
        for one in measurements:
            _bar(root, y, one, (WIDTH - LEFT - 130) / most)
            y += BAR + GAP
        y += 42
    _legend(root, y - 20)
    return ET.tostring(root, encoding="unicode")


def _bar(root: ET.Element, y: float, one: Measurement, scale: float) -> None:
    up, down = one.traffic.up / one.count, one.traffic.down / one.count
    _text(root, LEFT - 10, y + 13, one.transport, anchor="end")
    _box(root, LEFT, y, up * scale, UP)
    _box(root, LEFT + up * scale, y, down * scale, DOWN)
    _text(root, LEFT + (up + down) * scale + 8, y + 13, f"{up:.0f} + {down:.0f}")
    if (slide := SLIDE_KB.get((one.transport, one.work))) is not None:
        _mark(root, LEFT + slide * scale, y)


def _legend(root: ET.Element, y: float) -> None:
    _box(root, LEFT, y, 12, UP)
    _text(root, LEFT + 18, y + 13, "from the client")
    _box(root, LEFT + 140, y, 12, DOWN)
    _text(root, LEFT + 158, y + 13, "to the client")
    _mark(root, LEFT + 280, y)
    _text(root, LEFT + 292, y + 13, "what the slide says: 650, 85, 50")


def _box(root: ET.Element, x: float, y: float, width: float, fill: str) -> None:
    ET.SubElement(root, "rect", x=f"{x:.1f}", y=f"{y:.1f}", width=f"{width:.1f}", height=str(BAR), fill=fill)


def _mark(root: ET.Element, x: float, y: float) -> None:
    where = {"x": f"{x - 2:.1f}", "y": f"{y - 3:.1f}", "width": "4", "height": str(BAR + 6)}
    ET.SubElement(root, "rect", where, fill=SLIDE, stroke="#fff")


def _text(root: ET.Element, x: float, y: float, text: str, *, anchor: str = "start", weight: str = "400") -> None:
    attributes = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor, "font-weight": weight, "fill": "#1c2b33"}
    ET.SubElement(root, "text", attributes).text = text
