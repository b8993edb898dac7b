"""The three shipped tasks, by name. No torch.

Source of the files and metrics: the CS224N default project.
"""

from __future__ import annotations

from mtl.tasks.task import HubSource, Task, TaskName

SST = Task(
    name="sst",
    title="SST-5 sentiment",
    stem="ids-sst",
    label_column="sentiment",
    sentence_columns=("sentence",),
    kind="classes",
    outputs=5,
    low=0,
    high=4,
    metric="accuracy",
    class_names=("negative", "somewhat negative", "neutral", "somewhat positive", "positive"),
    heads={"siamese": ("mlp", "linear"), "concat": ("mlp", "linear")},
    hub=HubSource(
        repository="SetFit/sst5",
        revision="e51bdcd8cd3a30da231967c1a249ba59361279a3",
        prefix="sst5",
        files={"train": "train.jsonl", "dev": "dev.jsonl", "test": "test.jsonl"},
        columns={"sentence": "text", "sentiment": "label"},
    ),
    citation=(
        "Socher et al. Recursive Deep Models for Semantic Compositionality over a Sentiment "
        "Treebank. EMNLP 2013."
    ),
)

QUORA = Task(
    name="quora",
    title="Quora paraphrase",
    stem="quora",
    label_column="is_duplicate",
    sentence_columns=("sentence1", "sentence2"),
    kind="binary",
    outputs=1,
    low=0,
    high=1,
    metric="accuracy",
    class_names=("different", "duplicate"),
    heads={"siamese": ("dot", "features"), "concat": ("linear", "mlp")},
    auto_heads={"siamese": "dot", "concat": "linear"},
    hub=HubSource(
        repository="nyu-mll/glue",
        revision="bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c",
        prefix="qqp",
        files={
            "train": "qqp/train-00000-of-00001.parquet",
            "validation": "qqp/validation-00000-of-00001.parquet",
        },
        columns={"sentence1": "question1", "sentence2": "question2", "is_duplicate": "label"},
        index="idx",
    ),
)

STS = Task(
    name="sts",
    title="STS similarity",
    stem="sts",
    label_column="similarity",
    sentence_columns=("sentence1", "sentence2"),
    kind="score",
    outputs=1,
    low=0,
    high=5,
    metric="pearson",
    heads={"siamese": ("dot", "cosine", "features"), "concat": ("linear", "mlp")},
    auto_heads={"siamese": "cosine", "concat": "linear"},
    hub=HubSource(
        repository="mteb/stsbenchmark-sts",
        revision="b0fddb56ed78048fa8b90373c8a3cfc37b684831",
        prefix="stsb",
        files={
            "train": "train.jsonl.gz",
            "validation": "validation.jsonl.gz",
            "test": "test.jsonl.gz",
        },
        columns={"sentence1": "sentence1", "sentence2": "sentence2", "similarity": "score"},
    ),
    citation="Agirre et al. *SEM 2013 shared task: Semantic Textual Similarity. *SEM 2013.",
)

TASKS: dict[TaskName, Task] = {task.name: task for task in (SST, QUORA, STS)}
