"""Which files a process is made of, and whom a changed file concerns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshwright.local.topology.spec import ProcessSpec
from meshwright.local.watch.reloader import syntax_error
from meshwright.local.watch.sources import ProcessSource, Sources, is_source, is_source_folder, source_of

if TYPE_CHECKING:
    from pathlib import Path


def files(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")


def module(name: str, folder: Path | None = None, path: str = "") -> ProcessSource:
    environment = {"PYTHONPATH": path} if path else {}
    return source_of(ProcessSpec(name, name, module=name, folder=folder, environment=environment))


@pytest.mark.parametrize(
    "name",
    ["a.pyc", ".hidden", ".#a.py", "#a.py#", "a.py~", ".a.py.swp", "4913", "a.py.tmp", "a.log", "a.db", "a.db-wal"],
)
def test_bytecode_and_temporary_files_are_no_source(name: str) -> None:
    assert not is_source(name)


@pytest.mark.parametrize("name", ["a.py", "a.proto", "cart.toml", "Makefile", ".env", "page.html", "a_pb2.pyi"])
def test_code_configuration_and_pages_are_source(name: str) -> None:
    assert is_source(name)


@pytest.mark.parametrize("name", ["__pycache__", ".git", ".venv", "venv", "node_modules", ".mypy_cache", "a.egg-info"])
def test_caches_and_environments_are_no_source(name: str) -> None:
    assert not is_source_folder(name)


def test_a_package_owns_its_folder_and_shares_the_package_around_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files(tmp_path, "shop/cart/__main__.py", "shop/price/__main__.py", "shop/common/db.py", "tests/a.py", "p/a.proto")
    monkeypatch.chdir(tmp_path)
    sources = Sources({"cart": module("shop.cart"), "price": module("shop.price")}, tmp_path / "meshwright.toml")

    def concerned(name: str) -> set[str]:
        return set(sources.concerned({tmp_path / name}))

    assert concerned("shop/cart/__main__.py") == {"cart"}
    assert concerned("shop/common/db.py") == {"cart", "price"}
    assert concerned("tests/a.py") == set()
    assert concerned("p/a.proto") == {"cart", "price"}
    assert set(sources.files()) == {
        tmp_path / name
        for name in ("shop/cart/__main__.py", "shop/price/__main__.py", "shop/common/db.py", "p/a.proto")
    }
    assert tmp_path / "tests" not in sources.folders()


def test_a_package_within_another_processs_package_concerns_both(tmp_path: Path) -> None:
    files(tmp_path, "shop/__main__.py", "shop/cart/__main__.py")
    sources = Sources(
        {"shop": module("shop", tmp_path), "cart": module("shop.cart", tmp_path)}, tmp_path / "meshwright.toml"
    )
    assert set(sources.concerned({tmp_path / "shop/cart/a.py"})) == {"shop", "cart"}
    assert set(sources.concerned({tmp_path / "shop/a.py"})) == {"shop"}


def test_a_module_of_one_file_shares_its_folder(tmp_path: Path) -> None:
    files(tmp_path, "hello.py", "helpers.py", ".venv/lib/a.py", "__pycache__/hello.pyc")
    source = module("hello", tmp_path)
    assert source == ProcessSource((tmp_path / "hello.py",), (tmp_path,), tmp_path)
    found = set(Sources({"hello": source}, tmp_path / "meshwright.toml").files())
    assert found == {tmp_path / "hello.py", tmp_path / "helpers.py"}


def test_a_source_folder_is_found_by_pythonpath(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files(tmp_path, "src/billing/server.py", "src/common/a.py", "tests/test_billing.py")
    monkeypatch.chdir(tmp_path)
    source = module("billing", path="src")
    assert source == ProcessSource((tmp_path / "src/billing",), (tmp_path / "src",), tmp_path)
    assert not source.shares(tmp_path / "tests/test_billing.py")


def test_installed_packages_are_not_watched(tmp_path: Path) -> None:
    for name in ("grpc", "json.tool", "nothing_of_this_name"):
        source = module(name, tmp_path)
        assert (source.own, source.shared) == ((), ())


def test_a_command_owns_its_folder_or_the_scripts_that_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files(tmp_path, "cart.py", "data", "bin/run")
    monkeypatch.chdir(tmp_path)

    def command(*parts: str, folder: Path | None = None) -> tuple[Path, ...]:
        return source_of(ProcessSpec("cart", "cart", command=parts, folder=folder)).own

    assert command("python", "cart.py", "data", "--port", "1") == (tmp_path / "cart.py",)
    assert command("./bin/run", "data") == (tmp_path / "bin/run",)
    assert command("/bin/sh", "-c", "true") == ()
    assert command("./run", folder=tmp_path / "bin") == (tmp_path / "bin",)


def test_the_state_of_up_is_no_source(tmp_path: Path) -> None:
    files(tmp_path, "run.sh", "state/shop/control.txt")
    source = source_of(ProcessSpec("cart", "cart", command=("./run.sh",), folder=tmp_path))
    sources = Sources({"cart": source}, tmp_path / "shop.toml", left_out=(tmp_path / "state",))
    assert set(sources.files()) == {tmp_path / "run.sh"}
    assert sources.folders() == {tmp_path}


def test_a_syntax_error_has_its_place(tmp_path: Path) -> None:
    path = tmp_path / "server.py"
    path.write_text("x = 1\ndef f(:\n")
    assert syntax_error(path) == f"{path}, line 2: invalid syntax"
    path.write_text("assert (1, 'always true')\n")
    assert syntax_error(path) == ""
    path.write_bytes(b"x = '\xff'\n")
    assert syntax_error(path).startswith(str(path))
    path.unlink()
    assert syntax_error(path) == ""
    (tmp_path / "notes.md").write_text("def f(:")
    assert syntax_error(tmp_path / "notes.md") == ""
