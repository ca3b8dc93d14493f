"""What the chart calls its objects: names that Kubernetes takes whatever the release is called, and whole labels."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from support.kubernetes.chart import CHART, helm, parsed

if TYPE_CHECKING:
    from pathlib import Path

EVERYTHING = CHART / "ci" / "everything-values.yaml"
REPLICATED = CHART / "ci" / "replicated-values.yaml"
LONGEST = "a-release-whose-name-has-as-many-letters-as-helm-lets"
SHORT_LIMIT = {"StatefulSet": 52, "Service": 63, "Job": 63, "Pod": 63}
DIALLED = ("consul", "controlplane", "gateway", "jaeger", "nats", "postgresql")
PREFIX = "app.kubernetes.io/"


def objects(release: str, values: Path = EVERYTHING, namespace: str = "mesh", *more: str) -> list[dict[str, Any]]:
    done = helm("template", release, CHART, "--namespace", namespace, "--values", values, *more)
    assert done.returncode == 0, done.stderr
    return parsed(done.stdout)


def names(documents: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [
        (each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"])
        for each in documents
        if each["apiVersion"] != "apiextensions.k8s.io/v1"
    ]


@pytest.mark.parametrize("release", ["mw", LONGEST, "2nd", "team.mesh", f"{'a.b-' * 13}c"])
@pytest.mark.parametrize("values", [EVERYTHING, REPLICATED], ids=lambda path: path.stem)
def test_kubernetes_takes_every_name_whatever_the_release_is_called(release: str, values: Path) -> None:
    documents = objects(release, values)
    found = names(documents)
    assert len(found) == len(set(found))
    for kind, _, name in found:
        assert len(name) <= SHORT_LIMIT.get(kind, 253), (kind, name)
        if not kind.startswith(("Cluster", "Role")):  # of rights: any segment of a path
            assert re.fullmatch("[a-z]([-a-z0-9]*[a-z0-9])?", name), (kind, name)


def test_two_long_names_that_begin_alike_stay_apart() -> None:
    ours, theirs = names(objects(LONGEST)), names(objects(f"{LONGEST[:-1]}x"))
    assert not set(ours) & set(theirs)


def test_an_address_leads_to_a_service_whatever_the_release_is_called() -> None:
    for release in ("mw", LONGEST, "team.mesh"):
        documents = objects(release)
        services = {each["metadata"]["name"] for each in documents if each["kind"] == "Service"}
        text = yaml.safe_dump(documents, width=10_000)
        used = set(re.findall(rf"([a-z0-9.-]+-(?:{'|'.join(DIALLED)})):\d+", text))
        assert len(used) == len(DIALLED)
        assert used <= services


def test_cluster_scoped_names_carry_the_namespace() -> None:
    ours, theirs = (names(objects("mw", REPLICATED, namespace)) for namespace in ("one", "two"))
    cluster = {each for each in ours if each[0].startswith("Cluster")}
    assert cluster
    assert not cluster & set(theirs)


def test_a_name_can_be_given() -> None:
    found = names(objects("mw", EVERYTHING, "mesh", "--set", "fullnameOverride=shop"))
    assert {name.split("-")[0] for _, _, name in found} == {"shop"}


def test_every_object_has_the_recommended_labels_and_a_selector_never_changes() -> None:
    for each in objects("mw"):
        if each["apiVersion"].startswith("apiextensions"):
            continue
        labels = each["metadata"]["labels"]
        if labels[f"{PREFIX}name"] == "stranger":  # what the policies keep out has no label of the release
            continue
        assert labels["helm.sh/chart"] == "meshwright-0.1.0", each["kind"]
        assert labels[f"{PREFIX}instance"] == "mw"
        assert labels[f"{PREFIX}managed-by"] == "Helm"
        assert labels[f"{PREFIX}part-of"] == "meshwright"
        assert {f"{PREFIX}name", f"{PREFIX}component", f"{PREFIX}version"} <= labels.keys()
        if each["kind"] in ("Deployment", "StatefulSet", "DaemonSet"):
            selector = each["spec"]["selector"]["matchLabels"]
            assert selector == {f"{PREFIX}name": labels[f"{PREFIX}name"], f"{PREFIX}instance": "mw"}
            assert selector.items() <= each["spec"]["template"]["metadata"]["labels"].items()


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("registry.example:5000/consul:1.20.1", "1.20.1"),
        ("registry.example:5000/consul", "0.1.0"),
        (f"consul:1.20.1@sha256:{'a' * 64}", "1.20.1"),
        (f"consul@sha256:{'a' * 64}", "0.1.0"),
    ],
)
def test_the_version_label_is_the_images_tag(image: str, version: str) -> None:
    documents = objects("mw", EVERYTHING, "mesh", "--set", f"consul.image={image}")
    (consul,) = [
        each for each in documents if each["kind"] == "StatefulSet" and each["metadata"]["name"] == "mw-consul"
    ]
    assert consul["metadata"]["labels"][f"{PREFIX}version"] == version
