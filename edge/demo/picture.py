"""Draw plain, cipher and decrypted images side by side, each with its histogram, on one sheet.

The sheet shows and never flatters: cipher bytes are drawn one pixel a byte, cropped, never averaged, because the
average of any bytes at all looks like even gray. What cannot be decoded is shown as its bytes and says so.
"""

import io
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from edge.demo.table import human_bytes, shorten
from edge.demo.view import LEADING, View, byte_levels, correlation, entropy, look, matrix

# Pixels of the sheet.
_WIDTH: Final = 1500
_MARGIN: Final = 40
_LABEL: Final = 235
_PANEL: Final = 385
_GAP: Final = 15
_PICTURE: Final = 330
_CHART: Final = 84
_TEXT: Final = 24
_ROW: Final = 24 + _PICTURE + 12 + _CHART + 10 + 2 * _TEXT + 24
_HEAD: Final = 150

_PAPER: Final = "#ffffff"
_INK: Final = "#1b2733"
_SOFT: Final = "#5b6b7a"
_RULE: Final = "#d5dde4"
_WELL: Final = "#eef2f5"
_PLAIN: Final = "#2b6cb0"
_CIPHER: Final = "#b0432b"
_GOOD: Final = "#1c7c4a"
_BAD: Final = "#b3261e"


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """One image on its way: `cipher` is the leading part of the cipher image, of which at most a MiB is used.

    `identical` says whether the SHA-256 of `plain` and of `decrypted` are equal: the caller has compared them, the
    sheet reports it.
    """

    label: str
    plain: Path
    cipher: bytes
    decrypted: Path
    identical: bool


def comparison(rows: Sequence[ComparisonRow], target: Path) -> None:
    """Draw one row for each image and write the sheet, 1500 pixels wide, to `target` as PNG.

    Files that are absent, empty or not decodable get their row too, with a caption that says so.

    Raises:
        OSError: `target` cannot be written.
    """
    sheet = Image.new("RGB", (_WIDTH, _HEAD + max(1, len(rows)) * _ROW), _PAPER)
    pen = ImageDraw.Draw(sheet)
    _heading(pen)
    for index, row in enumerate(rows):
        _row(sheet, pen, row, _HEAD + index * _ROW)
    if not rows:
        pen.text((_MARGIN, _HEAD + 30), "no image to compare", _SOFT, _font(20))
    encoded = io.BytesIO()
    sheet.save(encoded, "PNG")
    target.write_bytes(encoded.getvalue())


def _heading(pen: ImageDraw.ImageDraw) -> None:
    pen.text((_MARGIN, 28), "From the scanner, on the way, at the hospital", _INK, _font(32))
    explained = (
        "A flat histogram, 8 bits a byte and neighbours without correlation are what noise looks like.",
        "They are necessary, not sufficient: the security rests on AES-256-GCM, RSA-OAEP and the signature.",
    )
    for index, text in enumerate(explained):
        pen.text((_MARGIN, 70 + 20 * index), text, _SOFT, _font(15))
    for column, text in enumerate(("plain image", "cipher image", "decrypted image")):
        pen.text((_left(column), _HEAD - 6), text, _INK, _font(20), anchor="ls")


def _row(sheet: Image.Image, pen: ImageDraw.ImageDraw, row: ComparisonRow, top: int) -> None:
    pen.line([(_MARGIN, top + 4), (_WIDTH - _MARGIN, top + 4)], _RULE, 2)
    plain, decrypted = look(row.plain), look(row.decrypted)
    cipher = row.cipher[:LEADING]
    _label(pen, row.label, plain, top + 24)

    _panel(sheet, (_left(0), top + 24), plain.picture, exact=not plain.decoded)
    _chart(pen, 0, top, plain.levels, _PLAIN)
    _notes(pen, 0, top, _measures(plain), _file_entropy(plain))

    cells = matrix(cipher)
    _panel(sheet, (_left(1), top + 24), cells, exact=True)
    _chart(pen, 1, top, byte_levels(cipher), _CIPHER)
    if cells is None:
        _notes(pen, 1, top, "no cipher image")
    else:
        measured = f"bytes {entropy(byte_levels(cipher)):.4f} bits/byte, neighbours r = {correlation(cells):+.4f}"
        _notes(pen, 1, top, measured, _extent(cells, cipher))

    _panel(sheet, (_left(2), top + 24), decrypted.picture, exact=not decrypted.decoded)
    _chart(pen, 2, top, decrypted.levels, _PLAIN)
    _notes(pen, 2, top, _measures(decrypted))
    _verdict(pen, 2, top, identical=row.identical, arrived=decrypted.size > 0 or plain.size == 0)


def _label(pen: ImageDraw.ImageDraw, label: str, plain: View, top: int) -> None:
    """Write the label, what the file is, and its size, each wrapped to the label's column."""
    y = top
    for text, size, colour, most in (
        (_drawable(label), 21, _INK, 4),
        (plain.caption, 17, _SOFT, 4),
        (human_bytes(plain.size), 17, _SOFT, 1),
    ):
        font = _font(size)
        for line in _wrapped(text, font, _LABEL - 15, most):
            pen.text((_MARGIN, y), line, colour, font)
            y += size + 6
        y += 8


