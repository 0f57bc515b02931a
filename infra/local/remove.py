"""Stops what this state folder runs and deletes its data."""

import shutil

from infra.local.processes import end_leftovers
from infra.local.services import LocalPostgres, LocalRedis
from infra.local.state import state_folder
from infra.local.triton import local_triton
from infra.local.up import only_one


def run() -> int:
    state_dir = state_folder()
    if not state_dir.exists():
        return 0
    with only_one(state_dir / "up.lock"):
        end_leftovers(state_dir)
        LocalPostgres(state_dir).remove()
        LocalRedis(state_dir).remove()
        local_triton(state_dir).remove()
        shutil.rmtree(state_dir)
    print(f"Removed {state_dir} and the data of its servers.")
    return 0
