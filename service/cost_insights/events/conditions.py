"""Conditions on single events: properties compared with values, joined by and and or.

A property is `name`, `source`, `timestamp` in seconds since 1970, `_cost.amount` in cents,
`_cost.currency`, a field of `_llm` such as `_llm.model`, or a key of the metadata. `metadata.`
may stand before it, and must where a key is called as one of the first three. A condition on a
property that an event lacks does not hold, whatever its operator.

Texts are compared by their code points, and `_cost.amount` and `timestamp` exactly. A text that
is a decimal number equals a number, and `true` and `false` equal booleans, so that what a
URL says finds what JSON said. Numbers of the metadata are doubles, and are compared as such.
Values of different kinds are unequal and have no order.
"""

import enum
import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from cost_insights._native.ids import member_signature
from cost_insights.amounts import PICOCENTS_PER_CENT
from cost_insights.store.expressions import MemberKind, contains, member
from cost_insights.store.schema import event, series


class Operator(enum.Enum):
    """The comparison of a condition."""

    EQ = "eq"
    NE = "ne"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"
    LIKE = "like"
    """The property contains the text; no character has a special meaning."""
    NOT_LIKE = "not_like"


@dataclass(frozen=True)
class Comparison:
    """A property of an event, compared with a value."""

    property: str
    operator: Operator
    value: str | int | bool


@dataclass(frozen=True)
class AllOf:
    """Holds if all members hold, as it does where there are none."""

    members: Sequence["Condition"]


@dataclass(frozen=True)
class AnyOf:
    """Holds if any member holds, or where there are none."""

    members: Sequence["Condition"]


Condition = Comparison | AllOf | AnyOf

ALWAYS: Final = AllOf(())
"""The condition that holds for every event."""


def member_is_any_of(key: str, values: Sequence[str]) -> Condition:
    """The condition that a member of the metadata has one of these values."""
    return AnyOf(tuple([Comparison(f"metadata.{key}", Operator.EQ, value) for value in values]))


SOURCE: Final = "user"
"""The source of every stored event: system events are recorded as revenue instead."""


class ComparisonForm(NamedTuple):
    """A comparison without its values, which are parameters of the statement."""

    subject: str
    """The property, or the column whose member it is; the key is the first parameter then."""

    operator: Operator
    kinds: tuple[MemberKind, ...]
    """The kinds of the values to compare with; none where the answer does not depend on a value."""

    hints: int
    """The number of texts behind the values, one of which the metadata must contain."""

    first: int
    """The number of the first parameter."""


class JoinedForm(NamedTuple):
    """Forms of conditions that are joined."""

    members: tuple["Form", ...]
    is_any: bool
    """Whether one that holds is enough."""


Form = ComparisonForm | JoinedForm
"""A condition without its values: conditions that differ in nothing else have one statement."""


def form_of(condition: Condition) -> tuple[Form, Sequence[Any]]:
    """The form of a condition, and its values, which are the parameters `value_0` and so on."""
    values: list[Any] = []
    return _form_of(condition, values), values


def _form_of(condition: Condition, values: list[Any]) -> Form:
    match condition:
        case Comparison(name, operator, value):
            return _comparison_form(name, operator, value, values)
        case AllOf(members):
            return JoinedForm(tuple([_form_of(one, values) for one in members]), is_any=False)
        case AnyOf(members):
            return JoinedForm(
                tuple([_form_of(one, values) for one in members]), is_any=bool(members)
            )


def size_of(form: Form) -> int:
    """The number of comparisons of a form."""
    return sum(map(size_of, form.members)) if isinstance(form, JoinedForm) else 1


def condition_of_form(form: Form) -> sa.ColumnElement[bool]:
    """The condition on a row of `event` joined with `series`; null where it does not hold."""
    match form:
        case ComparisonForm():
            return _condition(form)
        case JoinedForm(members, is_any=True):
            return sa.or_(sa.false(), *map(condition_of_form, members))
        case JoinedForm(members):
            return sa.and_(sa.true(), *map(condition_of_form, members))


def signatures_of(condition: Condition) -> Sequence[int] | None:
    """Signatures of metadata, of which that of an event for which the condition holds includes one;
    None if it may be any."""
    match condition:
        case Comparison(name, Operator.EQ, value):
            return _signatures(name, value)
        case AllOf(members):
            known = [found for one in members if (found := signatures_of(one)) is not None]
            return _all_of(known) if known else None
        case AnyOf(members):
            alternatives: list[int] = []
            for one in members:
                if (found := signatures_of(one)) is None:
                    return None
                alternatives += found
            return alternatives if 0 < len(alternatives) <= _SIGNATURES_MAX else None
    return None


_SIGNATURES_MAX: Final = 64
"""The number of signatures to look for, beyond which reading metadata is as fast."""


