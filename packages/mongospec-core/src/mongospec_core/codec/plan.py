"""Compile one class: how its instances become raw data, and raw data its instances.

A plan lists only the fields that need a codec (see :mod:`.field_codec`). ``encode`` returns the
tree that a read of the stored document would return; ``convert`` is that read: one msgspec call for
a whole batch. A document is therefore checked before a write exactly as it would be read.
"""

# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false
# What stands in documents and queries is of any type; this module tells the types apart.

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import cache, cached_property, partial
from types import UnionType
from typing import Any, Union, get_args, get_origin

import msgspec
from bson import ObjectId
from msgspec.structs import FieldInfo, force_setattr

from mongospec_core.codec import datetimes
from mongospec_core.codec.annotations import (
    declared_fields,
    has_default_factory,
    has_fresh_inside,
    holds_decimals,
    iter_types,
    names_in,
    tag_of,
    type_args,
    unwrap,
)
from mongospec_core.codec.class_cache import forget_by
from mongospec_core.codec.datetimes import Truncation
from mongospec_core.codec.encoder import write_encoder
from mongospec_core.codec.field_codec import (
    Scope,
    compile_codec,
    decoded_fields,
    is_scalar,
    not_of,
)
from mongospec_core.codec.raw_values import Encoder, note_hidden, register_builtin
from mongospec_core.codec.types import Decoder, FieldCodec
from mongospec_core.codec.validation import BUILTIN_TYPES, unencodable
from mongospec_core.errors import DefinitionError, EncodingError

type DecHook = Callable[[type, Any], Any]
type Upgrade = Callable[[dict[str, Any]], dict[str, Any]]


