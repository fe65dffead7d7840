from __future__ import annotations

import pytest
from samples import FIRST, SECOND, Shelf

from sandbox.tables import show_tables

pytest.importorskip("pyarrow")
pytestmark = pytest.mark.slow


def test_the_demo_ends_with_totals_by_day_and_by_principal_from_the_tables(s3_server, s3_client, capsys):
    shelf = Shelf(s3_client, s3_server.bucket)
    shelf.store(1, FIRST, 2)
    shelf.store(1, SECOND, 2)
    shelf.store(2, FIRST, 2)
    show_tables(s3_server, shelf.location.prefix)
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["2026-01-01", "langdock_api_keys", "2", "7", "2.10000000"] in printed
    assert ["2026-01-02", "langdock_api_keys", "2", "12", "1.60000000"] in printed
    assert ["langdock_api_keys", "new", "1", "2.00000000"] in printed
