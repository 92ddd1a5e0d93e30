"""Who asks, and what the grant is by which it is judged."""

import time

from intertie_chassis.errors import InvalidArgument
from intertie_chassis.principals import Principal
from intertie_ingest import errors
from intertie_ingest.grants import held
from intertie_ingest.pull.configuration import PullConfiguration, PullGrant, PullSystem


def asking_module(principal: Principal, named: str) -> str:
    """The module that asks: the token's own; an admin names it.

    Raises ModuleMismatch, and InvalidArgument for an admin that names none.
    """
    if principal.role == "module":
        if named and named != principal.name:
            raise errors.ModuleMismatch(metadata={"module": named[:100]})
        return principal.name
    if not named:
        raise InvalidArgument(
            "name the module whose grant is to be used", violations=[("module", "must name a module for this role")]
        )
    return named


def granted(
    configuration: PullConfiguration, principal: Principal, module: str, name: str
) -> tuple[PullSystem, PullGrant]:
    """The active system of this name, and the module's grant.

    Raises GrantMissing for a module without one, whether or not there is such a system, to others SystemNotFound;
    GrantExpired.
    """
    if not name:
        raise InvalidArgument("name the system to ask", violations=[("system", "must name a system")])
    if principal.role != "module":
        configuration.system(name)
    grant = held(configuration.by_name.get(name), name, module, time.time())
    return configuration.system(name), grant
