"""A listing by page number or cursor, read whole or not at all.

What a vendor of one's own writes is a function that asks for one page. All that proves the pages to be the listing is
here: it came to an end that is known to be one, no page or cursor came twice, what the vendor says it covers is the
window, its totals are met, and, where nothing vouches that no record moved from page to page, a second reading held the
same records.
"""

from __future__ import annotations

import logging
from contextlib import closing, contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow_usage_provider.exceptions import (
    ConfigurationError,
    IncompleteSnapshotError,
    ListingChangedError,
    RequestRejectedError,
    UsageProviderError,
)
from airflow_usage_provider.models import FileFormat, StreamFacts
from airflow_usage_provider.records.ahead import PagesAhead
from airflow_usage_provider.records.asking import ALONE, PageClient
from airflow_usage_provider.records.coverage import Coverage
from airflow_usage_provider.records.pages import UNSAID, Covered, Page, read_buckets, read_page
from airflow_usage_provider.records.reading import Kept, Reading
from airflow_usage_provider.records.walk import PASSED, Walk, read_sign
from airflow_usage_provider.schema import StreamSchema

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from airflow_usage_provider.models import UsageWindow

__all__ = ["UNSAID", "Covered", "Page", "PagedListing", "read_buckets", "read_page"]

PAUSE = 10.0  # seconds before a second reading: what fails for a moment should not fail alike in both
_STEP = "Nothing was archived; try again later."
_log = logging.getLogger(__name__)


