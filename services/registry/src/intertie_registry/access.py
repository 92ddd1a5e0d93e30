"""What a module's token lets it ask: about itself, and nothing else."""

from intertie_chassis.identity import current_principal
from intertie_registry.errors import OtherModule


def calling_module() -> str:
    """The module that makes the call; empty when somebody else does."""
    principal = current_principal()
    return principal.name if principal.role == "module" else ""


def require_own(module: str) -> None:
    """Refuse a module that asks about another one. Raises OtherModule."""
    caller = calling_module()
    if caller and caller != module:
        raise OtherModule
