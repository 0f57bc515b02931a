"""Stops asking who keeps failing, and finds out when it works again."""

import logging
import time
from collections import deque
from collections.abc import Callable

logger = logging.getLogger(__name__)

FAILURES = 5
OUT_OF = 10
WITHIN_S = 10.0
PAUSE_S = 1.0


class CircuitBreaker:
    """Opens when FAILURES of the last OUT_OF calls failed within WITHIN_S.

    While it is open, one probe after each pause is let through; its success closes it.
    """

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._clock = clock
        self._outcomes: deque[float | None] = deque(maxlen=OUT_OF)
        """When each call failed; None where it did not."""
        self._probe_at_s: float | None = None
        """None: closed."""
        self._is_probing = False

    @property
    def is_open(self) -> bool:
        return self._probe_at_s is not None

    def take_probe(self) -> bool:
        """Whether the caller is the one to try again; it then owes one of the three below."""
        due = self._probe_at_s is not None and self._clock() >= self._probe_at_s
        if not due or self._is_probing:
            return False
        self._is_probing = True
        return True

    def succeeded(self) -> None:
        self._outcomes.append(None)
        if self._is_probing:
            logger.warning("%s answers again", self._name)
            self._outcomes.clear()
            self._probe_at_s = None
            self._is_probing = False

    def failed(self) -> None:
        now = self._clock()
        self._outcomes.append(now)
        recent = [at for at in self._outcomes if at is not None and now - at < WITHIN_S]
        if self.is_open:
            self._probe_at_s = now + PAUSE_S
        elif len(recent) >= FAILURES:
            logger.error("%s keeps failing and is left alone for now", self._name)
            self._probe_at_s = now + PAUSE_S
        self._is_probing = False

    def abandoned(self) -> None:
        """The caller gave up before there was an outcome."""
        self._is_probing = False
