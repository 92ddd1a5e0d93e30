"""Why a record is set aside or waits, beyond what the mapping language itself refuses.

`Refusal.reason` is stable and kept with the record; its text is for people. The reasons of
`intertie_mapping.errors.Reason` appear beside these.
"""

import enum


class TargetReason(enum.StrEnum):
    """Why the target, or what is known of the mapping, does not let a record through."""

    sentence: str
    """What it means and what to do, in one sentence or two."""

    def __new__(cls, value: str, sentence: str) -> "TargetReason":
        """A member whose value is the reason's name."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.sentence = sentence
        return member

    TARGET_CONFLICT = (
        "target_conflict",
        "Another row of the target table has the same value in a unique key; this record has no link to that row.",
    )
    TARGET_DELETED = (
        "target_deleted",
        'The row that this record had made is gone; with "on_deleted": "recreate" it is made again.',
    )
    TARGET_REFUSED = (
        "target_refused",
        "The target database refused the row: a foreign key, a check or a trigger of the table does not allow it.",
    )
    TARGET_LINKED = (
        "target_linked",
        "The row that match_fields found already belongs to another record of this mapping.",
    )
    AMBIGUOUS_MATCH = (
        "ambiguous_match",
        "More than one row has the values of match_fields, so which one is meant is unknown.",
    )
    MISSING_REQUIRED = "missing_required", "A column that needs a value (NOT NULL without a default) has none."
    NOT_ALLOWED_VALUE = "not_allowed_value", "The value is none of the words that the column allows."
    WRONG_TYPE = "wrong_type", "The value is of a kind that the column cannot hold; a transformation can make it fit."
    FRACTION_LOST = (
        "fraction_lost",
        "The number has more decimals than the column keeps; round it with a transformation.",
    )
    INVALID_DOCUMENT = "invalid_document", "The cached record is not a JSON object as Intertie takes it."
    INVALID_MAPPING = "invalid_mapping", "The mapping's configuration has problems, or does not fit its target table."
    TARGET_NOT_FOUND = (
        "target_not_found",
        "The target table does not exist, has no primary key or is not on the allow-list.",
    )
    MAPPING_GONE = "mapping_gone", "The mapping does not exist any more."
    MAPPING_INACTIVE = (
        "mapping_inactive",
        "The mapping or its system is switched off; replay the record once it is on again.",
    )
    TARGET_UNAVAILABLE = (
        "target_unavailable",
        "The target database was away, or did not finish in time; the record is tried again by itself.",
    )
    TARGET_BUSY = (
        "target_busy",
        "Others kept its row, or its table, locked for too long; the record is tried again by itself.",
    )
    TARGET_PAUSED = (
        "target_paused",
        "Its table or database failed several times in a row and is given a rest; the record waits, none of its "
        "attempts is used up.",
    )
    RETRIES_EXHAUSTED = (
        "retries_exhausted",
        "It failed as often as its mapping's retries allow, for no fault of its own; the message has the last cause. "
        "Replay it once that is gone.",
    )
    INTERNAL_ERROR = "internal_error", "Mapper failed at this record; its log has the cause under the record's number."


class Refusal(Exception):
    """The record is to be set aside."""

    def __init__(self, reason: str, field: str, message: str) -> None:
        """The reason; the field of the record (or the column) at fault, empty when it is none; a text for people."""
        self.reason = str(reason)
        self.field = field
        self.message = message
        super().__init__(f"{field}: {message}" if field else message)
