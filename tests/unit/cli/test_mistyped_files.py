"""Files with mistakes of the kind that people make: the message names the field, and what would be right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshwright.cli import run
from meshwright.cli.rollout import plugin
from support.kubernetes.mistyped import BASE, TYPOS, Mistyped

if TYPE_CHECKING:
    from pathlib import Path


def test_there_are_thirty_and_more_each_once() -> None:
    assert len({typo.name for typo in TYPOS}) == len(TYPOS) >= 30
    assert len({typo.text for typo in TYPOS}) == len(TYPOS)


def test_the_file_itself_is_good(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rollout.yaml").write_text(BASE)
    assert run(["rollout", "lint", str(tmp_path / "rollout.yaml")]) == 0
    assert capsys.readouterr().out == "typo: good\n"


@pytest.mark.parametrize("typo", TYPOS, ids=lambda typo: typo.name)
def test_lint_and_apply_name_the_field(typo: Mistyped, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rollout.yaml"
    path.write_text(typo.text)
    for lint in (["rollout", "lint", str(path)], ["rollout", "lint", "--laptop", str(path)]):
        assert run(lint) == 2
        said = capsys.readouterr().err
        assert typo.field in said, said
        assert typo.said in said
        assert "Traceback" not in said
    assert plugin.run(["rollout", "apply", "-f", str(path)]) in {1, 2}
    said = capsys.readouterr().err
    assert typo.field in said or "kubectl is not on the PATH" in said


def test_a_date_may_stand_without_quotes_as_on_a_cluster(tmp_path: Path) -> None:
    (tmp_path / "rollout.yaml").write_text(BASE.replace('"2027-06-01"', "2027-06-01"))
    assert run(["rollout", "lint", str(tmp_path / "rollout.yaml")]) == 0


def test_of_several_documents_the_wrong_one_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    second = BASE.replace("name: typo\nspec", "name: second\nspec").replace("replicas: 2", "replicas: 0")
    (tmp_path / "rollout.yaml").write_text(f"{BASE}---\n{second}")
    assert run(["rollout", "lint", str(tmp_path / "rollout.yaml")]) == 2
    said = capsys.readouterr()
    assert said.out == "typo: good\n"
    assert "VersionedRollout second is not valid" in said.err
