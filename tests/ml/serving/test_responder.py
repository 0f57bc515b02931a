"""Messages to an engine that somebody else hosts, and the replies."""

import time
from pathlib import Path

import msgspec
import numpy as np
import pytest

from ml.release import ENGINE_VERSION
from ml.serving.arrivals import Arrival, Arrivals, listed_arrivals
from ml.serving.messages import (
    Alive,
    Answered,
    Ask,
    Failed,
    Message,
    Ping,
    Reply,
    Told,
    Widen,
    decode_message,
    decode_reply,
    encode,
)
from ml.serving.product_text import ProductText
from ml.serving.request import EngineRequest, Interaction, Purchase
from ml.serving.responder import Responder
from tests.ml.small_release import NOW_S, PRODUCTS, write_small_release
from tests.ml.worded_release import write_worded_release

TENANTS = ["a", "b", "c"]
TEA = Arrival("tea", ProductText("Green tea"))


@pytest.fixture
def releases(tmp_path: Path) -> Path:
    for tenant in TENANTS:
        write_small_release(tmp_path / tenant, tenant_id=tenant)
    return tmp_path


@pytest.fixture
def responder(releases: Path) -> Responder:
    return Responder(releases)


def asking(tenant: str = "a", release: str = "r1", **request: object) -> Ask:
    fields: dict[str, object] = {"now_s": NOW_S, "limit": 12, **request}
    return Ask(tenant=tenant, release=release, request=EngineRequest(**fields), patience_ms=60_000)


def ask(responder: Responder, message: Message) -> Reply:
    return decode_reply(responder.reply(encode(message)))


def names(reply: Reply) -> list[str]:
    assert isinstance(reply, Answered), reply
    return [item.product_id for item in reply.answer.items]


def test_every_field_of_a_request_travels() -> None:
    request = EngineRequest(
        now_s=NOW_S,
        limit=7,
        mode="repeat",
        recent=[Interaction(product_id="p", kind="view", occurred_at_s=1.5)],
        bought=[Purchase(product_id="q", times=2, last_s=3.5, first_s=2.5, strength=1.25)],
        similar_to="s",
        market="DE",
        traits=["a=b"],
        device="tablet",
        blocked=np.arange(1_003) % 3 == 0,
        promoted=frozenset({"x", "y"}),
        promotion_threshold=0.25,
    )

    arrived = decode_message(encode(Ask(tenant="a", release="r1", request=request)))

    assert isinstance(arrived, Ask)
    for name in EngineRequest.__struct_fields__:
        assert np.array_equal(getattr(arrived.request, name), getattr(request, name)), name
    assert len(encode(arrived)) < 1_000, "a mask takes a bit per product"


@pytest.mark.parametrize("length", [0, 5, 12, 40])
def test_a_mask_of_another_length_never_shows_what_it_does_not_reach(
    responder: Responder, length: int
) -> None:
    reply = ask(responder, asking(blocked=np.zeros(length, bool)))

    assert sorted(names(reply)) == PRODUCTS[:length]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x80",
        msgspec.msgpack.encode({"type": "Nothing known"}),
        msgspec.msgpack.encode({"type": "Ask", "tenant": "a", "release": "r1"}),
        msgspec.msgpack.encode(
            {
                "type": "Ask",
                "tenant": "a",
                "release": "r1",
                "request": {"now_s": 1.0, "limit": 3, "blocked": ["|O", [2], b"ab"]},
            }
        ),
        msgspec.msgpack.encode(
            {
                "type": "Ask",
                "tenant": "a",
                "release": "r1",
                "request": {"now_s": 1.0, "limit": 3, "blocked": ["|b1", [1 << 40], b"ab"]},
            }
        ),
        msgspec.msgpack.encode(
            {
                "type": "Ask",
                "tenant": "a",
                "release": "r1",
                "request": {"now_s": 1.0, "limit": 3, "blocked": ["|b1", [-1], b""]},
            }
        ),
    ],
)
def test_what_is_no_message_is_refused(responder: Responder, data: bytes) -> None:
    reply = decode_reply(responder.reply(data))

    assert isinstance(reply, Failed)
    assert reply.failure == "bad-request"


@pytest.mark.parametrize(
    ("tenant", "release", "failure"),
    [
        ("a", "unheard of", "cold"),
        ("unheard of", "r1", "cold"),
        ("..", "r1", "bad-request"),
        ("a", "../b/r1", "bad-request"),
        ("a", "", "bad-request"),
        ("a", "/etc", "bad-request"),
    ],
)
def test_a_release_that_is_not_there_is_named_without_its_folder(
    responder: Responder, releases: Path, tenant: str, release: str, failure: str
) -> None:
    reply = ask(responder, asking(tenant, release))

    assert isinstance(reply, Failed)
    assert reply.failure == failure
    assert str(releases) not in reply.detail


def test_a_broken_release_is_named_without_its_folder(responder: Responder, releases: Path) -> None:
    (releases / "a" / "r1" / "ranker.onnx").write_bytes(b"broken")

    reply = ask(responder, asking())

    assert isinstance(reply, Failed)
    assert reply.failure == "unusable"
    assert str(releases) not in reply.detail
    assert names(ask(responder, asking("b")))


def test_who_has_no_patience_is_told_to_come_again(responder: Responder) -> None:
    reply = ask(responder, msgspec.structs.replace(asking(), patience_ms=0))

    assert isinstance(reply, Failed)
    assert reply.failure == "cold"
    assert names(ask(responder, asking()))


def test_an_unknown_product_is_told_apart(responder: Responder) -> None:
    reply = ask(responder, asking(similar_to="unheard of"))

    assert isinstance(reply, Failed)
    assert reply.failure == "unknown-product"


def test_more_tenants_than_there_is_room_for_are_all_answered(releases: Path) -> None:
    responder = Responder(releases, capacity_bytes=1)

    for tenant in TENANTS * 3:
        assert len(names(ask(responder, asking(tenant)))) == 12

    assert ask(responder, Ping()) == Alive(engine_version=ENGINE_VERSION, releases=1)


def test_a_model_for_some_requests_refuses_the_others(releases: Path) -> None:
    responder = Responder(releases, serves=lambda request: request.similar_to is not None)

    assert isinstance(ask(responder, asking()), Failed)
    assert names(ask(responder, asking(similar_to="p03")))


def test_arrivals_are_told_once_and_count_for_those_whose_mask_has_them(tmp_path: Path) -> None:
    write_worded_release(tmp_path / "a", tenant_id="a")
    responder = Responder(tmp_path)
    arrivals = listed_arrivals([TEA])
    everything = asking(limit=20, blocked=np.zeros(13, bool))
    assert "tea" not in names(ask(responder, everything))

    assert ask(responder, widening(arrivals)) == Told(arrivals="")
    until_told(responder, arrivals)

    assert "tea" not in names(ask(responder, everything))
    with_tea = ask(responder, msgspec.structs.replace(everything, arrivals=arrivals.token))
    assert "tea" in names(with_tea)
    assert isinstance(with_tea, Answered)
    assert with_tea.arrivals == arrivals.token


def widening(arrivals: Arrivals) -> Widen:
    return Widen(tenant="a", release="r1", arrivals=arrivals)


def until_told(responder: Responder, arrivals: Arrivals) -> None:
    deadline = time.monotonic() + 10
    while ask(responder, widening(arrivals)) != Told(arrivals=arrivals.token):
        assert time.monotonic() < deadline, "it did not come true in time"
