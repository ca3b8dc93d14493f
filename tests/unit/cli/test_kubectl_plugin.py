"""`kubectl meshwright`, as kubectl users type it: where flags may stand, what errors say, what a shell completes.

A script stands for kubectl here; it notes how it is called, and says what the real one says.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from meshwright.cli.options import Seconds
from meshwright.cli.rollout import plugin
from support.kubernetes.rollouts import document

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SCRIPT = f"""#!{sys.executable}
import json, os, re, sys
folder = os.path.dirname(os.path.abspath(__file__))
called = " ".join(sys.argv[1:])
with open(os.path.join(folder, "calls"), "a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
for pattern, code, said in json.load(open(os.path.join(folder, "answers"))):
    if re.search(pattern, called):
        print(said, file=sys.stderr if code else sys.stdout)
        sys.exit(code)
sys.exit(f"nobody told me what to say to {{called}}")
"""
RESOURCE = "versionedrollouts.meshwright.dev"
USER = document("1.0.0") | {"status": {"phase": "Healthy", "stable": "1.0.0", "observedGeneration": 1}}
ORDER = json.loads(json.dumps(USER).replace('"user"', '"order"'))
LIST = {"apiVersion": "v1", "kind": "List", "items": [ORDER, USER]}
NOT_FOUND = f'Error from server (NotFound): {RESOURCE} "usr" not found'
FORBIDDEN = (
    f'Error from server (Forbidden): {RESOURCE} is forbidden: User "ada" cannot list resource "versionedrollouts" '
    'in API group "meshwright.dev" in the namespace "mesh"'
)


class Kubectl:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.answers: list[tuple[str, int, str]] = [
            (r"config view", 0, "shop"),
            (r"get namespace ", 0, "namespace/mesh"),
            (r"get namespaces ", 0, "default mesh shop"),
            (r"config get-contexts", 0, "kind-one\nkind-two"),
            (rf"get {RESOURCE} (--\S+ ?)*--output=jsonpath", 0, "order\nuser"),
            (rf"get {RESOURCE} user ", 0, json.dumps(USER)),
            (rf"get {RESOURCE} (--\S+ ?)*--output=json", 0, json.dumps(LIST)),
            (r"^(patch|apply|delete) | (patch|apply|delete) ", 0, ""),
        ]
        script = folder / "kubectl"
        script.write_text(SCRIPT)
        script.chmod(script.stat().st_mode | stat.S_IXUSR)

    def says(self, pattern: str, code: int, said: str) -> None:
        self.answers.insert(0, (pattern, code, said))

    def run(self, line: str) -> int:
        (self.folder / "answers").write_text(json.dumps(self.answers))
        (self.folder / "calls").write_text("")
        return plugin.run(line.split())

    @property
    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in (self.folder / "calls").read_text().splitlines()]


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kubectl:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return Kubectl(tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        "rollout get user -n mesh",
        "rollout get -n mesh user",
        "rollout get user -nmesh",
        "rollout get user -n=mesh",
        "rollout get user --namespace mesh",
        "rollout get user --namespace=mesh",
        "rollout -n mesh get user",
        "-n mesh rollout get user",
        "-n other rollout -n another get user -n mesh",
        "rollout get vro/user -n mesh",
        "rollout get versionedrollout/user -n mesh",
        "rollout get versionedrollouts.meshwright.dev/user -n mesh",
    ],
)
def test_the_namespace_may_stand_anywhere(kubectl: Kubectl, capsys: pytest.CaptureFixture[str], line: str) -> None:
    assert kubectl.run(line) == 0
    assert kubectl.calls == [["get", RESOURCE, "user", "--namespace=mesh", "--output=json"]]
    assert "user  Healthy" in capsys.readouterr().out


def test_flags_of_kubectls_own_are_handed_on(kubectl: Kubectl) -> None:
    line = (
        "--context kind-one rollout --kubeconfig=/k --as ada get user --as-group a --as-group b --server https://x:1 "
        "--insecure-skip-tls-verify --request-timeout=5s --user u --cluster c --token t"
    )
    assert kubectl.run(line) == 0
    (call,) = kubectl.calls
    where = call.index("get")
    assert set(call[:where]) == {
        *("--context=kind-one", "--kubeconfig=/k", "--as=ada", "--as-group=a", "--as-group=b", "--server=https://x:1"),
        *("--insecure-skip-tls-verify", "--request-timeout=5s", "--user=u", "--cluster=c", "--token=t"),
    }


@pytest.mark.parametrize("line", ["rollout get -A", "rollout get --all-namespaces"])
def test_all_namespaces_are_listed_with_their_names(
    kubectl: Kubectl, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    assert kubectl.run(line) == 0
    assert kubectl.calls == [["get", RESOURCE, "--all-namespaces", "--output=json"]]
    rows = [row.split() for row in capsys.readouterr().out.splitlines()]
    assert rows[0][:3] == ["NAMESPACE", "NAME", "SERVICE"]
    assert [row[:2] for row in rows[1:]] == [["shop", "order"], ["shop", "user"]]


def test_labels_choose_what_is_listed(kubectl: Kubectl) -> None:
    assert kubectl.run("rollout get -n mesh -l team=a") == 0
    assert kubectl.calls == [["get", RESOURCE, "--namespace=mesh", "--selector=team=a", "--output=json"]]


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ("rollout get user -o json", json.loads),
        ("rollout get user -ojson", json.loads),
        ("rollout get user -o=json", json.loads),
        ("rollout get user --output=yaml", yaml.safe_load),
        ("rollout get user --json", json.loads),
    ],
)
def test_one_is_printed_as_the_object_that_it_is(
    kubectl: Kubectl, capsys: pytest.CaptureFixture[str], line: str, read: Callable[[str], Any]
) -> None:
    assert kubectl.run(line) == 0
    assert read(capsys.readouterr().out) == USER


def test_several_are_a_list_or_names(kubectl: Kubectl, capsys: pytest.CaptureFixture[str]) -> None:
    assert kubectl.run("rollout get -o json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["kind"], found["items"]) == ("List", [ORDER, USER])
    assert kubectl.run("rollout get -o name") == 0
    assert capsys.readouterr().out == "versionedrollout.meshwright.dev/order\nversionedrollout.meshwright.dev/user\n"


@pytest.mark.parametrize("indent", [4, None], ids=["indented", "a line each"])
def test_changes_are_shown_as_kubectl_tells_them(
    kubectl: Kubectl, capsys: pytest.CaptureFixture[str], indent: int | None
) -> None:
    paused = USER | {"status": {"phase": "Paused", "message": "waits"}}
    events = [("ADDED", USER), ("MODIFIED", USER), ("MODIFIED", paused), ("DELETED", paused)]
    told = "\n".join(json.dumps({"type": kind, "object": item}, indent=indent) for kind, item in events)
    kubectl.says("--watch", 0, told)
    assert kubectl.run("rollout get user -w -n mesh") == 1
    said = capsys.readouterr()
    assert [line.partition(" ")[2] for line in said.out.splitlines()] == ["user: Healthy", "user: Paused; waits"]
    assert "user was deleted" in said.err
    assert ["get", RESOURCE, "user", "--namespace=mesh", "--watch", "--output-watch-events", "--output=json"] in (
        kubectl.calls
    )


@pytest.mark.parametrize(
    ("line", "call"),
    [
        ("rollout pause user -n mesh", ["patch", RESOURCE, "user", "--namespace=mesh", "--type=merge"]),
        ("rollout set-version user 2.0.0 -n mesh", ["patch", RESOURCE, "user", "--namespace=mesh", "--type=merge"]),
        ("rollout delete user --context kind-one", ["--context=kind-one", "delete", RESOURCE, "user"]),
    ],
)
def test_verbs_act_where_they_are_told(kubectl: Kubectl, line: str, call: list[str]) -> None:
    assert kubectl.run(line) == 0
    assert kubectl.calls[-1][: len(call)] == call


def test_a_file_may_be_named_as_kubectl_takes_it(
    kubectl: Kubectl, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rollout.yaml"
    resource = document("2.0.0")
    path.write_text(yaml.safe_dump(resource))
    for line in (f"rollout apply -f {path} -n mesh", f"rollout apply {path} -n mesh"):
        assert kubectl.run(line) == 0
        assert kubectl.calls == [["apply", "--filename=-", "--namespace=mesh"]]
    assert kubectl.run(f"rollout lint -f {path}") == 0
    assert kubectl.run("rollout apply") == 2
    assert "name one file: FILE, or -f FILE" in capsys.readouterr().err


ERRORS = [
    (
        "rollout get usr -n mesh",
        [(rf"get {RESOURCE} usr", 1, NOT_FOUND)],
        "no rollout is called usr; did you mean user?",
    ),
    (
        "rollout get usr -n mesh",
        [
            (rf"get {RESOURCE} usr", 1, NOT_FOUND),
            (rf"get {RESOURCE} (--\S+ ?)*--output=json", 0, json.dumps(LIST | {"items": []})),
        ],
        "no rollout is called usr; there are none in namespace mesh; -n names another namespace, and `get -A`",
    ),
    (
        "rollout get user -n mehs",
        [
            (rf"get {RESOURCE} user", 1, NOT_FOUND.replace("usr", "user")),
            (rf"get {RESOURCE} (--\S+ ?)*--output=json", 0, json.dumps(LIST | {"items": []})),
            ("get namespace mehs", 1, 'Error from server (NotFound): namespaces "mehs" not found'),
        ],
        "there is no namespace mehs: no namespace is called mehs; did you mean mesh?",
    ),
    (
        "rollout get -n mehs",
        [
            (rf"get {RESOURCE} (--\S+ ?)*--output=json", 0, json.dumps(LIST | {"items": []})),
            ("get namespace mehs", 1, 'Error from server (NotFound): namespaces "mehs" not found'),
        ],
        "there is no namespace mehs",
    ),
    (
        "rollout get",
        [(f"get {RESOURCE}", 1, f'error: the server doesn\'t have a resource type "{RESOURCE}"')],
        "the cluster knows no VersionedRollout: install the chart (helm install), or its definitions alone (kubectl "
        "apply --server-side --field-manager=helm -f helm/meshwright/crds)",
    ),
    ("rollout get -n mesh", [(f"get {RESOURCE}", 1, FORBIDDEN)], "ada may not list rollouts in namespace mesh: a role"),
    (
        "rollout get",
        [
            (
                "get",
                1,
                "The connection to the server localhost:8080 was refused - did you specify the right host or port?",
            )
        ],
        "The connection to the server localhost:8080 was refused",
    ),
    (
        "rollout get",
        [("get", 1, "E1130 08:08:12.577152 117 memcache.go:381] noise\nThe connection to the server x:1 was refused")],
        "error: The connection to the server x:1 was refused",
    ),
    ("rollout get --context x", [("get", 1, 'error: context "x" does not exist')], 'context "x" does not exist'),
]


@pytest.mark.parametrize(("line", "answers", "said"), ERRORS)
def test_an_error_says_what_to_do(
    kubectl: Kubectl, capsys: pytest.CaptureFixture[str], line: str, answers: list[tuple[str, int, str]], said: str
) -> None:
    for answer in reversed(answers):
        kubectl.says(*answer)
    assert kubectl.run(line) == 1
    assert said in capsys.readouterr().err


def test_an_empty_namespace_is_no_error(kubectl: Kubectl, capsys: pytest.CaptureFixture[str]) -> None:
    kubectl.says(rf"get {RESOURCE}", 0, json.dumps(LIST | {"items": []}))
    assert kubectl.run("rollout get") == 0
    assert capsys.readouterr().err == "no rollouts in namespace shop\n"


def test_without_kubectl_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert plugin.run(["rollout", "get"]) == 1
    assert "kubectl is not on the PATH" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("rollout get user -A", "a rollout that is named is of one namespace"),
        ("rollout get pod/user", "'pod/user' is no rollout: expected a name, or versionedrollout/NAME"),
        ("rollout get user -o wide", "'wide' is not one of 'json', 'yaml', 'name'"),
        ("rollout get user -w -o json", "--watch shows changes as they come"),
        ("rollout status user --timeout soon", "expected seconds or a duration such as 90s or 5m, not 'soon'"),
        ("rollout gte user", "No such command 'gte'"),
        ("up", "No such command 'up'"),
    ],
)
def test_what_is_typed_wrongly_ends_with_2(
    kubectl: Kubectl, capsys: pytest.CaptureFixture[str], line: str, said: str
) -> None:
    assert kubectl.run(line) == 2
    assert said in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(("text", "seconds"), [("0", 0), ("60", 60), ("90s", 90), ("1.5m", 90), ("1h30m", 5400)])
def test_a_timeout_may_be_a_duration(kubectl: Kubectl, text: str, seconds: float) -> None:
    assert Seconds().convert(text, None, None) == seconds
    assert kubectl.run(f"rollout status user --timeout {text}") == 0


def test_the_help_shows_what_can_be_done_on_a_cluster_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert plugin.run(["--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("Usage: kubectl meshwright ")
    assert text.partition("Commands:")[2].split()[0] == "rollout"
    for word in ("up ", "logs", "scale", "registry", "--cluster ", "--topology", "--laptop", "laptop"):
        assert f"  {word}" not in text
    assert plugin.run(["rollout", "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("Usage: kubectl meshwright rollout ")
    assert "--topology" not in text
    assert plugin.run(["rollout", "lint", "--help"]) == 0
    assert "laptop" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["ro"], ["rollout"]),
        (["rollout", "pr"], ["promote"]),
        (["rollout", "get", ""], ["order", "user"]),
        (["rollout", "get", "u"], ["user"]),
        (["rollout", "-n", "mesh", "abort", "o"], ["order"]),
        (["rollout", "get", "-n", "m"], ["mesh"]),
        (["rollout", "get", "--namespace", ""], ["default", "mesh", "shop"]),
        (["--context", "kind-t"], ["kind-two"]),
        (["rollout", "get", "-o", ""], ["json", "yaml", "name"]),
        (["rollout", "get", "--outp"], ["--output"]),
    ],
)
def test_a_shell_completes_commands_rollouts_and_namespaces(
    kubectl: Kubectl, words: list[str], found: list[str]
) -> None:
    kubectl.run("--version")
    *lines, directive = plugin.completions(words)
    assert [line.partition("\t")[0] for line in lines] == found
    assert directive == ":4"
    for namespaced in (call for call in kubectl.calls if RESOURCE in call and "-n" in words):
        assert "--namespace=mesh" in namespaced


def test_a_shell_completes_files_where_a_file_is_meant(kubectl: Kubectl) -> None:
    assert plugin.completions(["rollout", "apply", "-f", ""]) == [":0"]
    assert plugin.completions(["rollout", "lint", ""])[-1] == ":0"


def test_a_cluster_that_does_not_answer_completes_nothing(kubectl: Kubectl) -> None:
    kubectl.says("get", 1, "The connection to the server localhost:8080 was refused")
    kubectl.run("--version")
    assert plugin.completions(["rollout", "get", ""]) == [":4"]
