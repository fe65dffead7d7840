"""A demo that fails says why, also when what failed is not the task but what runs it."""

from __future__ import annotations

from sandbox.runs import find_errors

LOG = """\
standalone | Database ready
api-server | 2026-11-22T08:44:35.976217Z [error    ] Error updating Task Instance state.
scheduler  | 2026-11-22T08:44:36.000000Z [info     ] Workload finished
api-server | Traceback (most recent call last):
api-server | File "a.py", line 1, in one
api-server | File "b.py", line 2, in two
api-server | sqlite3.IntegrityError: UNIQUE constraint failed: asset.name, asset.uri
api-server | [SQL: INSERT INTO asset (name, uri) VALUES (?, ?)]
api-server | 2026-11-22T08:44:36.100248Z [info     ] Task instance state updated new_state=failed
scheduler  | [2026-11-22T08:50:09.227+0000] {local_executor.py:96} ERROR - uhoh
scheduler  | httpx.ReadTimeout: timed out
api-server | INFO:     127.0.0.1:34408 - "GET /errors HTTP/1.1" 200 OK
"""


def test_errors_of_processes_are_told_apart_with_the_end_of_each_traceback():
    assert find_errors(LOG) == [
        "  api-server: 2026-11-22T08:44:35.976217Z [error    ] Error updating Task Instance state.",
        '  api-server: File "a.py", line 1, in one',
        '  api-server: File "b.py", line 2, in two',
        "  api-server: sqlite3.IntegrityError: UNIQUE constraint failed: asset.name, asset.uri",
        "  api-server: [SQL: INSERT INTO asset (name, uri) VALUES (?, ?)]",
        "  scheduler: [2026-11-22T08:50:09.227+0000] {local_executor.py:96} ERROR - uhoh",
        "  scheduler: httpx.ReadTimeout: timed out",
    ]


def test_a_log_without_errors_has_none():
    assert find_errors("scheduler  | 2026-11-22T08:44:36Z [info     ] 0 errors found\nTraceback of nothing") == []
