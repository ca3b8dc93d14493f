"""`meshwright rollout`: rollouts of a running `up`, or with --cluster (and `kubectl meshwright`) of a cluster."""

from __future__ import annotations

import secrets
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from meshwright.cli import output
from meshwright.cli.options import Seconds, json_option
from meshwright.cli.rollout.documents import documents
from meshwright.cli.rollout.kubectl import Kubectl
from meshwright.cli.rollout.view import summary, tree
from meshwright.errors import MeshwrightError, ValidationError, Violation
from meshwright.rollout.api import commands, status_document
from meshwright.rollout.api.parsing import parse, parse_on_laptop
from meshwright.rollout.api.vocabulary import GROUP, KIND, PLURAL, Phase

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meshwright.cli.rollout.client import RolloutClient

_OVER = {Phase.HEALTHY: 0, Phase.ABORTED: output.FAILED, Phase.INVALID: output.FAILED}
_LOOK = 0.5
"""Seconds between two reads."""
FORMS = ("json", "yaml", "name")


class NotInTimeError(MeshwrightError):
    """A rollout did not end within the timeout."""


class RolloutTarget:
    """The target of the commands, a running `up` or a cluster; opened on first use, because `lint` needs none."""

    def __init__(self, topology: str, namespace: str, *, cluster: bool) -> None:
        self._topology = topology
        self._namespace = namespace
        self._cluster = cluster

    def open(self) -> RolloutClient:
        if self._cluster:
            return Kubectl(self._namespace)
        from meshwright.cli.rollout.client import LocalRolloutClient  # noqa: PLC0415 - the plugin for kubectl comes without

        return LocalRolloutClient(self._topology)


