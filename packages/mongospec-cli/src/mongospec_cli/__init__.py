"""Tell whether the database is what the document classes say, and make it so."""

from mongospec_cli.audit import (
    Audit,
    Audited,
    Dangling,
    OldDocuments,
    UndeclaredField,
    Unreadable,
    audit,
)
from mongospec_cli.batches import Position, ReadProgress
from mongospec_cli.plan import CollectionSize, Plan, Problem, Step, Undeclared, plan
from mongospec_cli.upgrade import NotUpgraded, Upgrade, UpgradedCollection, upgrade

__all__ = (
    "Audit",
    "Audited",
    "CollectionSize",
    "Dangling",
    "NotUpgraded",
    "OldDocuments",
    "Plan",
    "Position",
    "Problem",
    "ReadProgress",
    "Step",
    "Undeclared",
    "UndeclaredField",
    "Unreadable",
    "Upgrade",
    "UpgradedCollection",
    "audit",
    "plan",
    "upgrade",
)
