"""Where secret values come from: an existing Secret, a value in clear, or the setup Job; no render needs a cluster."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from meshwright_operator.setup import job
from meshwright_operator.setup.cluster import SetupCluster
from meshwright_operator.setup.plan import Plan, parse_plan
from support.kubernetes.chart import CHART, helm, parsed
from support.kubernetes.setup_api import NAMESPACE, setup_api

TEMPLATES = sorted((CHART / "templates").glob("*"))
Document = dict[str, Any]


def rendered(*settings: str) -> list[Document]:
    sets = [part for setting in settings for part in ("--set", setting)]
    done = helm("template", "meshwright", CHART, "--namespace", "mesh", "--kube-version", "1.34.0", *sets)
    assert done.returncode == 0, done.stderr
    return parsed(done.stdout)


def one(documents: list[Document], kind: str, name: str) -> Document:
    (found,) = [each for each in documents if each["kind"] == kind and each["metadata"]["name"] == name]
    return found


def secrets(documents: list[Document]) -> set[str]:
    return {each["metadata"]["name"] for each in documents if each["kind"] == "Secret"}


def pod(documents: list[Document], name: str, kind: str = "Deployment") -> Document:
    found: Document = one(documents, kind, f"meshwright-{name}")["spec"]["template"]
    return found


def from_secrets(documents: list[Document], name: str, kind: str = "Deployment") -> dict[str, tuple[str, str]]:
    """Variable -> Secret and key."""
    entries = pod(documents, name, kind)["spec"]["containers"][0]["env"]
    refs = {each["name"]: each["valueFrom"].get("secretKeyRef") for each in entries if "valueFrom" in each}
    return {name: (ref["name"], ref["key"]) for name, ref in refs.items() if ref}


def variables(documents: list[Document], name: str) -> dict[str, str]:
    entries = pod(documents, name)["spec"]["containers"][0]["env"]
    assert len({each["name"] for each in entries}) == len(entries), "each variable once"
    return {each["name"]: each["value"] for each in entries if "value" in each}


def setup_job(documents: list[Document]) -> Document:
    (found,) = [
        each
        for each in documents
        if each["kind"] == "Job" and each["metadata"]["labels"]["app.kubernetes.io/name"] == "setup"
    ]
    return found


def plan(documents: list[Document]) -> Plan:
    (entry,) = setup_job(documents)["spec"]["template"]["spec"]["containers"][0]["env"]
    return parse_plan(entry["value"])


def test_two_renders_are_the_same_to_the_byte() -> None:
    first, second = (helm("template", "meshwright", CHART, "--namespace", "mesh").stdout for _ in range(2))
    assert first == second
    assert "meshwright-setup" in first


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_no_template_is_random(template):
    words = r"\b(lookup|rand\w+|gen(CA|SelfSigned|Signed|Private)\w*|uuidv4|now|htpasswd|bcrypt)\b"
    actions = re.findall(r"\{\{(.*?)\}\}", template.read_text("utf-8"), re.DOTALL)
    code = [each for each in actions if not each.strip("- ").startswith("/*")]
    assert [each for each in code if re.search(words, each)] == []


def test_by_default_passwords_are_the_setup_jobs_to_make_and_no_secret_is_rendered() -> None:
    documents = rendered()
    assert secrets(documents) == set()
    assert plan(documents).secrets == {
        "meshwright-database": ("password",),
        "meshwright-gateway": ("operatorPassword",),
    }
    assert from_secrets(documents, "user") == {"PGPASSWORD": ("meshwright-database", "password")}
    assert from_secrets(documents, "postgresql", "StatefulSet") == {
        "POSTGRES_PASSWORD": ("meshwright-database", "password")
    }
    assert from_secrets(documents, "gateway")["GATEWAY_OPERATOR_PASSWORD"] == ("meshwright-gateway", "operatorPassword")
    url = variables(documents, "user")["USER_DATABASE_URL"]
    assert url == "postgresql://meshwright@meshwright-postgresql:5432/demo"


def test_a_value_in_clear_is_a_secret_of_the_release() -> None:
    documents = rendered("database.password=clear", "demo.operatorPassword=clear-as-day")
    assert secrets(documents) == {"meshwright-database", "meshwright-gateway"}
    assert plan(documents).secrets == {}


def test_nothing_that_exists_already_is_rendered_or_made() -> None:
    settings = ("database.existingSecret=mine", "database.passwordKey=pg", "demo.existingSecret=ours")
    documents = rendered(*settings)
    assert secrets(documents) == set()
    assert plan(documents).secrets == {}
    assert from_secrets(documents, "user") == {"PGPASSWORD": ("mine", "pg")}
    assert from_secrets(documents, "postgresql", "StatefulSet") == {"POSTGRES_PASSWORD": ("mine", "pg")}
    assert from_secrets(documents, "gateway")["GATEWAY_OPERATOR_PASSWORD"] == ("ours", "operatorPassword")


@pytest.mark.parametrize(
    ("settings", "refs", "url"),
    [
        (("database.existingSecret=db",), {"USER_DATABASE_URL": ("db", "url")}, None),
        (("database.existingSecret=db", "database.urlKey=dsn"), {"USER_DATABASE_URL": ("db", "dsn")}, None),
        (
            ("database.existingSecret=db", "database.url=postgresql://u@h/demo"),
            {"PGPASSWORD": ("db", "password")},
            "postgresql://u@h/demo",
        ),
        (("database.url=postgresql://u:p@h/demo",), {"USER_DATABASE_URL": ("meshwright-database", "url")}, None),
    ],
    ids=["the whole URL", "under another key", "the password alone", "in clear"],
)
def test_an_external_database_is_secret_as_a_whole_or_by_its_password(
    settings: tuple[str, ...], refs: dict[str, tuple[str, str]], url: str | None
) -> None:
    documents = rendered("database.mode=external", *settings)
    assert from_secrets(documents, "user") == refs
    assert variables(documents, "user").get("USER_DATABASE_URL") == url


@pytest.mark.parametrize(
    ("settings", "component", "variable", "place"),
    [
        (("nats.existingSecret=bus",), "user", "NATS_URL", ("bus", "url")),
        (("nats.existingSecret=bus", "nats.urlKey=dsn"), "gateway", "NATS_URL", ("bus", "dsn")),
        (("jaeger.headers.existingSecret=t",), "user", "OTEL_EXPORTER_OTLP_HEADERS", ("t", "headers")),
        (("jaeger.headers.existingSecret=t",), "controlplane", "OTEL_EXPORTER_OTLP_HEADERS", ("t", "headers")),
        (("demo.keyPassphrase.existingSecret=k",), "gateway", "GATEWAY_KEY_PASSPHRASE", ("k", "passphrase")),
        (
            ("demo.social.issuer=https://login.example", "demo.social.clientId=me", "demo.social.existingSecret=s"),
            "gateway",
            "GATEWAY_SOCIAL_CLIENT_SECRET",
            ("s", "clientSecret"),
        ),
        (
            ("components.user.secrets.FOO.existingSecret=x", "components.user.secrets.FOO.key=y"),
            "user",
            "FOO",
            ("x", "y"),
        ),
    ],
)
def test_other_secret_values_come_from_secrets_too(
    settings: tuple[str, ...], component: str, variable: str, place: tuple[str, str]
) -> None:
    documents = rendered(*settings)
    assert from_secrets(documents, component)[variable] == place
    assert variable not in variables(documents, component)
    assert variable not in from_secrets(rendered(), component)


def test_a_components_own_variable_wins_over_a_secret() -> None:
    documents = rendered("components.gateway.env.GATEWAY_OPERATOR_PASSWORD=mine-and-mine")
    assert "GATEWAY_OPERATOR_PASSWORD" not in from_secrets(documents, "gateway")
    assert variables(documents, "gateway")["GATEWAY_OPERATOR_PASSWORD"] == "mine-and-mine"


def test_consuls_token_and_certificates_are_files_of_each_of_its_clients() -> None:
    documents = rendered(
        "consul.external=consul.infra:8501",
        "consul.token.existingSecret=acl",
        "consul.token.keys.operator=operator-token",
        "consul.tls.enabled=true",
        "consul.tls.serverName=server.dc1.consul",
        "consul.tls.ca.existingSecret=ca",
        "consul.tls.client.existingSecret=cert",
    )
    for name in ("user", "gateway", "controlplane", "operator"):
        found = variables(documents, name)
        assert {key: text for key, text in found.items() if key.startswith("CONSUL_")} == {
            "CONSUL_HTTP_ADDR": "consul.infra:8501",
            "CONSUL_HTTP_SSL": "true",
            "CONSUL_TLS_SERVER_NAME": "server.dc1.consul",
            "CONSUL_HTTP_TOKEN_FILE": "/etc/meshwright/consul/token",
            "CONSUL_CACERT": "/etc/meshwright/consul/ca.crt",
            "CONSUL_CLIENT_CERT": "/etc/meshwright/consul/tls.crt",
            "CONSUL_CLIENT_KEY": "/etc/meshwright/consul/tls.key",
        }, name
        spec = pod(documents, name)["spec"]
        (volume,) = [each for each in spec["volumes"] if each["name"] == "consul"]
        files = {
            item["path"]: (each["secret"]["name"], item["key"])
            for each in volume["projected"]["sources"]
            for item in each["secret"]["items"]
        }
        token = "operator-token" if name == "operator" else "token"
        assert files == {
            "token": ("acl", token),
            "ca.crt": ("ca", "ca.crt"),
            "tls.crt": ("cert", "tls.crt"),
            "tls.key": ("cert", "tls.key"),
        }
        mounts = spec["containers"][0]["volumeMounts"]
        assert {"name": "consul", "mountPath": "/etc/meshwright/consul", "readOnly": True} in mounts
    assert "consul" not in [each["name"] for each in pod(documents, "jaeger")["spec"]["volumes"]]


def test_prometheus_shows_consul_the_same_token_and_certificates() -> None:
    documents = rendered(
        "prometheus.enabled=true",
        "consul.external=consul.infra:8501",
        "consul.token.existingSecret=acl",
        "consul.tls.enabled=true",
        "consul.tls.ca.existingSecret=ca",
    )
    config = yaml.safe_load(one(documents, "ConfigMap", "meshwright-prometheus")["data"]["prometheus.yml"])
    (services,) = [each for each in config["scrape_configs"] if each["job_name"] == "services"]
    assert services["consul_sd_configs"] == [
        {
            "server": "consul.infra:8501",
            "scheme": "https",
            "authorization": {"credentials_file": "/etc/meshwright/consul/token"},
            "tls_config": {"ca_file": "/etc/meshwright/consul/ca.crt"},
        }
    ]
    assert "consul" in [each["name"] for each in pod(documents, "prometheus")["spec"]["volumes"]]


def test_pods_restart_by_what_they_read_and_never_by_a_made_password() -> None:
    def checksum(name: str, *settings: str) -> str:
        found: str = pod(rendered(*settings), name)["metadata"]["annotations"]["checksum/config"]
        return found

    assert checksum("user") == checksum("user", "demo.operatorPassword=not-for-users")
    assert checksum("user") != checksum("user", "database.password=clear")
    assert checksum("user", "database.password=a") != checksum("user", "database.password=b")
    assert checksum("user") != checksum("user", "database.existingSecret=mine")
    assert checksum("gateway") != checksum("gateway", "demo.operatorPassword=another-one")


def test_the_job_has_another_name_whenever_it_is_another_job_and_fits_each_tool() -> None:
    names = {
        setup_job(rendered(*each))["metadata"]["name"]
        for each in ((), ("image.tag=v2",), ("demo.existingSecret=mine",), ("consul.storage=2Gi",))
    }
    assert len(names) == 4
    assert all(len(name) <= 63 for name in names)
    hooks = [each for each in rendered() if each["metadata"].get("labels", {}).get("app.kubernetes.io/name") == "setup"]
    assert {each["kind"] for each in hooks} >= {"ServiceAccount", "Role", "RoleBinding", "Job"}
    for each in hooks:
        if each["kind"] == "NetworkPolicy":
            continue
        annotations = each["metadata"]["annotations"]
        assert annotations["helm.sh/hook"] == "pre-install,pre-upgrade"
        assert annotations["argocd.argoproj.io/hook"] == "PreSync"
        weight = int(annotations["helm.sh/hook-weight"])
        assert str(weight) == annotations["argocd.argoproj.io/sync-wave"]
        assert (weight == -10) is (each["kind"] == "Job"), "after what it needs"


def test_where_nothing_is_to_be_made_or_checked_there_is_no_job() -> None:
    documents = rendered("demo.existingSecret=a", "database.existingSecret=b", "persistence.check=false")
    assert [each for each in documents if each["kind"] == "Job" and "setup" in each["metadata"]["name"]] == []


def test_the_plan_has_each_stateful_set_with_the_volume_that_it_gets() -> None:
    settings = ("persistence.storageClass=fast", "nats.storageClass=slow", "consul.storage=")
    documents = rendered(*settings)
    told = {each.name: (each.size, each.storage_class) for each in plan(documents).volumes}
    assert told == {
        "meshwright-consul": ("", "fast"),
        "meshwright-nats": ("1Gi", "slow"),
        "meshwright-postgresql": ("1Gi", "fast"),
    }
    for name, (size, storage_class) in told.items():
        found = job.claim(one(documents, "StatefulSet", name))
        assert found == ((size, storage_class) if size else ("", ""))
    assert all(each.size == "" for each in plan(rendered("persistence.enabled=false")).volumes)


def _granted(documents: list[Document]) -> set[tuple[str, str, str, str]]:
    """(group, resource, verb, name), the name `*` where any is meant."""
    return {
        (group, resource, verb, name)
        for rule in one(documents, "Role", "meshwright-setup")["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for name in rule.get("resourceNames", ["*"])
    }


def _right(method: str, path: str) -> tuple[str, str, str, str]:
    parts = path.strip("/").split("/")
    group = "" if parts[0] == "api" else parts[1]
    resource, *name = parts[parts.index(NAMESPACE) + 1 :]
    verb = {"GET": "get", "POST": "create", "PATCH": "patch"}[method]
    return group, resource, verb, name[0] if name else "*"


async def test_the_job_may_do_what_it_does_and_nothing_else() -> None:
    documents = rendered()
    wanted = plan(documents)
    async with setup_api() as (server, config), SetupCluster(config) as cluster:
        server.put("meshwright-gateway", other="b2xk")
        await job.make_secrets(cluster, wanted)
        server.secrets["meshwright-database"]["metadata"]["annotations"] = {}
        await job.make_secrets(cluster, wanted)
        await job.check_volumes(cluster, wanted)
        asked = {_right(*each) for each in server.asked}
    assert asked == _granted(documents)


def test_the_notes_say_what_was_chosen() -> None:
    def notes(*settings: str) -> str:
        sets = [part for setting in settings for part in ("--set", setting)]
        done = helm("install", "mine", CHART, "--namespace", "mesh", "--dry-run=client", *sets)
        assert done.returncode == 0, done.stderr
        return done.stdout[done.stdout.index("NOTES:") :]

    said = notes("consul.storage=5Gi", "nats.storage=")
    assert "consul 5Gi of the cluster's default StorageClass" in said
    assert "postgresql 1Gi" in said
    assert "Without a volume: nats." in said
    assert "in Secret mine-database, mine-gateway" in said
    assert "Volumes:" not in notes("persistence.enabled=false")
    assert "of fast" in notes("persistence.storageClass=fast")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("consul.storage=banana", "/consul/storage"),
        ("persistence.whenDeleted=Maybe", "/persistence/whenDeleted"),
        ("persistence.enabled=auto", "/persistence/enabled"),
        ("database.existingSecret=Not_A_Name", "/database/existingSecret"),
        ("consul.token.keys.usr=x", "at '/consul/token/keys': additional properties 'usr'"),
        ("consul.tls.cert.existingSecret=x", "additional properties 'cert' not allowed"),
        (
            "networkPolicy.extra.gatway.egress[0].ports[0].port=1",
            "at '/networkPolicy/extra': additional properties 'gatway'",
        ),
        ("components.user.secrets.FOO=plain", "/components/user/secrets/FOO"),
    ],
)
def test_a_secret_or_volume_that_cannot_be_is_refused_by_its_name(setting: str, words: str) -> None:
    done = helm("template", "meshwright", CHART, "--set", setting)
    assert done.returncode != 0
    assert words in done.stderr


def test_the_plan_is_json_that_the_chart_quotes_whole() -> None:
    (entry,) = setup_job(rendered())["spec"]["template"]["spec"]["containers"][0]["env"]
    assert json.loads(entry["value"])["annotations"] == {
        "meta.helm.sh/release-name": "meshwright",
        "meta.helm.sh/release-namespace": "mesh",
    }
