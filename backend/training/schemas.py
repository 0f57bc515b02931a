"""JSON of models and training jobs, and what the trainer reports."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from ml.release import Objective, Score


class TrainingOutcome(Struct, frozen=True, kw_only=True):
    """How a training ended. Everything else about a release is read from its manifest."""

    release_id: str | None = None
    failed: str | None = None
    """One plain sentence; absent when a release was written."""
    serve: bool = True
    """False: the release in service is better, and stays."""
    reason: str | None = None


class Headline(Struct, frozen=True, kw_only=True):
    """How the release did on the shop's own later weeks."""

    shoppers: Annotated[int, Meta(description="Shoppers whose later purchases were predicted")]
    baseline: Annotated[str, Meta(description="The best classical order it was compared with")]
    lift: Annotated[
        float | None, Meta(description="NDCG@20 of own models over the baseline: 0.31 is +31 %")
    ]
    lift_low: Annotated[float | None, Meta(description="95 % interval of the lift")]
    lift_high: float | None
    scores: list[Score]


ObjectiveOf = Annotated[
    Objective,
    Meta(
        description="What the models were asked for more of: clicks, orders that are kept, or "
        "revenue after returns. auto: the strongest kind of event there is enough of"
    ),
]


class TrainingWish(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    objective: Annotated[
        Objective | None,
        Meta(description="Kept for later trainings too; absent: as the shop chose before"),
    ] = None


class Model(Struct, frozen=True, kw_only=True):
    """One release."""

    release_id: str
    created_at: datetime
    champion: Annotated[str, Meta(description="Who orders: `own-models` or a classical order")]
    passed: Annotated[bool, Meta(description="Whether the gate let the own models serve")]
    verdict: Annotated[str, Meta(description="The gate's decision as one plain sentence")]
    serving: bool
    parent_release_id: str | None
    objective: ObjectiveOf
    metrics: Headline


class ModelList(Struct, frozen=True, kw_only=True):
    """Newest first."""

    models: list[Model]


class TrainingJob(Struct, frozen=True, kw_only=True):
    job_id: str
    state: Annotated[str, Meta(examples=["queued", "exporting", "training", "succeeded", "failed"])]
    requested_by: str
    objective: ObjectiveOf
    stage: Annotated[str | None, Meta(description="What it is doing now")]
    progress: Annotated[float, Meta(ge=0, le=1, description="How much of the stage is done")]
    detail: Annotated[
        dict[str, float], Meta(description="Losses and metrics of the stage as they arrive")
    ]
    reason: Annotated[str | None, Meta(description="Why it failed, or why nothing changed")]
    release_id: str | None
    created_at: datetime
    started_at: datetime | None
    heartbeat_at: datetime | None
    finished_at: datetime | None


class TrainingJobList(Struct, frozen=True, kw_only=True):
    """Newest first."""

    jobs: list[TrainingJob]


class Serving(Struct, frozen=True, kw_only=True):
    """The release in service, and the one a rollback returns to."""

    release_id: str
    previous_release_id: str | None
