"""Pages of plain files, and the script that they share.

A page is a folder of HTML, CSS, JavaScript and SVG files that a server sends as they are: no build step. What pages
have in common is one module of this package, `shared/page.js`: elements, requests and their problems, words for numbers
and times. `assets` adds it to a page's own files, so that each page serves it from its own folder and imports it as
`./shared/page.js`: the content security policy needs no other origin, and a page may live under any path.

Standard library only: any web framework can serve the files.
"""

from __future__ import annotations

from pathlib import Path

CONTENT_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".html": "text/html"}
"""The media type of each kind of file that a page is made of."""
SHARED = Path(__file__).parent / "shared"
"""The folder of the scripts that pages share."""
_SERVED = {".css", ".js", ".svg"}


def assets(folder: Path) -> dict[str, Path]:
    """The files that a page loads, by the name under which it asks for them.

    Styles, scripts and pictures of `folder` by their paths in it, and the shared scripts as `shared/<name>`. The files
    are listed once: what is not in the result is not served, so no path leaves the folders.
    """
    own = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*") if file.suffix in _SERVED}
    return own | {f"shared/{file.name}": file for file in SHARED.iterdir() if file.suffix in _SERVED}
