"""Run a command that ends when the process that started it does, however that ends.

Usage: leash.py PARENT_PID COMMAND [ARGUMENT …]. Runs as a script, before any library is loaded.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(parent: int, command: list[str]) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    # The parent may have died before the kernel was told.
    if os.getppid() == parent:
        os.execvp(command[0], command)  # noqa: S606 - a shell is what this is here to avoid


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
