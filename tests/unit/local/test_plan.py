from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from meshwright.errors import ValidationError
from meshwright.local.planner.component_source import ComponentSource, UpOptions, choose_registry, choose_traces
from meshwright.local.planner.plan import Plan, make, registry_port, resolve, stop_stages
from meshwright.local.planner.scaling import initial, scale
from meshwright.local.topology.parsing import parse

if TYPE_CHECKING:
    from meshwright.local.topology.spec import ProcessSpec

SHOP = """
[processes.price]
module = "shop.price"
replicas = 2
[processes.cart]
command = ["cart", "--listen", "${port}"]
environment = { PRICE = "${PRICES:-none}", DB = "${postgres:-sqlite:///${state}/cart.db}" }
wait_for = ["price", "registry"]
[processes.front]
module = "shop.front"
port = 8080
ready = "http:/readyz"
wait_for = ["cart"]
[[try]]
say = "look"
run = "curl ${front.address}"
"""
DEV = ComponentSource(dev=True)


def instance(made: Plan, name: str, number: int, version: str) -> ProcessSpec:
    return made.process(name).numbered(number, version)


def plan(text: str = SHOP, registry: ComponentSource = DEV, **choices: Any) -> Plan:
    numbers = itertools.count(20000)
    return make(parse(text, Path("shop.toml")), UpOptions(**choices), registry, Path("/state"), lambda: next(numbers))


def origin(text: str = SHOP, **choices: Any) -> ComponentSource | None:
    return choose_registry(parse(text, Path("shop.toml")), UpOptions(**choices))


def test_the_parts_come_first_and_run_on_their_fixed_ports() -> None:
    made = plan()
    assert [process.name for process in made.processes] == [
        "registry",
        "controlplane",
        "traces",
        "price",
        "cart",
        "front",
    ]
    assert made.ports["registry"] == 8500
    assert (made.ports["xds"], made.ports["controlplane"]) == (18000, 18001)
    assert (made.ports["otlp-grpc"], made.ports["otlp-http"], made.ports["traces"]) == (4317, 4318, 16686)


def test_the_command_line_wins_over_the_topology_and_that_over_the_defaults() -> None:
    text = f"[mesh]\nports = {{ registry = 8501, xds = 18500 }}\n{SHOP}"
    made = plan(text, ports={"registry": 8502, "front": 8081})
    assert (made.ports["registry"], made.ports["xds"], made.ports["front"]) == (8502, 18500, 8081)
    assert made.environment["CONSUL_HTTP_ADDR"] == "127.0.0.1:8502"
    assert made.hints[0].run == "curl 127.0.0.1:8081"
    assert registry_port(made.topology, UpOptions(ports={"registry": 8502})) == 8502


