"""Debian packages, installed without their own services being started."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

# Debian asks this script before a package starts its service; 101 is "no".
SERVICE_POLICY = Path("/usr/sbin/policy-rc.d")
NO_SERVICES = "#!/bin/sh\nexit 101\n"
CLUSTER_POLICY = Path("/etc/postgresql-common/createcluster.d/aisle.conf")
NO_CLUSTER = "create_main_cluster = false\n"


def is_usable() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install(package: str) -> bool:
    """Whether apt could install the package."""
    print(f"Installing {package} with apt …", flush=True)
    with present(SERVICE_POLICY, NO_SERVICES, 0o755), present(CLUSTER_POLICY, NO_CLUSTER, 0o644):
        # A machine with one unreachable source can still install from the others.
        apt_get("update")
        installed = apt_get("install", "--yes", "--no-install-recommends", package)
    if installed and shutil.which("systemctl"):
        subprocess.run(["systemctl", "disable", "--quiet", package], check=False)
    return installed


def apt_get(*arguments: str) -> bool:
    finished = subprocess.run(
        ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120", "-o", "Dpkg::Use-Pty=0", *arguments],
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode != 0:
        print(finished.stderr, file=sys.stderr)
    return finished.returncode == 0


@contextlib.contextmanager
def present(path: Path, content: str, mode: int) -> Generator[None]:
    """The file is there for a while. One that was there before is left as it is."""
    if path.exists():
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    path.chmod(mode)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
