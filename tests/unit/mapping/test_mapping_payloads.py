"""What real senders send, in the documented shape, becomes rows through paths and expressions."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from intertie_mapping.configuration import Configuration
from intertie_mapping.documents import Record, parse
from intertie_mapping.plan import Plan, compile_plan

PAYLOADS = Path(__file__).parent / "payloads"


def received(name: str) -> Record:
    """The record of a payload as a sender would send it: compact."""
    body = json.dumps(json.loads((PAYLOADS / f"{name}.json").read_text()), separators=(",", ":")).encode()
    (record,) = parse(body).records
    return record


def planned(**configuration: Any) -> Plan:
    return compile_plan(Configuration.from_value(configuration, strict=True))


def test_github_issue_becomes_an_event() -> None:
    """Labels are collected by a wildcard, an id beyond 2^53 stays exact, a time moves to another zone."""
    plan = planned(
        field_mappings={
            "issue.title": "event_title",
            "issue.body": "description",
            "issue.labels[*].name": "hazard_focus",
            "issue.user.login": "facilitators",
            "issue.milestone.due_on": ["starts_at", "date"],
            "issue.assignee.login": "venue",
        },
        transformations={
            "event_title": ["trim", {"name": "truncate", "length": 20, "ending": "…"}],
            "hazard_focus": {"name": "join", "separator": ", "},
            "starts_at": {"name": "datetime", "zone": "Asia/Manila"},
            "date": "date",
        },
        expressions={"event_name": "repository.full_name & '#' & issue.number", "location": "'id ' & issue.id"},
        constants={"event_type": "drill"},
        defaults={"event_status": "planned"},
        external_id_field="issue.id",
        version_field="issue.updated_at",
        filter="action in ['opened', 'edited'] and $count(issue.labels[name = 'bug']) > 0",
    )
    record = received("github_issues")
    assert plan.wants(record.value) is True
    assert plan.external_id(record.value) == "9007199254740995"
    assert plan.version(record.value) == "t2026-11-22T20:10:18"
    assert plan.apply(record.value) == {
        "event_title": "Siren test fails at…",
        "description": "The siren at quay 5 stays silent below 0.4 m.",
        "hazard_focus": "bug, field report",
        "facilitators": "octo-reporter",
        "starts_at": datetime(2026, 12, 15, 16, 0),
        "date": datetime(2026, 12, 15).date(),
        "venue": None,  # a null on the way is a null: the issue says that nobody is assigned
        "event_name": "harbour-town/drill-planner#42",
        "location": "id 9007199254740995",
        "event_type": "drill",
        "event_status": "planned",
    }


def test_github_push_counts_and_lists_its_commits() -> None:
    """Lists inside of lists become one list, and an expression computes over them."""
    plan = planned(
        field_mappings={
            "head_commit.timestamp": "starts_at",
            "commits[*].modified[*]": "materials_json",
            "commits[0].author.username": "facilitators",
            "commits[-1].message": "description",
            "repository.pushed_at": "ends_at",
        },
        transformations={
            "starts_at": "datetime",
            "ends_at": "datetime",
            "materials_json": "json",
            "description": [{"name": "split", "separator": "\n"}, "first"],
        },
        expressions={
            "event_name": "$substringAfter(ref, 'refs/heads/') & ': ' & $count(commits) & ' commits'",
            "attendance_count": "$count($distinct(commits.author.username))",
            "logistics_json": "commits.{'sha': $substring(id, 0, 7), 'files': $count($append(added, modified))}",
        },
        external_id_field="after",
        filter="ref = 'refs/heads/' & repository.default_branch and $not(deleted)",
    )
    record = received("github_push")
    assert plan.wants(record.value) is True
    assert plan.identify(record) == "0d1a26e67d8f5eaf1f6ba5c57fc3c7d91ac0fd1c"
    assert plan.version(record.value) is None
    assert plan.apply(record.value) == {
        "starts_at": datetime(2026, 11, 22, 12, 55, 59),
        "ends_at": datetime(2026, 11, 22, 12, 58, 3),
        "materials_json": '["README.md","maps/quay.svg","README.md"]',
        "facilitators": "quay-dev",
        "description": "Update the map",
        "event_name": "main: 2 commits",
        "attendance_count": 1,
        "logistics_json": [{"sha": "6113728", "files": 2}, {"sha": "0d1a26e", "files": 2}],
    }


def test_github_pull_request_is_mapped_when_it_is_merged() -> None:
    """A filter picks the merged ones out of all that are closed; a lookup translates their state."""
    plan = planned(
        field_mappings={
            "pull_request.title": ["title", "event_title"],
            "pull_request.state": "status",
            "pull_request.merged_at": "end_date",
            "pull_request.head.repo.owner.login": "location",
            "pull_request.body": "description",
        },
        transformations={
            "event_title": "uppercase",
            "status": {"name": "lookup", "values": {"open": "ongoing", "closed": "completed"}},
            "end_date": {"name": "date_format", "format": "d/m/Y", "zone": "Asia/Manila"},
            "description": [{"name": "default", "value": "(no description)"}, {"name": "prefix", "text": "PR: "}],
        },
        expressions={"budget": "(pull_request.additions + pull_request.deletions) / pull_request.commits"},
        external_id_field="pull_request.id",
        version_field="pull_request.updated_at",
        match_fields=["title"],
        filter="action = 'closed' and pull_request.merged",
    )
    record = received("github_pull_request")
    assert plan.wants(record.value) is True
    assert plan.wants({**record.value, "action": "opened"}) is False
    assert plan.external_id(record.value) == "2794710123"
    assert plan.apply(record.value) == {
        "title": "Sound the siren also at low tide",
        "event_title": "SOUND THE SIREN ALSO AT LOW TIDE",
        "status": "completed",
        "end_date": "23/11/2026",
        "location": "harbour-town",
        "description": "PR: (no description)",
        "budget": 68.5,
    }


def test_stripe_charge_keeps_money_exact() -> None:
    """An amount in cents becomes a decimal, Unix time a date, and a metadata key with a dot is found."""
    plan = planned(
        field_mappings={
            "data.object.amount": "budget",
            "data.object.currency": "category",
            "data.object.created": ["start_date", "created_at"],
            "data.object.metadata.campaign.id": "owner_id",
            "data.object.billing_details.address.city": "location",
            "data.object.payment_method_details.card.last4": "reference",
            "data.object.failure_message": "failure",
        },
        transformations={
            "budget": [{"name": "multiply", "by": 0.01}, {"name": "decimal", "places": 2}],
            "category": "uppercase",
            "start_date": {"name": "date", "zone": "Asia/Manila"},
            "created_at": "date_format",
            "owner_id": "integer",
        },
        expressions={
            "description": "data.object.description & ' (' & data.object.metadata.order_ref & ')'",
            "staff_count": "data.object.outcome.risk_score > 50 ? 2 : 1",
        },
        external_id_field="data.object.id",
        version_field="created",
        filter="type = 'charge.succeeded' and data.object.paid",
    )
    record = received("stripe_charge_succeeded")
    assert plan.wants(record.value) is True
    assert plan.external_id(record.value) == "ch_3SWq2ELkdIwHu7ix0Xk1mV2a"
    row = plan.apply(record.value)
    assert row == {
        "budget": Decimal("2099.50"),
        "category": "PHP",
        "start_date": datetime(2026, 11, 22).date(),
        "created_at": "2026-11-22 12:10:59",
        "owner_id": 17,
        "location": "Quezon City",
        "reference": "4242",
        "failure": None,
        "description": "Siren maintenance (HT-2026-118)",
        "staff_count": 1,
    }
    assert str(row["budget"]) == "2099.50"


def test_stripe_invoice_lines_are_summed() -> None:
    """Nested lists are summed by an expression and listed by a wildcard; a later event has the greater version."""
    plan = planned(
        field_mappings={
            "data.object.number": "title",
            "data.object.lines.data[*].description": "description",
            "data.object.lines.data[*].pricing.unit_amount_decimal": "unit_amounts",
            "data.object.status_transitions.paid_at": "end_date",
            "data.object.parent.subscription_details.metadata.module": "category",
            "data.object.due_date": "start_date",
        },
        transformations={
            "description": {"name": "join", "separator": "\n"},
            "unit_amounts": [{"name": "multiply", "by": 0.01}, {"name": "decimal", "places": 2}, "json"],
            "end_date": "datetime",
            "start_date": "date",
        },
        expressions={
            "budget": "$sum(data.object.lines.data.amount) / 100",
            "staff_count": "$max(data.object.lines.data.quantity)",
        },
        external_id_field="data.object.id",
        version_field="created",
        filter="type = 'invoice.paid'",
    )
    record = received("stripe_invoice_paid")
    assert plan.wants(record.value) is True
    assert plan.wants(received("stripe_charge_succeeded").value) is False
    earlier, later = plan.version({**record.value, "created": 999999999}), plan.version(record.value)
    assert earlier is not None
    assert later is not None
    assert earlier < later
    assert plan.apply(record.value) == {
        "title": "HT-0042",
        "description": "2 × Drill planner (at ₱500.00 / month)\n1000 × Alerts (at ₱0.50 / month)",
        "unit_amounts": "[500.00,0.50]",
        "end_date": datetime(2026, 11, 22, 12, 11),
        "category": "events",
        "start_date": None,
        "budget": 1500,
        "staff_count": 1000,
    }
