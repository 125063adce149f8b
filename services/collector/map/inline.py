"""Plain number fields of one emit as one function, so that a row costs no call per field.

The function takes what is as usual and leaves everything else to the readers: it gives back the numbers of the fields that it did
not settle. Its source is made of literals only (`repr` of keys and numbers), never of text from a payload.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from schemas.events import Value
from services.collector.registry.mapping import Scalar

Inline = Callable[[Any, dict[str, Value]], "Sequence[int]"]


class PlainNumber(NamedTuple):
    """A field that is one number under one key: its place among the fields, and what is done to it."""

    place: int
    metric: str
    key: str
    nulls: tuple[Scalar, ...]
    divisor: float | None
    """Divided by; None: multiplied by `factor` instead."""
    factor: float
    low: float
    high: float
    required: bool


def inline(fields: Sequence[PlainNumber]) -> Inline:
    """The function of these fields: fills `values`, gives the indices that are left to the readers."""
    lines = ["def settle(row, values):", "    left = []"]
    lines += [
        "    if type(row) is not dict:",
        f"        return {[field.place for field in fields]!r}",
        "    get = row.get",
    ]
    for field in fields:
        lines += _field(field)
    lines.append("    return left")
    return _compiled("\n".join(lines))


@lru_cache(maxsize=2048)
def _compiled(source: str) -> Inline:
    """Emits that say the same share their function; compiling costs a millisecond."""
    space: dict[str, Any] = {}
    exec(compile(source, "<plain numbers of a mapping>", "exec"), space)  # noqa: S102 - literals only, see above
    settle: Inline = space["settle"]
    return settle


def _field(field: PlainNumber) -> list[str]:
    texts = tuple(null for null in field.nulls if isinstance(null, str))
    numbers = tuple(float(null) for null in field.nulls if type(null) in (int, float))
    unsettled = f"left.append({field.place})"
    scaled = "v"
    if field.divisor is None:
        scaled = f"v * {field.factor!r}"
    elif field.divisor != 1.0:
        scaled = f"v / {field.divisor!r}"
    lines = [
        f"    v = get({field.key!r})",
        "    if v is None:",
        f"        {unsettled if field.required else 'pass'}",
        "    else:",
    ]
    lines += ["        if type(v) is str:"]
    if texts:
        lines += [
            f"            if v in {frozenset(texts)!r}:",
            f"                v = {'()' if field.required else 'None'}",
            "            else:",
        ]
        pad = " " * 16
    else:
        pad = " " * 12
    lines += [f"{pad}try:", f'{pad}    v = () if "_" in v else float(v)', f"{pad}except ValueError:", f"{pad}    pass"]
    lines += ["        elif type(v) is int and -9007199254740992 <= v <= 9007199254740992:", "            v = float(v)"]
    lines += ["        if type(v) is float:"]
    if numbers:
        lines += [
            f"            if v in {frozenset(numbers)!r}:",
            f"                {unsettled if field.required else 'pass'}",
            "            else:",
        ]
        pad = " " * 16
    else:
        pad = " " * 12
    if scaled != "v":
        lines.append(f"{pad}v = {scaled}")
    lines += [
        f"{pad}if {field.low!r} <= v <= {field.high!r}:",
        f"{pad}    values[{field.metric!r}] = v",
        f"{pad}else:",
        f"{pad}    {unsettled}",
    ]
    lines += ["        elif v is not None:", f"            {unsettled}"]
    return lines
