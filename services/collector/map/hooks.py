"""Named hooks: payloads whose shape the mapping language cannot say are reshaped here first; each has its reason in its definition."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Hook = Callable[[Any, Mapping[str, str]], Any]

HOOKS: dict[str, Hook] = {}
"""Name in `hook:` of an endpoint -> function of (payload, parameters) -> payload."""
