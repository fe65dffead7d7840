"""Which users are on a page: passes over a listing, drift between pages, revisions, and the end of the pages.

A pass begins whenever page 1 is asked for; what changes "after N passes" changes there and holds for its later pages.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sandbox.ledger import POPULATION
from sandbox.refusal import RefusalError
from sandbox.userrows import ROW_MAKERS, Frame, Row, sort_members
from sandbox.users import Users, list_active, sample_days

if TYPE_CHECKING:
    from collections.abc import Hashable

    from sandbox.keys import Key
    from sandbox.state import KeyState
    from sandbox.switches import KeywordsAISwitches

PAST_END = {"404": (404, "Invalid page."), "400": (400, "Invalid page number")}
Filters = dict[str, tuple[str, list[object]]]


@dataclass(frozen=True)
class Listing:
    """One question to the users endpoints, its page aside."""

    stream: str
    users: Users
    frame: Frame
    sort_by: str
    filters: Filters

    @property
    def subject(self) -> Hashable:
        """What passes are counted for: paging and sorting differently is still the same listing."""
        return self.stream, self.users.environment, self.frame.summary_type, self.frame.day


@dataclass(frozen=True, slots=True)
class Page:
    """One page: its rows, and the members of the whole listing as of now."""

    rows: list[Row]
    members: tuple[int, ...]
    frame: Frame
    number: int
    size: int

    @property
    def last(self) -> int:
        """The number of the last page, at least 1."""
        return max(1, -(-len(self.members) // self.size))


def read_page(listing: Listing, number: int, size: int, key: Key[KeywordsAISwitches], state: KeyState) -> Page:
    """Answer one page and let the listing drift.

    :raises RefusalError: for a page after the last, when the switches say so.
    """
    switches, subject = key.switches, listing.subject
    if number == 1:
        state.passes[subject] += 1
    passes = state.passes[subject]
    frame = replace(listing.frame, revision=int(0 < switches.revise_after < passes))
    gone = switches.empty or 0 < switches.vanish_after < passes
    members = () if gone else _order_members(listing, frame, switches, state)
    page = Page([], members, frame, number, size)
    if number > page.last:
        if switches.past_end in PAST_END:
            status, detail = PAST_END[switches.past_end]
            raise RefusalError(status, "page", detail)
        return page
    shown = number - 1 if number == switches.repeat_page else number
    maker = ROW_MAKERS[listing.stream]
    for index in () if number == switches.empty_page else members[max(shown - 1, 0) * size : max(shown, 1) * size]:
        page.rows.append(maker(listing.users, index, frame, switches))
    if number == 1:
        page.rows.extend([{**row, "cost": 4.5} for row in page.rows[: switches.twice]])
    if members and passes <= switches.drift_times:
        _drift(switches.drift, number, members, state, subject)
    return page


def _order_members(listing: Listing, frame: Frame, switches: KeywordsAISwitches, state: KeyState) -> tuple[int, ...]:
    users = listing.users
    if switches.users:
        present: tuple[int, ...] = tuple(range(switches.users))
    elif listing.stream == "users":
        present = list_active(users, sample_days(frame.summary_type, frame.day)[0])
    else:
        present = tuple(range(POPULATION))
    deleted, inserted = state.deleted[listing.subject], state.inserted[listing.subject]
    if deleted or inserted:
        present = tuple(i for i in (*reversed(inserted), *present) if i not in deleted)
    if listing.filters:
        rows = ((i, ROW_MAKERS[listing.stream](users, i, frame, switches)) for i in present)
        present = tuple(i for i, row in rows if _passes(row, listing.filters))
    if listing.sort_by:
        present = sort_members(users, listing.stream, frame, switches, present, listing.sort_by)
    return present


def _drift(kind: str, number: int, members: tuple[int, ...], state: KeyState, subject: Hashable) -> None:
    if (kind == "delete" and number == 1) or (kind == "both" and number == 1):
        state.deleted[subject].add(members[0])
    if (kind == "insert" and number == 1) or (kind == "both" and number == 2):
        inserted = state.inserted[subject]
        inserted.append(1_000_000 + len(inserted))


def _passes(row: Row, filters: Filters) -> bool:
    for name, (operator, values) in filters.items():
        have, wanted = row.get(name), values[0] if values else None
        if operator == "in":
            matches = have in values
        elif operator == "contains":
            matches = str(wanted) in str(have)
        elif operator in ("", "eq"):
            matches = have == wanted
        elif have is None or not isinstance(wanted, type(have) if isinstance(have, str) else (int, float)):
            matches = False
        else:
            order = (have > wanted) - (have < wanted)
            matches = {"gt": order > 0, "gte": order >= 0, "lt": order < 0, "lte": order <= 0}[operator]
        if not matches:
            return False
    return True
