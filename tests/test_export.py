"""An exported run loads in `transformers` and `sentence-transformers`, with the same vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mtl.config.settings import config_from
from mtl.errors import ConfigError
from mtl.inference.export import export
from mtl.inference.trained import Trained, load_trained
from mtl.model.packing import pack
from mtl.runs.folder import RunFolder
from mtl.training.loop import train

SENTENCES = ["the cat was very good", "a bad book", "worst film in the story with a dog on it"]


def trained(tmp_path: Path, data: Path, **changes: Any) -> Trained:
    words = [
        "encoder=random-tiny",
        f"data={data}",
        "train.epochs=1",
        "max_length=8",
        "freeze.unfrozen=1",
        "train.lr=1e-2",
    ]
    config = config_from([*words, *(f"{key}={value}" for key, value in changes.items())])
    record = train(config, runs=tmp_path / "runs", wandb="disabled")
    return load_trained(RunFolder(tmp_path / "runs" / record.run_id), "cpu")


def own_vectors(run: Trained) -> np.ndarray:
    pairer, model = run.evaluator.pairer, run.evaluator.model
    pieces = [
        np.array(run.tokenizer.encode(text, add_special_tokens=False).ids, dtype=np.int32)
        for text in SENTENCES
    ]
    with torch.no_grad():
        found: np.ndarray = model.encoder(
            pack(*pairer.singles(pieces)), pooling=model.pooling
        ).numpy()
    return found


@pytest.mark.parametrize("pooling", ["pooler", "cls", "mean", "max"])
def test_sentence_transformers_gives_the_runs_vectors(
    tmp_path: Path, tiny_data: Path, pooling: str
) -> None:
    from sentence_transformers import SentenceTransformer

    run = trained(tmp_path, tiny_data, pooling=pooling)
    export(run, tmp_path / "model")
    loaded = SentenceTransformer(str(tmp_path / "model"), device="cpu")
    assert np.abs(loaded.encode(SENTENCES) - own_vectors(run)).max() <= 1e-5


def test_transformers_gives_the_runs_vectors_and_tokens(tmp_path: Path, tiny_data: Path) -> None:
    from transformers import AutoModel, AutoTokenizer

    run = trained(tmp_path, tiny_data)
    export(run, tmp_path / "model")
    tokenizer, model = (
        AutoTokenizer.from_pretrained(tmp_path / "model"),
        AutoModel.from_pretrained(tmp_path / "model"),
    )
    batch = tokenizer(SENTENCES, padding=True, truncation=True, return_tensors="pt")
    assert batch["input_ids"].shape[1] == 8  # cut where the run cuts
    with torch.no_grad():
        found = model.eval()(**batch).pooler_output.numpy()
    assert np.abs(found - own_vectors(run)).max() <= 1e-5
    before = run.pretrained.load().state_dict()["layers.1.qkv.weight"]
    assert not torch.equal(before, run.evaluator.model.encoder.state_dict()["layers.1.qkv.weight"])


def test_nothing_is_overwritten(tmp_path: Path, tiny_data: Path) -> None:
    run = trained(tmp_path, tiny_data)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.txt").touch()
    with pytest.raises(ConfigError, match="not an empty folder"):
        export(run, tmp_path / "model")
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["mine.txt"]


def test_a_full_disk_leaves_no_half_written_folder(
    tmp_path: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mtl.inference import export as module

    run = trained(tmp_path, tiny_data)
    real = module.write_json

    def full(path: Path, value: Any) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(module, "write_json", full)
    with pytest.raises(OSError, match="No space left"):
        export(run, tmp_path / "model")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs"]
    monkeypatch.setattr(module, "write_json", real)
    (tmp_path / "model").mkdir()
    export(run, tmp_path / "model")
    assert (tmp_path / "model" / "modules.json").is_file()
