"""This machine's GPUs by NVML, as rows beside the server's own metrics.

nvidia-ml-py (extra `gpu`) is imported when asked for, never before; without it, without a driver
or without a GPU there is no source. A quantity a card does not offer is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

from .exposition import Sample

MODULE = "pynvml"


class GpuReader:
    """Reads every GPU. nvml: the module pynvml, or anything with its functions."""

    url = "nvml"

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml
        nvml.nvmlInit()
        self._gpus = [
            (nvml.nvmlDeviceGetHandleByIndex(i), f'gpu="{i}"')
            for i in range(nvml.nvmlDeviceGetCount())
        ]

    @property
    def num_gpus(self) -> int:
        return len(self._gpus)

    def read(self) -> list[Sample]:
        """Ratios 0-1, bytes, watts, joules since the driver was loaded, MHz, degrees Celsius."""
        rows: list[Sample] = []
        for handle, labels in self._gpus:
            for name, kind, take in self._questions(handle):
                try:
                    rows.append(Sample(name, labels, float(take()), kind))
                except self._nvml.NVMLError:
                    continue  # this card does not tell
        return rows

    def close(self) -> None:
        self._nvml.nvmlShutdown()

    def _questions(self, handle: Any) -> list[tuple[str, str, Callable[[], float]]]:
        n = self._nvml
        return [
            ("gpu_utilization_ratio", "gauge",
             lambda: n.nvmlDeviceGetUtilizationRates(handle).gpu / 100),
            ("gpu_memory_used_bytes", "gauge", lambda: n.nvmlDeviceGetMemoryInfo(handle).used),
            ("gpu_memory_total_bytes", "gauge", lambda: n.nvmlDeviceGetMemoryInfo(handle).total),
            ("gpu_power_w", "gauge", lambda: n.nvmlDeviceGetPowerUsage(handle) / 1e3),
            ("gpu_energy_j_total", "counter",
             lambda: n.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3),
            ("gpu_sm_clock_mhz", "gauge",
             lambda: n.nvmlDeviceGetClockInfo(handle, n.NVML_CLOCK_SM)),
            ("gpu_memory_clock_mhz", "gauge",
             lambda: n.nvmlDeviceGetClockInfo(handle, n.NVML_CLOCK_MEM)),
            ("gpu_temperature_c", "gauge",
             lambda: n.nvmlDeviceGetTemperature(handle, n.NVML_TEMPERATURE_GPU)),
        ]  # fmt: skip


def open_gpus(load: Callable[[str], ModuleType] = import_module) -> GpuReader | None:
    """The machine's GPUs; None where there are none, or nothing to ask them with."""
    try:
        nvml = load(MODULE)
    except ImportError:
        return None
    try:
        reader = GpuReader(nvml)
    except Exception:  # NVMLError of the module given: no driver, no permission, no library
        return None
    return reader if reader.num_gpus else None
