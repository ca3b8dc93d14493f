"""Objects of the Gateway API, checked by the schemas of its own CRDs, which no Python package has.

The CRDs are read from the cluster that KUBECONFIG names, or from a checkout that GATEWAY_API_CRDS names (the folder
config/crd/standard of kubernetes-sigs/gateway-api); where neither is, the test says so and skips.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from support.kubectl import KUBECTL

PLURALS = {"Gateway": "gateways", "HTTPRoute": "httproutes", "GRPCRoute": "grpcroutes"}
GROUP = "gateway.networking.k8s.io"


def violations(document: dict[str, Any]) -> list[str]:
    """What the API server would refuse about the object's shape, unknown keys included."""
    version = document["apiVersion"].rpartition("/")[2]
    validator = jsonschema.Draft202012Validator(_schema(document["kind"], version))
    return [f"{'/'.join(map(str, error.path))}: {error.message}" for error in validator.iter_errors(document)]


@functools.cache
def _schema(kind: str, version: str) -> dict[str, Any]:
    definition = _definition(PLURALS[kind])
    (found,) = [each for each in definition["spec"]["versions"] if each["name"] == version]
    schema: dict[str, Any] = _closed(found["schema"]["openAPIV3Schema"])
    schema["properties"] |= {"metadata": {"type": "object"}, "apiVersion": {}, "kind": {}}
    return schema


def _definition(plural: str) -> dict[str, Any]:
    if folder := os.environ.get("GATEWAY_API_CRDS"):
        text = (Path(folder) / f"{GROUP}_{plural}.yaml").read_text("utf-8")
        found: dict[str, Any] = yaml.safe_load(text)
        return found
    if not KUBECTL or "KUBECONFIG" not in os.environ:
        pytest.skip("no CRDs of the Gateway API: name a cluster (KUBECONFIG) or a folder (GATEWAY_API_CRDS)")
    command = [KUBECTL, "get", "crd", f"{plural}.{GROUP}", "--output=json", "--request-timeout=10s"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    if done.returncode != 0:
        pytest.skip(f"no CRDs of the Gateway API on the cluster: {done.stderr.strip()}")
    answered: dict[str, Any] = json.loads(done.stdout)
    return answered


def _closed(schema: Any) -> Any:
    """As the API server with `--validate=strict` reads it: keys that it does not know are refused."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        made.setdefault("additionalProperties", False)
    return made
