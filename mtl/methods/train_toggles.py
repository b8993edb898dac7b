"""The entries of the settings `train.*` in the table of toggles."""

from __future__ import annotations

from mtl.methods.encoder_sources import AVERAGE, LAYER_DECAY
from mtl.methods.toggle import Toggle

SCALE = "they are the scale of the experiment, and the report says beside the score what they are"
NUMBERS = "they change how numbers are stored, not the method"

TRAIN_TOGGLES: tuple[Toggle, ...] = (
    Toggle(key="train.epochs", title="epochs", may_differ=SCALE),
    Toggle(key="train.max_steps", title="most steps", may_differ=SCALE),
    Toggle(key="train.max_examples", title="most training examples", may_differ=SCALE),
    Toggle(
        key="train.batch_size", title="batch size", may_differ=SCALE,
        cost="larger batches use the processor better",
    ),
    Toggle(
        key="train.accumulate", title="micro-batches per step",
        may_differ="the batch and its gradient stay the same",
        cost="smaller parts use the processor less well",
    ),
    Toggle(key="train.lr", title="learning rate", may_differ=SCALE),
    Toggle(key="train.head_lr", title="learning rate of the heads", may_differ=SCALE),
    Toggle(
        key="train.layer_decay", title="decay of the learning rate by layer",
        sources=(LAYER_DECAY,),
    ),
    Toggle(
        key="train.ema", title="average of the weights",
        cost="a pass over all trained weights each step",
        sources=(AVERAGE,),
    ),
    Toggle(key="train.task_weights_lr", title="learning rate of the tasks' weights"),
    Toggle(key="train.weight_decay", title="weight decay", may_differ=SCALE),
    Toggle(key="train.warmup", title="warm-up", may_differ=SCALE),
    Toggle(key="train.decay", title="decay of the learning rate", may_differ=SCALE),
    Toggle(key="train.dropout", title="dropout", may_differ=SCALE),
    Toggle(key="train.max_grad_norm", title="clipping of the gradient", may_differ=SCALE),
    Toggle(
        key="train.precision", title="precision of matrix products", may_differ=NUMBERS,
        cost="bf16 is faster where the processor has it",
    ),
    Toggle(key="train.select", title="weights that are kept", may_differ=SCALE),
)  # fmt: skip
