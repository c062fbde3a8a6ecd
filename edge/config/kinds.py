"""The kinds of value a key can have: how each is read, what is said when it cannot be, and how it is written.

Rule: a parser returns a value that is right, or raises ValueError or TypeError; nothing here knows a key's name.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from edge.protocol import IDENTITY_PATTERN

PREFIX_LEVELS_MAX: Final = 3
"""AWS IoT allows seven slashes in a topic; the protocol's own levels take four."""
PREFIX_MAX_CHARACTERS: Final = 64
BROKER_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}


def literal(value: object) -> str:
    """Write a value as TOML; None is the empty string, which every optional key reads as None."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, tuple):
        return f"[{', '.join(literal(element) for element in value)}]"
    return json.dumps("" if value is None else str(value), ensure_ascii=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How a key's value is read. `parse` raises ValueError or TypeError for what is not `expected`."""

    expected: str
    parse: Callable[[object], Any]
    from_text: Callable[[str], object] = str
    """What a value from the environment or a flag means before `parse` sees it."""
    choices: tuple[str, ...] = ()
    is_path: bool = False
    show: Callable[[Any], str] = literal


def _require(condition: object) -> None:
    if not condition:
        raise ValueError


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    _require("\0" not in value)
    return value


def _number(value: object) -> float:
    # TOML's true is no number, though Python's is.
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError
    return value


def matching(pattern: str, expected: str) -> Kind:
    """Return the kind of strings that match `pattern` from end to end."""

    def parse(value: object) -> str:
        text = _string(value)
        _require(re.fullmatch(pattern, text))
        return text

    return Kind(expected=expected, parse=parse)


def choice(values: Iterable[str]) -> Kind:
    """Return the kind of exactly these strings; an enum's members are returned as such."""
    known = {str(value): value for value in values}

    def parse(value: object) -> str:
        _require(_string(value) in known)
        return known[str(value)]

    return Kind(expected=f"one of {', '.join(known)}", parse=parse, choices=tuple(known))


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _boolean_from_text(text: str) -> bool:
    _require(text in ("true", "false"))
    return text == "true"


def integer(low: int, high: int) -> Kind:
    """Return the kind of whole numbers from `low` to `high`."""

    def parse(value: object) -> int:
        number = _number(value)
        if not isinstance(number, int):
            raise TypeError
        _require(low <= number <= high)
        return number

    return Kind(expected=f"a whole number from {low} to {high}", parse=parse, from_text=int)


def seconds(low: float, high: float) -> Kind:
    """Return the kind of durations in seconds."""

    def parse(value: object) -> float:
        number = _number(value)
        _require(math.isfinite(number) and low <= number <= high)
        return float(number)

    return Kind(expected=f"a number of seconds from {low:g} to {high:g}", parse=parse, from_text=float)


_UNITS: Final = {"B": 1} | {
    f"{letter}{suffix}": base**power
    for power, letter in enumerate("KMGT", start=1)
    for suffix, base in (("B", 1000), ("iB", 1024))
}


def _bytes_text(value: int) -> str:
    """Write a size in the largest unit that leaves a whole number."""
    fitting = [unit for unit, size in _UNITS.items() if size <= value and value % size == 0]
    unit = max(fitting or ["B"], key=_UNITS.__getitem__)
    return f"{value // _UNITS[unit]} {unit}"


def size(low: int, high: int) -> Kind:
    """Return the kind of sizes in bytes: a whole number, or a string with a decimal or binary unit."""
    units = {unit.upper(): unit_size for unit, unit_size in _UNITS.items()}

    def parse(value: object) -> int:
        if isinstance(value, str):
            match = re.fullmatch(r"\s*([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*([A-Za-z]{0,3})\s*", value)
            if match is None or (unit := match[2].upper() or "B") not in units:
                raise ValueError
            value = int(Fraction(match[1]) * units[unit])
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError
        _require(low <= value <= high)
        return value

    return Kind(
        expected=f'bytes (262144, "500 MB", "10 GiB") from {_bytes_text(low)} to {_bytes_text(high)}',
        parse=parse,
        show=lambda value: literal(_bytes_text(value)),
    )


def each_once(element: Kind, expected: str) -> Kind:
    """Return the kind of lists whose elements are of kind `element` and differ; as text, commas part them."""

    def parse(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise TypeError
        found = tuple(element.parse(each) for each in value)
        _require(len(set(found)) == len(found))
        return found

    def from_text(text: str) -> list[str]:
        return [part.strip() for part in text.split(",") if part.strip()]

    return Kind(expected=expected, parse=parse, from_text=from_text, choices=element.choices, is_path=element.is_path)


def _path(value: object) -> Path:
    text = _string(str(value) if isinstance(value, Path) else value)
    _require(text)
    return Path(text)


def _optional_path(value: object) -> Path | None:
    return None if value == "" else _path(value)


def _broker_url(value: object) -> str:
    text = _string(value)
    _require(re.fullmatch(r"[!-~]{1,300}", text))
    parts = urlsplit(text)
    _require(parts.scheme in BROKER_PORTS and parts.hostname and parts.port != 0)
    # A password in a URL would end in process lists and logs.
    _require(parts.username is None and parts.path in ("", "/") and not parts.query and not parts.fragment)
    return text


def _topic_prefix(value: object) -> str:
    text = _string(value)
    levels = text.split("/")
    _require(len(text) <= PREFIX_MAX_CHARACTERS and len(levels) <= PREFIX_LEVELS_MAX and not text.startswith("$"))
    _require(all(re.fullmatch(r"[!-~]+", level) and not set(level) & set("+#") for level in levels))
    return text


IDENTITY: Final = matching(IDENTITY_PATTERN, "3 to 48 of the characters a-z, 0-9 and -")
GROUP: Final = matching(rf"|{IDENTITY_PATTERN}", 'a name of 3 to 48 of the characters a-z, 0-9 and -, or "" for none')
BOOLEAN: Final = Kind(expected="true or false", parse=_boolean, from_text=_boolean_from_text, choices=("true", "false"))
TEXT: Final = Kind(expected="a string", parse=_string)
PATH: Final = Kind(expected="a path", parse=_path, is_path=True)
PATHS: Final = each_once(PATH, "a list of paths, each once")
OPTIONAL_PATH: Final = Kind(expected='a path, or "" for none', parse=_optional_path, is_path=True)
PATTERNS: Final = each_once(
    matching(r"[^/\0]{1,255}", "a pattern"), 'a list of name patterns such as "*.bak", each once'
)
BROKER_URL: Final = Kind(
    expected="mqtt://HOST[:1883] or mqtts://HOST[:8883], without user, password and path", parse=_broker_url
)
TOPIC_PREFIX_KIND: Final = Kind(
    expected=f"1 to {PREFIX_LEVELS_MAX} topic levels parted by /, printable, without + and #", parse=_topic_prefix
)
