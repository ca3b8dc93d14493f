from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from meshwright.config import ConsulConfig, Discovery, ServiceConfig, env_field, load_config
from meshwright.errors import ValidationError
from meshwright.model import Address


@dataclass(frozen=True)
class Inner:
    ratio: float = env_field("RATIO", 0.5)


@dataclass(frozen=True)
class Example:
    name: str = env_field("NAME", help="the name of the thing")
    count: int = env_field("COUNT", 1)
    quiet: bool = env_field("QUIET", default=False)
    folder: Path | None = env_field("FOLDER", None)
    peers: tuple[Address, ...] = env_field("PEERS", ())
    discovery: Discovery = env_field("DISCOVERY", Discovery.XDS)
    inner: Inner = field(default_factory=Inner)


def test_every_type_is_read_from_its_variable() -> None:
    environ = {
        "NAME": "a",
        "COUNT": "3",
        "QUIET": "yes",
        "FOLDER": "/tmp",
        "PEERS": "a:1, [::1]:2",
        "DISCOVERY": "consul",
        "RATIO": "0.25",
    }
    assert load_config(Example, environ) == Example(
        "a", 3, True, Path("/tmp"), (Address("a", 1), Address("::1", 2)), Discovery.CONSUL, Inner(0.25)
    )


def test_an_empty_variable_counts_as_unset() -> None:
    assert load_config(Example, {"NAME": "a", "COUNT": ""}).count == 1


def test_overrides_win_over_the_environment() -> None:
    assert load_config(Example, {"NAME": "a"}, name="b").name == "b"


def test_an_override_that_is_no_field_is_a_programming_error() -> None:
    with pytest.raises(TypeError, match="Example has no field nmae"):
        load_config(Example, {"NAME": "a"}, nmae="b")


def test_all_problems_are_reported_at_once_by_variable() -> None:
    with pytest.raises(ValidationError) as caught:
        load_config(Example, {"COUNT": "many", "QUIET": "maybe", "PEERS": "host", "RATIO": "half", "DISCOVERY": "dns"})
    assert str(caught.value) == (
        "the environment is not valid:\n"
        "  NAME: is required and not set (the name of the thing)\n"
        "  COUNT: expected an integer, not 'many'\n"
        "  QUIET: expected true or false, not 'maybe'\n"
        "  PEERS: expected host:port, not 'host'\n"
        "  DISCOVERY: expected one of xds, consul, not 'dns'\n"
        "  RATIO: expected a number, not 'half'"
    )


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999"])
def test_a_time_without_end_is_no_number(text: str) -> None:
    with pytest.raises(ValidationError, match=f"MESHWRIGHT_GRACE: expected a number, not '{text}'"):
        load_config(ServiceConfig, {"MESHWRIGHT_SERVICE": "user", "MESHWRIGHT_GRACE": text})


def test_a_service_knows_consul_by_consuls_own_variables() -> None:
    config = load_config(ServiceConfig, {"MESHWRIGHT_SERVICE": "user", "CONSUL_HTTP_ADDR": "consul:8500"})
    assert config.consul == ConsulConfig(address="consul:8500")
    assert config.control_planes == (Address("127.0.0.1", 18000),)


@pytest.mark.parametrize("text", ["", "host", ":80", "host:", "host:x", "host:65536"])
def test_an_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected host:port"):
        Address.parse(text)


@pytest.mark.parametrize("text", ["127.0.0.1:80", "[::1]:443", "user.default.svc:1"])
def test_an_address_reads_back_as_it_was_written(text: str) -> None:
    assert str(Address.parse(text)) == text
