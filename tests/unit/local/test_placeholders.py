from __future__ import annotations

import pytest

from meshwright.local.topology.placeholders import UnknownNameError, expand

VALUES = {"port": "80", "cart.address": "127.0.0.1:80", "empty": ""}
ENVIRONMENT = {"HOME": "/home/ada", "port": "99", "TRICK": "${port}"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("${port}", "80"),
        ("curl ${cart.address}/x", "curl 127.0.0.1:80/x"),
        ("${HOME}/x", "/home/ada/x"),
        ("${nothing:-else}", "else"),
        ("${empty:-else}", "else"),
        ("${nothing:-sqlite:///${HOME}/x.db}", "sqlite:////home/ada/x.db"),
        ("${nothing:-}", ""),
        ("$$port $${port}", "$port ${port}"),
        ("$HOME and { }", "$HOME and { }"),
        ("${TRICK}", "${port}"),
    ],
)
def test_placeholders_are_filled_in(text: str, expected: str) -> None:
    assert expand(text, VALUES, ENVIRONMENT) == expected


def test_an_unknown_name_is_refused_with_what_comes_near() -> None:
    with pytest.raises(UnknownNameError, match=r"nothing is called \$\{prt\}; did you mean \$\{port\}\?"):
        expand("${prt}", VALUES, ENVIRONMENT)
    with pytest.raises(UnknownNameError, match=r"nothing is called \$\{xyz\}; it is not in the environment either"):
        expand("${xyz}", VALUES, ENVIRONMENT)
