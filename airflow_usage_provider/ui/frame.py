"""What every view has: the frame around it, and the parts that several of them are made of."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from airflow_usage_provider.tables import page
from airflow_usage_provider.tables.charges import EXACT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MOST_ROWS = 1_000  # of a table on a page; the CSV has them all
VIEWS: Mapping[str, str] = {"Spend": "./", "Coverage": "coverage", "Revisions": "revisions", "Closes": "closes"}


def render_view(view: str, intro: str, content: Iterable[str]) -> str:
    """Return the page of a view, of parts that are HTML already."""
    links = "".join(
        f'<a href="{href}"{" aria-current=page" if name == view else ""}>{name}</a>' for name, href in VIEWS.items()
    )
    return page.render_page(view, intro, [f'<nav aria-label="Views">{links}</nav>\n<main>\n', *content, "</main>\n"])


def form(action: str, **fields: tuple[Iterable[object], object]) -> str:
    """Return a form of selects: what there is to choose from, and what is chosen, by name."""
    selects = "".join(
        f'<label>{name} <select name="{name}">'
        + "".join(
            f"<option{' selected' if option == chosen else ''}>{page.escape(str(option))}</option>"
            for option in options
        )
        + "</select></label>"
        for name, (options, chosen) in fields.items()
    )
    return f'<form action="{action}" method="get">{selects}<button>Show</button></form>\n'


def fold(summary: str, content: str) -> str:
    """Return HTML that is folded away."""
    return f"<details><summary>{page.escape(summary)}</summary>{content}</details>\n"


def tell_rest(rows: int, most: int = MOST_ROWS) -> Iterable[str]:
    """Say how many rows are shown, if not all are."""
    if rows > most:
        yield page.paragraph(f"{most:,} of {rows:,} are shown.")


def strip_zeros(value: Decimal) -> Decimal:
    """Return the same figure without zeros at its end."""
    shorter = EXACT.normalize(value)
    return shorter if shorter else Decimal(0)
