"""The configuration as a whole: the same for the same services, in either form, and nothing of it by hand."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool

from envoy_samples import plan, reflected_of, told
from intertie.audit.v1 import audit_pb2
from intertie.registry.v1 import registry_pb2
from intertie_chassis.errors import StartupError
from intertie_gateway.envoy import clusters, document, reflected, tls
from intertie_gateway.envoy.clusters import Address

HERE = Path("/etc/envoy")


def parsed(files: dict[str, bytes], name: str = document.BOOTSTRAP) -> Any:
    """One of the files as what it says."""
    return yaml.safe_load(files[name])


def manager(listener: dict[str, Any]) -> dict[str, Any]:
    """The connection manager of a listener."""
    found: dict[str, Any] = listener["filter_chains"][0]["filters"][0]["typed_config"]
    return found


def test_the_same_services_give_the_same_files() -> None:
    """In whatever order they answered."""
    one, other = told(), told()
    backwards = reflected.Contracts(dict(reversed(other.files.items())), other.served)
    assert document.files(plan(HERE), one) == document.files(plan(HERE), backwards)
    watched = plan(HERE, is_watched=True)
    assert document.files(watched, one) == document.files(watched, backwards)


def test_both_forms_say_the_same() -> None:
    """The static file holds what the watched ones do."""
    static = parsed(document.files(plan(HERE), told()))["static_resources"]
    files = document.files(plan(HERE, is_watched=True), told())
    watched = {part: parsed(files, f"{part}.yaml")["resources"] for part in ("cds", "lds", "rds-http", "rds-grpc")}
    for one in (*watched["cds"], *watched["lds"], *watched["rds-http"], *watched["rds-grpc"]):
        del one["@type"]
    assert watched["cds"] == static["clusters"]
    for listener in static["listeners"]:
        routes = manager(listener).pop("route_config")
        if listener["name"] != "statistics":
            assert routes == watched[f"rds-{listener['name']}"][0]
    for listener in watched["lds"]:
        manager(listener).pop("rds" if listener["name"] != "statistics" else "route_config")
    assert watched["lds"] == static["listeners"]


def test_new_contracts_are_a_change_of_the_listener() -> None:
    """Their file has another name, so that a running Envoy reads them."""
    older = told()
    newer = replace(older, files={**older.files, "intertie/new.proto": b"\n\x12intertie/new.proto"})
    names = [
        next(name for name in document.files(plan(HERE), said) if name.endswith(".binpb")) for said in (older, newer)
    ]
    assert names[0] != names[1]
    filters = [manager(parsed(document.files(plan(HERE), older))["static_resources"]["listeners"][0])["http_filters"]]
    assert filters[0][1]["typed_config"]["proto_descriptor"] == str(HERE / names[0])


def test_the_contracts_can_be_read_and_say_what_errors_are_made_of() -> None:
    """Of these only what is ever said: every field is printed, also an empty one."""
    files = document.files(plan(HERE), told())
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(next(raw for name, raw in files.items() if name.endswith(".binpb"))).file:
        pool.Add(file)
    violation = pool.FindMessageTypeByName("google.rpc.BadRequest").nested_types_by_name["FieldViolation"]
    assert [field.name for field in violation.fields] == ["field", "description"]
    assert pool.FindServiceByName("intertie.registry.v1.RegistryService").methods_by_name["ListSystems"]


def test_grpc_lets_through_what_others_than_services_may_call() -> None:
    """By its path, with a token; all else is refused there."""
    listener = parsed(document.files(plan(HERE), told()))["static_resources"]["listeners"][1]
    (host,) = manager(listener)["route_config"]["virtual_hosts"]
    called = {route["match"]["path"] for route in host["routes"] if "route" in route}
    assert "/intertie.ingest.v1.IngestService/Push" in called
    assert "/intertie.ingest.v1.IngestService/AcceptDeliveries" not in called
    assert not [path for path in called if "RegistryFeed" in path or "reflection" in path]
    assert all(route["match"]["headers"] for route in host["routes"] if "route" in route)
    assert "direct_response" in host["routes"][-1]
    assert len(parsed(document.files(plan(HERE, grpc_listen=None), told()))["static_resources"]["listeners"]) == 2


def test_tls_names_who_must_be_at_the_other_end() -> None:
    """Each service by its own name; the gateway, which speaks no TLS, in clear text."""
    pair = tls.Pair(Path("/certs/envoy.pem"), Path("/certs/envoy.key"))
    both = tls.Tls(pair, Path("/certs/ca.pem"), pair, Path("/certs/ca.pem"))
    files = document.files(plan(HERE, tls=both), told())
    said = parsed(files)["static_resources"]
    for cluster in said["clusters"]:
        if cluster["name"] in (clusters.GATEWAY, clusters.ADMIN):
            assert "transport_socket" not in cluster
            continue
        validation = cluster["transport_socket"]["typed_config"]["common_tls_context"]["combined_validation_context"]
        (matcher,) = validation["default_validation_context"]["match_typed_subject_alt_names"]
        assert matcher == {"san_type": "DNS", "matcher": {"exact": cluster["name"]}}
    sockets = [one["filter_chains"][0].get("transport_socket", {}).get("typed_config", {}) for one in said["listeners"]]
    assert [socket.get("require_client_certificate", False) for socket in sockets] == [False, True, False]
    assert sorted(name for name in files if name.startswith("secret-")) == [
        "secret-authority.yaml", "secret-clients.yaml", "secret-served.yaml", "secret-upstream.yaml",
    ]  # fmt: skip


def test_hosts_by_name_are_resolved_by_envoy() -> None:
    services = dict.fromkeys(plan(HERE).services, Address("registry.example", 50051))
    said = parsed(document.files(plan(HERE, services=services), told()))["static_resources"]["clusters"]
    assert {one["type"] for one in said if one["name"] not in (clusters.GATEWAY, clusters.ADMIN)} == {"STRICT_DNS"}


@pytest.mark.parametrize("text", ["nowhere", ":80", "host:", "host:0", "host:65536", "host:x"])
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(StartupError, match="--listen"):
        Address.parse(text, "--listen")


def test_of_two_versions_of_a_contract_the_newer_one_counts() -> None:
    """A service that is rolled out serves more than another one has heard of yet."""
    registry, audit = reflected_of(registry_pb2.DESCRIPTOR), reflected_of(audit_pb2.DESCRIPTOR)
    shared = "intertie/api/v1/options.proto"
    newer = {**audit.files, shared: audit.files[shared] + b"\x12\x0bintertie.is"}
    both = reflected.together({"registry": registry, "audit": replace(audit, files=newer)})
    assert both.files[shared] == newer[shared]
    with pytest.raises(StartupError, match=r"audit and registry both serve intertie\.audit"):
        reflected.together({"registry": audit, "audit": audit})