def test_children_are_told_where_the_mesh_is() -> None:
    environment = plan().environment
    assert environment["CONSUL_HTTP_ADDR"] == "127.0.0.1:8500"
    assert environment["MESHWRIGHT_XDS"] == "127.0.0.1:18000"
    assert environment["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://127.0.0.1:4317"


PUBLIC = """
[processes.web]
command = ["web", "--listen", "${host}:${port}"]
port = 8080
public = true
environment = { WEB_URL = "${web.url}", WEB_NEAR = "${web.address}" }
[processes.cart]
command = ["cart", "${host}"]
port = 8081
"""


@pytest.mark.parametrize(
    ("host", "reachable", "bound", "url", "near"),
    [
        ("", (), "127.0.0.1", "http://localhost:8080", "127.0.0.1:8080"),
        ("0.0.0.0", ("192.168.1.5", "10.0.0.5"), "0.0.0.0", "http://192.168.1.5:8080", "127.0.0.1:8080"),
        ("10.0.0.5", ("10.0.0.5",), "10.0.0.5", "http://10.0.0.5:8080", "10.0.0.5:8080"),
        ("::", ("2001:db8::5",), "::", "http://[2001:db8::5]:8080", "[::1]:8080"),
        ("0.0.0.0", (), "0.0.0.0", "http://localhost:8080", "127.0.0.1:8080"),
    ],
)
def test_a_public_process_alone_is_opened(
    host: str, reachable: tuple[str, ...], bound: str, url: str, near: str
) -> None:
    topology = parse(PUBLIC, Path("shop.toml"))
    choices = UpOptions(host=host, reachable=reachable)
    made = make(topology, choices, ComponentSource(dev=True), Path("/state"), lambda: 20000)
    web, cart = (resolve(made, instance(made, name, 1, "0.0.0"), lambda: 20000, "run") for name in ("web", "cart"))
    assert web.command == ("web", "--listen", f"{bound}:8080")
    assert (web.environment["WEB_URL"], web.environment["WEB_NEAR"], web.address) == (url, near, near)
    assert (cart.command, cart.address) == (("cart", "127.0.0.1"), "127.0.0.1:8081")
    assert made.public == ({"web"} if host else set())
    assert made.addresses["registry"] == "127.0.0.1:8500"


def test_without_a_public_process_nothing_can_be_opened() -> None:
    with pytest.raises(ValidationError, match=r"--host 0\.0\.0\.0: opens public processes, and this topology has none"):
        plan(host="0.0.0.0")


def test_settings_for_a_real_consul_do_not_reach_the_dev_consul() -> None:
    environment = plan(environment={"CONSUL_HTTP_SSL": "true", "CONSUL_HTTP_TOKEN": "t"}).environment
    assert (environment["CONSUL_HTTP_SSL"], environment["CONSUL_HTTP_TOKEN"]) == ("", "")


def test_a_real_consul_is_used_where_one_is_told_and_none_is_started() -> None:
    told = origin(environment={"CONSUL_HTTP_ADDR": "10.0.0.1:8500"})
    assert told == ComponentSource(dev=False, address="10.0.0.1:8500", why="CONSUL_HTTP_ADDR")
    made = plan(registry=told, environment={"CONSUL_HTTP_TOKEN": "t"})
    assert "registry" not in [process.name for process in made.processes]
    assert made.environment["CONSUL_HTTP_ADDR"] == "10.0.0.1:8500"
    assert made.environment["CONSUL_HTTP_TOKEN"] == "t"
    assert made.needs(made.process("cart")) == ("price",)


def test_the_command_line_decides_about_consul_before_the_environment() -> None:
    assert origin(consul="dev", environment={"CONSUL_HTTP_ADDR": "x:1"}) == ComponentSource(dev=True, why="--consul")
    assert origin(consul="y:2", environment={"CONSUL_HTTP_ADDR": "x:1"}) == ComponentSource(False, "y:2", "--consul")
    assert origin() is None, "auto: it has to be looked for"
    assert origin('[mesh]\nregistry = "none"\n' + SHOP) == ComponentSource(dev=False, why="the topology")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, ComponentSource(dev=True, why="the topology")),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://j:4317"},
            ComponentSource(False, "http://j:4317", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ),
        ({"OTEL_SDK_DISABLED": "true"}, ComponentSource(dev=False, why="OTEL_SDK_DISABLED")),
        ({"OTEL_TRACES_EXPORTER": "none"}, ComponentSource(dev=False, why="OTEL_TRACES_EXPORTER")),
    ],
)
def test_spans_go_where_opentelemetrys_variables_say(environment: dict[str, str], expected: ComponentSource) -> None:
    assert choose_traces(parse(SHOP, Path("x")), UpOptions(environment=environment)) == expected
    made = plan(environment=environment)
    assert ("traces" in [process.name for process in made.processes]) == expected.dev
    if not expected.dev and expected.address:
        assert made.environment["OTEL_EXPORTER_OTLP_ENDPOINT"] == expected.address
    if not expected.dev and not expected.address:
        assert made.environment["OTEL_TRACES_EXPORTER"] == "none"


REFERS = """
[processes.page]
module = "shop.page"
environment = { TRACES = "${traces.url}", AT = "http://${traces.address}", PORT = "${traces.port}", \
OTLP = "${otlp-grpc.address} ${otlp-http.address}", CONSUL = "${registry.url} ${registry.address}", \
XDS = "${xds.address}", DEBUG = "${controlplane.address:-unknown}", NATS = "${NATS_URL:-nats://${nats.address}}", \
DB = "${postgres:-sqlite:///page.db}" }
[processes.nats]
command = ["nats"]
[[try]]
say = "see where the calls went"
run = "${traces.url}"
[[try]]
say = "see the page"
run = "${page.address}"
"""


def seen(text: str = REFERS, registry: ComponentSource = DEV, **environment: str) -> tuple[dict[str, str], Plan]:
    """What a process finds in the variables of its topology."""
    made = plan(text, registry=registry, environment=environment)
    return dict(resolve(made, instance(made, "page", 1, "0"), lambda: 1, "run").environment), made


