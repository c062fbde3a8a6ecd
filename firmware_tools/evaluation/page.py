"""The page that a report is: its style, its sections, tables and figures, with nothing that is loaded from elsewhere.

The rule kept here: whatever text comes in is escaped here and nowhere else. It reads on light and dark screens, on a phone,
where wide tables scroll within themselves under a first column that stays, and pictures too, so that what is written in them
can be read, and on paper, where tables stay whole.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterable, Sequence
from typing import Final


def page(title: str, lead: str, sections: Sequence[tuple[str, str]]) -> str:
    """Return the whole page.

    Args:
        title: Its heading.
        lead: HTML that comes before the sections.
        sections: Each one's heading, and its body as HTML.
    """
    links = "".join(f'<li><a href="#{_anchor(name)}">{escaped(name)}</a></li>' for name, _ in sections)
    bodies = "\n".join(
        f'<section id="{_anchor(name)}"><h2>{escaped(name)}</h2>{body}</section>' for name, body in sections
    )
    body = f"<h1>{escaped(title)}</h1>\n{lead}\n<nav><ul>{links}</ul></nav>\n{bodies}"
    return _PAGE.format(title=escaped(title), style=_STYLE, body=body)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of text."""
    head = "".join(f'<th scope="col">{escaped(each)}</th>' for each in heads)
    body = "".join("<tr>" + "".join(f"<td>{escaped(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def figure(caption: str, png: bytes) -> str:
    """Return a picture with its caption."""
    data = base64.b64encode(png).decode()
    return (
        f'<figure><div class="wide"><img alt="{escaped(caption)}" src="data:image/png;base64,{data}"></div>'
        f"<figcaption>{escaped(caption)}</figcaption></figure>"
    )


def bullets(items: Iterable[str]) -> str:
    """Return a list of texts."""
    return "<ul>" + "".join(f"<li>{escaped(item)}</li>" for item in items) + "</ul>"


def escaped(text: str) -> str:
    """Return text as HTML."""
    return html.escape(text)


def _anchor(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


_STYLE: Final = """\
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fdfdfc; --line: #d4d4d0; --soft: #f1f1ee; --alarm: #a33a12;
  --link: #1d56ad; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e4e0; --paper: #16181b; --line: #3a3d42; --soft: #202327; --alarm: #f0a080; --link: #8fb8f4; }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 72rem;
  margin: 0 auto; padding: 1rem; overflow-wrap: break-word; }
h1 { font-size: 1.7rem; line-height: 1.2; } h2 { font-size: 1.2rem; margin-top: 2.2rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; } p, li { max-width: 60rem; } a { color: var(--link); }
nav ul { columns: 15rem; column-gap: 2rem; padding-left: 1.2rem; font-size: .9rem; }
.warning { border-left: 4px solid var(--alarm); padding: .4rem .9rem; background: var(--soft); }
.wide { overflow-x: auto; margin: .6rem 0; }
table { width: max-content; max-width: max(100%, 54rem); border-collapse: collapse; font-size: .85rem; line-height: 1.35;
  font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th { background: var(--soft); } td:first-child, th:first-child { position: sticky; left: 0; max-width: 11rem; }
td:first-child { background: var(--paper); } figure { margin: 1rem 0; } figcaption { font-size: .85rem; }
img { max-width: max(100%, 30rem); height: auto; background: #fff; padding: .5rem; border-radius: 6px; box-sizing: border-box; }
code { background: var(--soft); padding: 0 .25rem; } .print-only { display: none; }
@media print {
  @page { size: A4 landscape; margin: 12mm; }
  :root { --ink: #000; --paper: #fff; --line: #bbb; --soft: #eee; --alarm: #a33a12; --link: #000; }
  body { max-width: none; padding: 0; font-size: 10pt; } .wide { overflow: visible; }
  table { font-size: 7.5pt; max-width: 100%; }
  th, td { padding: .15rem .3rem; } td:first-child, th:first-child { position: static; }
  tr, figure, .wide { break-inside: avoid; } h2, h3 { break-after: avoid; } nav, details { display: none; }
  figure { display: inline-block; width: 48%; margin: 0 1.5% 3mm 0; vertical-align: top; } figcaption { font-size: 8pt; }
  figure img { max-width: 100%; max-height: 64mm; padding: 0; }
  figure:only-of-type { width: 80%; } figure:only-of-type img { max-height: 130mm; } .print-only { display: block; }
}"""

_PAGE: Final = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{style}</style></head>
<body>
{body}
</body></html>
"""
