"""Rotary position embeddings as one complex multiplication.

The pair that rotates together lies side by side (the loader permutes the rows of q and k so), and
a complex number is such a pair. Scores are unchanged: q and k are permuted alike.
"""

from __future__ import annotations

import math

import torch

from engine_under_test.model_config import Llama3Rope, ModelConfig


def rotation_table(config: ModelConfig, num_positions: int, dtype: torch.dtype) -> torch.Tensor:
    """[num_positions, head_dim / 2] complex: e^(i * position * frequency).

    Angles are computed in float32, as every published checkpoint was trained, whatever the dtype.
    complex128 for float64 models, else complex64.
    """
    exponents = torch.arange(0, config.head_dim, 2, dtype=torch.int64).float() / config.head_dim
    frequencies = 1.0 / (config.rope_theta**exponents)
    if isinstance(config.rope_scaling, Llama3Rope):
        frequencies = _scale_llama3(frequencies, config.rope_scaling)
    elif config.rope_scaling is not None:
        frequencies = frequencies / torch.tensor(config.rope_scaling.factors)
    angles = torch.arange(num_positions, dtype=torch.float32)[:, None] * frequencies
    real = torch.float64 if dtype == torch.float64 else torch.float32
    return torch.complex(angles.cos().to(real), angles.sin().to(real))


def rotate_(x: torch.Tensor, rotations: torch.Tensor) -> None:
    """Rotate x [T, heads, head_dim], pairs adjacent, by rotations [T, 1, head_dim / 2]."""
    pairs = x.view(*x.shape[:-1], -1, 2)
    if x.dtype == torch.bfloat16:  # there is no complex bfloat16
        rotated = torch.view_as_complex(pairs.float()) * rotations
        pairs.copy_(torch.view_as_real(rotated))
    else:
        torch.view_as_complex(pairs).mul_(rotations)


def as_pairs(rows: torch.Tensor, head_dim: int) -> torch.Tensor:
    """A view of rows [heads * D, ...] in the checkpoint's order: first halves, second halves.

    Ours has element i of both halves side by side, so that rope is a complex product.
    """
    return rows.view(-1, head_dim // 2, 2, *rows.shape[1:]).transpose(1, 2)


def _scale_llama3(frequencies: torch.Tensor, s: Llama3Rope) -> torch.Tensor:
    """Divide low frequencies by the factor, keep high ones, blend between (Llama 3.1)."""
    wavelengths = 2 * math.pi / frequencies
    smooth = (s.original_max_position / wavelengths - s.low_freq_factor) / (
        s.high_freq_factor - s.low_freq_factor
    )
    blended = (1 - smooth) * frequencies / s.factor + smooth * frequencies
    scaled = torch.where(
        wavelengths > s.original_max_position / s.low_freq_factor,
        frequencies / s.factor,
        frequencies,
    )
    is_between = (wavelengths <= s.original_max_position / s.low_freq_factor) & (
        wavelengths >= s.original_max_position / s.high_freq_factor
    )
    return torch.where(is_between, blended, scaled)
