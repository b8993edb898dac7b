"""Any encoder of `transformers`, with the calls of the packed one (`mtl.model.encoder.Encoder`).

The model runs on padded batches, as it is published; hooks take its hidden states out and put
others in. So it needs no code for an architecture, only a list of layers. It is slower than the
packed encoder; all else is equal.
Shapes: T tokens of S sequences, L tokens of the longest, H width.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mtl.config.sections import Pooling
from mtl.errors import EncoderError
from mtl.model.any_encoder import AnyEncoder, pool_tokens
from mtl.model.encoder_config import EncoderConfig
from mtl.model.packing import Packed, pack

_ONE_PASS = threading.RLock()
"""Hooks are the model's: one pass at a time, whatever the threads."""


class _Reached(Exception):
    """The hidden states that a pass was made for are known."""


class FallbackEncoder(AnyEncoder):
    """A model of `transformers` behind the packed encoder's calls.

    `padding` is the id of the padding token. Parameters on which the output does not depend are
    frozen. Raises EncoderError for a model without one list of its layers.
    """

    pooler: nn.Module | None = None

    def __init__(self, model: nn.Module, config: EncoderConfig, padding: int) -> None:
        super().__init__()
        self.model, self.config, self.padding = model, config, padding
        self.accepted = set(inspect.signature(model.forward).parameters)
        place, self.layer_count = _list_of_layers(model, config.layers), config.layers
        self.place = place
        self.probe = pack([torch.arange(1, 6).numpy() % config.vocabulary])
        self.shapes: list[int | None] = []
        self._probability: float = -1.0
        self._shared: dict[int, tuple[str, ...]] = {}
        self._learn_shapes()
        used = {id(value) for value in self._reached_from(None)}
        for parameter in model.parameters():
            if id(parameter) not in used:
                parameter.requires_grad_(False)

    @property
    def layers(self) -> nn.ModuleList:
        """The model's layers."""
        found = self.model.get_submodule(self.place)
        assert isinstance(found, nn.ModuleList)
        return found

    def embed(self, batch: Packed, probability: float = 0.0) -> Tensor:
        """Token ids -> the input of the first layer, (T, H)."""
        return self._pass(batch, probability, stop=0)

    def run(
        self,
        hidden: Tensor,
        batch: Packed,
        *,
        start: int = 0,
        stop: int | None = None,
        probability: float = 0.0,
    ) -> Tensor:
        """(T, H) through layers start..stop (stop excluded; None is the end) -> (T, H).

        At the end, what the model does after its layers is done too, such as a last norm.
        """
        if stop is not None and stop <= start:
            return hidden
        return self._pass(batch, probability, hidden=hidden, start=start, stop=stop)

    def vectors(
        self,
        hidden: Tensor,
        batch: Packed,
        *,
        start: int = 0,
        probability: float = 0.0,
        pooling: Pooling = "pooler",
    ) -> Tensor:
        """From the hidden states below layer `start`, (T, H), to one vector a sequence, (S, H)."""
        states = self.run(hidden, batch, start=start, probability=probability)
        assert pooling != "pooler"  # checked by `mtl.runs.prepare`
        if pooling == "cls":
            return states.index_select(0, batch.starts)
        return pool_tokens(states, batch, pooling)

    def lower_parameters(self, layers: int) -> list[nn.Parameter]:
        """The parameters on which the input of layer `layers` depends."""
        return self._reached_from(layers)

    def _reached_from(self, layers: int | None) -> list[nn.Parameter]:
        """The parameters with a gradient from the input of a layer, or from the output (None)."""
        device = next(self.model.parameters()).device
        parameters = list(self.model.parameters())
        wanted = [value.requires_grad for value in parameters]
        with torch.enable_grad():
            for value in parameters:
                value.requires_grad_(True)
            states = self._pass(self.probe.to(device), 0.0, stop=layers, frozen=())
            found = torch.autograd.grad(states.sum(), parameters, allow_unused=True)
        for value, flag in zip(parameters, wanted, strict=True):
            value.requires_grad_(flag)
        return [value for value, gradient in zip(parameters, found, strict=True)
                if gradient is not None]  # fmt: skip

    def _pass(
        self,
        batch: Packed,
        probability: float,
        *,
        hidden: Tensor | None = None,
        start: int = 0,
        stop: int | None = None,
        frozen: tuple[str, ...] | None = None,
    ) -> Tensor:
        """One pass of the model, (T, H): with `hidden` as the input of layer `start`, until the
        input of layer `stop`.

        Above a frozen part the parameters of this part get no gradient from the upper layers.
        """
        inputs = self._inputs(batch)
        padded = None if hidden is None else batch.pad(hidden)
        if frozen is None:
            frozen = self._shared_with_lower(start)
        replaced = {name: self.model.get_parameter(name).detach() for name in frozen}
        with (
            _ONE_PASS,
            self._set_dropout(probability),
            self._hooks(padded, start, stop) as found,
        ):
            try:
                output = functional_call(self.model, replaced, (), inputs)
                states = output.last_hidden_state
            except _Reached:
                states = found[0]
        flat: Tensor = states.reshape(-1, states.shape[-1]).index_select(0, batch.slots)
        return flat

    def _shared_with_lower(self, start: int) -> tuple[str, ...]:
        """The names of parameters below layer `start` that lie in no layer: others use them too."""
        if start == 0:
            return ()
        if start not in self._shared:
            lower = {id(value) for value in self._reached_from(start)}
            own = {id(value) for value in self.layers.parameters()}
            self._shared[start] = tuple(
                name
                for name, value in self.model.named_parameters()
                if id(value) in lower and id(value) not in own
            )
        return self._shared[start]

    def _inputs(self, batch: Packed) -> dict[str, Tensor]:
        """The padded batch as the model takes it."""
        size = batch.sequences * batch.longest
        shape = batch.sequences, batch.longest

        def padded(values: Tensor, filler: int) -> Tensor:
            flat = values.new_full((size,), filler)
            return flat.index_copy_(0, batch.slots, values).view(shape)

        inputs = {
            "input_ids": padded(batch.ids, self.padding),
            "attention_mask": padded(torch.ones_like(batch.ids), 0),
        }
        if "token_type_ids" in self.accepted and self.config.types:
            inputs["token_type_ids"] = padded(batch.types, 0)
        return inputs

    @contextmanager
    def _set_dropout(self, probability: float) -> Iterator[None]:
        """All dropout of the model with this probability; none is evaluation."""
        self.model.train(probability > 0)
        if probability != self._probability:
            for module in self.model.modules():
                if isinstance(module, nn.Dropout):
                    module.p = probability
                for name, value in vars(module).items():
                    if "dropout" in name and isinstance(value, float):
                        setattr(module, name, probability)
            self._probability = probability
        yield

    @contextmanager
    def _hooks(self, padded: Tensor | None, start: int, stop: int | None) -> Iterator[list[Tensor]]:
        """Skip the layers below `start`, put `padded` in there, and end before layer `stop`."""
        found: list[Tensor] = []
        layers, handles, skipped = self.layers, [], {}

        def enter(module: nn.Module, args: Any, kwargs: Any) -> tuple[Any, Any]:
            return _with_hidden(args, kwargs, padded)

        def leave(module: nn.Module, args: Any, kwargs: Any) -> None:
            found.append(_hidden_of(args, kwargs))
            raise _Reached

        def end(module: nn.Module, args: Any, output: Any) -> None:
            found.append(output[0] if isinstance(output, tuple) else output)
            raise _Reached

        try:
            if padded is not None:
                for number in range(start):
                    skipped[number] = layers[number]
                    layers[number] = _Skip(self.shapes[number])
                if start < len(layers):
                    handles.append(layers[start].register_forward_pre_hook(enter, with_kwargs=True))
            if stop is not None and stop < len(layers):
                handles.append(layers[stop].register_forward_pre_hook(leave, with_kwargs=True))
            elif stop is not None:
                handles.append(layers[-1].register_forward_hook(end))
            yield found
        finally:
            for handle in handles:
                handle.remove()
            for number, layer in skipped.items():
                layers[number] = layer

    def _learn_shapes(self) -> None:
        """How each layer returns its hidden states: alone, or as the first of so many values."""
        handles = []

        def note(module: nn.Module, args: Any, output: Any) -> None:
            self.shapes.append(len(output) if isinstance(output, tuple) else None)

        for layer in self.layers:
            handles.append(layer.register_forward_hook(note))
        try:
            with torch.no_grad():
                self._pass(self.probe, 0.0, frozen=())
        except (TypeError, AttributeError, ValueError, RuntimeError, IndexError) as error:
            raise EncoderError(
                f"{type(self.model).__name__} cannot be computed as an encoder of text: {error}"
            ) from None
        finally:
            for handle in handles:
                handle.remove()
        if len(self.shapes) != self.layer_count:
            raise EncoderError(
                f"{type(self.model).__name__} does not run its {self.layer_count} layers once each."
            )


