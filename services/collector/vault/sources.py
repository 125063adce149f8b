"""Where secrets come from: the environment or a folder of files (Kubernetes and systemd mount credentials that way)."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from services.collector.vault.redaction import Redactor

VARIABLE = "PARALLAX_SECRET_"


class Secrets(Protocol):
    """Looks up a secret by the reference that a definition names."""

    def get(self, reference: str) -> str | None:
        """The value now, or None when there is none; asked at send time, never kept."""


class Sources:
    """File `<folder>/<reference, / as __>` first, else PARALLAX_SECRET_<REFERENCE>; each value is told to the redactor before use."""

    def __init__(
        self,
        redactor: Redactor,
        folder: str | None = None,
        environ: Mapping[str, str] | None = None,
        hide: Callable[[str], None] = lambda value: None,
    ) -> None:
        """`hide` is told every value too, so that log lines are redacted."""
        self._redactor = redactor
        self._hide = hide
        self._folder = Path(folder) if folder else None
        self._environ = os.environ if environ is None else environ
        self._told: set[str] = set()

    def get(self, reference: str) -> str | None:
        value = self._from_file(reference) or self._environ.get(VARIABLE + _upper(reference)) or None
        if value is not None and value not in self._told:
            self._redactor.add(value)
            self._hide(value)
            self._told.add(value)
        return value

    def _from_file(self, reference: str) -> str | None:
        if self._folder is None or reference.startswith("."):
            return None
        try:
            return (self._folder / reference.replace("/", "__")).read_text().strip() or None
        except OSError:
            return None


def _upper(reference: str) -> str:
    return re.sub(r"[^A-Z0-9]+", "_", reference.upper())