def _all_of(known: Sequence[Sequence[int]]) -> Sequence[int]:
    combined, *others = sorted(known, key=len)
    for signatures in others:
        # Without the others there would be more candidates, none of them wrongly left out.
        if len(combined) * len(signatures) <= _SIGNATURES_MAX:
            combined = [one | other for one in combined for other in signatures]
    return combined


def _signatures(name: str, value: str | int | bool) -> Sequence[int] | None:
    name = _canonical(name)
    if name in _EXACT or name in _TEXTS or name.startswith("_llm."):
        return None
    return [member_signature(name, one) for one in _values_of(value).values()]


def texts_of(condition: Condition, name: str) -> Sequence[str] | None:
    """Texts, one of which a property of an event is for which the condition holds; None if it may
    be any."""
    match condition:
        case Comparison(property_name, Operator.EQ, str(value)):
            return [value] if _canonical(property_name) == _canonical(name) else None
        case AllOf(members):
            known = [found for one in members if (found := texts_of(one, name)) is not None]
            return min(known, key=len, default=None)
        case AnyOf(members):
            alternatives: list[str] = []
            for one in members:
                if (found := texts_of(one, name)) is None:
                    return None
                alternatives += found
            return alternatives or None
    return None


def _canonical(name: str) -> str:
    """The name of a property without what may stand before it."""
    return _OF_EVENT.get(name) or name.removeprefix("metadata.")


def _comparison_form(
    name: str, operator: Operator, value: str | int | bool, values: list[Any]
) -> ComparisonForm:
    """The form of a comparison, whose values are added."""
    first = len(values)
    name = _canonical(name)
    if name in _EXACT:
        if (exact := _exact_value(_EXACT[name][1], operator, value)) is None:
            return ComparisonForm(name, operator, (), 0, first)
        values.append(exact)
        return ComparisonForm(name, operator, ("number",), 0, first)
    subject = name
    if name not in _TEXTS:
        subject = "llm" if name.startswith("_llm.") else "metadata"
        values.append(name.removeprefix("_llm."))
    if operator in {Operator.LIKE, Operator.NOT_LIKE}:
        values.append(_text_of(value))
        return ComparisonForm(subject, operator, ("text",), 0, first)
    asked = _values_of(value)
    hints = _hints(name, asked) if operator is Operator.EQ and subject == "metadata" else []
    values += [*asked.values(), *hints]
    return ComparisonForm(subject, operator, tuple(asked), len(hints), first)


def _condition(form: ComparisonForm) -> sa.ColumnElement[bool]:
    operator, places = form.operator, itertools.count(form.first)
    if form.subject in _EXACT:
        column = _EXACT[form.subject][0]
        if form.kinds:
            return _COMPARE[operator](column, _value(next(places), sa.BigInteger()))
        # Nothing that is no number is equal to one, greater, or a part of it.
        holds = operator in {Operator.NE, Operator.NOT_LIKE}
        return column.is_not(None) if holds else sa.false()
    stored = _stored(form.subject, places)
    asked = {kind: _value(next(places), _TYPES[kind]) for kind in form.kinds}
    if operator in {Operator.LIKE, Operator.NOT_LIKE}:
        return _contains(stored, asked["text"], is_wanted=operator is Operator.LIKE)
    compare = _COMPARE[operator]
    conditions = [
        compare(stored[kind], one)
        for kind, one in asked.items()
        if kind in stored and (kind != "boolean" or operator in {Operator.EQ, Operator.NE})
    ]
    if operator is Operator.EQ:
        hints = [_value(next(places), sa.Text()) for _ in range(form.hints)]
        return sa.and_(*_hint(hints), sa.or_(sa.false(), *conditions))
    if operator is Operator.NE:
        conditions += [one.is_not(None) for kind, one in stored.items() if kind not in asked]
    return sa.or_(sa.false(), *conditions)


def _value(place: int, kind: sa.types.TypeEngine[Any]) -> sa.BindParameter[Any]:
    return sa.bindparam(f"value_{place}", type_=kind)


def _hints(name: str, asked: Mapping[MemberKind, Any]) -> list[str]:
    """Texts, one of which is in the metadata if its member equals any of these values, which is
    checked faster than by reading JSON; none if a value could be written in several ways."""
    if not _PLAIN.fullmatch(name):
        return []
    written = [_written(value) for value in asked.values()]
    return [f'"{name}":{one}' for one in written] if all(written) else []


def _hint(parts: Sequence[sa.ColumnElement[str]]) -> list[sa.ColumnElement[bool]]:
    """The condition that the metadata contains one of these texts."""
    stored = sa.cast(event.c.metadata, sa.Text)
    return [sa.or_(*(contains(stored, part) for part in parts))] if parts else []


