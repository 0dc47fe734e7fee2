"""Tell whether the database is what the document classes say, and make it so."""

from mongospec_cli.apply import Progress, apply
from mongospec_cli.errors import CommandError, OutdatedPlanError
from mongospec_cli.plan import CollectionSize, Plan, Problem, Step, Undeclared, plan
from mongospec_cli.schema import json_schema, schema

__all__ = (
    "CollectionSize",
    "CommandError",
    "OutdatedPlanError",
    "Plan",
    "Problem",
    "Progress",
    "Step",
    "Undeclared",
    "apply",
    "json_schema",
    "plan",
    "schema",
)