class PagedListing:
    """
    One listing for one window, as a :class:`~airflow_usage_provider.models.VendorStream` of JSON Lines.

    :param name: name of the stream in the archive.
    :param window: what is asked for.
    :param fetch: asks for one page and returns it: ``fetch(cursor)``, with None for the first page; or, where pages
        have numbers, ``fetch(number, attempts=None)``, which returns None if the vendor itself says that there is no
        such page, and tries ``attempts`` times where that is given.
    :param request: ``method``, ``path`` and ``parameters`` of the first page; nothing secret.
    :param not_in_question: parameters that name the day or size the pages. All others are part of the question.
    :param schema: what the columns mean; its identity tells two records apart.
    :param client: what the pages are asked through, an :class:`~airflow_usage_provider.http.client.HttpClient`. Errors
        name it, and its rate and progress are heeded.
    :param first: number of the first page, where pages have numbers; None for cursors.
    :param page_size: records of a full page, where pages have numbers.
    :param pages_in_flight: pages asked for at the same time, where they have numbers.
    :param verify: prove that nothing moved: by the vendor's totals, by the ranges it covers, or by a second reading.
    """

    file_format = FileFormat.JSON_LINES
    noun: ClassVar[str] = "records"  # what an error calls them

    def __init__(
        self,
        name: str,
        window: UsageWindow,
        fetch: Callable[..., Page | None],
        *,
        request: Mapping[str, Any],
        not_in_question: tuple[str, ...] = (),
        schema: StreamSchema | None = None,
        client: PageClient = ALONE,
        first: int | None = None,
        page_size: int | None = None,
        pages_in_flight: int = 1,
        verify: bool = True,
    ) -> None:
        self.name = name
        self.window = window
        self.request = request
        self.schema = schema or StreamSchema()
        asked = {key: value for key, value in request.get("parameters", {}).items() if key not in not_in_question}
        self.question: Mapping[str, Any] = {**request, "parameters": asked, "timezone": window.timezone}
        self._ask = fetch
        self._client = client
        self._first = first
        self._page_size = page_size
        self._pages_in_flight = pages_in_flight
        self._verify_pages = verify
        self._known_reading: Reading | None = None

    def iter_pages(self) -> Iterator[Page]:
        """
        Yield the pages in order; each reading of them is one of its own.

        :raises IncompleteSnapshotError: the pages do not come to an end, or go in circles.
        """
        with self._naming(), self._open_walk() as walk:
            yield from self._iter_told(walk)

    def read(self) -> Generator[bytes, None, StreamFacts]:
        """
        Yield the records, return the facts.

        :raises ListingChangedError: records moved between pages; reading again may find the listing at rest.
        :raises IncompleteSnapshotError: what came is not all there is.
        """
        with closing(self.read_kept()) as pages:
            while True:
                try:
                    _, kept = next(pages)
                except StopIteration as end:
                    facts: StreamFacts = end.value
                    return facts
                if records := list(chain.from_iterable(part.records for part in kept)):
                    yield b"\n".join([*records, b""])

    def read_kept(self) -> Generator[tuple[Page, list[Kept]], None, StreamFacts]:
        """Yield each page with what is kept of it, by its ranges; return and raise what :meth:`read` does."""
        reading, coverage = Reading(self.schema.identity), Coverage(self.window)
        first = total = None
        has_rested = True
        with self._naming(), self._open_walk() as walk:
            for page in self._iter_told(walk):
                coverage.add_page(page)
                kept = reading.add_page(page, read_sign(page))
                first = first or page
                has_rested = has_rested and page.summary == first.summary
                if self._verify_pages and page.records and page.count != first.count:
                    self._refuse_moved("their number changed")
                total = total if page.count is None else page.count
                yield page, kept
            covered = coverage.finish()
            self._compare_total(reading, total)
            if total == reading.rows and has_rested and not reading.has_moved:
                proof = "totals"
            elif walk.asked == 1:
                proof = "one page"
            elif coverage.is_proof and covered:
                proof = "covered"
            elif self._verify_pages:
                proof = "read twice"
                self._verify(reading, walk)
            else:
                proof = "not verified"
        envelope = dict(first.envelope) if first else {}
        envelope.pop("has_more", None)  # a sign of the pages, which says nothing of the records
        return StreamFacts(
            rows=reading.rows,
            pages=reading.pages,
            duplicates=reading.duplicates,
            conflicts=reading.conflicts,
            end=f"{walk.end}, {proof}",
            columns=reading.columns,
            envelope=envelope,
            window_returned=covered,
        )

    @contextmanager
    def _open_walk(self, last: int | None = None) -> Iterator[Walk]:
        """
        Begin a walk over the pages.

        :param last: its last page, counted from 1, where that is known.
        """
        first, client = self._first, self._client
        likely_last = None if last is None or first is None else first + last - 1
        with PagesAhead(
            self._fetch,
            limit=self._pages_in_flight,
            has_room=client.has_room,
            count_retry=client.traffic.count_retry,
        ) as ahead:

            def take(position: Any) -> Page | None:
                nonlocal likely_last
                if first is None or (position == first and last is None):
                    page = self._fetch(position)
                else:
                    page = ahead.take(position, likely_last=likely_last)
                if page is not None and last is None:
                    likely_last = self._guess_last(page)
                return page

            yield Walk(take, first=first, page_size=self._page_size, last=last)

    def _fetch(self, position: Any, *, attempts: int | None = None) -> Page | None:
        try:
            return self._ask(position) if attempts is None else self._ask(position, attempts=attempts)
        except (ConfigurationError, RequestRejectedError) as error:
            if position == self._first:
                raise
            details = {**error.details, "next_step": _STEP}  # host and parameters are right, as the first page came
            raise IncompleteSnapshotError(f"A later page failed: {error.message}", **details) from None

    def _iter_told(self, walk: Walk) -> Iterator[Page]:
        """
        Tell of progress, and yield the pages.

        :raises IncompleteSnapshotError: at the end, fewer records came than the vendor says there are.
        """
        records = size = total = 0
        for number, page in enumerate(walk, 1):
            records += len(page.records)
            size += sum(map(len, page.records))
            total = total if page.count is None else page.count
            last = self._guess_last(page)
            of = "" if last is None else f" of about {last}"
            level = logging.INFO if self._client.traffic.is_progress_due() else logging.DEBUG
            so_far = (self.name, self.window.usage_date, number, of, records, size)
            _log.log(level, "%s of %s: page %d%s, %d records, %d bytes so far", *so_far)
            yield page
        if records < total:
            raise IncompleteSnapshotError(f"The vendor has {total} records, {records} came", next_step=_STEP)

    def _guess_last(self, page: Page) -> int | None:
        """Return which page may be the last; a guess that only saves requests behind the end."""
        if page.count is None or self._page_size is None or self._first is None:
            return None
        return self._first - 1 - (-page.count // self._page_size)

    def _compare_total(self, reading: Reading, total: int | None) -> None:
        """Refuse fewer records than the vendor says there are; tell of more, and of conflicts."""
        day = self.window.usage_date
        if reading.conflicts:
            said = "%s of %s: %d records have the identity of another one; all are archived"
            _log.warning(said, self.name, day, reading.conflicts)
        if total is not None and reading.rows < total:
            self._refuse_moved("some came twice, and others not")
        if total is not None and reading.rows > total:
            _log.warning("%s of %s: the vendor says %d records, %d came", self.name, day, total, reading.rows)

    def _verify(self, reading: Reading, walk: Walk) -> None:
        """
        Compare with the reading before, or with a second one.

        Where a page that is not there was the end, the second one asks for it again: it may be there now.
        """
        known, self._known_reading = self._known_reading, reading
        reading.forget()
        if known is None:
            name, day = self.name, self.window.usage_date
            _log.info("%s of %s: reading %d pages again, in case something moved", name, day, reading.last_page)
            self._client.sleep(PAUSE)
            known = Reading(self.schema.identity)
            with self._open_walk(reading.last_page + (walk.end == PASSED)) as second:
                for page in self._iter_told(second):
                    known.add_page(page, read_sign(page))
            known.forget()
            self._known_reading = known
        if not known.agrees_with(reading):
            self._refuse_moved("two readings of the listing disagree")

    def _refuse_moved(self, how: str) -> NoReturn:
        said = f"{self.noun.capitalize()} were created or deleted while the pages were read: {how}"
        raise ListingChangedError(said, next_step="Run again when the listing rests.")

    @contextmanager
    def _naming(self) -> Iterator[None]:
        """Name vendor, connection, stream and URL in errors that do not."""
        try:
            yield
        except UsageProviderError as error:
            if error.stream is not None:
                raise
            known = {"url": self._client.url(self.request["path"]), "next_step": _STEP}
            details = {**known, **error.details, "stream": self.name}
            named = self._client.error(type(error), error.message, **details)
        else:
            return
        raise named
