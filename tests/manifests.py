"""The manifests of deploy/kubernetes, composed as kustomize does it where nothing but `resources` is used."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from source_tree import ROOT

HOME = ROOT / "deploy" / "kubernetes"
BASE = HOME / "base"

Manifest = dict[str, Any]


def of_folder(folder: Path) -> list[Manifest]:
    """Read the resources of a folder's kustomization, in order, those of folders below it too."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    found: list[Manifest] = []
    for resource in kustomization["resources"]:
        path = folder / resource
        found += of_folder(path) if path.is_dir() else yaml.safe_load_all(path.read_text(encoding="utf-8"))
    return found


@dataclass(frozen=True, slots=True)
class Workload:
    """What runs pods."""

    kind: str
    name: str
    pod: dict[str, Any]
    labels: dict[str, str]

    def containers(self) -> list[dict[str, Any]]:
        """Give all containers, those that come first before the others."""
        return [*self.pod.get("initContainers", []), *self.pod["containers"]]


def workloads(manifests: list[Manifest]) -> Iterator[Workload]:
    """Give everything that runs pods."""
    for each in manifests:
        if each["kind"] in ("Deployment", "StatefulSet", "Job"):
            template = each["spec"]["template"]
            yield Workload(each["kind"], each["metadata"]["name"], template["spec"], template["metadata"]["labels"])


def environment(manifests: list[Manifest], container: dict[str, Any]) -> dict[str, str]:
    """Give what is in a container's environment: out of config maps, then its own."""
    maps = {each["metadata"]["name"]: each["data"] for each in manifests if each["kind"] == "ConfigMap"}
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        found |= maps[source["configMapRef"]["name"]]
    return found | {each["name"]: each["value"] for each in container.get("env", [])}
