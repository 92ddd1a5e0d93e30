"""The manifests fit Kubernetes' schemas, agree with the suite and with each other, and confine what they run."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

import dockerfile
import manifests
import requirement
from compose_file import PROCESSES, services
from intertie_chassis.health import LIVE
from intertie_chassis.settings import Settings
from manifests import BASE, HOME, Manifest, Workload
from source_tree import ROOT

#: the oldest and the newest version whose schemas are tried; `sleep` before a stop needs the first
VERSIONS = ("1.30", "1.37")
SETTING = re.compile(r"`(INTERTIE_[A-Z_]+)`")
ALL = manifests.of_folder(BASE)
WORKLOADS = {workload.name: workload for workload in manifests.workloads(ALL)}
SERVED = {name: workload for name, workload in WORKLOADS.items() if workload.kind != "Job"}
USER = next(text for text in dockerfile.stages()[-1].all("USER")).partition(":")[0]


def _title(manifest: Manifest) -> str:
    return f"{manifest['kind']} {manifest['metadata']['name']}"


def _of(kind: str) -> dict[str, Manifest]:
    return {each["metadata"]["name"]: each for each in ALL if each["kind"] == kind}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("manifest", ALL, ids=_title)
def test_fits_the_schema(manifest: Manifest, version: str) -> None:
    """Strictly: a member that nobody knows is a fault."""
    kubernetes_validate.validate(manifest, version, strict=True)


def test_a_misspelt_member_is_found() -> None:
    wrong = {**ALL[0], "dtaa": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_runs_every_process_and_each_file_is_used() -> None:
    assert {*PROCESSES, "envoy", "migrate"} == WORKLOADS.keys()
    files = {path.name for path in BASE.glob("*.yaml")}
    listed = yaml.safe_load((BASE / "kustomization.yaml").read_text(encoding="utf-8"))["resources"]
    assert {*listed, "kustomization.yaml"} == files


@pytest.mark.parametrize("workload", WORKLOADS.values(), ids=WORKLOADS)
def test_pods_are_confined(workload: Workload) -> None:
    """As the profile `restricted` of Pod Security asks, and nothing to write but what is mounted."""
    security = workload.pod["securityContext"]
    assert security["runAsNonRoot"] is True
    assert str(security["runAsUser"]) == str(security["runAsGroup"]) == str(security["fsGroup"]) == USER
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert workload.pod["automountServiceAccountToken"] is False
    assert workload.pod["serviceAccountName"] in _of("ServiceAccount")
    assert not {"hostNetwork", "hostPID", "hostIPC"} & workload.pod.keys()
    for container in workload.containers():
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert container["resources"]["limits"].keys() == {"memory"}
        assert re.search(r":v?[0-9]+\.[0-9]+\.[0-9]+$", container["image"])
    kinds = {kind for volume in workload.pod["volumes"] for kind in volume.keys() - {"name"}}
    assert kinds <= {"emptyDir", "secret"}


@pytest.mark.parametrize("workload", WORKLOADS.values(), ids=WORKLOADS)
def test_what_is_mounted_is_there(workload: Workload) -> None:
    """Each mount names a volume of the pod; a secret can be read by the pod's group alone, and changed by nobody."""
    [templates] = [each["spec"].get("volumeClaimTemplates", []) for each in ALL if _is(each, workload)]
    volumes = {volume["name"]: volume for volume in workload.pod["volumes"]} | {
        template["metadata"]["name"]: template for template in templates
    }
    mounted = {mount["name"] for container in workload.containers() for mount in container["volumeMounts"]}
    assert mounted == volumes.keys()
    for container in workload.containers():
        for mount in container["volumeMounts"]:
            if secret := volumes[mount["name"]].get("secret"):
                assert mount["readOnly"] is True
                assert secret["defaultMode"] == 0o440


def _is(manifest: Manifest, workload: Workload) -> bool:
    return bool(manifest["kind"] == workload.kind and manifest["metadata"]["name"] == workload.name)


