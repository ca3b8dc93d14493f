"""Thirty values files with one thing wrong: each is refused, and the message names the field."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.kubernetes.chart import template

if TYPE_CHECKING:
    from pathlib import Path

WRONG = [
    ("imge: {tag: '1'}", "imge"),
    ("image: {tag: latest image}", "/image/tag"),
    ("image: {digest: 'md5:abc'}", "/image/digest"),
    ("image: {pullPolicy: Sometimes}", "/image/pullPolicy"),
    ("imagePullSecrets: [registry]", "/imagePullSecrets/0"),
    ("consul: {replicas: 2}", "/consul/replicas"),
    ("consul: {replica: 3}", "replica"),
    ("consul: {storage: banana}", "/consul/storage"),
    ("nats: {replicas: three}", "/nats/replicas"),
    ("operator: {replicas: -1}", "/operator/replicas"),
    ("operator: {enabled: 'yes'}", "/operator/enabled"),
    ("database: {mode: mysql}", "/database/mode"),
    ("demo: {services: some}", "/demo/services"),
    ("demo: {publicUrl: mesh.example.org}", "/demo/publicUrl"),
    ("podDisruptionBudget: {maxUnavailable: 0}", "/podDisruptionBudget/maxUnavailable"),
    ("components: {usr: {replicas: 1}}", "usr"),
    ("components: {user: {replicas: three}}", "/components/user/replicas"),
    ("components: {user: {replicas: -1}}", "/components/user/replicas"),
    ("components: {user: {replicas: 1.5}}", "/components/user/replicas"),
    ("components: {user: {uid: 0}}", "/components/user/uid"),
    ("components: {postgresql: {storage: banana}}", "/components/postgresql/storage"),
    ("components: {user: {ports: {grpc: -1}}}", "/components/user/ports/grpc"),
    ("components: {user: {ports: {grpc: 70000}}}", "/components/user/ports/grpc"),
    ("components: {user: {env: {MESHWRIGHT_PROT: '1'}}}", "MESHWRIGHT_PROT"),
    ("components: {gateway: {env: {GATEWAY_RATES: '1'}}}", "GATEWAY_RATES"),
    ("components: {user: {env: {FOO: [1]}}}", "/components/user/env/FOO"),
    ("components: {user: {extraEnv: [{name: MESHWRIGHT_XSD, value: x}]}}", "/components/user/extraEnv/0/name"),
    ("components: {user: {readiness: {httpget: {port: 80}}}}", "httpget"),
    ("components: {user: {liveness: {periodSeconds: 0}}}", "/components/user/liveness/periodSeconds"),
    ("components: {user: {liveness: {tcpSocket: {port: -5}}}}", "/components/user/liveness/tcpSocket/port"),
    ("components: {user: {readiness: {httpGet: {port: 80}}}}", "/components/user/readiness"),
    ("components: {user: {resources: {limits: {memory: lots}}}}", "/components/user/resources/limits/memory"),
    ("components: {user: {resources: {limits: {ram: 1Gi}}}}", "ram"),
    ("components: {user: {resources: {limit: {memory: 1Gi}}}}", "limit"),
    ("components: {user: {tolerations: [{kee: a}]}}", "kee"),
    ("components: {user: {affinity: {nodeAffinty: {}}}}", "nodeAffinty"),
    ("components: {user: {nodeSelector: [ssd]}}", "/components/user/nodeSelector"),
    ("components: {user: {service: {type: Loadbalancer}}}", "/components/user/service/type"),
    ("components: {user: {service: {nodePorts: {grpc: 80}}}}", "/components/user/service/nodePorts/grpc"),
    ("components: {user: {serviceAccount: {anotations: {}}}}", "anotations"),
    ("components: {user: {extraVolumes: [{name: a, configmap: {name: b}}]}}", "configmap"),
    ("components: {user: {securityContext: {runAsuser: 5}}}", "runAsuser"),
    ("defaults: {priorityClass: high}", "priorityClass"),
    ("defaults: {podLabels: {tier: 5}}", "/defaults/podLabels/tier"),
    ("defaults: {terminationGracePeriodSeconds: 30s}", "/defaults/terminationGracePeriodSeconds"),
    ("hooks: {resources: {requests: {cpu: fast}}}", "/hooks/resources/requests/cpu"),
    ("components: {user: {autoscaling: {maxReplicas: 0}}}", "/components/user/autoscaling/maxReplicas"),
    ("components: {user: {autoscaling: {enabled: true, minReplicas: 9}}}", "components.user.autoscaling"),
    ("components: {consul: {autoscaling: {enabled: true}}}", "components.consul.autoscaling"),
    ("components: {operator: {autoscaling: {enabled: true}}}", "components.operator.autoscaling"),
    ("{database: {mode: sqlite}, components: {user: {autoscaling: {enabled: true}}}}", "components.user.autoscaling"),
]


@pytest.mark.parametrize(("values", "field"), WRONG, ids=[values for values, _ in WRONG])
def test_a_wrong_values_file_is_refused_and_the_message_names_the_field(
    values: str, field: str, tmp_path: Path
) -> None:
    done = template(values, tmp_path)
    assert done.returncode != 0
    assert field in done.stderr


def test_there_are_thirty_of_them() -> None:
    assert len(WRONG) >= 30