class _Skip(nn.Module):
    """Stands for a layer whose output is known: hands its input on, in the layer's form."""

    def __init__(self, values: int | None) -> None:
        super().__init__()
        self.values = values

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        hidden = _hidden_of(args, kwargs)
        return hidden if self.values is None else (hidden, *[None] * (self.values - 1))

    def __getattr__(self, name: str) -> Any:
        # Models ask a layer for its kind of attention.
        if name.endswith("_type"):
            return "full_attention"
        return super().__getattr__(name)


def _hidden_of(args: Any, kwargs: Any) -> Tensor:
    hidden = args[0] if args else kwargs["hidden_states"]
    assert isinstance(hidden, Tensor)
    return hidden


def _with_hidden(args: Any, kwargs: Any, hidden: Tensor | None) -> tuple[Any, Any]:
    if args:
        return (hidden, *args[1:]), kwargs
    return args, kwargs | {"hidden_states": hidden}


def _list_of_layers(model: nn.Module, count: int) -> str:
    """The name of the model's list of layers. Raises EncoderError without exactly one."""
    found = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList)
        and len(module) == count
        and len({type(layer) for layer in module}) == 1
    ]
    if not found:
        raise EncoderError(
            f"{type(model).__name__} has no list of its {count} layers (num_hidden_layers), so "
            "layers cannot be frozen. Use another encoder."
        )
    return str(min(found, key=lambda name: name.count(".")))
