"""Take a request's events: judge each, keep the good ones safe, answer for all."""

from datetime import UTC, datetime

from backend.events.intake import Intake
from backend.events.judge import judge
from backend.events.parse import Form
from backend.events.schemas import EventBatch, EventsAnswer
from backend.tenancy import TenantId


async def accept(intake: Intake, tenant_id: TenantId, body: bytes, form: Form) -> EventsAnswer:
    """Raises BadRequest, TooLarge, or Unavailable when the events cannot be kept safe."""
    now = datetime.now(UTC)
    judgement = judge(body, form, now)
    if judgement.rows:
        await intake.take(EventBatch(tenant_id=tenant_id, received_at=now, rows=judgement.rows))
    statuses = [result.status for result in judgement.results]
    return EventsAnswer(
        accepted=len(judgement.rows),
        duplicates=statuses.count("duplicate"),
        rejected=statuses.count("rejected"),
        results=judgement.results,
    )
