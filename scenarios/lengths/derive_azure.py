"""python scenarios/lengths/derive_azure.py FOLDER_OF_AZURE_TRACES

Makes the quantile tables beside this file from AzureLLMInferenceTrace_{conv,code}.csv of
https://github.com/Azure/AzurePublicDataset (CC-BY-4.0; Splitwise, ISCA 2024). Input and output are
sorted apart: a table keeps both marginals, not how they go together, and no row of the trace.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np

# Dense where tails decide: every half percent, then down to the last thousandth at both ends.
EDGES = (0.001, 0.0025, 0.9925, 0.9975, 0.999)
QUANTILES = np.unique(np.round(np.concatenate((np.linspace(0, 1, 201), EDGES)), 6))
HEADER = """\
# Quantiles of prompt and answer length in tokens, Azure LLM inference trace 2023, {name}.
# Derived from {rows:,} rows of AzureLLMInferenceTrace_{name}.csv by derive_azure.py; changes: only
# quantiles (type 7, rounded) are kept. (c) Microsoft, CC-BY-4.0,
# https://github.com/Azure/AzurePublicDataset. Cite: Patel et al., Splitwise, ISCA 2024.
"""


def main(folder: Path) -> None:
    """Write azure-conv-2023.csv and azure-code-2023.csv."""
    for name in ("conv", "code"):
        with (folder / f"AzureLLMInferenceTrace_{name}.csv").open(newline="") as file:
            rows = [
                (int(r["ContextTokens"]), int(r["GeneratedTokens"])) for r in csv.DictReader(file)
            ]
        lengths = np.array(rows)
        table = np.rint(np.quantile(lengths, QUANTILES, axis=0)).astype(int)
        lines = [f"{q:g},{i},{o}" for q, (i, o) in zip(QUANTILES, table, strict=True)]
        text = HEADER.format(name=name, rows=len(rows)) + "\n".join(["q,input,output", *lines])
        (Path(__file__).parent / f"azure-{name}-2023.csv").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
