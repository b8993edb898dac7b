"""Low-rank adapters: a product's weight W becomes W + (alpha / r) B A, and W stays as loaded.

Queries, keys and values are slices of one product (`mtl.model.encoder`); each has an A and a B of
its own, as if it were a product of its own. Hidden states go through A and then through B, which
costs less than the sum of the weights and needs no gradient of W's size. A is drawn from the stream
`lora/<layer>/<slice>` of the run's seed, uniform within 1 / sqrt(I): Kaiming's with a = sqrt(5), as
in the authors' code. B is 0, so the first forward is the encoder's as loaded.
Source: Hu et al., ICLR 2022 (arXiv:2106.09685).
Shapes: T rows, I inputs, O outputs, r the rank, n slices of a product of which m have adapters.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from mtl.config.lora import Lora, Targets
from mtl.config.schema import RunConfig
from mtl.model.any_encoder import AnyEncoder
from mtl.model.encoder import Encoder
from mtl.model.linear import Linear
from mtl.rng import torch_stream

PRODUCTS: dict[str, tuple[str, ...]] = {
    "qkv": ("q", "k", "v"),
    "attention_out": ("o",),
    "inner": ("inner",),
    "outer": ("outer",),
}
"""The products of a layer, and the slices of their outputs that can have an adapter."""

TARGETS: dict[Targets, tuple[str, ...]] = {
    "qv": ("q", "v"),
    "qkvo": ("q", "k", "v", "o"),
    "all": ("q", "k", "v", "o", "inner", "outer"),
}
"""The slices that have adapters."""


class Adapted(Linear):
    """A linear layer, (T, I) -> (T, O), with adapters for some slices of its outputs.

    `weight` and `bias` are those of the layer that it replaces, under the same names. `a` and `b`
    have the factors of each slice: (r, I) and (O / n, r).
    """

    def __init__(
        self, base: Linear, slices: tuple[str, ...], settings: Lora, seed: int, layer: int
    ) -> None:
        super().__init__(base.in_features, base.out_features, device="meta")
        self.weight, self.bias = base.weight, base.bias
        self.slices, self.scale = slices, settings.alpha / settings.rank
        self.a, self.b = nn.ParameterDict(), nn.ParameterDict()
        bound = base.in_features**-0.5
        for name in slices:
            if name in TARGETS[settings.targets]:
                a = torch.empty(settings.rank, base.in_features)
                a.uniform_(-bound, bound, generator=torch_stream(seed, f"lora/{layer}/{name}"))
                self.a[name] = nn.Parameter(a)
                self.b[name] = nn.Parameter(
                    torch.zeros(base.out_features // len(slices), settings.rank)
                )

    def forward(self, input: Tensor) -> Tensor:
        a, b = self._factors()
        output = super().forward(input)
        return torch.addmm(output, torch.mm(input, a.t()), b.t(), alpha=self.scale)

    def matrix(self) -> Tensor:
        a, b = self._factors()
        return self.weight + self.scale * torch.mm(b, a)

    def changes(self) -> list[float]:
        """|scale B A| / |W| of each adapter, Frobenius norms, W the slice that it changes."""
        weights = dict(zip(self.slices, self.weight.chunk(len(self.slices)), strict=True))
        products = {name: torch.mm(self.b[name], self.a[name]) for name in self.a}
        return [
            self.scale * float(product.norm() / weights[name].norm())
            for name, product in products.items()
        ]

    def _factors(self) -> tuple[Tensor, Tensor]:
        """All A below one another, (m r, I), and all B, (O, m r), each in the rows of its slice."""
        none = self.weight.new_zeros(self.out_features // len(self.slices), 0)
        b: Tensor = torch.block_diag(*(self.b.get(name, none) for name in self.slices))  # type: ignore[no-untyped-call]
        return torch.cat([self.a[name] for name in self.slices if name in self.a]), b


def add_adapters(encoder: AnyEncoder, config: RunConfig, first: int) -> list[nn.Parameter]:
    """Give the layers from `first` on the config's adapters, in place.

    Returns the parameters that no longer train: all of the encoder's but the pooler's. Without
    `lora` there are none.
    """
    if config.lora is None:
        return []
    assert isinstance(encoder, Encoder)  # checked by `mtl.runs.prepare`
    replaced = [
        value for name, value in encoder.named_parameters() if not name.startswith("pooler.")
    ]
    for number, layer in list(enumerate(encoder.layers))[first:]:
        for product, slices in PRODUCTS.items():
            if set(slices) & set(TARGETS[config.lora.targets]):
                base = getattr(layer, product)
                adapted = Adapted(base, slices, config.lora, config.seed, number)
                setattr(layer, product, adapted)
    return replaced


def merged_state(encoder: nn.Module) -> dict[str, Tensor]:
    """An encoder's tensors with its adapters added to the weights, under the names as loaded."""
    state = {name: tensor.detach() for name, tensor in encoder.state_dict().items()}
    for path, module in _adapted(encoder).items():
        for name in module.a:
            del state[f"{path}.a.{name}"], state[f"{path}.b.{name}"]
        state[f"{path}.weight"] = module.matrix().detach()
    return state


def describe_adapters(encoder: nn.Module) -> dict[str, int | float | None] | None:
    """The adapters' size and effect, for a run's record; None without any.

    `trained` is how many numbers they have, `share` that over the encoder's numbers as loaded, and
    `change` the mean of |scale B A| / |W|: None where it is not finite.
    """
    modules = _adapted(encoder).values()
    if not modules:
        return None
    trained = sum(p.numel() for m in modules for p in (*m.a.values(), *m.b.values()))
    loaded = sum(parameter.numel() for parameter in encoder.parameters()) - trained
    with torch.no_grad():
        changes = [change for module in modules for change in module.changes()]
    change = sum(changes) / len(changes)
    finite = change if math.isfinite(change) else None
    return {"trained": trained, "share": trained / loaded, "change": finite}


def _adapted(encoder: nn.Module) -> dict[str, Adapted]:
    return {path: module for path, module in encoder.named_modules() if isinstance(module, Adapted)}