def _drawable(text: str) -> str:
    """Keep what Pillow's own font has: ASCII and the middle dot. Accents are dropped, all else becomes a mark."""
    letters = (c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return "".join(c if (c.isascii() and c.isprintable()) or c == "\N{MIDDLE DOT}" else "?" for c in letters)


def _panel(sheet: Image.Image, corner: tuple[int, int], cells: NDArray[np.uint8] | None, *, exact: bool) -> None:
    """Fit a picture into its well. `exact`: crop, one cell a pixel or a whole number of pixels, no averaging."""
    left, upper = corner
    pen = ImageDraw.Draw(sheet)
    pen.rectangle([left, upper, left + _PANEL - 1, upper + _PICTURE - 1], fill=_WELL)
    if cells is None:
        pen.text((left + _PANEL // 2, upper + _PICTURE // 2), "nothing to show", _SOFT, _font(18), anchor="mm")
        return
    if exact:
        cells = cells[:_PICTURE, :_PANEL]
    image = Image.fromarray(cells)
    scale = min(_PANEL / image.width, _PICTURE / image.height)
    if scale >= 2:
        size = (image.width * int(scale), image.height * int(scale))
        image = image.resize(size, Image.Resampling.NEAREST)
    elif not exact:
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(size, Image.Resampling.LANCZOS)
    sheet.paste(image.convert("RGB"), (left + (_PANEL - image.width) // 2, upper + (_PICTURE - image.height) // 2))


def _chart(pen: ImageDraw.ImageDraw, column: int, top: int, levels: NDArray[np.int64], colour: str) -> None:
    """Draw 256 bars from zero. One or two bins that tower over the rest (a black background) are cut off at the top."""
    left, base = _left(column), top + 24 + _PICTURE + 12 + _CHART
    pen.rectangle([left, base - _CHART, left + _PANEL - 1, base], fill=_WELL)
    # The third highest bin sets the scale, so that a background does not flatten the picture itself.
    ceiling = max(1.0, 1.08 * float(np.sort(levels)[-3]))
    edges = left + np.round(np.arange(257) * _PANEL / 256).astype(int)
    for value, count in enumerate(levels.tolist()):
        height = min(_CHART, round(_CHART * count / ceiling))
        if height:
            pen.rectangle([int(edges[value]), base - height, int(edges[value + 1]) - 1, base], fill=colour)
    pen.line([(left, base), (left + _PANEL - 1, base)], _SOFT, 1)


def _notes(pen: ImageDraw.ImageDraw, column: int, top: int, *lines: str) -> None:
    """Write up to two lines under the chart."""
    for index, text in enumerate(lines):
        pen.text((_left(column), _notes_top(top) + _TEXT * index), _fitted(text, _font(16), _PANEL), _SOFT, _font(16))


def _verdict(pen: ImageDraw.ImageDraw, column: int, top: int, *, identical: bool, arrived: bool) -> None:
    """Write what the caller found, as a chip in the second line under the chart."""
    differs = "NOT identical: SHA-256 differs" if arrived else "NOT arrived"
    text = "identical: SHA-256 equal" if identical else differs
    left, upper = _left(column), _notes_top(top) + _TEXT
    right = left + 24 + round(_font(16).getlength(text))
    pen.rounded_rectangle([left, upper, right, upper + 26], radius=13, fill=_GOOD if identical else _BAD)
    pen.text((left + 12, upper + 13), text, _PAPER, _font(16), anchor="lm")


def _notes_top(top: int) -> int:
    return top + 24 + _PICTURE + 12 + _CHART + 10


def _measures(view: View) -> str:
    if view.picture is None:
        return view.caption
    kind = "gray levels" if view.decoded else "bytes"
    return f"{kind} {entropy(view.levels):.2f} bits, neighbours r = {correlation(view.picture):+.4f}"


def _file_entropy(view: View) -> str:
    return f"file bytes {entropy(byte_levels(view.content)):.4f} bits/byte" if view.content else ""


def _extent(cells: NDArray[np.uint8], cipher: bytes) -> str:
    height, width = cells.shape
    part = f"leading {human_bytes(len(cipher))}" if len(cipher) == LEADING else human_bytes(len(cipher))
    shown = f", {min(width, _PANEL)} x {min(height, _PICTURE)} shown" if width > _PANEL or height > _PICTURE else ""
    return f"{part} as {width} x {height}{shown}"


def _left(column: int) -> int:
    return _MARGIN + _LABEL + column * (_PANEL + _GAP)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)


def _fitted(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """Shorten `text` in the middle until it is at most `width` pixels wide."""
    keep = len(text)
    while keep > 1 and font.getlength(shorten(text, keep, ellipsis="...")) > width:
        keep -= 1
    return shorten(text, keep, ellipsis="...")


def _wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int, most: int) -> list[str]:
    """Break `text` into at most `most` lines of `width` pixels, at a blank or an underscore where there is one."""
    lines: list[str] = []
    rest = text.strip()
    while rest and len(lines) < most - 1 and font.getlength(rest) > width:
        fits = next((n for n in range(len(rest), 1, -1) if font.getlength(rest[:n]) <= width), 1)
        soft = max(rest.rfind(mark, 0, fits) for mark in " _-/") + 1
        cut = soft if soft > fits // 3 else fits
        lines.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return [*lines, _fitted(rest, font, width)] if rest else lines
