"""What `make plugin` makes: an archive that runs wherever it is unpacked, and a manifest that krew takes."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.kubernetes.rollouts import document

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "scripts" / "make_plugin.py"
PYTHON = Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
"""The interpreter below the virtual environment: it has none of our libraries."""


def make(folder: Path) -> Path:
    command = [sys.executable, str(SCRIPT), "--here", "--out", str(folder), "--base-url", "https://example.org/v1"]
    subprocess.run(command, check=True, capture_output=True)
    (archive,) = folder.glob("*.tar.gz")
    return archive


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def bin_folder(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As krew leaves it: the archive unpacked somewhere, and a link to its program on the PATH."""
    folder = tmp_path_factory.mktemp("a home with spaces")
    store, links = folder / "store" / "v1", folder / "bin"
    store.mkdir(parents=True)
    links.mkdir()
    with tarfile.open(archive) as tar:
        tar.extractall(store, filter="data")
    for name in ("kubectl-meshwright", "kubectl_complete-meshwright"):
        (links / name).symlink_to(Path("..") / "store" / "v1" / name)
    kubectl = links / "kubectl"
    answer = json.dumps(document("1.0.0") | {"status": {"phase": "Healthy", "stable": "1.0.0"}})
    kubectl.write_text(f"#!/bin/sh\ncase \"$*\" in *jsonpath*) echo user ;; *) cat <<'END'\n{answer}\nEND\nesac\n")
    kubectl.chmod(0o755)
    return links


def run(bin_folder: Path, name: str, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Without the environment of the tests: as a user's shell would."""
    path = f"{bin_folder}{os.pathsep}/usr/bin{os.pathsep}/bin"
    return subprocess.run(
        [bin_folder / name, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env={"PATH": path, "MESHWRIGHT_PYTHON": str(PYTHON), "HOME": str(bin_folder)} | environ,
    )


def test_the_interpreter_has_none_of_our_libraries() -> None:
    done = subprocess.run([PYTHON, "-I", "-c", "import meshwright"], capture_output=True, check=False)
    assert done.returncode == 1


def test_it_shows_a_rollout(bin_folder: Path) -> None:
    done = run(bin_folder, "kubectl-meshwright", "rollout", "get", "user", "-n", "mesh")
    assert (done.returncode, done.stderr) == (0, "")
    assert "user  Healthy" in done.stdout
    done = run(bin_folder, "kubectl-meshwright", "rollout", "get", "user", "-o", "yaml")
    assert yaml.safe_load(done.stdout)["metadata"]["name"] == "user"


def test_it_lists_them_in_a_table(bin_folder: Path) -> None:
    kubectl = bin_folder / "kubectl"
    alone = kubectl.read_text()
    kubectl.write_text(alone.replace("<<'END'\n", "<<'END'\n{\"items\": [").replace("\nEND", "]}\nEND"))
    try:
        done = run(bin_folder, "kubectl-meshwright", "rollout", "get", "-A")
    finally:
        kubectl.write_text(alone)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[:3] for line in done.stdout.splitlines()] == [
        ["NAMESPACE", "NAME", "SERVICE"],
        ["shop", "user", "user"],
    ]


def test_it_checks_a_file_with_the_whole_schema(bin_folder: Path, tmp_path: Path) -> None:
    done = run(bin_folder, "kubectl-meshwright", "rollout", "lint", str(ROOT / "k8s/samples/user-canary.yaml"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "user: good\n", "")
    bad: dict[str, Any] = document("2.0.0", replicas=0)
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(bad))
    done = run(bin_folder, "kubectl-meshwright", "rollout", "lint", "-f", str(tmp_path / "bad.yaml"))
    assert done.returncode == 2
    assert "spec.replicas" in done.stderr


def test_by_its_other_name_it_completes(bin_folder: Path) -> None:
    done = run(bin_folder, "kubectl_complete-meshwright", "rollout", "get", "u")
    assert (done.returncode, done.stdout.splitlines()) == (0, ["user", ":4"])


def test_without_a_python_that_it_is_for_it_says_which_it_needs(bin_folder: Path) -> None:
    done = run(bin_folder, "kubectl-meshwright", "rollout", "get", MESHWRIGHT_PYTHON="false nonsense")
    assert done.returncode == 1
    tag = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    assert done.stderr.startswith(
        f"error: kubectl meshwright needs one of {tag} as python3 on the PATH; there is none."
    )


def test_the_manifest_is_one_that_krew_takes(archive: Path) -> None:
    text = (archive.parent / "meshwright.yaml").read_text()
    manifest = yaml.safe_load(text)
    assert manifest["apiVersion"] == "krew.googlecontainertools.github.com/v1alpha2"
    assert (manifest["kind"], manifest["metadata"]["name"]) == ("Plugin", "meshwright")
    spec = manifest["spec"]
    assert re.fullmatch(r"v[0-9]+\.[0-9]+\.[0-9]+([-+].*)?", spec["version"])
    assert 0 < len(spec["shortDescription"]) <= 60
    assert not spec["shortDescription"].endswith(".")
    mine = next(item for item in spec["platforms"] if item["uri"].endswith(archive.name))
    assert mine["uri"] == f"https://example.org/v1/{archive.name}"
    assert mine["sha256"] == hashlib.sha256(archive.read_bytes()).hexdigest()
    assert {
        (item["selector"]["matchLabels"]["os"], item["selector"]["matchLabels"]["arch"]) for item in spec["platforms"]
    } == {(system, machine) for system in ("linux", "darwin") for machine in ("amd64", "arm64")}
    with tarfile.open(archive) as tar:
        entries = {entry.name: entry for entry in tar}
    assert {"LICENSE", mine["bin"], "kubectl_complete-meshwright"} <= set(entries)
    assert entries[mine["bin"]].mode & 0o111


def test_the_same_sources_give_the_same_bytes(archive: Path, tmp_path: Path) -> None:
    assert make(tmp_path).read_bytes() == archive.read_bytes()