def _written(value: str | float | bool) -> str:
    """A value as it stands in the metadata; empty if that is not certain."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"' if _PLAIN.fullmatch(value) else ""
    if value.is_integer() and abs(value) < _WHOLE_MAX:
        return str(int(value))
    text = repr(value)
    return "" if "e" in text else text


_WHOLE_MAX: Final = 2**53
"""Whole numbers below are stored as integers, whatever the caller wrote."""

_PLAIN: Final = re.compile(r"[A-Za-z0-9_.: -]+", re.ASCII)


def _contains(
    stored: Mapping[MemberKind, sa.ColumnElement[Any]],
    part: sa.ColumnElement[str],
    *,
    is_wanted: bool,
) -> sa.ColumnElement[bool]:
    """Whether a property is a text that contains a part, or is something else or does not."""
    found = contains(stored["text"], part)
    if is_wanted:
        return found
    others = [one.is_not(None) for kind, one in stored.items() if kind != "text"]
    return sa.or_(sa.not_(found), *others)


def _stored(subject: str, places: Iterator[int]) -> Mapping[MemberKind, sa.ColumnElement[Any]]:
    """A property as each kind that it may have, null where it has another."""
    if (text := _TEXTS.get(subject)) is not None:
        return {"text": text}
    key = _value(next(places), sa.Text())
    return {kind: member(kind, event.c[subject], key) for kind in _TYPES}


_TYPES: Final[Mapping[MemberKind, sa.types.TypeEngine[Any]]] = {
    "text": sa.Text(),
    "number": sa.Double(),
    "boolean": sa.Boolean(),
}

_OF_EVENT: Final = {one: f"\0{one}" for one in ("name", "source", "timestamp")}
"""Properties that are not of the metadata, by what no key of the metadata is called."""

_TEXTS: Final[Mapping[str, sa.ColumnElement[Any]]] = {
    _OF_EVENT["name"]: series.c.event_name,
    _OF_EVENT["source"]: sa.literal(SOURCE, sa.Text),
    "_cost.currency": sa.case((event.c.cost_picocents.is_not(None), "usd")),
    "_llm.vendor": sa.func.nullif(series.c.llm_vendor, ""),
    "_llm.model": sa.func.nullif(series.c.llm_model, ""),
}

_EXACT: Final[Mapping[str, tuple[sa.Column[int], int]]] = {
    "_cost.amount": (event.c.cost_picocents, PICOCENTS_PER_CENT),
    _OF_EVENT["timestamp"]: (event.c.timestamp_us, 10**6),
}
"""Properties that are stored as integers, and how many of these are 1."""

_COMPARE: Final[Mapping[Operator, Callable[[Any, Any], sa.ColumnElement[bool]]]] = {
    Operator.EQ: lambda column, value: column == value,
    Operator.NE: lambda column, value: column != value,
    Operator.GT: lambda column, value: column > value,
    Operator.GTE: lambda column, value: column >= value,
    Operator.LT: lambda column, value: column < value,
    Operator.LTE: lambda column, value: column <= value,
}


def _exact_value(factor: int, operator: Operator, value: str | int | bool) -> int | None:
    """The stored integer to compare with; None if the answer does not depend on one."""
    number = None if isinstance(value, bool) else decimal_number(str(value))
    if number is None or operator in {Operator.LIKE, Operator.NOT_LIKE}:
        return None
    scaled = _WIDE.multiply(number, Decimal(factor))
    # Clamped to one beyond what is stored, so that it compares as the number would.
    floor, ceiling = (
        max(-(2**63) + 1, min(2**63 - 1, int(scaled.to_integral_value(rounding, _WIDE))))
        for rounding in (ROUND_FLOOR, ROUND_CEILING)
    )
    if operator in {Operator.EQ, Operator.NE}:
        return floor if floor == ceiling else None
    return floor if operator in {Operator.GT, Operator.LTE} else ceiling


_WIDE: Final = Context(prec=1_100)
"""Wide enough for every number that `decimal_number` returns to stay exact."""

_DECIMAL: Final = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", re.ASCII)

_DECIMAL_CHARS_MAX: Final = 64


def decimal_number(text: str) -> Decimal | None:
    """The number that a text is, at most 64 characters; None if it is none."""
    if len(text) > _DECIMAL_CHARS_MAX or not _DECIMAL.fullmatch(text):
        return None
    return Decimal(text)


def _values_of(value: str | int | bool) -> Mapping[MemberKind, Any]:
    """A value as each kind that it may be meant as."""
    if isinstance(value, bool):
        return {"boolean": value}
    if isinstance(value, int):
        return {"number": float(value)}
    values: dict[MemberKind, Any] = {"text": value}
    number = decimal_number(value)
    if number is not None and math.isfinite(double := float(number)):
        values["number"] = double
    if value in _BOOLEANS:
        values["boolean"] = _BOOLEANS[value]
    return values


_BOOLEANS: Final = {"true": True, "false": False}


def _text_of(value: str | int | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
