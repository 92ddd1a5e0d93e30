"""The errors of audit."""

from intertie_chassis.errors import FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted


class InvalidEntries(InvalidArgument):
    """The batch holds entries that cannot be stored; nothing of it was stored."""


class EntryNotFound(NotFound):
    """There is no audit entry of this number."""

    reason = "ENTRY_NOT_FOUND"


class TooManyTails(ResourceExhausted):
    """As many tails are open as this process allows (INTERTIE_AUDIT_MOST_TAILS); close one or try later."""


class ChainBroken(FailedPrecondition):
    """A link of the audit's chain is missing, so nothing can be proven with it; `intertie audit verify` tells more."""

    reason = "CHAIN_BROKEN"
