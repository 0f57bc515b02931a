"""The length check finds what has grown too long."""

import subprocess
from pathlib import Path

import pytest

from infra import checks


def test_a_long_function_is_named_with_its_length(tmp_path: Path) -> None:
    body = "    x = 1\n" * checks.FUNCTION_LINES
    source = tmp_path / "shop.py"
    source.write_text(f"def fine():\n    pass\n\n\nclass Shop:\n    def sprawl(self):\n{body}")
    source.write_text(source.read_text().replace("    x = 1", "        x = 1"))

    assert checks.problems(source) == [f"{source}:sprawl:61: longer than 60 lines"]


def test_a_long_file_is_named_with_its_length(tmp_path: Path) -> None:
    source = tmp_path / "shop.py"
    source.write_text("x = 1\n" * 401)

    assert checks.problems(source) == [f"{source}:401: longer than 400 lines"]


def test_only_tracked_files_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "long.py").write_text("x = 1\n" * 401)

    assert checks.main() == 0
    subprocess.run(["git", "add", "long.py"], check=True)
    assert checks.main() == 1
    assert "long.py:401" in capsys.readouterr().err
