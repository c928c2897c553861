"""The storages of a pass: when each is allocated and freed."""

import weakref
from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor


@dataclass
class Storage:
    """Memory that tensors share: its bytes (0 if it existed before the pass), and the number of
    operators that had run when it was allocated and when it was freed (None if not yet freed)."""

    size: int
    made: int
    freed: int | None = None


class Storages:
    """The storages that operators have allocated. made: in order of allocation. operators: the
    number of operators that have run."""

    def __init__(self, held: Iterable[Tensor]) -> None:
        """held: tensors that exist before the pass."""
        self.made: list[Storage] = []
        self.operators = 0
        self._numbers: dict[int, int] = {}
        self._held = {tensor.untyped_storage()._cdata for tensor in held}

    def number_of(self, tensor: Tensor) -> int | None:
        """The number of a tensor's storage; None if no operator of the pass allocated it."""
        return self._numbers.get(tensor.untyped_storage()._cdata)

    def note(self, inputs: Iterable[Tensor], outputs: Iterable[Tensor]) -> None:
        """Count another operator and add the storages of its outputs. An input's storage that no
        operator has allocated existed before the pass."""
        self.operators += 1
        for tensor in inputs:
            storage = tensor.untyped_storage()
            key = storage._cdata
            if key not in self._numbers and key not in self._held:
                self._held.add(key)
                weakref.finalize(
                    storage, self._held.discard, key
                )  # another storage may reuse its address
        for output in outputs:
            storage = output.untyped_storage()
            key = storage._cdata
            if key not in self._numbers:
                self._numbers[key] = len(self.made)
                size = 0 if key in self._held else storage.nbytes()
                self.made.append(Storage(size=size, made=self.operators))
                weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self.made[self._numbers.pop(key)].freed = self.operators
