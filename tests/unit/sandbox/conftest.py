"""One sandbox for all these tests, forgetful between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox.server import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def running_sandbox() -> Iterator[Sandbox]:
    with Sandbox(seed=7) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running_sandbox: Sandbox) -> Sandbox:
    running_sandbox.clear()
    return running_sandbox
