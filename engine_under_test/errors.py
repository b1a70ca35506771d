"""Every failure the engine reports on purpose, in four parts: what, where, why, do this.

    EngineError
    |- ConfigError      an engine setting is out of range or contradicts another
    |- ModelError       a model directory is damaged, incomplete or of an unknown kind
    |- RequestRefused   this request can never be served (the server answers 400)
    `- QueueFull        this request cannot be queued now (the server answers 429)

The engine shares nothing with the harness but HTTP, so the tree is its own.
"""

from __future__ import annotations


class EngineError(Exception):
    """A failure said in four parts. `where`, `why` and `do` may be empty."""

    def __init__(self, what: str, *, where: str = "", why: str = "", do: str = "") -> None:
        super().__init__(what)
        self.what, self.where, self.why, self.do = what, where, why, do

    def render(self) -> str:
        """The lines a user reads, without colour."""
        parts = [f"error: {self.what}"]
        parts += [f"  where: {self.where}"] if self.where else []
        parts += [f"  why:   {self.why}"] if self.why else []
        parts += [f"  do:    {self.do}"] if self.do else []
        return "\n".join(parts)

    def __str__(self) -> str:
        return self.render().removeprefix("error: ")


class ConfigError(EngineError):
    """An engine setting is out of range or contradicts another."""


class ModelError(EngineError):
    """A model directory is damaged, incomplete or of a kind the engine does not know."""


class RequestRefused(EngineError):
    """This request can never be served by this engine."""


class QueueFull(EngineError):
    """As many requests wait as are allowed to; try again later."""
