"""What RE2 takes and what it does not."""

from __future__ import annotations

import pytest

from meshwright.controlplane.model import expressions


@pytest.mark.parametrize(
    "pattern",
    [
        *(
            "",
            "/demo[.]user[.].*",
            "a|b",
            "[0-9]{1,3}",
            "(?i)x",
            "a(?i)b",
            "(?i:x)y",
            "(?U)a+",
            "(?P<name>x)",
            r"\d\w\s",
        ),
        *(
            r"\pL",
            r"\p{Greek}+",
            "[[:alpha:]]",
            "[[:^digit:]x]",
            r"x\z",
            r"\Qa+b\E",
            r"\\1",
            r"a\\Z",
            "a{1000}",
            "[[a]",
        ),
        *("a+?", "(?s).*", r"\x{10FFFF}", "(?im-s)x"),
        *(r"\*+", r"a\++", "[*+]+", "[(?=]", r"[\]+]+", "[]+]+"),
    ],
)
def test_what_re2_takes_passes(pattern: str) -> None:
    assert expressions.problem(pattern) is None


@pytest.mark.parametrize(
    "pattern",
    [
        *(
            "(?=x)",
            "(?!x)",
            "(?<=x)y",
            "(?<!x)y",
            r"(a)\1",
            "(?P<n>x)(?P=n)",
            "(?>x)",
            "a++",
            "a*+",
            "a{1001}",
            "a{2,2000}",
        ),
        *("(?x)a b", "(?a)x", "(?iu)x", "(?-x:y)", "[a]++", r"\)*+"),
        *("(", "a)", "[", "*a", "a**", r"x\Z", "(?#no)"),
    ],
)
def test_what_re2_refuses_is_found(pattern: str) -> None:
    assert expressions.problem(pattern)
