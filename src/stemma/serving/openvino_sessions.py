"""Graphs in OpenVINO, called as ONNX Runtime's sessions are."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Literal

import numpy as np
import torch

from stemma.errors import UsageError
from stemma.export.onnx_int8 import imported_quietly

Precision = Literal["f32", "bf16"]


@dataclass(frozen=True)
class Value:
    """What goes into a graph or comes out of it."""

    name: str
    shape: list[int | str]  # a word where the size may differ from call to call


class _Own(threading.local):
    """What each thread has of its own: it is made when a thread first asks."""

    def __init__(self, model: Any) -> None:
        self.request = model.create_infer_request()


class OpenVinoSession:
    """One graph, for any number of threads: what a call needs, each has for itself."""

    def __init__(self, data: bytes, precision: Precision) -> None:
        core = imported_quietly("openvino").Core()
        if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            wrong = "this processor does not multiply in bfloat16"
            raise UsageError(wrong, "one with AVX512-BF16 or AMX", "use the engine openvino")
        hints = {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "PERFORMANCE_HINT": "LATENCY",
        }
        self._model = core.compile_model(core.read_model(BytesIO(data)), "CPU", hints)
        self._own = _Own(self._model)
        self._inputs, self._outputs = (list(map(_value, values)) for values in (self._model.inputs, self._model.outputs))

    def get_inputs(self) -> list[Value]:
        """What goes in."""
        return self._inputs

    def get_outputs(self) -> list[Value]:
        """What comes out."""
        return self._outputs

    def run(self, names: Sequence[str], fed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """These outputs of one call, as arrays of their own."""
        found = self._own.request.infer({value.name: np.ascontiguousarray(fed[value.name]) for value in self._inputs})
        return [found[name] for name in names]


def _value(port: Any) -> Value:
    sizes = [axis.get_length() if axis.is_static else "any" for axis in port.get_partial_shape()]
    return Value(port.get_any_name(), sizes)
