"""Decoder models, their named shapes, and how weights reach them."""

from .llama import Llama
from .loader import LoadedModel, load_model, resolve_dtype
from .shapes import SHAPES

__all__ = ["SHAPES", "Llama", "LoadedModel", "load_model", "resolve_dtype"]
