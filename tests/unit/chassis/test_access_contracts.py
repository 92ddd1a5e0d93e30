"""Every method of every contract says who may call it, and docs/access.md says the same."""

import importlib
from collections.abc import Iterator

import pytest
from google.protobuf.descriptor import MethodDescriptor

from access_tables import PEOPLE, SERVICES, Promise, promises
from intertie.api.v1 import options_pb2
from intertie_chassis.access import Rule
from intertie_chassis.errors import PermissionDenied
from intertie_chassis.principals import Principal
from source_tree import ROOT

PROMISES = {promise.path: promise for promise in promises()}
#: methods that modules may call and no grant bounds, each with the reason; there is none
UNBOUNDED: dict[str, str] = {}


def _methods() -> Iterator[MethodDescriptor]:
    home = ROOT / "protos"
    for path in sorted((home / "intertie").rglob("*.proto")):
        name = ".".join(path.relative_to(home).with_suffix("").parts)
        for service in importlib.import_module(f"{name}_pb2").DESCRIPTOR.services_by_name.values():
            yield from service.methods


METHODS = {f"/{method.containing_service.full_name}/{method.name}": method for method in _methods()}


@pytest.mark.parametrize("path", METHODS)
def test_a_method_says_who_may_call_it(path: str) -> None:
    """One without the option would be denied to all, which nobody means; a word too many would be meant and not be."""
    access = METHODS[path].GetOptions().Extensions[options_pb2.access]
    assert access.roles
    assert options_pb2.ROLE_UNSPECIFIED not in access.roles
    assert set(access.services) <= set(SERVICES)
    assert not access.services or options_pb2.ROLE_SERVICE in access.roles


@pytest.mark.parametrize("path", METHODS)
def test_a_method_that_modules_may_call_says_which_grant_bounds_it(path: str) -> None:
    """And no other method does."""
    access = METHODS[path].GetOptions().Extensions[options_pb2.access]
    is_bounded = access.grant != options_pb2.GRANT_NEED_UNSPECIFIED
    assert is_bounded == (options_pb2.ROLE_MODULE in access.roles and path not in UNBOUNDED)


def test_the_page_has_every_method_and_no_other() -> None:
    """What is not on the page was let in unseen."""
    assert PROMISES.keys() == METHODS.keys()


@pytest.mark.parametrize("path", METHODS)
def test_the_page_says_what_the_contract_makes_of_it(path: str) -> None:
    """For each kind of caller: the page is read, the rule is what servers go by."""
    rule, promise = Rule.of(METHODS[path]), PROMISES[path]
    roles = [*PEOPLE, "module:events", *(f"service:{name}" for name in (*SERVICES, "stranger"))]
    assert {role: _is_let_in(rule, role) for role in roles} == {role: _is_promised(promise, role) for role in roles}


def _is_promised(promise: Promise, role: str) -> bool:
    # "all" services are all that have a token as one, whatever their name.
    return promise.admits(role) or (role == "service:stranger" and promise.services == set(SERVICES))


def _is_let_in(rule: Rule, role: str) -> bool:
    try:
        rule.check(Principal.of(role, role, "id"))
    except PermissionDenied:
        return False
    return True
