from __future__ import annotations

from pathlib import Path

import pytest

from meshwright.errors import ValidationError
from meshwright.local.topology.parsing import load, parse
from meshwright.local.topology.spec import Hint

HERE = Path("shop.toml")


def refusal(text: str) -> str:
    with pytest.raises(ValidationError) as caught:
        parse(text, HERE)
    return str(caught.value)


def test_a_whole_topology_is_read(tmp_path: Path) -> None:
    text = """
    name = "shop"
    [mesh]
    registry = "dev"
    postgres = "postgresql://x"
    ports = { registry = 8501 }
    [environment]
    LEVEL = "info"
    [processes.price]
    command = ["price", "--port", "${port}"]
    [processes.cart]
    module = "shop.cart"
    folder = "."
    replicas = 2
    version = "1.2.3"
    environment = { A = "b" }
    wait_for = ["price", "registry"]
    ready = "http:/readyz"
    ready_timeout = 3
    restart = false
    [[try]]
    say = "look"
    run = "curl"
    """
    topology = parse(text, tmp_path / "shop.toml")
    assert topology.name == "shop"
    assert topology.mesh.registry == "dev"
    assert topology.mesh.ports == {"registry": 8501}
    assert topology.environment == {"LEVEL": "info"}
    price, cart = topology.processes
    assert (price.service, price.command, price.replicas) == ("price", ("price", "--port", "${port}"), 1)
    assert (cart.module, cart.folder, cart.replicas, cart.version) == ("shop.cart", tmp_path, 2, "1.2.3")
    assert cart.wait_for == ("price", "registry")
    assert (cart.ready, cart.ready_timeout, cart.restart) == ("http:/readyz", 3, False)
    assert topology.hints == (Hint("look", "curl"),)


def test_the_name_is_the_files_name_unless_it_says_otherwise() -> None:
    assert parse('[processes.a]\nmodule = "a"', Path("/x/My Shop.toml")).name == "my-shop"
    assert parse('[processes.a]\nmodule = "a"', Path("/x/My Shop/meshwright.toml")).name == "my-shop"


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValidationError) as caught:
        load(tmp_path / "none.toml")
    assert (
        str(caught.value) == f"topology {tmp_path}/none.toml is not valid:\n  cannot be read: No such file or directory"
    )


def test_malformed_toml_is_refused_with_line_and_column() -> None:
    message = refusal('name = "shop"\nprocesses = [\n')
    assert message.startswith("topology shop.toml is not valid:\n  is not TOML: ")
    assert "line 2" in message or "end of document" in message


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('name = "x"', "processes: is required and missing"),
        (
            '[processes.a]\nmodule = "a"\nreplica = 2',
            "line 3, processes.a.replica: unknown key; did you mean replicas?",
        ),
        (
            '[processes.a]\nmodule = "a"\nreplicas = "two"',
            'line 3, processes.a.replicas: expected an integer, not "two"',
        ),
        ('[processes.a]\nmodule = "a"\nport = 70000', "line 3, processes.a.port: must be at most 65535, not 70000"),
        (
            '[processes.a]\nmodule = "a"\nready = "soon"',
            'line 3, processes.a.ready: expected consul, grpc, tcp, started, http:/path or a URL, not "soon"',
        ),
        ("\n[processes.a]\nreplicas = 1", "line 2, processes.a: needs a module or a command"),
        ('[processes.a]\nmodule = "a"\ncommand = ["a"]', "line 1, processes.a: has both module and command"),
        (
            '[processes.registry]\nmodule = "a"',
            "line 1, processes.registry: registry is the name of a component of the mesh; choose another",
        ),
        (
            '[processes.a]\nmodule = "a"\nport = 80\nreplicas = 2',
            "line 4, processes.a.replicas: 2 instances cannot share a fixed port; leave the port out",
        ),
        (
            '[processes.calculator]\nmodule = "a"\n[processes.b]\nmodule = "b"\nwait_for = ["calculater"]',
            "line 5, processes.b.wait_for[0]: no 'calculater'; did you mean calculator?",
        ),
        (
            '[processes.a]\nmodule = "a"\nport = 90\n[processes.b]\nmodule = "b"\nport = 90',
            "line 6, processes.b.port: port 90 is that of processes.a.port already",
        ),
        (
            '[mesh]\nports = { xds = 90 }\n[processes.b]\nmodule = "b"\nport = 90',
            "line 5, processes.b.port: port 90 is that of mesh.ports.xds already",
        ),
        (
            '[mesh]\nregistry = "none"\n[processes.b]\nmodule = "b"\nready = "consul"',
            "line 5, processes.b.ready: consul needs a registry, and mesh.registry is none",
        ),
        ('[processes.a]\nmodule = "a"\nfolder = "nowhere"', "line 3, processes.a.folder: nowhere is not a folder"),
        (
            '[processes.a]\nmodule = "a"\nenvironment = { N = 1 }',
            "line 3, processes.a.environment.N: expected a string, not 1; put it in quotes",
        ),
        ('[[try]]\nsay = "x"\n[processes.a]\nmodule = "a"', "line 1, try[0].run: is required and missing"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, problem: str) -> None:
    assert refusal(text) == f"topology shop.toml is not valid:\n  {problem}"


def test_a_public_process_has_to_listen_where_it_is_told() -> None:
    assert "line 4, processes.a.public: a public process listens on ${host}, and " in refusal(
        '[processes.a]\nmodule = "a"\nport = 8080\npublic = true\n'
    )
    text = '[processes.a]\nmodule = "a"\npublic = true\nenvironment = { A_HOST = "${host}" }\n'
    assert parse(text, HERE).processes[0].public


def test_processes_that_wait_for_each_other_are_refused_with_the_circle() -> None:
    message = refusal('[processes.a]\nmodule = "a"\nwait_for = ["b"]\n[processes.b]\nmodule = "b"\nwait_for = ["a"]\n')
    assert "waits for itself: a -> b -> a" in message or "waits for itself: b -> a -> b" in message
    assert "line 3" in message or "line 6" in message


def test_every_problem_is_listed_in_the_order_of_the_file() -> None:
    message = refusal('[processes.b]\nmodul = "b"\n[processes.a]\nmodule = 3\n')
    assert message.splitlines()[1:] == [
        "  line 2, processes.b.modul: unknown key; did you mean module?",
        "  line 4, processes.a.module: expected a string, not 3; it is a Python module's name",
    ]
