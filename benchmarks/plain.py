"""A plain multi-task loop, as most people write it: padded batches and `transformers.BertModel`.

Each side of a pair is padded to the longest sequence of its batch and encoded by a call of its own.
AdamW is torch's default. Heads, losses, clipping, dropout and batches are those of `mtl`. Gradient
surgery works on one flat gradient per task.

As a program it does a whole run: it reads, trains, and after each epoch scores dev and the slice of
train, batch by batch:

    python benchmarks/plain.py final data=FOLDER limit=400 train.epochs=1
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mtl import config_from
from mtl.data.schedules import SCHEDULES, Step
from mtl.data.tokens import TokenizedRows
from mtl.model.device import choose_device
from mtl.model.losses import task_loss
from mtl.runs.folder import RunFolder
from mtl.runs.prepare import Prepared, prepare
from mtl.tasks.metrics import Predictions, score_all
from mtl.tasks.registry import TASKS
from mtl.tasks.task import TaskName
from mtl.training.interrupt import Interruption
from mtl.training.progress import Progress
from mtl.training.run import Training

EVALUATION_ROWS = 64
"""Rows per batch when scoring."""


class PlainLoop:
    """Model, optimiser and step. `pushed` counts encoded tokens, padding included."""

    def __init__(self, prepared: Prepared, device: torch.device) -> None:
        from transformers import BertModel

        config = prepared.config
        self.prepared, self.device, self.settings = prepared, device, config.train
        self.surgery = config.surgery == "dominant"
        self.encoder = BertModel.from_pretrained(prepared.pretrained.folder).train().to(device)
        if config.freeze.unfrozen != "all":
            cut = len(self.encoder.encoder.layer) - config.freeze.unfrozen
            for part in (self.encoder.embeddings, *self.encoder.encoder.layer[:cut]):
                part.requires_grad_(False)
        twin = Training(
            prepared,
            RunFolder(Path("unused")),
            device,
            Interruption(),
            Progress(),
            1e9,
            cache_bytes=0,
        )
        self.heads = nn.ModuleDict({task: twin.model.head(task) for task in config.tasks})
        self.parameters = [
            p for p in (*self.encoder.parameters(), *self.heads.parameters()) if p.requires_grad
        ]
        self.shared = [p for p in self.encoder.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=config.train.lr)
        self.pushed = 0

    def encode(self, ids: list[np.ndarray], types: list[np.ndarray]) -> Tensor:
        longest = max(map(len, ids))
        padded, kinds, mask = (torch.zeros(len(ids), longest, dtype=torch.int64) for _ in range(3))
        for row, (sequence, kind) in enumerate(zip(ids, types, strict=True)):
            padded[row, : len(sequence)] = torch.from_numpy(sequence.astype(np.int64))
            kinds[row, : len(sequence)] = torch.from_numpy(kind.astype(np.int64))
            mask[row, : len(sequence)] = 1
        self.pushed += padded.numel()
        inputs = {"input_ids": padded, "token_type_ids": kinds, "attention_mask": mask}
        output: Tensor = self.encoder(
            **{k: v.to(self.device) for k, v in inputs.items()}
        ).pooler_output
        return output

    def outputs(
        self, task: TaskName, part: TokenizedRows, index: np.ndarray, dropout: float
    ) -> Tensor:
        pairer = self.prepared.pairer
        first = [part.table.sentence(i) for i in part.first[index]]
        second = None
        if part.second is None:
            y = self.encode(*pairer.singles(first))
        else:
            other = [part.table.sentence(i) for i in part.second[index]]
            if pairer.vectors == 2:
                y, second = self.encode(*pairer.singles(first)), self.encode(*pairer.singles(other))
            else:
                y = self.encode(*pairer.pairs(first, other))
        outputs: Tensor = self.heads[task](y, second, dropout)
        return outputs

    def step(self, rows: Step) -> None:
        self.optimizer.zero_grad()
        losses = []
        for task, index in rows.items():
            part = self.prepared.train[task]
            assert part.rows.labels is not None
            labels = torch.from_numpy(part.rows.labels[index].astype(np.float32)).to(self.device)
            losses.append(
                task_loss(
                    TASKS[task].kind, self.outputs(task, part, index, self.settings.dropout), labels
                )
            )
        if self.surgery and len(losses) > 1:
            self.operate(losses)
        else:
            torch.autograd.backward(losses)
        if self.settings.max_grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.parameters, self.settings.max_grad_norm)
        self.optimizer.step()

    def operate(self, losses: list[Tensor]) -> None:
        """The paper's surgery: project off what conflicts with the largest gradient."""
        flat = []
        for loss in losses:
            for parameter in self.shared:
                parameter.grad = None
            loss.backward()
            flat.append(
                torch.cat(
                    [
                        p.grad.flatten() if p.grad is not None else p.new_zeros(p.numel())
                        for p in self.shared
                    ]
                )
            )
        main = max(flat, key=lambda g: float(g.norm()))
        whole = main.clone()
        for gradient in flat:
            if gradient is not main:
                dot = gradient @ main
                whole += gradient - (dot / (main @ main)) * main if dot < 0 else gradient
        at = 0
        for parameter in self.shared:
            parameter.grad = whole[at : at + parameter.numel()].view_as(parameter)
            at += parameter.numel()

    @torch.no_grad()
    def predict(self, task: TaskName, part: TokenizedRows) -> Predictions:
        self.encoder.eval()
        batches = np.array_split(np.arange(len(part)), -(-len(part) // EVALUATION_ROWS))
        outputs = torch.cat([self.outputs(task, part, index, 0.0) for index in batches])
        self.encoder.train()
        rows = outputs.reshape(len(part), -1).cpu().numpy()
        return Predictions(
            task=task, split="dev", ids=part.rows.ids, gold=part.rows.labels, outputs=rows
        )

    def evaluate(self) -> dict[str, float | None]:
        """The scores of dev and of the slice of train, as `mtl train` computes them."""
        tasks, rule = self.prepared.config.tasks, self.prepared.config.overall
        metrics: dict[str, float | None] = {}
        for prefix, parts in (("dev", self.prepared.dev), ("train", self.prepared.train_slice)):
            predictions = {task: self.predict(task, parts[task]) for task in tasks}
            metrics |= score_all(predictions, tasks, rule, prefix).metrics
        return metrics


def main() -> None:
    """One whole run; prints its dev scores and seconds as JSON."""
    started = time.perf_counter()
    config = config_from(sys.argv[1:])
    prepared = prepare(config, on_bad_row="skip")
    loop = PlainLoop(prepared, choose_device(None))
    config = prepared.config
    sizes = {task: len(prepared.train[task]) for task in config.tasks}
    metrics: dict[str, float | None] = {}
    for epoch in range(config.train.epochs):
        steps = SCHEDULES[config.schedule](
            sizes, config.train.batch_size, config.seed, epoch, config.train.epochs
        )
        for step in steps:
            loop.step(step)
        metrics = loop.evaluate()
    dev = {key: value for key, value in metrics.items() if key == "dev/overall"}
    print(json.dumps({"seconds": time.perf_counter() - started, "tokens": loop.pushed} | dev))


if __name__ == "__main__":
    main()
