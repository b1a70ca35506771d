"""A stand-in for a CUDA graph on a CPU: records what a function does to memory, and does it again.

What a replay repeats are operations on the very tensors of the recording, not the function: values
that the host contributed stay as they were, tensors it made stay where they were. Before each
replay everything that was made in the recording is overwritten with rubbish, as another graph of
the same pool may have done. So a step that would be wrong as a CUDA graph is wrong here: it gives
other tokens than the step run as it is, or is refused while it is recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from triton.runtime.interpreter import InterpretedFunction

HOST_READS = ("item", "tolist", "numpy", "cpu", "pin_memory", "__bool__", "__int__", "__float__")
RUBBISH = {True: float("nan"), False: 3}


class NotForAGraph(AssertionError):
    """The function did what a recording of the device cannot hold."""


class Tape(TorchDispatchMode):
    """One recording. static: tensors that exist before it and stay where they are."""

    def __init__(self, static: list[torch.Tensor]) -> None:
        super().__init__()
        self._entries: list[Callable[[], None]] = []
        self._places = {_place(t) for t in static}
        self._made: list[torch.Tensor] = []

    @contextmanager
    def recording(self) -> Iterator[None]:
        tape, run = self, InterpretedFunction.run

        def launch(kernel: Any, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> None:
            tape._check((args, kwargs), kernel.__name__)

            def again() -> None:
                run(kernel, *args, grid=grid, warmup=warmup, **kwargs)

            tape._entries.append(again)
            with torch._C._DisableTorchDispatch(), _patched(originals):
                again()

        originals = {name: getattr(torch.Tensor, name) for name in HOST_READS}
        refused = {name: _refusal(name) for name in HOST_READS}
        with mock.patch.object(InterpretedFunction, "run", launch), _patched(refused), self:
            yield

    def replay(self) -> None:
        for tensor in self._made:
            tensor.fill_(RUBBISH[tensor.is_floating_point()])
        for entry in self._entries:
            entry()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        self._check((args, kwargs), str(func))
        out = func(*args, **kwargs)
        fresh = [
            isinstance(leaf, torch.Tensor) and _place(leaf) not in self._places
            for leaf in tree_leaves(out)
        ]
        made = [leaf for leaf, is_fresh in zip(tree_leaves(out), fresh, strict=True) if is_fresh]
        self._places |= {_place(tensor) for tensor in made}
        self._made += made

        def again() -> None:
            results = tree_leaves(func(*args, **kwargs))
            new = [r for r, is_fresh in zip(results, fresh, strict=True) if is_fresh]
            for place, result in zip(made, new, strict=True):
                place.copy_(result)

        self._entries.append(again)
        return out

    def _check(self, inputs: object, what: str) -> None:
        for leaf in tree_leaves(inputs):
            if isinstance(leaf, torch.Tensor) and _place(leaf) not in self._places:
                raise NotForAGraph(f"{what} reads a tensor that is neither static nor made here")


class TapeCapture:
    """See graphs.Capture. num_replays counts runs of what was recorded."""

    def __init__(self, *owners: object) -> None:
        """owners: whatever holds the static tensors; looked through when a recording begins."""
        self.num_replays = 0
        self._owners = owners

    def __call__(self, work: Callable[[], None]) -> Callable[[], None]:
        work()  # as the real one does, beside the recording
        owner = getattr(work, "__self__", None)
        tape = Tape(tensors_of((*self._owners, owner)))
        with tape.recording():
            work()

        def replay() -> None:
            self.num_replays += 1
            tape.replay()

        return replay


def tensors_of(owner: object) -> list[torch.Tensor]:
    """All that the object, and ours among the objects it holds, hold."""
    found: list[torch.Tensor] = []
    seen: set[int] = set()
    waiting = [owner]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, torch.Tensor):
            found.append(one)
        elif isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, list | tuple):
            waiting += one
        elif type(one).__module__.startswith("engine_under_test"):
            names = [*getattr(one, "__dict__", ())]
            for kind in type(one).__mro__:
                slots = getattr(kind, "__slots__", ())
                names += [slots] if isinstance(slots, str) else slots
            waiting += [getattr(one, name) for name in names if hasattr(one, name)]
    return found


def _place(tensor: torch.Tensor) -> int:
    """Where it lies; of a tensor without elements, nowhere in particular."""
    return tensor.untyped_storage().data_ptr() if tensor.numel() else 0


@contextmanager
def _patched(methods: dict[str, Any]) -> Iterator[None]:
    before = {name: getattr(torch.Tensor, name) for name in methods}
    try:
        for name, method in methods.items():
            setattr(torch.Tensor, name, method)
        yield
    finally:
        for name, method in before.items():
            setattr(torch.Tensor, name, method)


def _refusal(name: str) -> Callable[..., Any]:
    def refused(self: torch.Tensor, *_: object, **__: object) -> Any:
        raise NotForAGraph(f"Tensor.{name} asks the device for a value")

    return refused
