"""What ``__upgrade__`` would change in stored documents."""

from collections.abc import Mapping, Sequence
from typing import Any

import bson
from bson.codec_options import CodecOptions
from bson.errors import BSONError

from mongospec_core import MongospecError
from mongospec_core.extension import Binding, encode


def decode_batch(
    parts: Sequence[bytes], codec: CodecOptions[dict[str, Any]]
) -> list[dict[str, Any] | None]:
    """Decode stored documents; None for one that is damaged, which a read reports."""
    try:
        return [*bson.decode_all(b"".join(parts), codec)]  # pyright: ignore[reportUnknownMemberType]
    except BSONError:
        return [_decoded(part, codec) for part in parts]


def _decoded(part: bytes, codec: CodecOptions[dict[str, Any]]) -> dict[str, Any] | None:
    try:
        return bson.decode(part, codec)  # pyright: ignore[reportUnknownMemberType]
    except BSONError:
        return None


def upgrade_batch(
    binding: Binding, parts: Sequence[bytes], raws: Sequence[dict[str, Any] | None]
) -> list[dict[str, Any] | None]:
    """What ``__upgrade__`` makes of stored documents; None for one that it cannot upgrade.

    :param raws: the same documents, decoded; they are not changed.
    """
    if binding.plan.upgrade is None:
        return list(raws)
    decoded = decode_batch(parts, binding.target.codec)  # once more: the upgrade may change them
    return [None if raw is None else _upgraded(binding, raw) for raw in decoded]


def _upgraded(binding: Binding, raw: dict[str, Any]) -> dict[str, Any] | None:
    assert binding.plan.upgrade is not None
    try:
        return binding.plan.upgrade(raw)
    except Exception:  # noqa: BLE001 - a user's function; a read reports what it raised
        return None


def changed_fields(part: bytes, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The top-level fields that differ, in the order in which they stand.

    :param part: the BSON of *before*.
    :raises EncodingError: BSON cannot hold what ``__upgrade__`` made.
    """
    if encode(after) == part:
        return []
    return [
        name
        for name in dict.fromkeys([*before, *after])
        if name not in before
        or name not in after
        or encode({"": before[name]}) != encode({"": after[name]})
    ]


def is_stable(binding: Binding, after: Mapping[str, Any]) -> bool:
    """Whether ``__upgrade__`` leaves its own result as it is."""
    stored = encode(after)
    (raw,) = decode_batch([stored], binding.target.codec)
    (again,) = upgrade_batch(binding, [stored], [raw])
    try:
        return raw is not None and again is not None and not changed_fields(stored, raw, again)
    except MongospecError:
        return False
