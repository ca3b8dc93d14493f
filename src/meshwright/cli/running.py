"""Runs one command of a command line: what it raises becomes a message and an exit code."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from meshwright.cli import output
from meshwright.errors import MeshwrightError, ValidationError
from meshwright.optional_imports import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Sequence


class PlugInError(MeshwrightError):
    """A command of another package cannot be loaded. The text says why, in one line."""


def run_command(command: click.Command, arguments: Sequence[str], name: str) -> int:
    """Run one command of a command line that is called `name`; returns the exit code."""
    try:
        outcome = command.main(list(arguments), prog_name=name, standalone_mode=False, color=output.colour())
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return output.INTERRUPTED
    except (ValidationError, MissingExtraError, PlugInError) as error:
        output.error(str(error))
        return output.BAD_INPUT
    except MeshwrightError as error:
        output.error(str(error))
        return output.FAILED
    except BrokenPipeError:
        sys.stderr.close()  # the reader is gone, and the interpreter would complain of it on its way out
        return output.FAILED
    return outcome if isinstance(outcome, int) else 0
