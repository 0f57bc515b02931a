"""The narrower models of the repository, on a real server: each takes its kind of request."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc

from infra.local.triton_server import LocalTriton
from ml.serving.engine import recommend
from ml.serving.messages import Answered, Ask, Failed, Reply, decode_reply, encode
from ml.serving.release import load_release
from ml.serving.request import EngineRequest
from tests.ml.small_release import NOW_S, PRODUCTS, write_small_release

TENANT, RELEASE = "tenant", "release"
RANKED = EngineRequest(now_s=NOW_S, limit=5, among=[PRODUCTS[4], PRODUCTS[1]])
ALIKE = EngineRequest(now_s=NOW_S, limit=5, similar_to=PRODUCTS[0])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_release(tmp_path_factory.mktemp("releases") / TENANT, RELEASE)


@pytest.fixture(scope="module")
def server(
    triton: LocalTriton, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalTriton]:
    """All three models; `triton` is asked for because it skips where no server can run."""
    models = ("recommend", "rank", "similar")
    started = LocalTriton(tmp_path_factory.mktemp("server"), folder.parents[1], models=models)
    started.start()
    yield started
    started.kill()
    started.remove()


def asked(server: LocalTriton, model: str, request: EngineRequest) -> Reply:
    ask = Ask(tenant=TENANT, release=RELEASE, request=request, arrivals="", patience_ms=10_000)
    sent: Any = tritonclient.grpc.InferInput("message", [1], "BYTES")
    sent.set_data_from_numpy(np.array([encode(ask)], dtype=np.object_))
    with tritonclient.grpc.InferenceServerClient(server.url) as client:
        return decode_reply(client.infer(model, [sent]).as_numpy("reply")[0])


@pytest.mark.parametrize(("model", "request_"), [("rank", RANKED), ("similar", ALIKE)])
def test_a_model_answers_as_the_engine_does(
    server: LocalTriton, folder: Path, model: str, request_: EngineRequest
) -> None:
    reply = asked(server, model, request_)

    assert isinstance(reply, Answered)
    expected = recommend(load_release(folder), request_)
    assert [item.product_id for item in reply.answer.items] == [
        item.product_id for item in expected.items
    ]


@pytest.mark.parametrize(("model", "request_"), [("rank", ALIKE), ("similar", RANKED)])
def test_a_model_refuses_what_is_for_another(
    server: LocalTriton, model: str, request_: EngineRequest
) -> None:
    reply = asked(server, model, request_)

    assert isinstance(reply, Failed)
    assert reply.failure == "bad-request"