def test_placeholders_name_the_parts_that_run_here() -> None:
    found, made = seen()
    assert (found["TRACES"], found["AT"], found["PORT"]) == (*["http://127.0.0.1:16686"] * 2, "16686")
    assert found["OTLP"] == "127.0.0.1:4317 127.0.0.1:4318"
    assert found["CONSUL"] == "http://127.0.0.1:8500 127.0.0.1:8500"
    assert (found["XDS"], found["DEBUG"]) == ("127.0.0.1:18000", "127.0.0.1:18001")
    assert [hint.run for hint in made.hints] == ["http://127.0.0.1:16686", "127.0.0.1:20000"]
    assert made.environment["JAEGER_UI_URL"] == "http://127.0.0.1:16686"


@pytest.mark.parametrize(
    ("environment", "url", "address", "otlp"),
    [
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317"},
            "http://127.0.0.1:16686",
            "127.0.0.1:16686",
            "127.0.0.1:4317 127.0.0.1:4318",
        ),
        (
            {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "collector.infra:14317"},
            "http://collector.infra:16686",
            "collector.infra:16686",
            "collector.infra:14317 collector.infra:4318",
        ),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://[::1]:4319", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
            "http://[::1]:16686",
            "[::1]:16686",
            "[::1]:4317 [::1]:4319",
        ),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://j:4317", "JAEGER_UI_URL": "https://traces.example/jaeger/"},
            "https://traces.example/jaeger",
            "traces.example:443",
            "j:4317 j:4318",
        ),
    ],
)
def test_placeholders_name_the_jaeger_that_the_environment_names(
    environment: dict[str, str], url: str, address: str, otlp: str
) -> None:
    found, made = seen(**environment)
    assert "traces" not in [process.name for process in made.processes]
    assert (found["TRACES"], found["AT"]) == (url, f"http://{address}")
    assert found["PORT"] == address.rpartition(":")[2]
    assert found["OTLP"] == otlp
    assert made.traces_url == made.environment["JAEGER_UI_URL"] == url
    assert made.hints[0].run == url


