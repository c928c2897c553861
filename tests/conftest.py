"""Fixtures that several test files share."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from wrappers import checkout, ready, stand_in  # noqa: F401
