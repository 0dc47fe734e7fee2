"""Tell whether the database is what the document classes say, and make it so."""

from mongospec_cli.apply import Progress, apply
from mongospec_cli.audit import audit
from mongospec_cli.batches import Position, ReadProgress
from mongospec_cli.errors import CommandError, OutdatedPlanError
from mongospec_cli.findings import (
    Audit,
    Audited,
    Dangling,
    LaxValue,
    OldDocuments,
    UndeclaredField,
    Unreadable,
)
from mongospec_cli.new_models import new_models
from mongospec_cli.plan import CollectionSize, Plan, Problem, Step, Undeclared, plan
from mongospec_cli.schema import json_schema, schema
from mongospec_cli.upgrade import NotUpgraded, Upgrade, UpgradedCollection, upgrade

__all__ = (
    "Audit",
    "Audited",
    "CollectionSize",
    "CommandError",
    "Dangling",
    "LaxValue",
    "NotUpgraded",
    "OldDocuments",
    "OutdatedPlanError",
    "Plan",
    "Position",
    "Problem",
    "Progress",
    "ReadProgress",
    "Step",
    "Undeclared",
    "UndeclaredField",
    "Unreadable",
    "Upgrade",
    "UpgradedCollection",
    "apply",
    "audit",
    "json_schema",
    "new_models",
    "plan",
    "schema",
    "upgrade",
)