class Name(click.ParamType):  # type: ignore[type-arg] # generic since click 8.4 alone
    """The name of a rollout, also as kubectl writes it: `vro/user`."""

    name = "name"
    _TYPES = frozenset({"vro", *(f"{kind}{rest}" for kind in (KIND.lower(), PLURAL) for rest in ("", f".{GROUP}"))})

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        kind, slash, name = str(value).rpartition("/")
        if slash and kind.lower() not in self._TYPES:
            self.fail(f"{value!r} is no rollout: expected a name, or {KIND.lower()}/NAME", param, ctx)
        return name

    def shell_complete(self, ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        client = ctx.obj.open() if hasattr(ctx.obj, "open") else None
        names = client.listed() if isinstance(client, Kubectl) else []
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


name_argument = click.argument("name", type=Name())
_FILE = click.Path(path_type=Path, allow_dash=True)
file_argument = click.argument("file", type=_FILE, required=False)
file_option = click.option("-f", "--filename", type=_FILE, help="The file, as kubectl takes it.")


@click.group()
@click.option("--cluster", is_flag=True, help="On the cluster that kubectl reaches, instead of the `up` here.")
@click.option("-n", "--namespace", default="", help="With --cluster: the namespace.")
@click.option("-t", "--topology", default="", metavar="NAME", help="Which `up`, if several run.")
@click.pass_context
def rollout(ctx: click.Context, cluster: bool, namespace: str, topology: str) -> None:
    """Move a service from version to version, and back."""
    ctx.obj = RolloutTarget(topology, namespace, cluster=cluster)


@rollout.command()
@file_argument
@file_option
@click.pass_obj
def apply(target: RolloutTarget, file: Path | None, filename: Path | None) -> None:
    """Create or change the rollouts of a YAML file; `-` is standard input."""
    client = target.open()
    for document in documents(_chosen(file, filename)):
        for notice in client.apply(document):
            click.echo(f"note: {notice}", err=True)
        name, spec = document["metadata"]["name"], document["spec"]
        click.echo(f"rollout {name}: {spec['service']} to version {spec.get('version', 'of its workload')}")


@rollout.command()
@file_argument
@file_option
@click.option("--laptop", is_flag=True, help="By the rules of a laptop, where no template is needed.")
def lint(file: Path | None, filename: Path | None, laptop: bool = False) -> None:
    """Check the rollouts of a YAML file by the rules that the cluster has, without a cluster."""
    for document in documents(_chosen(file, filename)):
        try:
            (parse_on_laptop if laptop else parse)(document)
        except ValidationError as error:
            raise _with_hint(error, document) from None
        click.echo(f"{document['metadata']['name']}: good")


@rollout.command()
@click.argument("name", type=Name(), default="")
@click.option("-o", "--output", "form", type=click.Choice(FORMS), help="Print it for programs, or its name alone.")
@click.option("-w", "--watch", "go_on", is_flag=True, help="Go on showing it, as `watch` does.")
@json_option
@click.pass_obj
def get(target: RolloutTarget, name: str, form: str | None, go_on: bool, as_json: bool) -> None:
    """Show a rollout: its versions, weights, steps and analyses. Without a name, a line for each."""
    if go_on and (form or as_json):
        raise click.UsageError("--watch shows changes as they come; it goes without --output and --json")
    client = target.open()
    if go_on:
        _watch(client, name)
    elif as_json:
        output.as_json(client.get(name) if name else client.all())
    elif form:
        output.as_form(form, client.get(name) if name else _as_list(client.all()))
    elif name:
        _show(client.get(name))
    else:
        _list(client)


@rollout.command()
@click.argument("name", type=Name(), default="")
@click.pass_obj
def watch(target: RolloutTarget, name: str) -> None:
    """Show a rollout as it goes on, until Ctrl-C. Without a name or a terminal: one line for each change."""
    _watch(target.open(), name)


@rollout.command()
@name_argument
@click.option(
    "--timeout", type=Seconds(), default=0.0, help="Wait so long for its end (60, 5m); without: tell how it is now."
)
@click.pass_obj
def status(target: RolloutTarget, name: str, timeout: float) -> int:
    """Tell how a rollout is, or wait for its end. Exit code 0: promoted; 1: aborted, not valid, or not in time."""
    client = target.open()
    until = time.monotonic() + timeout
    while True:
        document = client.get(name)
        found = status_document.read(document.get("status"))
        current = found.observed_generation >= document["metadata"].get("generation", 0)
        over = current and found.phase in _OVER
        if over or time.monotonic() >= until:
            click.echo(f"{name}: {found.phase}: {found.message or found.reason}")
            if not over and timeout:
                raise NotInTimeError(f"{name} had not come to its end after {timeout:g} s: it is {found.phase}")
            return _OVER[found.phase] if over else 0
        time.sleep(_LOOK)


@rollout.command()
@name_argument
@click.pass_obj
def pause(target: RolloutTarget, name: str) -> None:
    """Stop where it is, until `promote`."""
    target.open().patch(name, commands.pause())
    click.echo(f"{name}: paused")


@rollout.command()
@name_argument
@click.option("--full", is_flag=True, help="Skip the remaining steps and analyses.")
@click.pass_obj
def promote(target: RolloutTarget, name: str, full: bool) -> None:
    """Go on: end a pause, or the present step."""
    client = target.open()
    client.patch(name, commands.promote(client.get(name), _token(), full=full))
    click.echo(f"{name}: {'going straight to the end' if full else 'going on'}")


@rollout.command()
@name_argument
@click.pass_obj
def abort(target: RolloutTarget, name: str) -> None:
    """Send all calls back to the stable version."""
    client = target.open()
    client.patch(name, commands.abort(client.get(name), _token()))
    click.echo(f"{name}: all calls go back to the stable version")


@rollout.command()
@name_argument
@click.pass_obj
def retry(target: RolloutTarget, name: str) -> None:
    """Walk the steps again with the version that was aborted."""
    client = target.open()
    client.patch(name, commands.retry(client.get(name), _token()))
    click.echo(f"{name}: trying again")


@rollout.command()
@name_argument
@click.option("--to", "version", default="", metavar="VERSION", help="A version of its history.")
@click.pass_obj
def undo(target: RolloutTarget, name: str, version: str) -> None:
    """Ask for the version before the present one, or for an earlier one."""
    client = target.open()
    patch = commands.undo(client.get(name), version)
    client.patch(name, patch)
    click.echo(f"{name}: back to version {patch['spec']['version']}")


@rollout.command("set-version")
@name_argument
@click.argument("version")
@click.pass_obj
def set_version(target: RolloutTarget, name: str, version: str) -> None:
    """Ask for another version."""
    target.open().patch(name, commands.set_version(version))
    click.echo(f"{name}: to version {version}")


@rollout.command()
@name_argument
@click.pass_obj
def delete(target: RolloutTarget, name: str) -> None:
    """Delete a rollout. The traffic rules go or stay as its onDelete says."""
    target.open().delete(name)
    click.echo(f"{name}: deleted")


def _token() -> str:
    """The unique token of a command."""
    return secrets.token_hex(4)


def _chosen(file: Path | None, filename: Path | None) -> Path:
    if (file is None) == (filename is None):
        raise click.UsageError("name one file: FILE, or -f FILE")
    return file or filename or Path("-")


def _with_hint(error: ValidationError, document: dict[str, Any]) -> ValidationError:
    """The error, with a hint where the resource is valid for `up`."""
    try:
        parse_on_laptop(document)
    except ValidationError:
        return error
    hint = Violation("", "for `meshwright up`, where the topology defines the processes, it is valid (`--laptop`)")
    return ValidationError(error.source, [*error.violations, hint])


def _as_list(documents: list[dict[str, Any]]) -> dict[str, Any]:
    """A `List`, as kubectl prints several resources."""
    return {"apiVersion": "v1", "kind": "List", "metadata": {}, "items": documents}


def _list(client: RolloutClient) -> None:
    documents = client.all()
    if not documents and isinstance(client, Kubectl):
        click.echo(f"no rollouts {client.where}", err=True)
        return
    everywhere = isinstance(client, Kubectl) and client.everywhere
    table = output.table(
        *(["NAMESPACE"] if everywhere else []),
        "NAME",
        "SERVICE",
        "VERSION",
        "STABLE",
        "PHASE",
        "STEP",
        ">WEIGHT",
        "MESSAGE",
    )
    for document in documents:
        spec, status = document["spec"], document.get("status") or {}
        cells = (
            spec["service"],
            spec.get("version") or status.get("target", ""),
            status.get("stable", ""),
            status.get("phase", Phase.PENDING.value),
        )
        weight = str(status.get("weight", 0))
        message = status.get("message", "")
        names = [document["metadata"]["namespace"]] if everywhere else []
        table.add_row(*names, document["metadata"]["name"], *cells, status.get("progress", ""), weight, message)
    output.console().print(table)


def _show(document: Mapping[str, Any]) -> None:
    _print(tree(document))


def _print(lines: list[tuple[str, str]]) -> None:
    for text, colour in lines:
        click.echo(click.style(text, fg=colour or None))


def _watch(client: RolloutClient, name: str) -> None:
    changes = client.changes(name)
    if name and sys.stdout.isatty():
        _watch_live(changes)
        return
    shown: dict[tuple[str, str], str] = {}
    for document in changes:
        metadata = document["metadata"]
        key, line = (metadata.get("namespace", ""), metadata["name"]), summary(document)
        if line != shown.get(key):
            shown[key] = line
            click.echo(f"{time.strftime('%H:%M:%S')} {line}")


def _watch_live(changes: Iterable[Mapping[str, Any]]) -> None:
    from rich.live import Live  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    with Live(console=output.console(), auto_refresh=False) as live:
        for document in changes:
            lines = [Text(text, style=colour) for text, colour in tree(document)]
            live.update(Text("\n").join(lines), refresh=True)
