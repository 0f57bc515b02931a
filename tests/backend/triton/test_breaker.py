"""When a server is left alone, and when it is asked again."""

import pytest

from backend.triton.breaker import FAILURES, OUT_OF, PAUSE_S, WITHIN_S, CircuitBreaker


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker("the server", clock)


@pytest.fixture
def opened(breaker: CircuitBreaker) -> CircuitBreaker:
    for _ in range(FAILURES):
        breaker.failed()
    return breaker


def test_it_opens_after_enough_failures(breaker: CircuitBreaker) -> None:
    for _ in range(FAILURES - 1):
        breaker.failed()
    assert not breaker.is_open

    breaker.failed()

    assert breaker.is_open


def test_failures_of_long_ago_do_not_count(breaker: CircuitBreaker, clock: Clock) -> None:
    for _ in range(FAILURES - 1):
        breaker.failed()
    clock.now_s = WITHIN_S
    breaker.failed()

    assert not breaker.is_open


def test_few_failures_among_many_answers_do_not_open_it(breaker: CircuitBreaker) -> None:
    for _ in range(FAILURES * 4):
        breaker.failed()
        for _ in range(OUT_OF // (FAILURES - 1)):
            breaker.succeeded()

    assert not breaker.is_open


def test_one_probe_at_a_time_and_only_after_a_pause(opened: CircuitBreaker, clock: Clock) -> None:
    assert not opened.take_probe()
    clock.now_s = PAUSE_S

    assert opened.take_probe()
    assert not opened.take_probe()


def test_a_probe_that_succeeds_closes_it(opened: CircuitBreaker, clock: Clock) -> None:
    clock.now_s = PAUSE_S
    assert opened.take_probe()
    opened.succeeded()
    opened.failed()

    assert not opened.is_open


def test_a_probe_that_fails_costs_another_pause(opened: CircuitBreaker, clock: Clock) -> None:
    clock.now_s = PAUSE_S
    assert opened.take_probe()
    opened.failed()

    assert opened.is_open
    assert not opened.take_probe()
    clock.now_s = 2 * PAUSE_S
    assert opened.take_probe()


def test_a_probe_that_was_given_up_lets_another_try(opened: CircuitBreaker, clock: Clock) -> None:
    clock.now_s = PAUSE_S
    assert opened.take_probe()
    opened.abandoned()

    assert opened.take_probe()
