"""When the schedule trains a shop again."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from backend.tenancy import TenantId
from backend.training.queries import TrainingNeed
from backend.training.schedule import LOST, RETRY, SCHEDULE, Due, fairest, reason_to_train

NOW = datetime(2026, 6, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("events", "last_events", "age", "expected"),
    [
        (1_000, 0, None, SCHEDULE),
        (100, 0, None, SCHEDULE),
        (99, 0, None, None),
        (100_999, 100_000, HOUR, None),
        (104_999, 100_000, HOUR, None),
        (105_000, 100_000, HOUR, SCHEDULE),
        (2_000, 1_000, HOUR, SCHEDULE),
        (100_100, 100_000, 24 * HOUR, SCHEDULE),
        (100_099, 100_000, 24 * HOUR, None),
        (100_100, 100_000, 23 * HOUR, None),
    ],
)
def test_enough_must_have_changed(
    events: int, last_events: int, age: timedelta | None, expected: str | None
) -> None:
    need = TrainingNeed(
        events=events, last_events=last_events, last_created_at=None if age is None else NOW - age
    )

    assert reason_to_train(need, NOW) == expected


@pytest.mark.parametrize(("requested_by", "expected"), [("api", RETRY), (RETRY, None)])
def test_a_job_whose_trainer_died_is_tried_once_more(
    requested_by: str, expected: str | None
) -> None:
    need = TrainingNeed(
        events=10,
        last_state="failed",
        last_reason=LOST,
        last_requested_by=requested_by,
        last_created_at=NOW - HOUR,
        last_events=10,
    )

    assert reason_to_train(need, NOW) == expected


def test_a_training_that_failed_for_a_reason_is_not_tried_again_at_once() -> None:
    need = TrainingNeed(
        events=120,
        last_state="failed",
        last_reason="Only 12 purchases: at least 300 are needed.",
        last_requested_by=SCHEDULE,
        last_created_at=NOW - 48 * HOUR,
        last_events=110,
    )

    assert reason_to_train(need, NOW) is None


def test_the_least_recently_trained_shop_is_first_and_the_rest_waits() -> None:
    shops = [Due(NOW - age * HOUR, TenantId(UUID(int=age)), SCHEDULE) for age in (3, 30, 12)]

    assert [due.tenant_id.int for due in fairest(shops, 2)] == [30, 12]
    assert fairest(shops, -1) == []
