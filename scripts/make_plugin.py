"""Makes the archives of `kubectl meshwright`, and krew's manifest with their checksums: `make plugin`.

An archive holds the command line of rollouts and the libraries that it imports, those of the environment that this
runs in. One of them is compiled (rpds, of jsonschema): each archive has it for its platform and for each Python, which
pip fetches at the same version. With `--here` there is one archive, for this machine and this Python, made without a
network. The same sources give the same bytes.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "src" / "meshwright"
ARCHIVE = ROOT / "k8s" / "krew" / "archive"
MANIFEST = ROOT / "k8s" / "krew" / "meshwright.yaml"
PROGRAM, COMPLETES = "kubectl-meshwright", "kubectl_complete-meshwright"
PURE = (
    *(
        "attrs",
        "click",
        "jsonschema",
        "jsonschema-specifications",
        "pyyaml",
        "referencing",
        "rich",
        "typing-extensions",
    ),
)
"""rich's own needs (pygments, markdown-it-py) are for what the plugin never prints: code and Markdown."""
COMPILED = "rpds-py"
PYTHONS = ("3.11", "3.12", "3.13")
PLATFORMS = {
    "linux-amd64": ("manylinux_2_17_x86_64", "manylinux2014_x86_64"),
    "linux-arm64": ("manylinux_2_17_aarch64", "manylinux2014_aarch64"),
    "darwin-amd64": ("macosx_10_12_x86_64",),
    "darwin-arm64": ("macosx_11_0_arm64",),
}
_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_LEFT_OUT = (".so", ".pyd", ".pyc")


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the archives of kubectl meshwright and krew's manifest.")
    parser.add_argument("--out", type=Path, default=ROOT / "dist" / "plugin", help="where to (default: dist/plugin)")
    parser.add_argument("--base-url", default="https://example.org/meshwright/VERSION", help="where they will be")
    parser.add_argument("--here", action="store_true", help="for this machine and this Python alone, without a network")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    version = f"v{metadata.version('meshwright')}"
    text = MANIFEST.read_text("utf-8").replace("BASE_URL", given.base_url).replace("VERSION", version)
    for name in [here()] if given.here else PLATFORMS:
        with tempfile.TemporaryDirectory() as folder:
            tree = Path(folder)
            lay_out(tree)
            if given.here:
                copy_compiled(tree / "native" / f"cp{sys.version_info[0]}{sys.version_info[1]}")
            else:
                fetch_compiled(tree / "native", PLATFORMS[name])
            path = given.out / f"{PROGRAM}-{name}.tar.gz"
            path.write_bytes(packed(tree))
        checksum = hashlib.sha256(path.read_bytes()).hexdigest()
        text = text.replace(f"SHA256-{name}", checksum)
        print(f"{checksum}  {path}")
    (given.out / MANIFEST.name).write_text(text, "utf-8")
    print(given.out / MANIFEST.name)


def here() -> str:
    """This machine, as krew calls it."""
    return f"{platform.system().lower()}-{_MACHINES[platform.machine().lower()]}"


def lay_out(tree: Path) -> None:
    """Everything but what is compiled."""
    for name in (PROGRAM, "main.py"):
        shutil.copy2(ARCHIVE / name, tree)
    shutil.copy2(ARCHIVE / PROGRAM, tree / COMPLETES)
    shutil.copy2(ROOT / "LICENSE", tree)
    library = tree / "lib"
    for source in (*SOURCES.glob("*.py"), *(SOURCES / "cli").rglob("*.py"), *(SOURCES / "rollout").rglob("*.py")):
        copy(source, library / source.relative_to(SOURCES.parent))
    about = library / f"meshwright-{metadata.version('meshwright')}.dist-info" / "METADATA"
    about.parent.mkdir(parents=True)
    about.write_text(f"Metadata-Version: 2.1\nName: meshwright\nVersion: {metadata.version('meshwright')}\n", "utf-8")
    for name in PURE:
        distribution = metadata.distribution(name)
        for file in distribution.files or ():
            if file.parts[0] != ".." and file.suffix not in _LEFT_OUT and "__pycache__" not in file.parts:
                copy(Path(str(distribution.locate_file(file))), library / file)


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def copy_compiled(target: Path) -> None:
    """The compiled library of this environment."""
    distribution = metadata.distribution(COMPILED)
    for file in distribution.files or ():
        if file.parts[0] == "rpds" and "__pycache__" not in file.parts:
            copy(Path(str(distribution.locate_file(file))), target / file)


def fetch_compiled(target: Path, tags: tuple[str, ...]) -> None:
    """The compiled library for those tags of a platform, for each Python."""
    for python in PYTHONS:
        with tempfile.TemporaryDirectory() as folder:
            wanted = f"{COMPILED}=={metadata.version(COMPILED)}"
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
            command += ["--dest", folder, "--implementation", "cp", "--python-version", python, wanted]
            subprocess.run([*command, *(text for tag in tags for text in ("--platform", tag))], check=True)
            (wheel,) = Path(folder).glob("*.whl")
            with zipfile.ZipFile(wheel) as opened:
                inside = [name for name in opened.namelist() if name.startswith("rpds/")]
                opened.extractall(target / f"cp{python.replace('.', '')}", inside)


def packed(tree: Path) -> bytes:
    """The folder as a tar.gz that says nothing of when and where it was made."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path in sorted(path for path in tree.rglob("*") if path.is_file()):
            entry = tarfile.TarInfo(str(path.relative_to(tree)))
            entry.size = path.stat().st_size
            entry.mode = 0o755 if path.name in (PROGRAM, COMPLETES) else 0o644
            with path.open("rb") as file:
                tar.addfile(entry, file)
    return gzip.compress(raw.getvalue(), 9, mtime=0)


if __name__ == "__main__":
    main()
