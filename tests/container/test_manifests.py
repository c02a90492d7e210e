"""The manifests of Kubernetes and Compose: what the schemas, the image and the settings allow."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from cost_insights.settings import Settings

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/kubernetes"
DOCKERFILE = (ROOT / "Dockerfile").read_text()
KUBERNETES_VERSIONS = ("1.27", "1.37")
"""The oldest version that the manifests are for, and the newest one that is known here."""

Document = Mapping[str, Any]


def documents(file: Path) -> list[Document]:
    """The documents of a file of YAML."""
    return list(yaml.safe_load_all(file.read_text()))


def resources() -> dict[str, Document]:
    """The resources of the kustomization, by kind and name."""
    (kustomization,) = documents(FOLDER / "kustomization.yaml")
    return {
        f"{one['kind']}/{one['metadata']['name']}": one
        for name in kustomization["resources"]
        for one in documents(FOLDER / name)
    }


def pods() -> Iterator[tuple[Document, Document]]:
    """The template of each pod, with its only container."""
    for one in resources().values():
        if one["kind"] in {"Deployment", "Job"}:
            template = one["spec"]["template"]
            (container,) = template["spec"]["containers"]
            yield template, container


def settings_named_in(environment: Mapping[str, str] | list[Document]) -> set[str]:
    """The settings that an environment sets."""
    return {
        re.sub("^cost_insights_", "", (one if isinstance(one, str) else one["name"]).lower())
        for one in environment
    }


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
@pytest.mark.parametrize("name", resources())
def test_resources_are_valid(name: str, version: str) -> None:
    """Kubernetes knows every key of every resource."""
    kubernetes_validate.validate(resources()[name], version, strict=True)


def test_every_file_is_used() -> None:
    """No manifest is forgotten."""
    (kustomization,) = documents(FOLDER / "kustomization.yaml")
    files = {file.name for file in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    assert files == set(kustomization["resources"])


def test_selectors_choose_the_pods_of_the_service() -> None:
    """Services, scaling and the budget are about the pods that serve, and not the migration."""
    by_name = resources()
    labels = {
        template["metadata"]["labels"]["app.kubernetes.io/component"]: template["metadata"][
            "labels"
        ]
        for template, _ in pods()
    }
    assert set(labels) == {"service", "migration"}
    deployment = by_name["Deployment/cost-insights"]
    selectors = [
        deployment["spec"]["selector"]["matchLabels"],
        by_name["Service/cost-insights"]["spec"]["selector"],
        by_name["Service/cost-insights-headless"]["spec"]["selector"],
        by_name["PodDisruptionBudget/cost-insights"]["spec"]["selector"]["matchLabels"],
    ]
    assert all(one == labels["service"] for one in selectors)
    of_network = by_name["NetworkPolicy/cost-insights"]["spec"]["podSelector"]["matchLabels"]
    assert all(of_network.items() <= one.items() for one in labels.values())
    scaled = by_name["HorizontalPodAutoscaler/cost-insights"]["spec"]["scaleTargetRef"]
    assert scaled["name"] == deployment["metadata"]["name"]


def test_ports_are_those_of_the_image() -> None:
    """What is exposed, named and probed is what the service listens on."""
    exposed = {
        int(port) for port in re.findall(r"^EXPOSE (.*)$", DOCKERFILE, re.MULTILINE)[0].split()
    }
    container = next(one for _, one in pods() if "ports" in one)
    named = {one["name"]: one["containerPort"] for one in container["ports"]}
    assert set(named.values()) == exposed
    for kind in ("startupProbe", "readinessProbe"):
        assert container[kind]["grpc"]["port"] == named["grpc"]
    assert container["livenessProbe"]["httpGet"]["port"] in named
    for name, one in resources().items():
        if name.startswith("Service/"):
            for port in one["spec"]["ports"]:
                assert named[port["targetPort"]] == port["port"]
    ingress = resources()["NetworkPolicy/cost-insights"]["spec"]["ingress"]
    assert [{one["port"] for one in rule["ports"]} for rule in ingress] == [
        {"grpc", "http"},
        {"metrics"},
    ]
    metrics = Settings.model_fields["admin_address"].default.rpartition(":")[2]
    assert named["metrics"] == int(metrics)


def test_pods_have_no_rights() -> None:
    """No pod runs as root, writes to its root or gets an account."""
    user = re.findall(r"^USER (.*)$", DOCKERFILE, re.MULTILINE)
    assert user == ["10001:10001"]
    for template, container in pods():
        assert template["spec"]["securityContext"]["runAsNonRoot"] is True
        assert template["spec"]["automountServiceAccountToken"] is False
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}


def test_settings_exist() -> None:
    """Every variable that is set is a setting."""
    known = set(Settings.model_fields)
    for _, container in pods():
        assert settings_named_in(container["env"]) <= known
    (compose,) = documents(ROOT / "compose.yaml")
    assert settings_named_in(compose["services"]["service"]["environment"]) <= known
    in_image = set(re.findall(r"COST_INSIGHTS_(\w+)=", DOCKERFILE))
    assert {name.lower() for name in in_image} <= known


def test_calls_are_finished_before_a_stop() -> None:
    """A container is given longer to stop than running calls are, with five seconds to spare."""
    drain = Settings.model_fields["drain_seconds"].default + 5
    deployment = resources()["Deployment/cost-insights"]["spec"]["template"]["spec"]
    assert deployment["terminationGracePeriodSeconds"] > drain
    (compose,) = documents(ROOT / "compose.yaml")
    assert int(compose["services"]["service"]["stop_grace_period"].rstrip("s")) > drain


def test_compose_starts_in_order() -> None:
    """The service waits for a healthy database, is reachable on this machine only, and its files
    are read-only."""
    (compose,) = documents(ROOT / "compose.yaml")
    service = compose["services"]["service"]
    assert service["depends_on"] == {"database": {"condition": "service_healthy"}}
    assert "test" in compose["services"]["database"]["healthcheck"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert service["read_only"] is True
    for secret in service["secrets"]:
        assert secret in compose["secrets"]