@pytest.mark.parametrize("workload", SERVED.values(), ids=SERVED)
def test_probes_ask_what_they_should(workload: Workload) -> None:
    """Readiness asks for all that is needed; being alive needs no database, so that an outage restarts nobody."""
    [container] = workload.pod["containers"]
    ready, alive, begins = (container[f"{kind}Probe"] for kind in ("readiness", "liveness", "startup"))
    if workload.name == "gateway":
        assert [probe["httpGet"]["path"] for probe in (ready, alive, begins)] == ["/readyz", "/healthz", "/healthz"]
    elif workload.name != "envoy":
        port = container["ports"][0]["containerPort"]
        assert ready["grpc"] == {"port": port}
        assert alive["grpc"] == begins["grpc"] == {"port": port, "service": LIVE}
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain = Settings().drain_seconds if workload.name != "envoy" else 0
    assert workload.pod["terminationGracePeriodSeconds"] > pause + drain + 5


def test_each_service_and_budget_selects_its_pods() -> None:
    assert _of("Service").keys() == _of("PodDisruptionBudget").keys() == SERVED.keys()
    for name, workload in SERVED.items():
        selected = _of("Service")[name]["spec"]["selector"]
        assert selected == _of("PodDisruptionBudget")[name]["spec"]["selector"]["matchLabels"]
        assert selected.items() <= workload.labels.items()
        ports = {port["name"] for container in workload.containers() for port in container.get("ports", [])}
        for port in _of("Service")[name]["spec"]["ports"]:
            assert port["targetPort"] in ports
        assert [
            constraint["labelSelector"]["matchLabels"] for constraint in workload.pod["topologySpreadConstraints"]
        ] == [selected]


def test_sets_only_what_is_read() -> None:
    known = set(SETTING.findall((ROOT / "docs" / "settings.md").read_text(encoding="utf-8")))
    for workload in WORKLOADS.values():
        for container in workload.containers():
            given = {name for name in manifests.environment(ALL, container) if name.startswith("INTERTIE_")}
            assert set() == given - known


def test_processes_listen_where_their_services_and_others_look() -> None:
    settings = _of("ConfigMap")["intertie-settings"]["data"]
    for process in PROCESSES:
        [port] = [port["port"] for port in _of("Service")[process]["spec"]["ports"]]
        assert settings[f"INTERTIE_{process.upper()}_LISTEN"] == f"0.0.0.0:{port}"
        assert settings[f"INTERTIE_{process.upper()}_METRICS_LISTEN"] == "0.0.0.0:9464"
        if process != "gateway":
            assert settings[f"INTERTIE_{process.upper()}_ADDRESS"] == f"{process}:{port}"


def test_no_pod_can_sign_and_each_has_a_token_of_its_own() -> None:
    """Pods have the public keys; only registry has the keys of credentials, and only owners the database's password."""
    for name, workload in WORKLOADS.items():
        secrets = {volume["secret"]["secretName"] for volume in workload.pod["volumes"] if "secret" in volume}
        expected = {"intertie-identity", f"intertie-token-{name}"} if name != "migrate" else set()
        expected |= {"intertie-database"} if name not in ("gateway", "envoy") else set()
        expected |= {"intertie-sealing"} if name == "registry" else set()
        assert secrets == expected


def test_policies_let_through_what_is_needed() -> None:
    """All is closed; processes have each other's ports, owners the database's; Envoy is reached, pull reaches out."""
    policies = {name: each["spec"] for name, each in _of("NetworkPolicy").items()}
    assert policies["intertie-nothing"]["policyTypes"] == ["Ingress", "Egress"]
    assert not {"ingress", "egress"} & policies["intertie-nothing"].keys()
    ports = {port["port"] for rule in policies["intertie-among-each-other"]["egress"] for port in rule["ports"]}
    assert ports == {port["port"] for name in PROCESSES for port in _of("Service")[name]["spec"]["ports"]}
    named = {
        name: set(spec["podSelector"]["matchExpressions"][0]["values"])
        for name, spec in policies.items()
        if "matchExpressions" in spec["podSelector"]
    }
    assert named["intertie-edge"] == {"envoy"}
    assert named["intertie-outside"] == {"pull"}
    assert named["intertie-database"] == {"registry", "ingest", "pull", "mapper", "audit", "migrate"}
    assert named["intertie-among-each-other"] == SERVED.keys()


