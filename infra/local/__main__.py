"""`python -m infra.local COMMAND`: install, up, demo, triton, remove."""

import importlib
import sys

from infra.local.preflight import CannotStart

COMMANDS = {
    "install": "infra.local.install",
    "up": "infra.local.up",
    "demo": "infra.local.demo",
    "triton": "infra.local.triton",
    "remove": "infra.local.remove",
}


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in COMMANDS:
        print(f"Usage: python -m infra.local {' | '.join(COMMANDS)}", file=sys.stderr)
        return 2
    try:
        return importlib.import_module(COMMANDS[arguments[0]]).run()
    except CannotStart as refusal:
        print(f"\n{refusal}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
