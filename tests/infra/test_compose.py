"""What a container would be started with exists in the code. Nothing is started here."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import compose_spec
import pytest
import yaml

from backend.cli import main
from backend.settings import Settings

INFRA = Path(__file__).parents[2] / "infra"
COMPOSE = INFRA / "compose" / "compose.yaml"
DOCKERFILES = sorted((INFRA / "docker").glob("*.Dockerfile"))
FOREIGN = ("AWS_", "POSTGRES_", "MINIO_")
"""Variables that other programs read."""
OFFICIAL = ("postgres:", "redis:", "minio/")
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]


def test_the_file_is_compose() -> None:
    parsed = compose_spec.PyOptions(apply_merge=True).from_yaml(COMPOSE.read_text())

    parsed.validate()
    assert set(parsed.service_names()) == set(SERVICES)


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_an_image_is_sound_and_runs_as_nobody_in_particular(dockerfile: Path) -> None:
    linter = Path(sys.executable).parent / "hadolint"
    linted = subprocess.run([linter, dockerfile], capture_output=True, text=True, check=False)

    assert linted.returncode == 0, linted.stdout
    users = [line for line in dockerfile.read_text().splitlines() if line.startswith("USER ")]
    assert users[-1] == "USER 10001"


def test_the_image_of_triton_holds_all_that_its_models_import(tmp_path: Path) -> None:
    lines = (INFRA / "docker" / "triton.Dockerfile").read_text().splitlines()
    for line in lines:
        if line.startswith("COPY "):
            *sources, target = line.split()[1:]
            copy_into(tmp_path / target.removeprefix("/opt/aisle/"), sources)
    script = "import ml, ml.serving.responder, ml.serving.triton_alive; print(ml.__file__)"
    imported = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {script}"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )

    assert imported.returncode == 0, imported.stderr
    assert imported.stdout.startswith(str(tmp_path))


def copy_into(target: Path, sources: list[str]) -> None:
    for source in sources:
        path = INFRA.parent / source
        if path.is_dir():
            shutil.copytree(path, target)
        else:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)


def test_every_variable_is_one_that_is_read() -> None:
    known = {name.upper() for name in Settings.__struct_fields__}
    named = [
        line.partition("=")[0]
        for example in (INFRA / "compose").glob("*.env.example")
        for line in example.read_text().splitlines()
        if line and not line.startswith("#")
    ]

    assert [name for name in named if name not in known and not name.startswith(FOREIGN)] == []


def test_no_example_holds_a_secret() -> None:
    for example in (INFRA / "compose").glob("*.env.example"):
        for line in example.read_text().splitlines():
            name, _, value = line.partition("=")
            if any(word in name for word in ("PASSWORD", "SECRET", "KEY_ID")) or "://" in value:
                assert "CHANGE-ME" in value or "@" not in value, name


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_builds_what_is_there_and_starts_what_exists(name: str) -> None:
    service = SERVICES[name]
    if "build" in service:
        assert COMPOSE.parents[2] / service["build"]["dockerfile"] in DOCKERFILES
    for module in modules_of(service.get("command", [])):
        assert importlib.util.find_spec(module) is not None, module


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_comes_back_and_does_not_write_into_its_image(name: str) -> None:
    service = SERVICES[name]

    assert service["restart"] in {"unless-stopped", "on-failure"}
    if not service["image"].startswith(OFFICIAL):
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]


def test_what_must_not_be_lost_is_not_evicted() -> None:
    durable, cache = (SERVICES[name]["command"] for name in ("redis", "redis-cache"))

    assert durable[durable.index("--appendfsync") + 1] == "everysec"
    assert durable[durable.index("--maxmemory-policy") + 1] == "noeviction"
    assert cache[cache.index("--maxmemory-policy") + 1] == "allkeys-lru"


def modules_of(command: list[str]) -> list[str]:
    """Python modules a command runs; a command of `aisle` is one of its own."""
    match command:
        case ["aisle", verb, *_]:
            assert verb in main.commands
            return []
        case ["python", "-m", module, *_] | ["celery", "--app", module, *_]:
            return [module]
        case _:
            return []
