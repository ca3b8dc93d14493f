"""`meshwright`, `kubectl meshwright` and `python -m meshwright`: the command line, if what it needs is installed."""

from __future__ import annotations

import sys
from typing import Any

from meshwright import optional_imports

_NOT_INSTALLED = 2


def _command_line() -> Any:
    try:
        return optional_imports.load("meshwright.cli", "the command line", "standard")
    except optional_imports.MissingExtraError as error:
        sys.stderr.write(f"meshwright: {error}\n")
        sys.exit(_NOT_INSTALLED)


def main() -> None:
    """Run the command line; exits the process."""
    _command_line().main()


def kubectl_main() -> None:
    """`kubectl meshwright ...`."""
    _command_line().kubectl_main()


def kubectl_complete_main() -> None:
    """What kubectl runs to complete `kubectl meshwright ...`."""
    _command_line().kubectl_complete_main()


if __name__ == "__main__":
    main()
