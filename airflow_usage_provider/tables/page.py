"""HTML and SVG from plain data: pure functions, for pages that need no network and no script and print well.

Everything that comes from outside is escaped here, and nowhere else: whoever calls hands over text as it is.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_UNSEEN = re.compile(  # what reorders or hides text around it, and what no page may hold
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
_COLOURS = 6  # of the palette; further series begin it anew
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 760, 240, 64, 22, 10
_STYLE = """
:root { color-scheme: light dark; --ink: #1d2430; --soft: #5b6675; --line: #d9dee6; --page: #fff; --well: #f5f7fa;
  --good: #2f7d4f; --warn: #9a6700; --bad: #b3261e;
  --c0: #2f6db5; --c1: #d07a1c; --c2: #3b8f5c; --c3: #8a55b0; --c4: #b8434f; --c5: #6b7683; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --soft: #a3adba; --line: #3a4350; --page: #161b22;
  --well: #1f2630; --good: #6cc08b; --warn: #e0b040; --bad: #f2857d;
  --c0: #6ea8e6; --c1: #f0a458; --c2: #74c494; --c3: #bd92dd; --c4: #ea8790; --c5: #9aa5b1; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1.5rem; background: var(--page); color: var(--ink);
  font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .2rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p { margin: .3rem 0; } .soft, figcaption { color: var(--soft); }
.tiles { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1rem 0; }
.tile { background: var(--well); border-radius: .5rem; padding: .7rem 1rem; min-width: 9rem; }
.tile b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; } caption { text-align: left; color: var(--soft); }
th, td { text-align: left; padding: .25rem .6rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top;
  overflow-wrap: anywhere; min-width: 5.5rem; }
th { font-weight: 600; color: var(--soft); }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; overflow-wrap: normal; }
figure { margin: .5rem 0; } svg { width: 100%; height: auto; } svg text { fill: var(--soft); font-size: 11px; }
svg line { stroke: var(--line); } svg line.limit { stroke: var(--bad); stroke-width: 1.5; stroke-dasharray: 6 4; }
.key { display: inline-block; width: .7em; height: .7em; border-radius: 2px; margin: 0 .35em 0 .9em; }
.key.limit { height: 0; border-top: 2px dashed var(--bad); border-radius: 0; vertical-align: middle; }
.days td, .days th { min-width: 1.25rem; overflow-wrap: normal; height: 1.35rem; padding: 0;
  text-align: center; font-size: 11px; border: 1px solid var(--page); }
