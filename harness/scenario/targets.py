"""Who is asked: the kinds of targets, their limits, and how prompt lengths are met there."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from harness.scenario.distributions import Document
from harness.units import Seconds


class EnvValue(Document):
    env: str = Field(description="Name of the environment variable that holds the value.")


class Timeouts(Document):
    connect: Seconds = Field(default=10.0, description="TCP and TLS, each.")
    send: Seconds = Field(default=10.0, description="Until the request is written.")
    first_byte: Seconds = Field(default=120.0, description="Sent to the first body byte.")
    token_idle: Seconds = Field(default=60.0, description="Longest silence between tokens.")
    total: Seconds = Field(default=600.0, description="Sent to the end.")


def _url_or_preset(schema: dict[str, Any]) -> None:
    """In the JSON Schema, for editors: a preset gives the url, the loader then fills it in."""
    schema["required"] = [name for name in schema["required"] if name != "url"]
    schema["anyOf"] = [{"required": ["url"]}, {"required": ["preset"]}]


class OpenAITarget(Document):
    model_config = ConfigDict(json_schema_extra=_url_or_preset)

    kind: Literal["openai"]
    url: str = Field(description="Base URL up to and including /v1.")
    model: str = Field(
        default="auto", min_length=1, description="Model id; auto is the first of /v1/models."
    )
    preset: str | None = Field(
        default=None, description="Provider file that gives url, key variable and models."
    )
    models: dict[str, str] = Field(
        default_factory=dict, description="Asked id -> the id sent instead, for a migration."
    )
    api_key_env: str | None = Field(default=None, description="Variable that holds the key.")
    headers: dict[str, str | EnvValue] = Field(default_factory=dict, description="Extra headers.")
    timeout: Timeouts = Field(default_factory=Timeouts, description="Limits of one request.")

    @property
    def sent_model(self) -> str:
        """The id that goes out for the one that was asked for."""
        return self.models.get(self.model, self.model)


class ReferenceTarget(Document):
    kind: Literal["reference"]
    model: str = Field(
        default="tiny", min_length=1, description="tiny, a named shape, or a model directory."
    )
    flags: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="Passed to the engine as they are."
    )
    timeout: Timeouts = Field(default_factory=Timeouts, description="Limits of one request.")


class ScriptedTarget(Document):
    kind: Literal["scripted"]
    script: dict[str, Any] | str = Field(
        default_factory=dict, description="Timings and behaviours, or a file that holds them."
    )
    timeout: Timeouts = Field(default_factory=Timeouts, description="Limits of one request.")


Target = Annotated[OpenAITarget | ReferenceTarget | ScriptedTarget, Field(discriminator="kind")]


class CalibratedTokens(Document):
    """By two probes; on the reference engine by its own tokenizer, which needs none."""

    kind: Literal["calibrated"] = "calibrated"


class TokenizerTokens(Document):
    kind: Literal["tokenizer"]
    file: str = Field(description="tokenizer.json of the served model.")


class EstimatedTokens(Document):
    kind: Literal["estimated"]
    chars_per_token: float = Field(default=4.0, gt=0, description="Characters a token, on average.")


Tokens = Annotated[
    CalibratedTokens | TokenizerTokens | EstimatedTokens, Field(discriminator="kind")
]