@pytest.mark.parametrize("environment", [{"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}])
def test_where_spans_go_nowhere_placeholders_are_empty_and_nothing_is_proposed(environment: dict[str, str]) -> None:
    found, made = seen(**environment)
    assert (found["TRACES"], found["PORT"], made.traces_url) == ("", "", "")
    assert [hint.run for hint in made.hints] == ["127.0.0.1:20000"]


def test_the_dev_trace_store_is_looked_at_where_it_is_and_nowhere_else() -> None:
    assert seen(JAEGER_UI_URL="http://elsewhere:16686")[0]["TRACES"] == "http://127.0.0.1:16686"


@pytest.mark.parametrize("url", ["jaeger:16686", "ftp://jaeger", "http://", "http://jaeger:99999"])
def test_a_page_of_traces_that_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match=r"JAEGER_UI_URL: expected the URL of Jaeger's page, such as http://127"):
        seen(OTEL_EXPORTER_OTLP_ENDPOINT="http://j:4317", JAEGER_UI_URL=url)


@pytest.mark.parametrize(
    ("address", "consul"),
    [
        ("10.0.0.1:8500", "http://10.0.0.1:8500 10.0.0.1:8500"),
        (":8500", "http://localhost:8500 localhost:8500"),
        ("https://consul.infra:8501/behind", "https://consul.infra:8501/behind consul.infra:8501"),
        ("https://consul.infra", "https://consul.infra consul.infra:443"),
        ("unix:///run/consul.sock", "unix:///run/consul.sock unix:///run/consul.sock"),
    ],
)
def test_placeholders_name_the_consul_that_the_environment_names(address: str, consul: str) -> None:
    assert seen(registry=ComponentSource(False, address, "CONSUL_HTTP_ADDR"))[0]["CONSUL"] == consul


def test_placeholders_name_a_control_plane_that_runs_elsewhere_or_none() -> None:
    found, _ = seen('[mesh]\ncontrolplane = "a:18000,b:18000"\n' + REFERS)
    assert (found["XDS"], found["DEBUG"]) == ("a:18000", "unknown")
    found, _ = seen('[mesh]\ncontrolplane = "none"\nregistry = "none"\n' + REFERS, registry=ComponentSource(dev=False))
    assert (found["XDS"], found["DEBUG"], found["CONSUL"]) == ("", "unknown", " ")


def test_a_nats_and_a_postgresql_of_elsewhere_take_the_place_of_the_topologys_own() -> None:
    assert seen()[0]["NATS"].startswith("nats://127.0.0.1:2")
    assert seen(NATS_URL="nats://queue.infra:4222")[0]["NATS"] == "nats://queue.infra:4222"
    found, _ = seen('[mesh]\npostgres = "postgresql://db.infra/"\n' + REFERS)
    assert found["DB"] == "postgresql://db.infra/"


@pytest.mark.parametrize(
    "environment",
    [{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://j:4317"}, {"OTEL_SDK_DISABLED": "true"}, {}],
    ids=["a collector", "no traces", "nothing"],
)
def test_the_demo_can_be_planned_whatever_the_environment_names(environment: dict[str, str]) -> None:
    demo = Path(__file__).parents[3] / "services" / "demo.toml"
    made = plan(demo.read_text("utf-8"), environment=environment)
    started = resolve(made, instance(made, "gateway", 1, "1.0.0"), lambda: 1, "run")
    assert started.environment["GATEWAY_TRACES_URL"] == made.traces_url


def test_settings_for_a_certain_collector_do_not_reach_the_dev_trace_store_and_others_stay() -> None:
    certain = ("HEADERS", "PROTOCOL", "TRACES_PROTOCOL", "CERTIFICATE", "INSECURE", "TRACES_CLIENT_KEY")
    general = {"TIMEOUT": "5", "TRACES_COMPRESSION": "gzip"}
    outer = dict.fromkeys(certain, "x") | general
    environment = plan(environment={f"OTEL_EXPORTER_OTLP_{name}": value for name, value in outer.items()}).environment
    assert {environment[f"OTEL_EXPORTER_OTLP_{name}"] for name in certain} == {""}
    assert {name: environment[f"OTEL_EXPORTER_OTLP_{name}"] for name in general} == general


def test_without_a_control_plane_services_take_addresses_from_consul() -> None:
    made = plan('[mesh]\ncontrolplane = "none"\n' + SHOP)
    assert made.environment["MESHWRIGHT_DISCOVERY"] == "consul"
    assert "MESHWRIGHT_XDS" not in made.environment


def test_a_launch_has_identity_ports_and_expanded_strings() -> None:
    made = plan(postgres="postgresql://db", environment={"PRICES": "high"})
    started = resolve(made, instance(made, "cart", 1, "2.0.0"), lambda: 1, "run")
    assert started.command == ("cart", "--listen", str(started.port))
    environment = started.environment
    assert environment["MESHWRIGHT_INSTANCE"] == "cart-1"
    assert environment["MESHWRIGHT_VERSION"] == "2.0.0"
    assert environment["MESHWRIGHT_SERVICE"] == "cart"
    assert environment["MESHWRIGHT_PORT"] == str(made.ports["cart"])
    assert (environment["PRICE"], environment["DB"]) == ("high", "postgresql://db")


def test_without_a_postgres_the_default_of_the_placeholder_counts() -> None:
    made = plan()
    started = resolve(made, instance(made, "cart", 1, "0"), lambda: 1, "run")
    assert started.environment["DB"] == "sqlite:////state/cart.db"


def test_a_program_that_came_with_a_package_is_found_beside_this_python() -> None:
    made = plan(SHOP.replace('"cart", "--listen"', '"${scripts}/cart", "--listen"'))
    started = resolve(made, instance(made, "cart", 1, "0"), lambda: 1, "run")
    assert Path(started.command[0]).with_name("python3").exists()


def test_a_free_port_is_given_to_one_process_alone_and_never_where_another_is_fixed() -> None:
    text = """
[processes.front]
module = "front"
port = 21000

[processes.cart]
module = "cart"
ports = { admin = 0 }

[processes.price]
module = "price"
"""
    found = iter([21000, 21001, 21001, 21001, 21002, 21002, 21003])
    made = make(parse(text, Path("shop.toml")), UpOptions(), DEV, Path("/state"), lambda: next(found))
    ports = {name: port for name, port in made.ports.items() if name.partition(".")[0] in {"front", "cart", "price"}}
    assert ports == {"front": 21000, "cart": 21001, "cart.admin": 21002, "price": 21003}
    again = iter([21000, 21003, 21004, 21004])
    started = resolve(made, instance(made, "cart", 2, "0.0.0"), lambda: next(again, 21005), "run")
    assert (started.port, dict(started.ports)) == (21004, {"admin": 21005})


def test_each_replica_has_a_free_port_of_its_own() -> None:
    made = plan()
    ports = iter([23001, 23002])
    started = [resolve(made, instance(made, "price", number, "0"), lambda: next(ports), "r").port for number in (1, 2)]
    assert started == [23001, 23002]


@pytest.mark.parametrize(
    ("ports", "problem"),
    [
        ({"fronnt": 1}, "--port fronnt: no such port; did you mean front?"),
        ({"front": 8500}, "port 8500: is wanted by registry and by front"),
        ({"price": 81}, "--port price: 2 instances cannot share one port"),
    ],
)
def test_ports_that_cannot_be_are_refused(ports: dict[str, int], problem: str) -> None:
    with pytest.raises(ValidationError) as caught:
        plan(ports=ports)
    assert str(caught.value) == f"the choice of ports is not valid:\n  {problem}"


def test_unknown_placeholders_are_refused_before_anything_starts() -> None:
    with pytest.raises(ValidationError) as caught:
        plan('[processes.a]\nmodule = "a"\nenvironment = { X = "${nope}" }\n[[try]]\nsay = "x"\nrun = "${a.addres}"\n')
    assert str(caught.value) == (
        "topology shop.toml is not valid:\n"
        "  processes.a: nothing is called ${nope}; it is not in the environment either\n"
        "  try[0].run: nothing is called ${a.addres}; did you mean ${a.address}?"
    )


def test_what_others_wait_for_stops_after_them_and_the_mesh_last() -> None:
    assert stop_stages(plan()) == [["front"], ["cart"], ["price"], ["controlplane"], ["registry", "traces"]]


def test_at_the_start_every_replica_has_a_seat() -> None:
    names = [spec.instance for spec in initial(plan())]
    assert names == ["registry", "controlplane", "traces", "price-1", "price-2", "cart-1", "front-1"]


def test_scaling_up_takes_the_lowest_free_numbers_and_down_gives_up_the_youngest() -> None:
    made = plan()
    specs = [instance(made, "price", 1, "0.0.0"), instance(made, "price", 3, "0.0.0")]
    assert [spec.instance for spec in scale(made, specs, "price", 4).added] == ["price-2", "price-4"]
    assert [spec.instance for spec in scale(made, specs, "price", 0).removed] == ["price-3", "price-1"]
    assert scale(made, specs, "price", 2).added == ()


def test_scaling_a_version_leaves_the_others_alone() -> None:
    made = plan()
    specs = [instance(made, "price", 1, "0.0.0"), instance(made, "price", 2, "0.0.0")]
    change = scale(made, specs, "price", 1, "2.0.0")
    assert change.added == (instance(made, "price", 3, "2.0.0"),)
    assert scale(made, [*specs, *change.added], "price", 0, "2.0.0").removed == change.added


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("prise", "no service is called prise; did you mean price?"),
        (
            "front",
            "scaling front is not valid:\n"
            "  front: has the port 8080 in one instance; leave `port` out of the topology to have more",
        ),
        ("registry", "no service is called registry; there are cart, front, price"),
    ],
)
def test_what_cannot_be_scaled_is_refused(name: str, problem: str) -> None:
    with pytest.raises(ValidationError) as caught:
        scale(plan(), initial(plan()), name, 3)
    assert str(caught.value) == problem


def test_a_lone_instance_without_a_requested_port_gets_further_ones_on_other_ports() -> None:
    made = plan()
    change = scale(made, initial(made), "cart", 2)
    assert change.added == (instance(made, "cart", 2, "0.0.0"),)
    free = itertools.count(30000)
    first, second = (
        resolve(made, instance(made, "cart", number, "0.0.0"), lambda: next(free), "run") for number in (1, 2)
    )
    assert first.port == made.ports["cart"]
    assert second.port == 30000
    assert second.command[-1] == "30000"


def test_a_port_of_the_command_line_keeps_a_process_in_one_instance() -> None:
    with pytest.raises(ValidationError, match="has the port 8200 in one instance"):
        scale(plan(ports={"cart": 8200}), initial(plan()), "cart", 2)
