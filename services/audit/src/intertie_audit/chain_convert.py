"""Between the contract's messages and the verification of the chain."""

from collections.abc import Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from intertie.audit.v1 import audit_pb2
from intertie_audit.chain import Checkpoint, Finding, read_checkpoint
from intertie_audit.verification import MOST_FINDINGS, Progress, Scope
from intertie_chassis import paging
from intertie_chassis.errors import InvalidArgument

_MOST_FINDINGS = 10_000
_MOST_KEPT = 10_000


def scope(request: audit_pb2.VerifyChainRequest) -> Scope:
    """What is to be verified. Raises InvalidArgument."""
    for name in ("from_sequence", "to_sequence", "most_findings"):
        if getattr(request, name) < 0:
            raise InvalidArgument(f"{name} must not be negative", violations=[(name, "must be 0 or positive")])
    if request.to_sequence and request.from_sequence > request.to_sequence:
        raise InvalidArgument(
            "from_sequence must not be above to_sequence",
            violations=[("from_sequence", "must not be above to_sequence")],
        )
    if len(request.kept_checkpoints) > _MOST_KEPT:
        raise InvalidArgument(
            f"at most {_MOST_KEPT} checkpoints can be compared at once", violations=[("kept_checkpoints", "too many")]
        )
    kept = []
    for index, message in enumerate(request.kept_checkpoints):
        try:
            kept.append(read_checkpoint(message.signed_text, message.signature))
        except ValueError as error:
            field = f"kept_checkpoints[{index}].signed_text"
            raise InvalidArgument(
                f"{field} is not the text of a checkpoint", violations=[(field, "not valid")]
            ) from error
    most = min(request.most_findings or MOST_FINDINGS, _MOST_FINDINGS)
    return Scope(request.from_sequence, request.to_sequence, most, kept)


def progress_message(progress: Progress) -> audit_pb2.VerifyChainResponse:
    """How far it is."""
    message = audit_pb2.VerifyChainResponse(
        verified=progress.verified, total=progress.total, findings=map(_finding_message, progress.findings)
    )
    verdict = progress.verdict
    if verdict is not None:
        message.verdict.CopyFrom(
            audit_pb2.ChainVerdict(
                is_intact=verdict.is_intact,
                findings=verdict.findings,
                sequence=verdict.end.sequence,
                head=verdict.end.head.hex(),
                checkpoint=checkpoint_message(verdict.checkpoint) if verdict.checkpoint else None,
                unsealed=verdict.unsealed,
                seconds=verdict.seconds,
            )
        )
    return message


def checkpoints_page(request: audit_pb2.ListChainCheckpointsRequest) -> tuple[int, int | None]:
    """How many checkpoints to give, of places below which. Raises InvalidArgument."""
    position = paging.decode_token(request.page_token, request)
    if position is None:
        return paging.page_size(request.page_size), None
    match position:
        case [int(before)]:
            return paging.page_size(request.page_size), before
        case _:
            raise InvalidArgument("page_token is not valid; start again without one", reason="INVALID_PAGE_TOKEN")


def checkpoints_response(
    request: audit_pb2.ListChainCheckpointsRequest, checkpoints: Sequence[Checkpoint], limit: int, keys: bytes
) -> audit_pb2.ListChainCheckpointsResponse:
    """A page, of one checkpoint more than asked for when there is more."""
    page = checkpoints[:limit]
    token = paging.encode_token([page[-1].sequence], request) if len(checkpoints) > limit else ""
    return audit_pb2.ListChainCheckpointsResponse(
        checkpoints=map(checkpoint_message, page), next_page_token=token, keys=keys
    )


def checkpoint_message(made: Checkpoint) -> audit_pb2.ChainCheckpoint:
    """A signed checkpoint."""
    created_at = Timestamp()
    created_at.FromDatetime(made.created_at)
    return audit_pb2.ChainCheckpoint(
        sequence=made.sequence,
        head=made.head.hex(),
        created_at=created_at,
        key_id=made.key_id,
        signed_text=made.text,
        signature=made.signature,
    )


def _finding_message(finding: Finding) -> audit_pb2.ChainFinding:
    return audit_pb2.ChainFinding(
        kind=finding.kind,
        sequence=finding.sequence,
        last_sequence=finding.last_sequence,
        entry_id=finding.entry_id,
        message=finding.message,
    )
