"""The source of each process: which files it is made of, and so whom a changed file concerns.

Of a process with a `module` that is the module's package, or its file. A file beside it is shared: one in the package
around it (`services/common` of `services.cart`), in the folder of a module that is a single file, or in a folder of
PYTHONPATH, such as `src`. So is each .proto of the working directory. Of a process with a `command` it is the process's
`folder`; without one, the scripts that the command names. A change of a file of its own concerns a process; a shared
one concerns all that share it, unless it belongs to another process. What is installed with Python's packages is not
source.

Some files are no source wherever they lie: bytecode, version control, virtual environments, hidden folders, editors'
temporary files, logs and databases.
"""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from meshwright.local.topology.spec import ProcessSpec

_IGNORED_FOLDERS = frozenset({"__pycache__", "node_modules", "venv", "dist", "build"})
_IGNORED_FILES = re.compile(
    r"\..*"  # hidden: .git, .#emacs, .name.swp
    r"|.*~|#.*#|4913|flycheck_.*"  # editors' backups and probes
    r"|.*\.(py[cod]|so|sw[a-z]|tmp|temp|bak|orig|log|pid|sock|db|sqlite3?)"
    r"|.*\.(db|sqlite3?)-(journal|wal|shm)"
    r"|.*___jb_(tmp|old)___"
)
_SCRIPTS = frozenset({".py", ".js", ".mjs", ".cjs", ".ts", ".sh", ".rb", ".pl", ".php", ".lua", ".jar"})


def is_source(name: str) -> bool:
    """Whether a file of that name may be source."""
    return name == ".env" or _IGNORED_FILES.fullmatch(name) is None


def is_source_folder(name: str) -> bool:
    """Whether a folder of that name may hold source."""
    return not name.startswith(".") and name not in _IGNORED_FOLDERS and not name.endswith(".egg-info")


@dataclass(frozen=True, slots=True)
class ProcessSource:
    """The source of one process: files, and folders with all beneath them."""

    own: tuple[Path, ...] = ()
    shared: tuple[Path, ...] = ()
    working_directory: Path | None = None
    """Whose .proto files count too."""

    def owns(self, path: Path) -> bool:
        return any(path.is_relative_to(root) for root in self.own)

    def shares(self, path: Path) -> bool:
        is_proto = path.suffix == ".proto" and self.working_directory is not None
        return any(path.is_relative_to(root) for root in self.shared) or (
            is_proto and path.is_relative_to(self.working_directory or path)
        )


@dataclass(frozen=True, slots=True)
class Sources:
    """The sources of all processes, and the topology file."""

    processes: Mapping[str, ProcessSource]
    topology: Path
    left_out: tuple[Path, ...] = field(default=())
    """Folders that are no source: the state of `up`."""

    def concerned(self, changed: Collection[Path]) -> dict[str, list[Path]]:
        """By process: the changed files that concern it."""
        found: dict[str, list[Path]] = {}
        for path in sorted(changed):
            owners = [name for name, source in self.processes.items() if source.owns(path)]
            for name in owners or [name for name, source in self.processes.items() if source.shares(path)]:
                found.setdefault(name, []).append(path)
        return found

    def files(self) -> dict[Path, tuple[int, int]]:
        """Every file of the sources, with the time of its last change in nanoseconds, and its size in bytes."""
        found: dict[Path, tuple[int, int]] = {}
        for path in self._paths():
            try:
                status = path.stat()
            except OSError:  # it is gone again
                continue
            found[path] = (status.st_mtime_ns, status.st_size)
        return found

    def folders(self) -> frozenset[Path]:
        """The folders to watch, each without those beneath it."""
        roots = self._roots()
        found = {root.parent for root in roots if root.is_file()} | {self.topology.parent}
        for root in roots:
            found |= {folder for folder, _ in self._walk(root)}
        return frozenset(found | {path.parent for path in self._protos()})

    def _paths(self) -> Iterator[Path]:
        yield self.topology
        for root in self._roots():
            if root.is_file():
                yield root
            for folder, names in self._walk(root):
                yield from (folder / name for name in names if is_source(name))
        yield from self._protos()

    def _roots(self) -> set[Path]:
        return {root for source in self.processes.values() for root in (*source.own, *source.shared)}

    def _protos(self) -> Iterator[Path]:
        for working in {source.working_directory for source in self.processes.values()} - {None}:
            for folder, names in self._walk(working or Path()):
                yield from (folder / name for name in names if name.endswith(".proto") and is_source(name))

    def _walk(self, root: Path) -> Iterator[tuple[Path, list[str]]]:
        for folder, folders, names in os.walk(root):
            here = Path(folder)
            folders[:] = [name for name in folders if is_source_folder(name) and here / name not in self.left_out]
            yield here, names


def source_of(spec: ProcessSpec) -> ProcessSource:
    """The source of a process, from a start of it (see `meshwright.local.planner.plan.resolve`)."""
    working = (spec.folder or Path()).resolve()
    if spec.module:
        return _of_module(spec, working)
    if spec.folder is not None:
        return ProcessSource(own=(working,))
    return ProcessSource(own=tuple(_scripts(spec.command, working)))


def _of_module(spec: ProcessSpec, working: Path) -> ProcessSource:
    top, *rest = spec.module.split(".")
    told = [working / part for part in spec.environment.get("PYTHONPATH", "").split(os.pathsep) if part]
    for base in (working, *told, *(Path(entry) for entry in sys.path if entry)):
        is_file = not (base / top).is_dir()
        if is_file and not (base / f"{top}.py").is_file():
            continue
        if _is_installed(base):
            break
        place = base.resolve().joinpath(top, *rest)
        own = place if place.is_dir() else place.with_suffix(".py")
        is_source_root = is_file or (base != working and base in told) or spec.folder is not None
        shared = base.resolve() if is_source_root else base.resolve() / top
        return ProcessSource((own,), (shared,), working)
    return ProcessSource(working_directory=working)


def _scripts(command: Iterable[str], working: Path) -> Iterator[Path]:
    """The scripts that a command names, and its program if it lies in the working directory."""
    for index, part in enumerate(command):
        path = (working / part).resolve()
        is_own_program = index == 0 and "/" in part and path.is_relative_to(working)
        if (is_own_program or path.suffix in _SCRIPTS) and path.is_file() and not _is_installed(path):
            yield path


def _is_installed(path: Path) -> bool:
    """Whether the path belongs to Python's packages or its standard library."""
    places = (sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib", "scripts"))
    return any(path.resolve().is_relative_to(Path(place).resolve()) for place in places)