.days th:first-child { text-align: left; padding-right: .6rem; white-space: nowrap; }
.complete { background: color-mix(in srgb, var(--good) 35%, var(--page)); }
.empty { background: var(--well); } .revised { background: color-mix(in srgb, var(--warn) 45%, var(--page)); }
.missing { background: color-mix(in srgb, var(--bad) 55%, var(--page)); }
.provisional { background: color-mix(in srgb, var(--c0) 30%, var(--page)); }
.lagging { background: color-mix(in srgb, var(--c3) 55%, var(--page)); }
.days td a { display: block; color: inherit; text-decoration: none; }
a { color: var(--c0); } :focus-visible { outline: 2px solid var(--c1); outline-offset: 2px; }
nav, form { margin: .4rem 0; } nav a, form > * { margin-right: .8rem; }
nav a[aria-current] { color: var(--ink); font-weight: 600; }
@media print { :root { color-scheme: light; } body { max-width: none; padding: 0; font-size: 11px; }
  h2 { break-after: avoid; } tr, figure, .tile { break-inside: avoid; } .wide { overflow: visible; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
""" + "".join(f".s{n} {{ fill: var(--c{n}); background: var(--c{n}); }}\n" for n in range(_COLOURS))


@dataclass(frozen=True, slots=True)
class Link:
    """A text that leads somewhere."""

    text: str
    href: str


Cell = str | Decimal | Link | None


def write_policy(document: str) -> str:
    """Return what a server says of a page of ours beside what the page says of itself: its style and nothing else."""
    style = document.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
    )


def escape(text: str) -> str:
    """Return text as HTML; a mark that would reorder or hide what stands around it is shown as its number."""
    return html.escape(_UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def render_page(title: str, intro: str, sections: Iterable[str]) -> str:
    """Return a whole document of sections that are HTML already."""
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f'<h1>{escape(title)}</h1>\n<p class="soft">{escape(intro)}</p>\n{"".join(sections)}</body>\n</html>\n'
    )


def section(heading: str, *content: str) -> str:
    """Return a heading and HTML below it."""
    return f"<section>\n<h2>{escape(heading)}</h2>\n{''.join(content)}</section>\n"


def paragraph(text: str) -> str:
    """Return a sentence."""
    return f"<p>{escape(text)}</p>\n"


def tiles(facts: Iterable[tuple[str, str, str]]) -> str:
    """Return big figures: what it is, the figure, and what to say below it."""
    return (
        '<div class="tiles">'
        + "".join(
            f'<div class="tile">{escape(label)}<b>{escape(value)}</b><span class="soft">{escape(note)}</span></div>'
            for label, value, note in facts
        )
        + "</div>\n"
    )


def table(headings: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """Return a table; decimals stand to the right with every digit, None is a hyphen."""
    rows = list(rows)
    if not rows:
        return '<p class="soft">None.</p>\n'
    numbers = {place for row in rows for place, value in enumerate(row) if not isinstance(value, str | Link)}
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>\n" for row in rows)
    head = "".join(
        f'<th scope="col"{" class=number" if place in numbers else ""}>{escape(heading)}</th>'
        for place, heading in enumerate(headings)
    )
    return (
        f'<div class="wide" tabindex="0"><table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}</tbody></table></div>\n"
    )


def bars(
    days: Sequence[str], series: Mapping[str, Mapping[str, Decimal]], unit: str, line: tuple[str, Decimal] | None = None
) -> str:
    """
    Return bars of each day, stacked by series; below zero nothing is drawn.

    :param series: amounts by name and day.
    :param line: name and height of a line across the bars.
    """
    stacks = [sum((max(own.get(day, Decimal(0)), Decimal(0)) for own in series.values()), Decimal(0)) for day in days]
    top = _round_up(max([*stacks, line[1] if line else Decimal(0)]))
    inner, step = _HEIGHT - _BOTTOM - _TOP, Decimal(_WIDTH - _LEFT) / max(len(days), 1)
    drawn = []
    for quarter in range(5):
        level = _TOP + inner - inner * quarter // 4
        drawn.append(f'<line x1="{_LEFT}" x2="{_WIDTH}" y1="{level}" y2="{level}"/>')
        drawn.append(f'<text x="{_LEFT - 6}" y="{level + 4}" text-anchor="end">{_short(top * quarter / 4)}</text>')
    for place, day in enumerate(days):
        x, bottom = _LEFT + step * place, Decimal(_TOP + inner)
        for number, (name, own) in enumerate(series.items()):
            amount = own.get(day, Decimal(0))
            height = max(amount, Decimal(0)) / top * inner
            bottom -= height
            drawn.append(
                f'<rect class="s{number % _COLOURS}" x="{x + 1:.1f}" y="{bottom:.1f}" width="{step - 2:.1f}" '
                f'height="{height:.1f}"><title>{escape(f"{day} {name}: {amount:f} {unit}")}</title></rect>'
            )
        if place % 2 == 0:
            drawn.append(
                f'<text x="{x + step / 2:.1f}" y="{_HEIGHT - 6}" text-anchor="middle">{escape(day[-2:])}</text>'
            )
    if line:
        height = _TOP + inner - line[1] / top * inner
        drawn.append(
            f'<line class="limit" x1="{_LEFT}" x2="{_WIDTH}" y1="{height:.1f}" y2="{height:.1f}">'
            f"<title>{escape(f'{line[0]}: {line[1]:f} {unit}')}</title></line>"
        )
    keys = "".join(
        f'<span class="key s{number % _COLOURS}"></span>{escape(name)}' for number, name in enumerate(series)
    )
    if line:
        keys += f'<span class="key limit"></span>{escape(line[0])}'
    return (
        f'<figure><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(unit)} a day">'
        f"{''.join(drawn)}</svg><figcaption>{escape(unit)} a day{keys}</figcaption></figure>\n"
    )


def coverage(
    days: Sequence[str], states: Mapping[str, Sequence[str]], links: Mapping[tuple[str, str], str] | None = None
) -> str:
    """
    Return a field for each day of each stream, marked by its state, a letter each.

    :param links: where a field leads, by name and day; others lead nowhere.
    """
    head = "".join(f'<th scope="col">{escape(day[-2:])}</th>' for day in days)
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(_field(day, state, (links or {}).get((name, day))) for day, state in zip(days, own, strict=True))
        + "</tr>\n"
        for name, own in states.items()
    )
    seen = dict.fromkeys(state for own in states.values() for state in own)
    key = f'<p class="soft">{escape(", ".join(f"{state[0]} {state}" for state in seen))}</p>\n'
    return f'<div class="wide" tabindex="0"><table class="days">\n<tr><th></th>{head}</tr>\n{rows}</table></div>\n{key}'


def _field(day: str, state: str, href: str | None) -> str:
    said = escape(f"{day} {state}")
    content = escape(state[0])
    if href:
        content = f'<a href="{escape(href)}" aria-label="{said}">{content}</a>'
    return f'<td class="{escape(state)}" title="{said}">{content}</td>'


def _cell(value: Cell) -> str:
    if value is None:
        return '<td class="number">-</td>'
    if isinstance(value, Link):
        return f'<td><a href="{escape(value.href)}">{escape(value.text)}</a></td>'
    return f'<td class="number">{value:f}</td>' if isinstance(value, Decimal) else f"<td>{escape(value)}</td>"


def _round_up(value: Decimal) -> Decimal:
    """Return the next round number, for the top of an axis; 1 for nothing."""
    if value <= 0:
        return Decimal(1)
    step = Decimal(1).scaleb(value.adjusted())
    return next(
        step * factor
        for factor in map(Decimal, ("1", "1.2", "1.6", "2", "4", "5", "8", "10"))
        if value <= step * factor
    )


def _short(value: Decimal) -> str:
    text = f"{value.normalize():f}"
    return text if len(text) <= 8 else f"{value:.2e}"
