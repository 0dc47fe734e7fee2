"""Let atheris look for replies that the decoder does not survive, with the coverage of our code as its guide.

Not in the suite, which has hypothesis for it (test_damaged_replies.py): atheris has wheels for a few systems only, and it
looks for minutes. What it finds is printed with its input; every exception that is not ours is a find.

    uv pip install atheris
    python -m tests.faults.fuzz_replies -max_total_time=300
"""

import base64
import importlib
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FunctionType, SimpleNamespace
from typing import Any
from zlib import crc32

import bson
import mongojet

from mongospec_core import MongospecError, changes
from mongospec_core.codec.codec_options import DECIMAL_CODEC_OPTIONS
from mongospec_core.codec.plan import plan_of
from mongospec_core.extension import BulkState, Statement, encode, split_documents
from mongospec_core.model.read import Reader
from mongospec_core.operations import page_position, page_token
from mongospec_core.server.driver_cursor import EMPTY
from mongospec_core.server.driver_errors import reply_error, to_operation_error
from mongospec_core.server.operation import Operation
from mongospec_core.server.reply import Listed, ListedIndex
from tests.faults.damage import OF_BYTES, OF_STRUCTURE, OF_VALUES, Recipe, damaged
from tests.zoo.everything import Everything
from tests.zoo.people import Account, Person

KINDS = (*OF_VALUES, *OF_STRUCTURE, *OF_BYTES)
STATEMENTS = [Statement("update", b"", None), Statement("insert", b"", None, many=True)]

DOCUMENTS = [
    encode(
        {"_id": 1, "name": "a", "age": 2, "tags": ["b"], "address": {"city": "c", "place": None}}
    ),
    encode({"_id": bson.ObjectId(), "email": "a@b", "role": "reader", "since": None}),
]
REPLIES = [
    encode({"n": 2, "nModified": 1, "upserted": [{"index": 0, "_id": 1}], "ok": 1.0}),
    encode({"n": 1, "writeErrors": [{"index": 1, "code": 11000, "errmsg": "x"}], "ok": 1.0}),
    encode(
        {"n": 1, "writeConcernError": {"code": 64, "errmsg": "x"}, "ok": 1.0, "errorLabels": ["a"]}
    ),
    encode({"cursor": {"id": 0, "firstBatch": [{"name": "a", "key": {"a": 1}}]}, "ok": 1.0}),
    encode(
        {
            "ok": 0.0,
            "code": 11000,
            "errmsg": "E11000 index: a_1 dup key: { a: 1 }",
            "keyPattern": {"a": 1},
        }
    ),
]
_WRITE = "Kind: An error occurred when trying to execute"
_END = "source: None, server response: "
TEXTS = [
    f"Kind: Command failed: Error code 11000 (A): E11000 index: a_1 dup key: {{ a: 1 }}, labels: {{}}, {_END}",
    f'{_WRITE} a write operation: WriteError(WriteError {{ code: 1, code_name: None, message: "x" }}), {_END}',
    (
        f"{_WRITE} an insert_many operation: InsertManyError {{ write_errors: Some([IndexedWriteError {{ index: 0, "
        f'code: 11000, code_name: None, message: "x" }}]), write_concern_error: None }}, labels: {{"a"}}, {_END}'
    ),
]


def read_documents(data: bytes) -> None:
    """What ``find`` does with a batch."""
    for cls in (Person, Account, Everything):
        reader: Reader[Any] = Reader(plan_of(cls), DECIMAL_CODEC_OPTIONS)
        with suppress(MongospecError):
            for document in reader.decode(split_documents(data)):
                changes(document)
                document.dump()


def read_reply(data: bytes) -> None:
    """What a write command and ``init`` do with a reply."""
    call: Any = SimpleNamespace(operation="A.save", write=True, transaction=None)
    for like in (None, Listed[ListedIndex]):
        with suppress(MongospecError):
            reply = Operation._decoded(call, data, len(STATEMENTS), like)  # pyright: ignore[reportPrivateUsage]
            reply_error(reply, "A.save")
            for kind in ("insert", "update", "delete"):
                state = BulkState(STATEMENTS)
                state.record_reply(kind, range(len(STATEMENTS)), reply, ordered=True)
                state.whole()


def read_error(data: bytes) -> None:
    """What becomes of the driver's error with a reply in it, and with any text."""
    for text in TEXTS:
        whole = f'{text}Some(RawDocumentBuf {{ data: "{data.hex()}" }})'
        for said in (whole, text[: len(data)] + data.decode(errors="replace") + whole):
            to_operation_error(
                mongojet.PyMongoError(said), "A.save", {"_id": 1, "a": 1}, write=True
            )


def read_token(data: bytes) -> None:
    """What ``page(after=)`` does with text from outside, and with a forged token."""
    signed = b"question\0" + data
    forged = base64.urlsafe_b64encode(crc32(signed).to_bytes(4) + signed).rstrip(b"=").decode()
    for token in (data.decode(errors="replace"), forged):
        with suppress(MongospecError):
            place = page_token.read_token("A.page", token, b"question", {"a": 1})
            page_position.beyond("A.page", EMPTY, {"a": 1}, place)


def batch_of(documents: Sequence[bytes]) -> bytes:
    return encode({str(n): bson.decode(each) for n, each in enumerate(documents)})


type Target = tuple[Callable[[bytes], None], list[bytes]]

TARGETS: list[Target] = [
    (read_documents, [batch_of(DOCUMENTS), batch_of(DOCUMENTS[:1])]),
    (read_reply, REPLIES),
    (read_error, REPLIES),
    (read_token, [encode({"0": 1}), encode({"0": {"a": ["b"]}})]),
]


def one_input(data: bytes) -> None:
    """The first byte says who reads, the second what: these bytes, or a valid reply that they damage."""
    if len(data) < 2:
        return
    read, seeds = TARGETS[data[0] % len(TARGETS)]
    rest = data[2:]
    if data[1] < 64:
        read(rest)
        return
    recipe: Recipe = [
        (
            KINDS[rest[n] % len(KINDS)],
            int.from_bytes(rest[n + 1 : n + 3]),
            int.from_bytes(rest[n + 3 : n + 5]),
        )
        for n in range(0, len(rest) - 4, 5)
    ]
    read(damaged(recipe[:4])(seeds[data[1] % len(seeds)]))


def main() -> None:
    atheris: Any = importlib.import_module("atheris")
    for name, module in list(sys.modules.items()):
        for value in vars(module).values() if name.startswith("mongospec_core.") else ():
            if isinstance(value, FunctionType) and value.__module__ == name:
                atheris.instrument_func(value)
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
