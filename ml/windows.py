"""A shop's past in windows: what was known before each, and what shoppers chose in it.

The last window judges. What came before it teaches: each earlier window asks a retriever that was
learned before that window, so nothing is ever described by what it had still to find out.
"""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from ml.allocation import choose_allocation
from ml.interactions import InteractionLog
from ml.objective import Target
from ml.progress import Report, part
from ml.ranking_set import Candidates, Truth, describe_candidates, later_choices, sample_truth
from ml.retrieval import TowerConfig, TrainedTowers
from ml.retriever import Catalogue, Retriever, fit_retriever
from ml.serving.request import MODES, Mode
from ml.serving.shopper import ShopperBook
from ml.session_choice import NO_SESSIONS, SessionPlan
from ml.shop import Exposures, Shop

DAY_S = 86_400
LONGEST_WINDOW_S = 28 * DAY_S
SHORTEST_WINDOW_S = 3 * DAY_S
MOST_LEARNING = 3
"""Windows to learn from. More teach little more, and each costs a retriever."""
FEWEST_EVENTS = 5_000
FEWEST_CHOOSERS = 100
"""Shoppers in the windows that train and judge a ranker."""


class Cuts(NamedTuple):
    """Where the windows begin, and now: Unix seconds, ascending, equally far apart."""

    moments: tuple[int, ...]

    @property
    def now_s(self) -> int:
        return self.moments[-1]

    @property
    def validate_from_s(self) -> int:
        return self.moments[-2]

    @property
    def windows(self) -> list[tuple[int, int]]:
        """From the earliest to the one that judges."""
        return list(pairwise(self.moments))

    @classmethod
    def of_validation(cls, log: InteractionLog, validate_from_s: int, now_s: int) -> "Cuts":
        """Windows as long as the validation's, as many as the log has a past of that length for."""
        window_s = now_s - validate_from_s
        past_s = validate_from_s - int(log.ts[0]) if len(log.ts) else 0
        learning = max(1, min(MOST_LEARNING, past_s // window_s - 1))
        return cls(tuple(now_s - window_s * back for back in range(learning + 1, -1, -1)))

    @classmethod
    def of_log(cls, log: InteractionLog) -> "Cuts":
        """Windows of four weeks, shorter where a shop is young."""
        now_s = int(log.ts[-1]) + 1
        an_eighth_s = (now_s - int(log.ts[0])) // 8
        window_s = min(LONGEST_WINDOW_S, max(SHORTEST_WINDOW_S, an_eighth_s))
        return cls.of_validation(log, now_s - window_s, now_s)


class Windowing(Struct, frozen=True, kw_only=True):
    """How windows are described."""

    kind: Target
    """What counts as a choice."""
    most_shoppers: int
    seed: int
    towers: TowerConfig
    sessions: SessionPlan = NO_SESSIONS


class Window(NamedTuple):
    """Choices of one window, described by what was known before it."""

    new: Candidates
    repeat: Candidates
    taught: list[Candidates] | None = None
    """Both with what was shown in the window, where impressions were recorded."""

    def of(self, mode: Mode) -> Candidates:
        return self.new if mode == "new" else self.repeat


class JudgingWindow(NamedTuple):
    """A window with what is needed to judge other methods by it."""

    window: Window
    retriever: Retriever
    book: ShopperBook
    truth: Truth


def what_is_lacking(log: InteractionLog, cuts: Cuts, kind: Target, n_shoppers: int) -> str:
    """Why no network is trained, in words; empty where there is enough."""
    if len(log.ts) < FEWEST_EVENTS:
        return f"Only {len(log.ts):,} events of known products; own models need {FEWEST_EVENTS:,}."
    for start_s, end_s in cuts.windows[-2:]:
        choosers = len(choices(log, start_s, end_s, kind, n_shoppers).shoppers)
        if choosers < FEWEST_CHOOSERS:
            days = (end_s - start_s) // DAY_S
            return (
                f"Only {choosers} returning shoppers chose something in {days} days; "
                f"own models need {FEWEST_CHOOSERS}."
            )
    return ""


def choices(log: InteractionLog, start_s: int, end_s: int, kind: Target, n_shoppers: int) -> Truth:
    """Of shoppers who were known at `start_s`."""
    known: NDArray[np.bool_] = np.zeros(n_shoppers, bool)
    known[log.before(start_s).shopper] = True
    return later_choices(log, start_s, end_s, kind.event, known, kept=kind.kept)


def describe_windows(
    shop: Shop, catalogue: Catalogue, cuts: Cuts, how: Windowing, report: Report
) -> tuple[list[Window], JudgingWindow]:
    """The windows to learn from in order of time, and the one that judges.

    Towers go on from window to window. A retriever is let go of before the next one is learned.
    """
    towers: TrainedTowers | None = None
    candidates: Mapping[str, int] | None = None
    learning: list[Window] = []
    each = 1 / len(cuts.windows)
    for step, (start_s, end_s) in enumerate(cuts.windows):
        # the retriever of what serves is one more
        share = (step / len(cuts.moments), 1 / len(cuts.moments))
        retriever = fit_retriever(
            shop, catalogue, start_s, how.towers, towers, report, share, candidates, how.sessions
        )
        towers = retriever.towers
        if candidates is None:
            retriever = with_own_candidates(shop, retriever, start_s, end_s, how)
            candidates = retriever.tables.candidates
        progress = part(report, "candidates", step * each, each)
        described = describe_window(shop, retriever, start_s, end_s, how, progress)
        if end_s == cuts.now_s:
            return learning, described
        learning.append(described.window)
        del retriever, described
    raise ValueError("there is no window between these moments")


def with_own_candidates(
    shop: Shop, retriever: Retriever, start_s: int, end_s: int, how: Windowing
) -> Retriever:
    """With as many candidates of each source as finds most of what was chosen in the window."""
    n_shoppers = len(shop.shopper_ids)
    candidates = choose_allocation(
        retriever.tables,
        ShopperBook(shop.log.before(start_s), shop.traits.of_shopper, start_s),
        shop.shopper_market,
        choices(shop.log, start_s, end_s, how.kind, n_shoppers),
        retriever.query_vectors,
    )
    return retriever._replace(tables=retriever.tables._replace(candidates=candidates))


def describe_window(
    shop: Shop,
    retriever: Retriever,
    start_s: int,
    end_s: int,
    how: Windowing,
    progress: Callable[[float], None],
) -> JudgingWindow:
    """What was chosen in [start_s, end_s), described by what `retriever` knew before it."""
    book = ShopperBook(shop.log.before(start_s), shop.traits.of_shopper, start_s)
    everybody = choices(shop.log, start_s, end_s, how.kind, len(shop.shopper_ids))
    truth = sample_truth(everybody, how.most_shoppers, how.seed)
    shown = shop.exposures.between(start_s, end_s)
    steps = 4 if len(shown.ts) else 2

    def described(mode: Mode, step: int, shown: Exposures | None) -> Candidates:
        return describe_candidates(
            retriever.tables,
            book,
            shop.shopper_market,
            truth,
            retriever.query_vectors,
            mode,
            lambda fraction: progress((step + fraction) / steps),
            shown,
        )

    new, repeat = (described(mode, step, None) for step, mode in enumerate(MODES))
    taught = None
    if len(shown.ts):
        taught = [described(mode, step, shown) for step, mode in enumerate(MODES, start=2)]
    return JudgingWindow(Window(new, repeat, taught), retriever, book, truth)
