"""File names that came from elsewhere, made harmless: one visible path component, and never one that is taken."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from typing import Final

_NAME_MAX_BYTES: Final = 200
"""Leaves room below the usual 255 bytes for a counter and the suffix of decoded pixels."""
_SUFFIX_MAX_BYTES: Final = 16
# Separators (also those of other systems), control characters, and what turns the direction of text around.
_HARMFUL: Final = re.compile(r'[\x00-\x1f\x7f-\x9f/\\:*?"<>|\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]')


def harmless_name(name: bytes) -> str:
    """Return a file name made of `name` that is one visible path component, whatever `name` holds.

    Separators and control characters become "_", leading dots too; the suffix survives shortening.
    """
    text = _HARMFUL.sub("_", name.decode("utf-8", "replace")).rstrip(". ")
    text = re.sub(r"^[.\s]+", "_", text) or "image"
    stem, dot, suffix = text.rpartition(".")
    if not dot or len(suffix.encode()) > _SUFFIX_MAX_BYTES:
        stem, dot, suffix = text, "", ""
    room = _NAME_MAX_BYTES - len((dot + suffix).encode())
    return stem.encode()[:room].decode("utf-8", "ignore") + dot + suffix


def numbered(name: str) -> Iterator[str]:
    """Yield `name`, then `stem (2).suffix`, `stem (3).suffix`, without end."""
    yield name
    stem, dot, suffix = name.rpartition(".")
    for number in count(2):
        yield f"{stem} ({number}){dot}{suffix}" if dot else f"{name} ({number})"


def printable(name: str) -> str:
    """Return a file name as a terminal may show it: control characters and undecodable bytes escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode("ascii") for c in name)
