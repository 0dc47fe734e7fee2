"""Tell whether the database is what the document classes say, and make it so."""

from mongospec_cli.plan import CollectionSize, Plan, Problem, Step, Undeclared, plan

__all__ = (
    "CollectionSize",
    "Plan",
    "Problem",
    "Step",
    "Undeclared",
    "plan",
)
