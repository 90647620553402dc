"""Writes golden.json anew: `python -m tests.unit.kubernetes.write_golden`. Read the difference before it is kept."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
sys.path[:0] = [str(ROOT / "collections"), str(Path(__file__).parent)]

from kubernetes_settings import GOLDEN, golden, settings  # noqa: E402

GOLDEN.write_text(golden(settings()))