def test_what_grows_names_a_deployment_and_says_no_number_of_its_own() -> None:
    """A number of replicas in the manifest would undo the growth at each `apply`."""
    deployments = _of("Deployment")
    for name, each in _of("HorizontalPodAutoscaler").items():
        assert each["spec"]["scaleTargetRef"]["name"] == name
        assert "replicas" not in deployments[name]["spec"]
        assert each["spec"]["minReplicas"] >= 2
    external = [
        metric["external"]["metric"]["name"] for metric in _of("HorizontalPodAutoscaler")["mapper"]["spec"]["metrics"]
    ]
    adapter = (HOME / "adapter-values.yaml").read_text(encoding="utf-8")
    assert external == ["intertie_pending_records", "intertie_oldest_pending_seconds"]
    assert all(f'__name__="{name}"' in adapter for name in external)


def test_envoy_is_configured_as_it_is_in_compose() -> None:
    [writer], [reader] = WORKLOADS["envoy"].pod["initContainers"], WORKLOADS["envoy"].pod["containers"]
    assert writer["command"] == services()["envoy-config"]["entrypoint"]
    assert writer["args"] == services()["envoy-config"]["command"]
    assert reader["image"] == services()["envoy"]["image"]
    assert reader["command"] == services()["envoy"]["entrypoint"]


def test_the_monitor_asks_the_ports_that_pods_have() -> None:
    """Its kind is not Kubernetes' own, so it is looked at here and has no schema."""
    monitor = yaml.safe_load((HOME / "components" / "pod-monitor" / "pod-monitor.yaml").read_text(encoding="utf-8"))
    assert (monitor["apiVersion"], monitor["kind"]) == ("monitoring.coreos.com/v1", "PodMonitor")
    selected = monitor["spec"]["selector"]["matchLabels"].items()
    for name, workload in SERVED.items():
        assert selected <= workload.labels.items()
        [container] = workload.pod["containers"]
        names = {port["name"] for port in container["ports"]}
        assert {endpoint["port"] for endpoint in monitor["spec"]["podMetricsEndpoints"]} <= names, name


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    """A copy of the example with secrets, as one makes an installation."""
    shutil.copytree(HOME, tmp_path / "kubernetes", ignore=shutil.ignore_patterns("secrets"))
    folder = tmp_path / "kubernetes" / "overlays" / "example"
    names = re.findall(r"secrets/([\w.-]+)", (folder / "kustomization.yaml").read_text(encoding="utf-8"))
    (folder / "secrets").mkdir()
    for name in names:
        (folder / "secrets" / name).write_text(name)
    return folder


def test_the_example_composes_to_manifests_that_fit(overlay: Path, tmp_path: Path) -> None:
    """With kustomize itself, which asks no cluster."""
    if shutil.which("kubectl") is None:
        requirement.missing("kubectl", "install kubectl, whose kustomize composes overlays")
    alone = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "KUBECONFIG": os.devnull}
    done = subprocess.run(["kubectl", "kustomize", overlay], capture_output=True, text=True, env=alone)
    assert done.returncode == 0, done.stderr
    composed: list[Any] = list(yaml.safe_load_all(done.stdout))
    for each in composed:
        kubernetes_validate.validate(each, VERSIONS[-1], strict=True)
        assert each["kind"] == "Namespace" or each["metadata"]["namespace"] == "intertie"
    titles = {_title(each) for each in composed}
    assert {_title(each) for each in ALL} <= titles
    made = {each["metadata"]["name"] for each in composed if each["kind"] == "Secret"}
    used = {
        volume["secret"]["secretName"]
        for workload in manifests.workloads(composed)
        for volume in workload.pod["volumes"]
        if "secret" in volume
    }
    assert made == used
    for workload in manifests.workloads(composed):
        for container in workload.containers():
            assert not container["image"].startswith("intertie/")