class Plan[T]:
    """The compiled codec of one Struct class or dataclass; use :func:`plan_of`."""

    def __init__(self, tp: Any) -> None:
        cls = get_origin(tp) or tp
        self.cls: type[T] = cls
        self.type = tp
        self.list_type: type[list[T]] = list[tp]
        self.fields: tuple[FieldInfo, ...] = declared_fields(tp)
        # These are set by plan_of, once the nested plans are compiled:
        self.decimals = False
        self.documents: tuple[Any, ...] = ()  # document classes that are stored as ids in it
        self.fresh: tuple[int, ...] = ()  # positions of fields with a default factory
        self.fresh_inside: tuple[int, ...] = ()  # and of fields with such fields inside
        self.object_ids: bool = any(  # whether an ObjectId is an id of the class
            each.name == "_id" and ObjectId in (unwrap(each.type), *type_args(each.type))
            for each in self.fields
        )
        self.version_field: str | None = getattr(cls, "__version_field__", None)
        self.version: str | None = next(  # its stored name
            (each.encode_name for each in self.fields if each.name == self.version_field), None
        )
        self.shard_key: tuple[str, ...] = tuple(getattr(cls, "__shard_key__", ()))  # stored paths
        self.guarded: bool = self.version is not None or bool(self.shard_key)
        self.dec_hook: DecHook | None = None
        config = getattr(cls, "__struct_config__", None)
        self.tag: tuple[str, str | int] | None = tag_of(cls)
        self.upgrade: Upgrade | None = getattr(cls, "__upgrade__", None)
        self.members: Mapping[type, Plan[Any]] | None = None  # see model/family.py
        self._array_like = config is not None and config.array_like
        self._frozen: bool = (config or cls.__dataclass_params__).frozen
        self._set = object.__setattr__ if config is None else force_setattr
        self._omit_defaults = config is not None and config.omit_defaults
        codecs = [self._codec(each) for each in self.fields]
        pairs = list(zip(self.fields, codecs, strict=True))
        self.encode_names: tuple[str, ...] = tuple(each.encode_name for each in self.fields)
        self.places: dict[str, int] = {name: n for n, name in enumerate(self.encode_names)}
        self.scalars: frozenset[int] = frozenset(
            n for n, each in enumerate(self.fields) if is_scalar(each.type)
        )
        self.encoders: tuple[Encoder | None, ...] = tuple(each.encode for each in codecs)
        self.decoders: tuple[tuple[str, Decoder], ...] = tuple(
            (field.encode_name, codec.decode) for field, codec in pairs if codec.decode is not None
        )
        self._decode = [each.decode for each in codecs]
        self.truncations: tuple[tuple[str, str, Truncation], ...] = tuple(
            (field.name, f"{cls.__name__}.{field.name}", codec.truncate)
            for field, codec in pairs
            if codec.truncate is not None
        )

    def _codec(self, field: FieldInfo) -> FieldCodec:
        try:
            return compile_codec(field.type, Scope(_nested, getattr(self.cls, "dec_hook", None)))
        except DefinitionError as error:
            raise DefinitionError(f"{self.cls.__name__}.{field.name}: {error}") from error

    # -- writing

    def truncate_nested(self, value: Any, where: str) -> Any:
        """Apply :meth:`truncate` to a value inside a document; a frozen one is replaced by a copy."""
        if type(value) is not self.cls:
            return datetimes.truncate(value, where)
        if not self._frozen:
            self.truncate(value)
            return value
        twin = copy(value)  # a frozen one may be in a set, which depends on its hash
        return twin if self.truncate(twin) else value

    def truncate(self, instance: Any) -> bool:
        """Cut the instance's datetimes and timedeltas to what BSON keeps; return whether any changed."""
        any_cut = False
        for name, where, cut in self.truncations:
            value = getattr(instance, name)
            if value is not None and (new := cut(value, where)) is not value:
                self._set(instance, name, new)
                any_cut = True
        return any_cut

    @cached_property
    def encode(self) -> Encoder:
        """The function that converts an instance, or a value in a field of this type, to raw data.

        The raw data shares no list or dict with it.
        """
        if not issubclass(self.cls, msgspec.Struct):
            return self._encode_dataclass
        return write_encoder(
            self.cls,
            self.fields,
            self.encoders,
            partial(not_of, self.cls),
            tag=self.tag,
            omit_defaults=self._omit_defaults,
            array_like=self._array_like,
        )

    def _encode_dataclass(self, value: Any) -> Any:
        if type(value) is not self.cls:
            return not_of(self.cls, value)
        raw = {name: getattr(value, name, msgspec.UNSET) for name in self.encode_names}
        return {
            name: self.encode_field(place, each)
            for place, (name, each) in enumerate(raw.items())
            if each is not msgspec.UNSET
        }

    # -- reading

    def decode(self, raw: Any, reader: Any) -> Any:
        """Prepare nested raw data for msgspec; return data that is not of this class unchanged."""
        if self._array_like and type(raw) is list:
            names = self.encode_names if self.tag is None else (self.tag[0], *self.encode_names)
            named = dict(zip(names, raw, strict=False))
            return list(decoded_fields(named, self.decoders, reader).values())
        if type(raw) is not dict or (self.tag and raw.get(self.tag[0]) != self.tag[1]):
            return raw
        return decoded_fields(raw, self.decoders, reader)

    def prepare(self, raws: list[Any], reader: Any) -> list[Any]:
        """Prepare a batch for :meth:`convert`; the dicts themselves are not changed."""
        if not self.decoders:
            return raws
        decoders = self.decoders
        return [decoded_fields(raw, decoders, reader) for raw in raws]

    def convert(self, prepared: list[Any]) -> list[T]:
        """Convert a batch to instances of the class, in one call.

        :raises msgspec.ValidationError: one of them does not fit.
        """
        hook = self.dec_hook
        if len(prepared) == 1:
            # msgspec inspects the type of a list in each call, which takes as long as a document.
            (raw,) = prepared
            one = msgspec.convert(
                raw, self.type, builtin_types=BUILTIN_TYPES, str_keys=True, dec_hook=hook
            )
            return [one]
        return msgspec.convert(
            prepared, self.list_type, builtin_types=BUILTIN_TYPES, str_keys=True, dec_hook=hook
        )

    def convert_field(self, place: int, raw: Any, reader: Any) -> Any:
        """Convert one field's raw value as a read would."""
        field = self.fields[place]
        decode = self._decode[place]
        value = raw if raw is None or decode is None else decode(raw, reader)
        return msgspec.convert(
            value,
            field.type,
            builtin_types=BUILTIN_TYPES,
            str_keys=True,
            dec_hook=self.dec_hook,
        )

    def default_of(self, place: int) -> Any:
        """Return a field's constant default as raw data, or ``UNSET``."""
        field = self.fields[place]
        if field.default is not msgspec.NODEFAULT:
            return self.encode_field(place, field.default)
        if field.default_factory in (list, dict, set):
            return self.encode_field(place, field.default_factory())
        return msgspec.UNSET

    def inserted_default(self, place: int) -> Any:
        """Return what an insert stores in a field that is not set, as raw data; ``UNSET``: nothing."""
        field = self.fields[place]
        if field.default is msgspec.UNSET:
            return msgspec.UNSET
        if (default := self.default_of(place)) is not msgspec.UNSET:
            return msgspec.UNSET if self._omit_defaults else default
        make = field.default_factory
        return msgspec.UNSET if make is msgspec.NODEFAULT else self.encode_field(place, make())

    def encode_field(self, place: int, value: Any) -> Any:
        """Convert one field's value to raw data."""
        encode = self.encoders[place]
        return value if value is None or encode is None else encode(value)

    def unencodable(self, instance: Any) -> tuple[str, str] | None:
        """Return the path of the first value that BSON cannot hold, and why; None if it can hold all."""
        for place, field in enumerate(self.fields):
            try:
                raw = self.encode_field(place, getattr(instance, field.name))
            except EncodingError as error:
                return field.encode_name, str(error)
            if (found := unencodable({field.encode_name: raw})) is not None:
                return found
        return None


class _NotReadError(TypeError, NotImplementedError):
    """No ``dec_hook`` reads the type: msgspec takes a TypeError, callers of hooks the other."""


