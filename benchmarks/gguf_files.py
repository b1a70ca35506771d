"""python -m benchmarks.gguf_files SOURCE.gguf --dtype f32 --out FILE

Writes a quantised GGUF file's dequantised values as plain numbers. Engines are compared on such a
file: on the quantised one llama.cpp quantises activations too, and no other engine does. Vectors
(norms, biases) stay float32, as llama.cpp keeps them.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def rewrite(source: Path, out: Path, dtype: str) -> Path:
    """dtype: f32 or bf16. Returns out; half a gigabyte for 135 M parameters in f32."""
    import gguf

    reader = gguf.GGUFReader(str(source))
    kind = gguf.GGMLQuantizationType.BF16 if dtype == "bf16" else gguf.GGMLQuantizationType.F32
    writer = gguf.GGUFWriter(out, _value(reader, "general.architecture"))
    for name, field in reader.fields.items():
        if not name.startswith("GGUF.") and name not in ("general.architecture", FILE_TYPE):
            sub_type = field.types[-1] if len(field.types) > 1 else None
            writer.add_key_value(name, field.contents(), field.types[0], sub_type)
    file_type = gguf.LlamaFileType.MOSTLY_BF16 if dtype == "bf16" else gguf.LlamaFileType.ALL_F32
    writer.add_file_type(file_type)
    for tensor in reader.tensors:
        values = gguf.dequantize(tensor.data, tensor.tensor_type).astype("float32")
        if dtype == "bf16" and values.ndim > 1:
            writer.add_tensor(tensor.name, gguf.quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(tensor.name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return out


def transformers_model(path: Path, dtype: Any) -> Any:
    """transformers' model with the file's weights (its own GGUF loader wants accelerate)."""
    import transformers
    from transformers.initialization import no_init_weights

    from engine_under_test.models.gguf_file import GgufFile

    file = GgufFile(path)
    fields = file.config()
    (name,) = fields.pop("architectures")
    model_class = getattr(transformers, name)
    theta = fields.pop("rope_theta")
    config = model_class.config_class(
        **fields, rope_parameters={"rope_type": "default", "rope_theta": theta}
    )
    with no_init_weights():
        model = model_class(config)
    state = {name: tensor for name, _, tensor in file.tensors()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    model.tie_weights()
    assert not unexpected, unexpected
    assert set(missing) <= ({"lm_head.weight"} if fields["tie_word_embeddings"] else set()), missing
    return model.to(dtype).eval()


FILE_TYPE = "general.file_type"


def _value(reader: Any, key: str) -> Any:
    return reader.fields[key].contents()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    print(rewrite(args.source, args.out, args.dtype))


if __name__ == "__main__":
    main()
