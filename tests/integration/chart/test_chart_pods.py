"""What values make of pods: numbers as they were written, and settings of all pods and of each component."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from support.kubernetes.chart import manifests, template, the

if TYPE_CHECKING:
    from pathlib import Path

Objects = list[dict[str, Any]]
WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")
BIG = 1048576


def pod(documents: Objects, name: str, kind: str = "Deployment") -> dict[str, Any]:
    found: dict[str, Any] = the(documents, kind, name)["spec"]["template"]
    return found


def spec(documents: Objects, name: str, kind: str = "Deployment") -> dict[str, Any]:
    found: dict[str, Any] = pod(documents, name, kind)["spec"]
    return found


def variables(documents: Objects, name: str) -> dict[str, dict[str, Any]]:
    env = spec(documents, name)["containers"][0]["env"]
    assert len(env) == len({each["name"] for each in env}), "a variable twice"
    return {each["name"]: each for each in env}


def every_pod(documents: Objects) -> list[dict[str, Any]]:
    """Templates of workloads and of Jobs, and bare pods."""
    found = [each for each in documents if each["kind"] == "Pod"]
    return found + [each["spec"]["template"] for each in documents if each["kind"] in (*WORKLOADS, "Job")]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("1048576", "1048576"),
        ("12345678901", "12345678901"),
        ("'007'", "007"),
        ("0", "0"),
        ("-1", "-1"),
        ("0.25", "0.25"),
        ("true", "true"),
        ("false", "false"),
        ("1e6", "1000000"),
        ("'{{ .Release.Name }}'", "meshwright"),
    ],
)
def test_a_number_in_a_values_file_is_written_as_it_is(value: str, text: str, tmp_path: Path) -> None:
    documents = manifests(f"components: {{user: {{env: {{OTEL_BSP_MAX_QUEUE_SIZE: {value}}}}}}}", tmp_path)
    assert variables(documents, "user")["OTEL_BSP_MAX_QUEUE_SIZE"]["value"] == text


@pytest.mark.parametrize("flag", ["--set", "--set-json", "--set-string"])
def test_a_big_number_on_the_command_line_is_written_as_it_is(flag: str, tmp_path: Path) -> None:
    value = f'"{BIG}"' if flag == "--set-string" else str(BIG)
    documents = manifests({}, tmp_path, flag, f"components.user.env.A_SIZE={value.strip(chr(34))}")
    assert variables(documents, "user")["A_SIZE"]["value"] == str(BIG)


def test_a_big_user_id_stays_a_number(tmp_path: Path) -> None:
    documents = manifests({"components": {"user": {"uid": 1000740000}}}, tmp_path)
    assert spec(documents, "user")["securityContext"]["runAsUser"] == 1000740000
    assert spec(documents, "chat")["securityContext"]["runAsUser"] == 10001


def test_no_replicas_are_none(tmp_path: Path) -> None:
    names = ("controlplane", "user", "gateway", "jaeger", "prometheus")
    values = {
        "components": {name: {"replicas": 0} for name in names},
        "consul": {"replicas": 0},
        "nats": {"replicas": 0},
        "operator": {"replicas": 0},
        "prometheus": {"enabled": True},
    }
    documents = manifests(values, tmp_path)
    for name in (*names, "operator"):
        found = the(documents, "Deployment", name)
        written = found["metadata"].get("annotations", {}).get("meshwright.dev/replicas")
        assert found["spec"].get("replicas", written) in (0, "0"), name
    for name in ("consul", "nats"):
        assert the(documents, "StatefulSet", name)["spec"]["replicas"] == 0, name
    assert variables(documents, "user")["NATS_STREAM_REPLICAS"]["value"] == "1"


def test_replicas_that_are_decided_elsewhere_are_not_written(tmp_path: Path) -> None:
    documents = manifests({"components": {"user": {"replicas": None}}}, tmp_path)
    assert "replicas" not in the(documents, "Deployment", "user")["spec"]
    assert "annotations" not in the(documents, "Deployment", "user")["metadata"]
    assert "meshwright-user" not in [
        each["metadata"]["name"] for each in documents if each["kind"] == "PodDisruptionBudget"
    ]


def test_what_holds_for_all_pods_holds_for_those_of_hooks_and_tests_too(tmp_path: Path) -> None:
    toleration = {"key": "mesh", "operator": "Exists"}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}}
    values = {
        "imagePullSecrets": [{"name": "registry"}],
        "prometheus": {"enabled": True},
        "consul": {"client": True},
        "defaults": {
            "nodeSelector": {"disk": "ssd"},
            "tolerations": [toleration],
            "affinity": affinity,
            "priorityClassName": "mesh-high",
            "podLabels": {"team": "mesh"},
            "podAnnotations": {"note": "mesh"},
            "podSecurityContext": {"fsGroupChangePolicy": "OnRootMismatch"},
            "securityContext": {"privileged": False},
        },
    }
    pods = every_pod(manifests(values, tmp_path))
    assert len(pods) > 15
    for each in pods:
        found = each["spec"]
        assert found["imagePullSecrets"] == [{"name": "registry"}]
        assert found["nodeSelector"] == {"disk": "ssd"}
        assert found["tolerations"] == [toleration]
        assert found["affinity"] == affinity
        assert found["priorityClassName"] == "mesh-high"
        labels = each["metadata"]["labels"]
        # The stranger of `helm test` has no label of the release, on purpose.
        assert labels.get("team") == "mesh" or labels["app.kubernetes.io/name"] == "stranger"
        assert each["metadata"]["annotations"]["note"] == "mesh"
        assert found["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch"
        assert found["securityContext"]["runAsNonRoot"] is True
        assert found["containers"][0]["securityContext"]["privileged"] is False
        assert found["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True


def test_a_component_wins_over_what_holds_for_all(tmp_path: Path) -> None:
    own = {"key": "own", "operator": "Exists"}
    values = {
        "defaults": {
            "nodeSelector": {"disk": "ssd", "zone": "a"},
            "tolerations": [{"key": "mesh", "operator": "Exists"}],
            "priorityClassName": "low",
            "podLabels": {"team": "mesh", "tier": "back"},
            "terminationGracePeriodSeconds": 40,
            "extraEnv": [{"name": "SHARED", "value": "all"}, {"name": "BOTH", "value": "all"}],
            "extraVolumes": [{"name": "certs", "secret": {"secretName": "all"}}],
            "extraVolumeMounts": [{"name": "certs", "mountPath": "/certs"}],
        },
        "components": {
            "user": {
                "nodeSelector": {"zone": "b", "disk": None},
                "tolerations": [own],
                "priorityClassName": "high",
                "podLabels": {"tier": "front"},
                "terminationGracePeriodSeconds": 90,
                "env": {"FROM_MAP": "x", "OVER": "map"},
                "extraEnv": [
                    {"name": "BOTH", "value": "own"},
                    {"name": "OVER", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
                ],
                "extraEnvFrom": [{"configMapRef": {"name": "flags"}}],
                "extraVolumes": [{"name": "certs", "secret": {"secretName": "own"}}],
                "imagePullSecrets": [{"name": "own"}],
                "topologySpreadConstraints": [],
                "securityContext": {"readOnlyRootFilesystem": False},
            }
        },
    }
    documents = manifests(values, tmp_path)
    user, chat = spec(documents, "user"), spec(documents, "chat")
    assert user["nodeSelector"] == {"zone": "b"}
    assert chat["nodeSelector"] == {"disk": "ssd", "zone": "a"}
    assert user["tolerations"] == [{"key": "mesh", "operator": "Exists"}, own]
    assert (user["priorityClassName"], chat["priorityClassName"]) == ("high", "low")
    assert (user["terminationGracePeriodSeconds"], chat["terminationGracePeriodSeconds"]) == (90, 40)
    labels = pod(documents, "user")["metadata"]["labels"]
    assert (labels["team"], labels["tier"]) == ("mesh", "front")
    found = variables(documents, "user")
    assert (found["SHARED"]["value"], found["BOTH"]["value"], found["FROM_MAP"]["value"]) == ("all", "own", "x")
    assert found["OVER"] == {"name": "OVER", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}
    assert variables(documents, "chat")["BOTH"]["value"] == "all"
    assert user["containers"][0]["envFrom"] == [{"configMapRef": {"name": "flags"}}]
    assert {"name": "certs", "secret": {"secretName": "own"}} in user["volumes"]
    assert {"name": "certs", "secret": {"secretName": "all"}} in chat["volumes"]
    assert {"name": "certs", "mountPath": "/certs"} in user["containers"][0]["volumeMounts"]
    assert user["imagePullSecrets"] == [{"name": "own"}]
    assert "topologySpreadConstraints" not in user
    (spread,) = chat["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchLabels"]["app.kubernetes.io/name"] == "chat"
    assert user["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is False


def test_a_cluster_that_gives_user_ids_gets_none_from_the_chart(tmp_path: Path) -> None:
    none = dict.fromkeys(("runAsUser", "runAsGroup", "fsGroup"))
    documents = manifests({"defaults": {"podSecurityContext": none}}, tmp_path)
    for each in every_pod(documents):
        assert each["spec"]["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def test_an_image_may_be_named_by_its_digest(tmp_path: Path) -> None:
    digest = f"sha256:{'0' * 64}"
    values = {
        "image": {"tag": "", "digest": digest},
        "components": {"user": {"image": f"example.org/user@{digest}", "imagePullPolicy": "Always"}},
    }
    documents = manifests(values, tmp_path)
    chat, user = (spec(documents, name)["containers"][0] for name in ("chat", "user"))
    assert (chat["image"], chat["imagePullPolicy"]) == (f"localhost/meshwright@{digest}", "IfNotPresent")
    assert (user["image"], user["imagePullPolicy"]) == (f"example.org/user@{digest}", "Always")


def test_an_image_of_ones_own_keeps_what_a_service_of_the_mesh_needs(tmp_path: Path) -> None:
    documents = manifests({"components": {"user": {"image": "example.org/user:2"}}}, tmp_path)
    assert {"CONSUL_HTTP_ADDR", "MESHWRIGHT_XDS", "MESHWRIGHT_LOG_FORMAT"} <= variables(documents, "user").keys()
    assert "lifecycle" in spec(documents, "user")["containers"][0]
    postgresql = spec(documents, "postgresql", "StatefulSet")["containers"][0]
    assert "lifecycle" not in postgresql
    assert "CONSUL_HTTP_ADDR" not in [each["name"] for each in postgresql["env"]]


def test_a_component_may_run_as_an_account_of_its_own(tmp_path: Path) -> None:
    values = {
        "defaults": {"serviceAccountAnnotations": {"cloud/team": "mesh"}},
        "components": {
            "user": {"serviceAccount": {"create": True, "annotations": {"cloud/role": "user"}}},
            "chat": {"serviceAccount": {"name": "existing"}},
        },
    }
    documents = manifests(values, tmp_path)
    accounts = {each["metadata"]["name"]: each for each in documents if each["kind"] == "ServiceAccount"}
    assert spec(documents, "user")["serviceAccountName"] == "meshwright-user"
    assert accounts["meshwright-user"]["metadata"]["annotations"] == {"cloud/role": "user", "cloud/team": "mesh"}
    assert accounts["meshwright-plain"]["metadata"]["annotations"] == {"cloud/team": "mesh"}
    assert spec(documents, "chat")["serviceAccountName"] == "existing"
    assert "existing" not in accounts
    assert spec(documents, "order")["serviceAccountName"] == "meshwright-plain"
    assert spec(documents, "user")["automountServiceAccountToken"] is False
    assert spec(documents, "operator")["automountServiceAccountToken"] is True


def test_probes_of_a_component_win_over_the_charts(tmp_path: Path) -> None:
    values = {
        "components": {
            "user": {
                "readiness": {"periodSeconds": 1},
                "liveness": {"periodSeconds": 30},
                "startup": {"failureThreshold": 300},
            }
        }
    }
    container = spec(manifests(values, tmp_path), "user")["containers"][0]
    assert container["readinessProbe"] == {"grpc": {"port": 20000}, "periodSeconds": 1, "timeoutSeconds": 3}
    assert container["livenessProbe"]["periodSeconds"] == 30
    startup = {"tcpSocket": {"port": "grpc"}, "failureThreshold": 300, "periodSeconds": 2}
    assert container["startupProbe"] == startup


def test_a_startup_probe_may_ask_in_a_way_of_its_own(tmp_path: Path) -> None:
    values = {"components": {"user": {"startup": {"grpc": {"port": 20000}}}}}
    container = spec(manifests(values, tmp_path), "user")["containers"][0]
    assert container["startupProbe"] == {"grpc": {"port": 20000}, "failureThreshold": 60, "periodSeconds": 2}


def test_a_selectors_label_cannot_be_overwritten(tmp_path: Path) -> None:
    done = template({"defaults": {"podLabels": {"app.kubernetes.io/name": "x"}}}, tmp_path)
    assert done.returncode != 0
    assert "app.kubernetes.io/name" in done.stderr
