"""A private Triton server that listens on loopback only and serves our model repository."""

import contextlib
import os
import shutil
import signal
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import psutil

from infra.local import pids
from infra.local.binaries import require_triton
from infra.local.server import Command, LocalServer
from infra.local.state import CHECKOUT, account_with_free_port, private_folder, read_account
from ml.serving.triton_alive import is_alive

REPOSITORY = CHECKOUT / "ml" / "serving" / "triton"
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Triton's own shared memory lies
EXIT_PATIENCE_S = 3
RECORD_AND_RUN = 'echo $$ > triton.pid && exec "$@"'


class LocalTriton(LocalServer):
    """Serves `releases`, a folder of `{tenant}/{release}`, over gRPC without encryption."""

    name = "triton"
    stop_signal = signal.SIGTERM

    def __init__(
        self,
        folder: Path,
        releases: Path,
        repository: Path = REPOSITORY,
        models: tuple[str, ...] = ("recommend",),
    ) -> None:
        super().__init__(folder)
        self._releases = releases.resolve()
        self._repository = repository
        self._models = models

    @property
    def url(self) -> str:
        return f"127.0.0.1:{self.account.port}"

    @property
    def home(self) -> Path:
        return self.folder / "triton"

    @property
    def pid(self) -> int | None:
        try:
            text = (self.home / "triton.pid").read_text().strip()
        except FileNotFoundError:
            return None
        return int(text) if text.isdigit() else None

    def is_ready(self) -> bool:
        """Whether an inference comes through; a server without its models still calls itself so."""
        known = read_account(self.account_file)
        return known is not None and self.process() is not None and is_alive(self.url)

    def prepare(self) -> Command:
        wheel = require_triton()
        private_folder(self.home)
        account = account_with_free_port(self.account_file)
        self._sweep()
        backends = assembled_backends(wheel, self.home / "backends")
        # The stub ignores PYTHONPATH and looks into its working folder first.
        link(self.home / "ml", CHECKOUT / "ml")
        server = wheel / "pytriton" / "tritonserver" / "bin" / "tritonserver"
        flags = [
            f"--model-repository={self._repository}",
            f"--backend-directory={backends}",
            f"--backend-config=python,shm-region-prefix-name={self._shared_name}",
            "--model-control-mode=explicit",
            *(f"--load-model={model}" for model in self._models),
            "--disable-auto-complete-config",
            "--grpc-address=127.0.0.1",
            f"--grpc-port={account.port}",
            "--allow-http=false",
            "--allow-metrics=false",
            f"--exit-timeout-secs={EXIT_PATIENCE_S}",
        ]
        return Command(
            arguments=["/bin/sh", "-c", RECORD_AND_RUN, "sh", str(server), *flags],
            environment=self._environment(wheel),
        )

    def stop(self) -> None:
        super().stop()
        self._sweep()

    def kill(self) -> None:
        super().kill()
        self._sweep()

    def remove(self) -> None:
        """Stop it and forget its port."""
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)
        self.account_file.unlink(missing_ok=True)

    def _environment(self, wheel: Path) -> dict[str, str]:
        """The stub is a Python of its own: PATH says whose packages it sees."""
        libraries = [str(wheel / "nvidia_pytriton.libs"), str(sysconfig.get_config_var("LIBDIR"))]
        programs = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
        return {
            "PATH": os.pathsep.join(programs),
            "LD_LIBRARY_PATH": os.pathsep.join(libraries),
            "AISLE_RELEASES": str(self._releases),
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }

    @property
    def _shared_name(self) -> str:
        return f"aisle_{self.account.port}_"

    def _sweep(self) -> None:
        """Shared memory outlives a killed server, and so does a model's process that hangs."""
        if read_account(self.account_file) is None or self.process() is not None:
            return
        pids.kill(list(started_from(self.home / "backends")))
        for left in SHARED_MEMORY.glob(f"{self._shared_name}*"):
            left.unlink(missing_ok=True)


def assembled_backends(wheel: Path, folder: Path) -> Path:
    """The layout that the server looks for; the wheel keeps a stub per Python version apart."""
    parts = wheel / "pytriton" / "tritonserver"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    python = folder / "python"
    python.mkdir(parents=True, exist_ok=True)
    for part in (
        parts / "backends" / "python" / "libtriton_python.so",
        parts / "backends" / "python" / "triton_python_backend_utils.py",
        parts / "python_backend_stubs" / version / "triton_python_backend_stub",
    ):
        link(python / part.name, part)
    return folder


def started_from(folder: Path) -> Iterator[psutil.Process]:
    """Processes whose program was named by a path in this folder."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            command = process.cmdline()
            if command and Path(command[0]).is_relative_to(folder):
                yield process


def link(path: Path, target: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target)
