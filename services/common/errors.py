"""Errors that say where, what was expected, what came, and what to do; the type says who acts."""

from __future__ import annotations


class ParallaxError(Exception):
    """A fault with its place, the expectation, what came instead (redacted), and the remedy."""

    def __init__(self, where: str, expected: str = "", got: str = "", do: str = "") -> None:
        self.where = where
        self.expected = expected
        self.got = got
        self.do = do
        super().__init__(sentence(where, expected, got, do))


class SettingsError(ParallaxError):
    """The operator acts: a setting is missing, malformed or contradicts another. `faults` holds all of them."""

    def __init__(
        self, where: str, expected: str = "", got: str = "", do: str = "", faults: tuple[str, ...] = ()
    ) -> None:
        super().__init__(where, expected, got, do)
        self.faults = faults or (str(self),)

    @classmethod
    def of(cls, faults: list[SettingsError]) -> SettingsError:
        """One error for all faults, so that the operator mends them in one go."""
        if len(faults) == 1:
            return faults[0]
        lines = tuple(str(fault) for fault in faults)
        error = cls(f"{len(faults)} settings are wrong", faults=lines)
        error.args = ("\n".join((f"{len(faults)} settings are wrong:", *(f"  {line}" for line in lines))),)
        return error


class DefinitionError(ParallaxError):
    """The author of a definition acts: a provider folder, a table or a topic row is wrong."""


class MachineError(ParallaxError):
    """Who runs it acts: a port is taken, the disk is full, a wheel or a server is missing."""


def sentence(where: str, expected: str = "", got: str = "", do: str = "") -> str:
    """`where: expected X, got Y; do Z`, leaving out what is empty."""
    middle = ", ".join(
        part for part in (f"expected {expected}" if expected else "", f"got {got}" if got else "") if part
    )
    text = f"{where}: {middle}" if middle else where
    return f"{text}; {do}" if do else text
