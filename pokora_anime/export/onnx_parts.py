"""Parts as ONNX: written by torch's exporter, computed by onnxruntime and compared with torch."""

from __future__ import annotations

import contextlib
import io
import logging
import time
import warnings
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pokora_anime.export.part_files import Compared, Made
from pokora_anime.export.traced_parts import Traced
from pokora_anime.provenance.hashing import Json

OPSET = 18
SHARE = 1e-3  # of the largest number that torch computes: what fp32 on another runtime may differ by
INLINE = 1_500_000_000  # bytes of weights up to which they stand in the graph's own file
Array = npt.NDArray[np.generic]


def write(traced: Traced, folder: Path, texts: Mapping[str, str]) -> Made:
    """Write a part as NAME.onnx (NAME.onnx.data beside it where it is large), and compare it.

    Raises WeightsError WGT-EXPORT where onnxruntime computes something else than torch.
    """
    started = time.monotonic()
    file = f"{traced.name}.onnx"
    count = sum(one.numel() for one in traced.network.parameters())
    with quiet():
        program = torch.export.export(traced.module, traced.given, strict=False)
        made: Any = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(traced.inputs),
            output_names=list(traced.outputs),
            verbose=False,
        )
        made.model.metadata_props.update(texts)
        made.save(str(folder / file), external_data=4 * count > INLINE)
        del made, program
    computed = traced.computed()
    compared = compare(traced, folder / file, computed)
    compared.require(file)
    return Made(
        name=traced.name,
        file=file,
        inputs={name: tensor_told(one.numpy()) for name, one in traced.inputs.items()},
        outputs={name: tensor_told(one.numpy()) for name, one in zip(traced.outputs, computed, strict=True)},
        compared=compared,
        seconds=time.monotonic() - started,
        parameters=count,
    )


def compare(traced: Traced, file: Path, computed: Sequence[Tensor]) -> Compared:
    """How far onnxruntime's numbers lie from torch's (`computed`), as a share of the largest."""
    import onnxruntime  # pyright: ignore[reportMissingImports]

    options: Any = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session: Any = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    given = {name: tensor.numpy() for name, tensor in traced.inputs.items()}
    found: list[Array] = session.run(list(traced.outputs), given)
    largest = 0.0
    for mine, theirs in zip(found, computed, strict=True):
        expected = theirs.numpy()
        share = np.abs(mine - expected).max() / max(np.abs(expected).max(), 1e-12)
        largest = max(largest, float(share)) if share == share else float("nan")
    return Compared(what="numbers", largest=largest, allowed=SHARE)


def tensor_told(array: Array) -> Json:
    """A tensor's shape and number format."""
    return {"shape": [*array.shape], "dtype": str(array.dtype)}


@contextlib.contextmanager
def quiet() -> Generator[None]:
    """Without the bars and remarks of exporters: what goes wrong is raised."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            with contextlib.redirect_stderr(io.StringIO()):
                yield
    finally:
        logging.disable(before)
