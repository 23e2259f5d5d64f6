"""deploy/k8s: what kustomize makes of it is what Kubernetes takes, and what it names exists."""

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from messenger.settings import Config, knobs
from tests.deploy.conftest import DEPLOY, Program

kubernetes_validate = pytest.importorskip("kubernetes_validate")

FOLDER = DEPLOY / "k8s"
FILES = sorted(path for path in FOLDER.glob("*.yaml") if path.name != "kustomization.yaml")
BASE: dict[str, Any] = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
SETTINGS = dict(pair.split("=", 1) for made in BASE["configMapGenerator"] for pair in made["literals"])


def everything() -> Iterator[dict[str, Any]]:
    for file in FILES:
        yield from yaml.safe_load_all(file.read_text())


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [one for one in everything() if one["kind"] == kind]


PODS = {one["metadata"]["name"]: one["spec"]["template"] for kind in ("Deployment", "Job") for one in of_kind(kind)}


def test_every_file_is_part_of_the_base_but_the_monitor_that_needs_an_operator() -> None:
    assert sorted(BASE["resources"]) == [file.name for file in FILES if file.name != "monitor.yaml"]


@pytest.mark.parametrize("made", list(everything()), ids=lambda made: f"{made['kind']}-{made['metadata']['name']}")
def test_kubernetes_takes_it(made: dict[str, Any]) -> None:
    if made["kind"] == "ServiceMonitor":  # its schema belongs to an operator
        assert made["spec"]["endpoints"][0]["path"] == "/metrics"
    else:
        kubernetes_validate.validate(made, kubernetes_validate.latest_version(), strict=True)


def test_kustomize_puts_it_together(program: Program) -> None:
    built = subprocess.run([program("kustomize"), "build", str(FOLDER)], capture_output=True, text=True, check=True)

    made = list(yaml.safe_load_all(built.stdout))
    assert len(made) == len(list(everything()))  # one ConfigMap more, one monitor less
    for one in made:
        kubernetes_validate.validate(one, kubernetes_validate.latest_version(), strict=True)


def test_every_setting_that_it_names_is_one() -> None:
    assert {name.removesuffix("_FILE") for name in SETTINGS} <= {knob.name for knob in knobs()}


@pytest.mark.parametrize("name", PODS)
def test_a_pod_may_do_nothing_and_finds_its_settings_and_secrets(name: str) -> None:
    pod = PODS[name]["spec"]
    (container,) = pod["containers"]
    places = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}

    assert pod["securityContext"]["runAsUser"] == 10001
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]
    assert container["envFrom"] == [{"configMapRef": {"name": BASE["configMapGenerator"][0]["name"]}}]
    assert {volume["name"] for volume in pod["volumes"]} == places.keys()
    assert all(value.startswith(places["secrets"]) for setting, value in SETTINGS.items() if setting.endswith("_FILE"))
    assert SETTINGS["DATA_DIR"].startswith(places["tmp"])
    assert "memory" in container["resources"]["limits"]


def test_selectors_and_ports_meet_what_they_mean() -> None:
    labels = [pod["metadata"]["labels"].items() for pod in PODS.values()]
    for one in (*of_kind("Deployment"), *of_kind("PodDisruptionBudget")):
        assert any(one["spec"]["selector"]["matchLabels"].items() <= found for found in labels), one["metadata"]
    services = {one["metadata"]["name"]: one for one in of_kind("Service")}
    rules = [rule for ingress in of_kind("Ingress") for rule in ingress["spec"]["rules"]]
    assert len({rule["host"] for rule in rules}) == 1
    for path in (path for rule in rules for path in rule["http"]["paths"]):
        wanted = path["backend"]["service"]
        assert wanted["port"]["name"] in {port["name"] for port in services[wanted["name"]]["spec"]["ports"]}
    assert services["messenger-api"]["spec"]["selector"].items() <= PODS["messenger-api"]["metadata"]["labels"].items()
    assert "selector" not in services["messenger-nobody"]["spec"]


def test_a_pod_has_the_time_to_stop_that_the_server_takes() -> None:
    pod = PODS["messenger-api"]["spec"]
    forgotten_after = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]

    assert pod["terminationGracePeriodSeconds"] > forgotten_after + Config.Server.graceful_timeout + 5
