"""How long a reader waits for what a position asks for."""

from __future__ import annotations

import pytest

from services.userview.app import ChangeNotifier, ReadSide, wait_seconds
from services.userview.domain import ViewBehindError


@pytest.mark.parametrize(("time_left", "wait"), [(None, 5), (10, 8), (0.1, 0.05), (0.01, -0.04), (3600, 30)])
def test_a_wait_ends_before_the_callers_time_does_and_soon_enough(time_left: float | None, wait: float) -> None:
    assert wait_seconds(time_left) == pytest.approx(wait)


async def test_what_never_comes_is_told_with_all_that_is_missing() -> None:
    class Nothing:
        async def progress(self):
            return self

        positions = {"user": 3}  # noqa: RUF012

    times = iter(range(0, 100, 10))
    side = ReadSide(
        Nothing(), None, ChangeNotifier(), now=None, rebuild_begun=lambda: None, monotonic=lambda: next(times)
    )
    with pytest.raises(ViewBehindError, match="order/1, user/4"):
        await side.get("ada", {"user": 4, "order": 1, "payment": 0}, 10)
