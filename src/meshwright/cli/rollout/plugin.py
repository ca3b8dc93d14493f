"""`kubectl meshwright`: of the command line what can be done on a cluster, with kubectl's flags wherever they stand.

The commands are those of `meshwright rollout`, with more options. Flags may stand before, between and after the
commands, as with kubectl itself; the last one counts. They are handed on to kubectl.
"""

from __future__ import annotations

import copy
import re
import sys
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from meshwright.cli.rollout.commands import rollout
from meshwright.cli.rollout.kubectl import Kubectl
from meshwright.cli.running import run_command
from meshwright.errors import MeshwrightError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NAME = "kubectl meshwright"
_SHORT_WITH_EQUALS = re.compile(r"-[A-Za-z]=")
_HANDED_ON = {
    "context": "The context of the kubeconfig.",
    "kubeconfig": "Which kubeconfig file.",
    "cluster": "",
    "user": "",
    "server": "",
    "token": "",
    "as": "",
    "as-uid": "",
    "request-timeout": "",
    "certificate-authority": "",
    "client-certificate": "",
    "client-key": "",
    "tls-server-name": "",
    "cache-dir": "",
}
"""kubectl's flags with a value, and the help of those that are shown."""
_NO_FILES, _FILES = ":4", ":0"
"""What a completion ends with (cobra's directives): whether the shell may add the names of files."""


class Cluster:
    """What was typed of kubectl's flags so far; opened by the command that needs the cluster."""

    def __init__(self) -> None:
        self.typed: dict[str, Any] = {}

    def open(self) -> Kubectl:
        typed = self.typed
        flags = [f"--{name}={value}" for name in (*_HANDED_ON, "as-group") for value in _each(typed.get(name))]
        if typed.get("insecure-skip-tls-verify"):
            flags.append("--insecure-skip-tls-verify")
        return Kubectl(
            typed.get("namespace", ""),
            flags,
            everywhere=typed.get("all-namespaces", False),
            selector=typed.get("selector", ""),
        )


def _each(value: Any) -> Sequence[str]:
    return () if value is None else value if isinstance(value, tuple) else (value,)


def _cluster(ctx: click.Context) -> Cluster:
    found = ctx.find_object(Cluster)
    assert found is not None, "the plugin's group has it"
    return found


def _option(*names: str, **options: Any) -> click.Option:
    """An option whose value is noted, wherever it stands."""
    key = names[-1].removeprefix("--")

    def note(ctx: click.Context, _param: click.Parameter, value: Any) -> None:
        if value not in (None, (), False):
            _cluster(ctx).typed[key] = value

    # A parameter's name is no keyword of Python's (`--as`), and none of a command's own (`--user`).
    return click.Option([*names, f"kubectl_{key.replace('-', '_')}"], expose_value=False, callback=note, **options)


def _flags() -> list[click.Option]:
    return [
        _option("-n", "--namespace", metavar="NAME", help="The namespace.", shell_complete=_complete("namespaces")),
        *(
            _option(
                *(["-s"] if name == "server" else []),
                f"--{name}",
                metavar="PATH" if name == "kubeconfig" else "NAME",
                help=text,
                hidden=not text,
                shell_complete=_complete("contexts") if name == "context" else None,
            )
            for name, text in _HANDED_ON.items()
        ),
        _option("--as-group", multiple=True, hidden=True),
        _option("--insecure-skip-tls-verify", is_flag=True, hidden=True),
    ]


def _complete(what: str) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    questions = {
        "namespaces": ("get", "namespaces", "--output=jsonpath={.items[*].metadata.name}"),
        "contexts": ("config", "get-contexts", "--output=name"),
    }

    def complete(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        found = _cluster(ctx).open().names(*questions[what])
        return [CompletionItem(name) for name in found if name.startswith(incomplete)]

    return complete


def _on_a_cluster(command: click.Command) -> click.Command:
    """The command, with kubectl's flags."""
    made = copy.copy(command)
    made.params = [param for param in command.params if param.name != "laptop"]
    if command.name in {"get", "watch"}:
        every = _option("-A", "--all-namespaces", is_flag=True, help="Of all namespaces.")
        made.params += [every, _option("-l", "--selector", metavar="LABELS", help="Of those with these labels alone.")]
        made.callback = _without_a_name_everywhere(command.callback)
    made.params += _flags()
    return made


def _without_a_name_everywhere(callback: Any) -> Any:
    def checked(*arguments: Any, **options: Any) -> Any:
        typed = _cluster(click.get_current_context()).typed
        if options.get("name") and (typed.get("all-namespaces") or typed.get("selector")):
            raise click.UsageError("a rollout that is named is of one namespace: leave out its name, or -A and -l")
        return callback(*arguments, **options)

    return checked


def make_plugin() -> click.Group:
    """The command line of the plugin."""
    verbs = click.Group(
        "rollout",
        commands={name: _on_a_cluster(command) for name, command in rollout.commands.items()},
        params=list(_flags()),
        help=rollout.help,
    )
    plugin = click.Group(
        "meshwright",
        commands={"rollout": verbs},
        params=list(_flags()),
        help="Meshwright on the cluster that kubectl reaches: services move from version to version, and back.",
        epilog="kubectl's other flags for reaching a cluster (--cluster, --user, --server, --token, --as, ...) are "
        "taken as well. Exit codes: 0 done, 1 could not be done, 2 asked wrongly, 130 interrupted.",
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110, "obj": Cluster()},
    )
    return click.version_option(package_name="meshwright", message="%(version)s")(plugin)


def main(arguments: Sequence[str] | None = None) -> None:
    """`kubectl meshwright ...`; exits the process."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit code."""
    return run_command(make_plugin(), _as_click_takes_them(arguments), NAME)


def _as_click_takes_them(arguments: Sequence[str]) -> list[str]:
    """`-n=mesh` and `-o=json`, as kubectl takes them too."""
    given = list(arguments)
    end = given.index("--") if "--" in given else len(given)
    return [re.sub("=", "", text, count=1) if _SHORT_WITH_EQUALS.match(text) else text for text in given[:end]] + given[
        end:
    ]


def complete_main() -> None:
    """`kubectl_complete-meshwright`: its arguments are the words after `kubectl meshwright`, the last unfinished."""
    for line in completions(sys.argv[1:]):
        click.echo(line)


def completions(words: Sequence[str]) -> list[str]:
    """A line for each completion, with a tab before its description, and cobra's directive."""
    from click.shell_completion import ShellComplete  # noqa: PLC0415

    *before, last = words or [""]
    try:
        found = ShellComplete(make_plugin(), {}, NAME, "").get_completions(_as_click_takes_them(before), last)
    except (MeshwrightError, click.ClickException):
        found = []
    shown = [item for item in found if item.type == "plain"]
    files = any(item.type in {"file", "dir"} for item in found)
    lines = [f"{item.value}\t{item.help}" if item.help else str(item.value) for item in shown]
    return [*lines, _FILES if files else _NO_FILES]
