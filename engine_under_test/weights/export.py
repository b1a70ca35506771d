"""python -m engine_under_test.weights.export --checkpoint FILE --tokenizer FILE --out DIR

Writes what Hugging Face loaders and the engine read: model.safetensors in bf16, config.json,
tokenizer.json, tokenizer_config.json with the chat template, generation_config.json, and
SHA256SUMS over all of them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from .chat_template import CHAT_TEMPLATE
from .corpus import marker_id
from .model import Shape, TinyLlama

SUMS = "SHA256SUMS"
BOS, EOS, PAD = "<|im_start|>", "<|im_end|>", "<|endoftext|>"


def export(model: TinyLlama, tokenizer: Tokenizer, out: Path) -> None:
    """Write the directory. The tied head is not stored: it is the embedding."""
    out.mkdir(parents=True, exist_ok=True)
    bos, eos, pad = (marker_id(tokenizer, t) for t in (BOS, EOS, PAD))
    tensors = {n: p.detach().to(torch.bfloat16).contiguous() for n, p in model.named_parameters()}
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    (out / "model.safetensors").chmod(0o644)  # save_file writes for its owner alone
    tokenizer.save(str(out / "tokenizer.json"))
    _write(out / "config.json", model.shape.hf_config(bos, eos, pad))
    generation = {"bos_token_id": bos, "eos_token_id": eos, "pad_token_id": pad, "do_sample": False}
    _write(out / "generation_config.json", generation)
    _write(out / "tokenizer_config.json", _tokenizer_config(model.shape))
    write_sums(out)


def load(directory: Path) -> tuple[TinyLlama, Tokenizer]:
    """The inverse of export, in fp32. Raises ValueError where a file is damaged."""
    check_sums(directory)
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    model = TinyLlama(Shape.from_hf_config(config))
    model.load_state_dict(load_file(directory / "model.safetensors"))
    return model.eval(), Tokenizer.from_file(str(directory / "tokenizer.json"))


def load_checkpoint(path: Path) -> TinyLlama:
    """A model as train.py saves it."""
    with torch.serialization.safe_globals([Shape]):
        saved = torch.load(path, weights_only=True)
    model = TinyLlama(saved["shape"])
    model.load_state_dict(saved["state"])
    return model.eval()


def write_sums(directory: Path) -> None:
    """SHA256SUMS in the format of `sha256sum`, model files only."""
    names = sorted(p.name for p in directory.iterdir() if p.suffix in {".json", ".safetensors"})
    lines = [f"{_digest(directory / name)}  {name}" for name in names]
    (directory / SUMS).write_text("\n".join(lines) + "\n", encoding="utf-8")


def check_sums(directory: Path) -> None:
    """Raises ValueError naming the first file that differs from its checksum."""
    for line in (directory / SUMS).read_text(encoding="utf-8").splitlines():
        digest, _, name = line.partition("  ")
        if _digest(directory / name) != digest:
            raise ValueError(f"{directory / name} is damaged: its SHA-256 is not that of {SUMS}")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _tokenizer_config(shape: Shape) -> dict[str, object]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": EOS,
        "pad_token": PAD,
        "add_bos_token": False,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": shape.max_position,
        "chat_template": CHAT_TEMPLATE,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True, help="a tokenizer.json")
    args = parser.parse_args()
    tokenizer = Tokenizer.from_file(str(args.tokenizer))
    export(load_checkpoint(args.checkpoint), tokenizer, args.out)


if __name__ == "__main__":
    main()
