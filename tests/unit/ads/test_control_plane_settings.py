"""What the control plane's environment may say."""

from __future__ import annotations

import pytest

from meshwright.config import load_config
from meshwright.controlplane import ControlPlaneConfig
from meshwright.errors import ValidationError

PREFIX = "MESHWRIGHT_CONTROLPLANE_"


def test_the_defaults_are_the_documented_addresses() -> None:
    config = load_config(ControlPlaneConfig, {})
    assert (config.host, config.port, config.debug_port) == ("127.0.0.1", 18000, 18001)
    assert config.consul.address == "127.0.0.1:8500"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PORT", "xds", "MESHWRIGHT_CONTROLPLANE_PORT: expected an integer, not 'xds'"),
        ("PORT", "70000", "MESHWRIGHT_CONTROLPLANE_PORT: expected a number from 0 to 65535, not 70000"),
        ("DEBOUNCE_MS", "-1", "MESHWRIGHT_CONTROLPLANE_DEBOUNCE_MS: expected a number from 0 to 5000, not -1"),
        ("RECOVERY_SECONDS", "nan", "MESHWRIGHT_CONTROLPLANE_RECOVERY_SECONDS: expected a number, not 'nan'"),
    ],
)
def test_a_value_that_cannot_be_meant_is_named(name: str, value: str, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        load_config(ControlPlaneConfig, {PREFIX + name: value})
    assert message in str(caught.value)
