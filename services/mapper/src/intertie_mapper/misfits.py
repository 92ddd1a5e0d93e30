"""A value that does not fit its column: what the conversions raise before field, value and column are named."""


class Misfit(Exception):
    """The value does not fit the column."""

    def __init__(self, reason: str, why: str) -> None:
        """A reason (of the mapping language or of `TargetReason`), and half a sentence that says why."""
        self.reason = str(reason)
        self.why = why
        super().__init__(why)
