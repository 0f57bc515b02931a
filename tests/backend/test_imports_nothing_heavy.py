"""The web process starts and serves where nothing of the extras `ml` and `triton` is installed."""

import os
import subprocess
import sys

import pytest

from backend.settings import Settings
from tests.conftest import Shop

HEAVY = (
    "torch",
    "merlin",
    "nvtabular",
    "pandas",
    "scipy",
    "dask",
    "sklearn",
    "implicit",
    "pytorch_lightning",
    "torchmetrics",
    "numba",
    "tritonclient",
    "grpc",
)

SERVE = """
import asyncio, importlib.abc, os, sys

HEAVY = set(os.environ["HEAVY"].split())

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in HEAVY:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

if os.environ["BLOCKED"]:
    sys.meta_path.insert(0, Absent())

import httpx
from backend.app import create_app

async def serve():
    app = create_app()
    async with app.lifespan():
        transport = httpx.ASGITransport(app=app)
        key = os.environ["KEY"]
        async with httpx.AsyncClient(
            transport=transport,
            base_url="http://aisle.test",
            headers={"authorization": f"Bearer {key}"},
        ) as client:
            product = {"product_id": "tea", "title": "Tea"}
            assert (await client.post("/v1/products", json=product)).status_code == 200
            question = {"placement": "for-you", "session_id": "s"}
            answer = await client.post("/v1/recommendations", json=question)
            assert answer.status_code == 200, answer.text
            assert (await client.get("/v1/models")).status_code == 200
            print("served by", answer.json()["served_by"])

asyncio.run(serve())
print("heavy:", sorted(HEAVY.intersection(name.partition(".")[0] for name in sys.modules)))
"""


@pytest.mark.parametrize("blocked", ["", "yes"])
def test_the_app_serves_without_the_ml_extra(settings: Settings, shop: Shop, blocked: str) -> None:
    environment = {
        **os.environ,
        "APP_DATABASE_URL": settings.app_database_url,
        "DRAIN_DATABASE_URL": settings.drain_database_url,
        "REDIS_URL": settings.redis_url,
        "AISLE_STATE_DIR": str(settings.aisle_state_dir),
        "KEY": shop.secret_key,
        "HEAVY": " ".join(HEAVY),
        "BLOCKED": blocked,
    }

    finished = subprocess.run(
        [sys.executable, "-c", SERVE], env=environment, capture_output=True, text=True, check=False
    )

    assert finished.returncode == 0, finished.stderr
    assert "served by" in finished.stdout
    assert "heavy: []" in finished.stdout
