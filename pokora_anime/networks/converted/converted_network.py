"""A UNet or ControlNet that OpenVINO computes: called like torch's, which stands in where it fails."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from pokora_anime.devices.machine import cpu_has_bf16
from pokora_anime.networks.converted import conversion, kept_conversions
from pokora_anime.networks.converted.conversion import Call
from pokora_anime.provenance.hashing import Json
from pokora_anime.sandbox import network_arguments
from pokora_anime.system.bounded_worker import undisturbed
from pokora_anime.system.typed_tensors import from_array


@dataclass(slots=True, kw_only=True)
class Converting:
    """How a run's networks are computed: `group` is the folder where those of its composition are kept.

    `note` shows a line, `announce` is entered around what takes long; `graphics`: an Intel GPU may compute.
    """

    group: Path
    dtype: torch.dtype
    threads: int
    note: Callable[[str], None] = lambda _: None
    announce: Callable[[str], AbstractContextManager[None]] = lambda _: nullcontext()
    graphics: bool = False
    told: set[str] = field(default_factory=set[str])

    def say(self, line: str) -> None:
        """Show a line, once a run."""
        if line not in self.told:
            self.told.add(line)
            self.note(line)

    @property
    def precision(self) -> str:
        """The number format that OpenVINO computes in."""
        if self.dtype == torch.bfloat16 and not cpu_has_bf16():
            self.say("openvino: this processor has no bf16 arithmetic, fp32 is used")
            return "f32"
        return "bf16" if self.dtype == torch.bfloat16 else "f32"

    def compiled(self, model: Any) -> Any:
        """A model made ready for this machine."""
        core: Any = _core()
        if self.graphics and "GPU" in core.available_devices:
            return core.compile_model(model, "GPU", {"PERFORMANCE_HINT": "LATENCY"})
        settings = {
            "INFERENCE_PRECISION_HINT": self.precision,
            "INFERENCE_NUM_THREADS": self.threads,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
        }
        return core.compile_model(model, "CPU", settings)


class ConvertedNetwork:
    """A network of class `kind`, which `load` makes where torch's own is needed.

    `identity` tells its weights; `runtime` is that of the run that calls it. Each new shape of its arguments
    is converted once and kept; where that fails, torch computes and a line says so.
    """

    compiled_blocks = True  # a ControlNet computes all frames or none: other numbers are other shapes
    shares_text = True

    def __init__(
        self,
        kind: str,
        load: Callable[[], Any],
        identity: Mapping[str, Json],
        runtime: Callable[[], Converting],
    ) -> None:
        self.kind = kind
        self.reference: Any = None  # of reference attention, once it is attached
        self._load, self._identity, self._runtime = load, dict(identity), runtime
        self._network: Any = None
        self._ready: dict[str, Any] = {}  # requests by signature; None: torch computes it

    @property
    def network(self) -> Any:
        """torch's, loaded when it is first needed."""
        if self._network is None:
            self._network = self._load()
        return self._network

    @property
    def config(self) -> Any:
        """The network's shapes."""
        return self.network.config

    @property
    def attn_processors(self) -> Any:
        """Those of torch's network: what is attached to it is part of the graph."""
        return self.network.attn_processors

    def set_attn_processor(self, processors: Any) -> None:
        """Attach to torch's network."""
        self.network.set_attn_processor(processors)

    @property
    def controlnet_cond_embedding(self) -> Any:
        """A ControlNet's embedding of maps, computed by torch once a map."""
        return self.network.controlnet_cond_embedding

    @controlnet_cond_embedding.setter
    def controlnet_cond_embedding(self, module: Any) -> None:
        self.network.controlnet_cond_embedding = module

    def __call__(self, *positional: object, **named: object) -> Any:
        """As torch's network."""
        network_arguments.judge(self.kind, network_arguments.FORWARD[self.kind], positional, named)
        reference = self.reference
        mode = "off" if reference is None else cast(str, reference.mode.value)
        if mode == "write":  # one picture, a few times a segment: less than its graph takes to load
            return self.network(*positional, **named)
        call = Call.of(positional, named, mode, cast(Any, reference).seen() if mode == "read" else ())
        request = self._request(call)
        if request is None:
            return self.network(*positional, **named)
        return _shaped(self.kind, _inferred(request, call))

    def _request(self, call: Call) -> Any:
        signature = json.dumps(call.signature)
        if signature not in self._ready:
            self._ready[signature] = self._made_ready(call)
        return self._ready[signature]

    def _made_ready(self, call: Call) -> Any:
        made_from = self._made_from(call)
        found = kept_conversions.find(self._runtime().group, made_from)
        try:
            if found.graph is not None:
                return self._runtime().compiled(str(found.graph)).create_infer_request()
        except RuntimeError as error:
            found = kept_conversions.Found(problem=f"unreadable ({_first(error)})")
        if found.problem:
            self._runtime().say(f"openvino: a kept {self.kind} is {found.problem}; it is converted again")
        try:
            with undisturbed() as alone, self._runtime().announce(f"{self.kind} for OpenVINO, once"):
                if not alone:
                    raise TimeoutError("other work of this process does not end")
                return self._converted(call, made_from)
        except Exception as error:  # whatever a converter cannot do, torch can
            self._runtime().say(
                f"openvino: {self.kind} was not converted ({_first(error)}); torch computes it"
            )
            return None

    def _converted(self, call: Call, made_from: dict[str, Json]) -> Any:
        model = conversion.converted(self.network, call, self.reference)
        request = self._runtime().compiled(model).create_infer_request()
        parameters = sum(one.numel() for one in self.network.parameters())
        self._keep(model, made_from, parameters)
        if parameters >= conversion.HALVED and self.reference is None and self.kind.startswith("UNet2D"):
            self._network = None  # gigabytes that nothing else needs
        return request

    def _keep(self, model: Any, made_from: dict[str, Json], parameters: int) -> None:
        group = self._runtime().group
        folder: Path | None = None
        try:
            folder = Path(tempfile.mkdtemp())
            place = folder / group.name / kept_conversions.name_of(made_from)
            place.mkdir(parents=True)
            conversion.write(model, os.fspath(place / kept_conversions.GRAPH), parameters)
            kept_conversions.sealed(place, made_from)
            if kept_conversions.keep(place, group.parent):
                shutil.rmtree(folder, ignore_errors=True)
        except (OSError, ValueError) as error:
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
            self._runtime().say(f"openvino: {self.kind} is used, and cannot be kept: {_first(error)}")

    def _made_from(self, call: Call) -> dict[str, Json]:
        packages = ("openvino", "torch", "diffusers")
        attached = None if call.mode == "off" else cast(Json, self.reference.told())
        return {
            "network": self.kind,
            "weights": self._identity,
            "shapes": call.signature,
            "attached": attached,
            "versions": {name: version(name) for name in packages},
            "code": _code(),
        }


def _inferred(request: Any, call: Call) -> tuple[Tensor, ...]:
    arrays = [one.detach().contiguous().numpy() for one in call.tensors]
    request.infer(arrays, share_inputs=True)
    outputs = range(len(request.output_tensors))
    return tuple(from_array(request.get_output_tensor(index).data.copy()) for index in outputs)


def _shaped(kind: str, found: tuple[Tensor, ...]) -> Any:
    """Outputs as the network of that class returns them with return_dict=False."""
    return (list(found[:-1]), found[-1]) if kind.startswith("ControlNet") else found


def _first(error: Exception) -> str:
    """What an error says, in a line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if not line.startswith("Exception from")), type(error).__name__)[:160]


@cache
def _core() -> Any:
    import openvino

    return openvino.Core()


@cache
def _code() -> str:
    from pokora_anime.networks import repeat_text_per_frame
    from pokora_anime.provenance.code_hash import code_hash

    return code_hash(conversion, repeat_text_per_frame)[:32]
