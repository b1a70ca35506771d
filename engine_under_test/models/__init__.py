"""Decoder models, their named shapes, their adapters, and how weights reach them."""

from .llama import Llama
from .loader import LoadedModel, load_model, resolve_dtype
from .lora import AdapterSlots, LoraAdapter
from .peft import read_adapter
from .shapes import SHAPES

__all__ = [
    "SHAPES",
    "AdapterSlots",
    "Llama",
    "LoadedModel",
    "LoraAdapter",
    "load_model",
    "read_adapter",
    "resolve_dtype",
]