def hook_of(cls: type, inside: Sequence[Any]) -> DecHook | None:
    """Return a hook that combines the ``dec_hook`` of a class with those of the classes inside it.

    msgspec calls it for every type that msgspec does not know, even if the value already has that
    type (an ObjectId for ``_id``): the users' hooks are called for their own types only. A type that
    no hook knows is a value that does not fit. Hooks of classes whose fields name a type come first.
    """
    owners = {get_origin(each) or each: each for each in (cls, *inside)}
    hooks = {each: hook for each in owners if (hook := getattr(each, "dec_hook", None)) is not None}
    if not hooks:
        return None

    @cache
    def asked(tp: Any) -> list[DecHook]:
        near = {each for each in hooks if tp in names_in(owners[each])}
        return [hooks[each] for each in sorted(hooks, key=lambda each: each not in near)]

    def dec_hook(tp: Any, value: Any) -> Any:
        if isinstance(tp, type) and isinstance(value, tp):
            return value
        for hook in asked(tp):
            try:
                return hook(tp, value)
            except NotImplementedError:
                continue
            except (LookupError, AttributeError, ArithmeticError) as error:
                # msgspec adds the path of the value to a ValueError.
                raise ValueError(f"{type(error).__name__} in dec_hook: {error}") from error
        raise _NotReadError(f"dec_hook does not read {getattr(tp, '__name__', tp)}")

    return dec_hook


class UnionPlan(Plan[Any]):
    """The plan of a tagged union of Structs: the type of a result, never of a field."""

    def __init__(self, tp: Any) -> None:
        super().__init__(get_args(tp)[0])
        self.type = tp
        self.list_type: Any = list[tp]
        decode = compile_codec(tp, Scope(_nested, None)).decode
        self.decoders: tuple[tuple[str, Decoder], ...] = (
            (("", decode),) if decode is not None else ()
        )

    def prepare(self, raws: list[Any], reader: Any) -> list[Any]:
        for _, decode in self.decoders:
            return [decode(raw, reader) for raw in raws]
        return raws


_plans: dict[Any, Plan[Any]] = {}
forget_by(_plans.clear)
_building: list[Any] = []


def plan_of(tp: Any) -> Plan[Any]:
    """Return the plan of a Struct class, a dataclass, or a parametrised one (``Box[int]``).

    :raises DefinitionError: an annotation cannot be resolved, stored or told apart.
    """
    plan = _plans.get(tp)
    if plan is None:
        note_hidden()  # classes may have been defined since the last call
        _building.append(tp)
        try:
            plan = UnionPlan(tp) if get_origin(tp) in (Union, UnionType) else Plan(tp)
        finally:
            _building.pop()
        inside = list(iter_types(tp))
        plan.dec_hook = hook_of(plan.cls, inside)
        plan.decimals = plan.dec_hook is not None or any(map(holds_decimals, inside))
        plan.documents = tuple(
            each for each in inside if each is not tp and hasattr(each, "__bson_decoder__")
        )
        places = range(len(plan.fields))
        plan.fresh = tuple(n for n in places if has_default_factory(plan.fields[n]))
        plan.fresh_inside = tuple(n for n in places if has_fresh_inside(plan.fields[n].type))
        if not _building:  # complete now, recursive classes too
            _refuse_unsupported(plan)
        _plans[tp] = plan
    return plan


def _refuse_unsupported(plan: Plan[Any]) -> None:
    """Refuse a class that msgspec cannot convert now, not at the first document."""
    try:
        plan.convert([])
    except (TypeError, NameError) as error:
        field = next((each.name for each in plan.fields if _is_unsupported(each.type)), None)
        where = plan.cls.__name__ if field is None else f"{plan.cls.__name__}.{field}"
        way = "; check the value in __post_init__" if "Can only set" in str(error) else ""
        raise DefinitionError(f"{where}: {error}{way}") from error


def _is_unsupported(annotation: Any) -> bool:
    try:
        msgspec.convert(None, annotation)
    except msgspec.ValidationError:
        return False
    except (TypeError, NameError):
        return True
    return False


def forget_plan(tp: Any) -> None:
    """Compile *tp* again at its next use, because a class that it refers to has changed."""
    _plans.pop(tp, None)


def _nested(tp: Any) -> FieldCodec:
    """Return the codec of a Struct or dataclass inside another class."""
    if tp in _building:  # recursive: its plan is complete before the first value
        return FieldCodec(
            lambda value: plan_of(tp).encode(value),
            lambda raw, reader: plan_of(tp).decode(raw, reader),
            lambda value, where: plan_of(tp).truncate_nested(value, where),
        )
    plan = plan_of(tp)
    return FieldCodec(
        plan.encode,
        plan.decode if plan.decoders else None,
        plan.truncate_nested if plan.truncations else None,
    )


register_builtin(msgspec.Struct, lambda value: plan_of(type(value)).encode(value))
datetimes.register_truncation(
    msgspec.Struct, lambda value, where: plan_of(type(value)).truncate_nested(value, where)
)


def codec_of(annotation: Any, dec_hook: DecHook | None) -> FieldCodec:
    """Return the codec of one annotation."""
    return compile_codec(annotation, Scope(_nested, dec_hook))
