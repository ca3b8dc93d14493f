"""The programs of docs/how-to are run as they stand there, those of a page together, by pytest."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.processes import run_pytest

DOCS = Path(__file__).resolve().parents[3] / "docs" / "how-to"
BLOCK = re.compile(r"^```python\n# (\w+\.py)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PAGES = [page for page in sorted(DOCS.glob("*.md")) if "# test_" in page.read_text()]
SETTINGS = "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_does_what_it_says(page: Path, tmp_path: Path) -> None:
    for name, text in BLOCK.findall(page.read_text()):
        (tmp_path / name).write_text(text)
    (tmp_path / "pytest.ini").write_text(SETTINGS)
    run_pytest(tmp_path, PYTHONPATH=".")


def test_every_python_block_of_the_pages_has_a_name() -> None:
    for page in DOCS.glob("*.md"):
        text = page.read_text()
        assert len(BLOCK.findall(text)) == text.count("```python"), page.name
