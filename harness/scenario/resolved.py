"""A document written out in full: defaults filled in, units written, and it loads back equal.

Optional blocks that are not there stay out. Secrets cannot be in it: the document only ever holds
their names.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from harness.scenario import document as doc
from harness.scenario._tree import Where


def as_written(document: doc.Scenario) -> dict[str, Any]:
    """The document as plain YAML values: lists, mappings, text with units."""
    dumped = document.model_dump(by_alias=True, exclude_none=True)
    plain: dict[str, Any] = _plain(dumped)
    return plain


def write_yaml(data: Mapping[str, Any], comment: Callable[[Where], str] | None = None) -> str:
    """YAML text; `comment` gives the words to write behind a value, empty for none."""
    yaml = YAML()
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    stream = io.StringIO()
    yaml.dump(_commented(data, (), comment), stream)
    return stream.getvalue()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return int(value)  # 250.0 tokens are written 250
    return value


def _commented(value: Any, where: Where, comment: Callable[[Where], str] | None) -> Any:
    if isinstance(value, Mapping):
        block = CommentedMap()
        for key, item in value.items():
            block[key] = _commented(item, (*where, key), comment)
            words = comment((*where, key)) if comment and not _is_nested(item) else ""
            if words:
                block.yaml_add_eol_comment(words, key)
        return block
    if isinstance(value, list):
        rows = CommentedSeq(_commented(v, (*where, i), comment) for i, v in enumerate(value))
        if not any(_is_nested(item) for item in value):
            rows.fa.set_flow_style()
        return rows
    return value


def _is_nested(value: Any) -> bool:
    return isinstance(value, Mapping | list) and bool(value)
