from __future__ import annotations

from pathlib import Path

import pytest

from meshwright.process import program_name
from meshwright.telemetry import own_config


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["/srv/shop/report.py"], "report"),
        (["/usr/bin/billing"], "billing"),
        (["/srv/shop/billing/__main__.py"], "billing"),
        (["/usr/bin/uvicorn", "weather:app"], "weather"),
        (["/usr/bin/uvicorn", "--host", "localhost:8000", "weather.asgi:application"], "weather"),
        (["/usr/lib/python3/uvicorn/__main__.py", "shop.web:make()"], "shop"),
        (["/usr/bin/gunicorn", "-b", "0.0.0.0:8000", "shop.wsgi:application"], "shop"),
        (["/usr/bin/uvicorn", "main:app"], "folder"),
        (["/usr/bin/flask", "run"], "folder"),
        (["/usr/bin/flask", "--app", "shop", "run"], "shop"),
        (["/usr/bin/flask", "--app=shop.web:make('x')", "run", "--port", "5001"], "shop"),
        (["/usr/bin/flask", "-A", "shop.py", "run"], "shop"),
        (["/usr/bin/flask", "--app", "app", "run"], "folder"),
        (["/usr/bin/celery", "-A", "billing", "worker"], "billing"),
        (["manage.py", "runserver", "127.0.0.1:8000"], "folder"),
        (["/usr/lib/python3/ipykernel_launcher.py", "-f", "kernel.json"], "folder"),
        (["-c"], "folder"),
        ([""], "folder"),
        ([], "folder"),
        (["main.py"], "folder"),
    ],
)
def test_a_program_is_named_by_its_own_code_and_not_by_what_runs_it(arguments: list[str], name: str) -> None:
    assert program_name(arguments, Path("/srv/folder")) == name


def test_a_name_that_opentelemetry_was_given_is_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MESHWRIGHT_SERVICE", raising=False)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "storefront")
    assert own_config().service == "storefront"
    monkeypatch.setenv("MESHWRIGHT_SERVICE", "shop")
    assert own_config().service == "shop"
