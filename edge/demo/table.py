"""Draw plain-text tables and human units for a terminal, and let no cell write anything but text to it.

A file name is a stranger's string: control characters are shown as a replacement mark, never sent. Nothing here
prints; the caller does.
"""

import re
import sys
import unicodedata
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Final, NamedTuple

# A number, with or without a unit as the functions below write it. A column of such cells is aligned to the right.
_QUANTITY: Final = re.compile(r"[+-]?\d[\d,]*(\.\d+)?( ?(%|[kMGT]?B|us|ms|s|min|h))?")
# Cells that say "nothing here" and do not decide how a column is aligned.
_BLANKS: Final = frozenset({"", "-", "?"})
# Text columns keep this many cells of width before a column of numbers is cut too.
_TEXT_FLOOR: Final = 8


class _Glyphs(NamedTuple):
    """The drawing characters: one string of four (left, fill, joint, right) for each of the three rules."""

    top: str
    middle: str
    bottom: str
    bar: str
    ellipsis: str
    unknown: str


_LIGHT: Final = _Glyphs("┌─┬┐", "├─┼┤", "└─┴┘", "│", "…", "\N{REPLACEMENT CHARACTER}")
_ASCII: Final = _Glyphs("+-++", "+-++", "+-++", "|", "...", "?")


def human_bytes(size: int) -> str:
    """Write a size of `size` bytes in decimal units with two to four figures: ``812 B``, ``3.2 MB``, ``117 MB``."""
    value = float(abs(size))
    sign = "-" if size < 0 else ""
    for unit in ("B", "kB", "MB", "GB"):
        # 999.5 would round up to four figures of the smaller unit.
        if value < 999.5:
            return f"{sign}{value:.0f} {unit}" if unit == "B" or value >= 99.95 else f"{sign}{value:.1f} {unit}"
        value /= 1000.0
    return f"{sign}{value:,.1f} TB"


def human_milliseconds(milliseconds: float) -> str:
    """Write a duration given in milliseconds: ``0.42 ms``, ``37 ms``, ``1.8 s``, ``2 min 05 s``."""
    sign, value = ("-", -milliseconds) if milliseconds < 0 else ("", milliseconds)
    if value < 9.995:
        return f"{sign}{value:.2f} ms"
    if value < 999.5:
        return f"{sign}{value:.0f} ms"
    if value < 59_950:
        return f"{sign}{value / 1000:.1f} s"
    minutes, seconds = divmod(round(value / 1000), 60)
    return f"{sign}{minutes} min {seconds:02d} s"


def shorten(text: str, width: int, *, ellipsis: str = "…") -> str:
    """Cut the middle out of `text` so that it takes at most `width` terminal cells; both ends of a file name matter."""
    if _cells(text) <= width:
        return text
    room = width - _cells(ellipsis)
    if room < 2:
        return _prefix(text, width)
    # The tail gets the odd cell: it holds the number and the extension.
    head = _prefix(text, room // 2)
    tail = _prefix(text[::-1], room - _cells(head))[::-1]
    return f"{head}{ellipsis}{tail}"


def render(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    width: int | None,
    encoding: str | None = None,
) -> str:
    """Draw a table with one heading line.

    Columns in which every cell is a number, with or without a unit, are aligned to the right. Where the table is wider
    than `width`, the widest columns of text are cut in the middle first, columns of numbers last.

    Args:
        columns: The headings, one for each column.
        rows: The cells; each row as long as `columns`. None is an empty cell.
        width: The terminal's width in cells, at least ``4 * len(columns) + 1``, or None for as wide as it takes.
        encoding: What the output stream encodes text with; standard output's own by default. Box lines are drawn where
            it has them, ASCII where not.

    Returns:
        The lines, joined by newlines, without a newline at the end.

    Raises:
        ValueError: A row is not as long as `columns`.
    """
    chosen = encoding or getattr(sys.stdout, "encoding", None) or "ascii"
    glyphs = _LIGHT if _encodable("".join(_LIGHT), chosen) else _ASCII
    heading = [_plain(name, chosen, glyphs) for name in columns]
    body = [[_plain("" if cell is None else str(cell), chosen, glyphs) for cell in row] for row in rows]
    if any(len(row) != len(heading) for row in body):
        raise ValueError("every row must have one cell for each column")

    numeric = [_is_numeric([row[i] for row in body]) for i in range(len(heading))]
    natural = [max(map(_cells, chain([heading[i]], (row[i] for row in body)))) for i in range(len(heading))]
    widths = _fit(natural, numeric, width)

    def line(cells: Sequence[str]) -> str:
        padded = (
            _pad(shorten(cell, w, ellipsis=glyphs.ellipsis), w, right=right)
            for cell, w, right in zip(cells, widths, numeric, strict=True)
        )
        return f"{glyphs.bar} {f' {glyphs.bar} '.join(padded)} {glyphs.bar}"

    def rule(marks: str) -> str:
        return marks[0] + marks[2].join(marks[1] * (w + 2) for w in widths) + marks[3]

    return "\n".join([rule(glyphs.top), line(heading), rule(glyphs.middle), *map(line, body), rule(glyphs.bottom)])


def _fit(natural: Sequence[int], numeric: Sequence[bool], width: int | None) -> list[int]:
    """Take cells from the widest column until the table fits: from text first, from numbers only when text is short."""
    widths = list(natural)
    if width is None:
        return widths
    excess = sum(widths) + 3 * len(widths) + 1 - width
    can_shrink: tuple[Callable[[int], bool], ...] = (
        lambda i: not numeric[i] and widths[i] > _TEXT_FLOOR,
        lambda i: widths[i] > 1,
    )
    for allowed in can_shrink:
        while excess > 0 and (candidates := [i for i in range(len(widths)) if allowed(i)]):
            widths[max(candidates, key=widths.__getitem__)] -= 1
            excess -= 1
    return widths


def _is_numeric(cells: Sequence[str]) -> bool:
    told = [cell for cell in cells if cell not in _BLANKS]
    return bool(told) and all(_QUANTITY.fullmatch(cell) for cell in told)


def _plain(text: str, encoding: str, glyphs: _Glyphs) -> str:
    """Replace what is not printable or not in `encoding`: a name must not move the cursor or colour the screen."""
    return "".join(c if c.isprintable() and _encodable(c, encoding) else glyphs.unknown for c in text)


def _encodable(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _cell(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _cells(text: str) -> int:
    """Count the terminal cells of `text`: wide characters take two, combining marks none."""
    return sum(map(_cell, text))


def _prefix(text: str, width: int) -> str:
    taken = 0
    for index, character in enumerate(text):
        taken += _cell(character)
        if taken > width:
            return text[:index]
    return text


def _pad(text: str, width: int, *, right: bool) -> str:
    space = " " * (width - _cells(text))
    return space + text if right else text + space
