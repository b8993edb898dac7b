"""Runs with LoRA: what trains, what is kept and exported, how it resumes, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mtl.config.settings import config_from
from mtl.data.load import load_rows
from mtl.errors import ConfigError
from mtl.inference.export import export
from mtl.inference.trained import load_trained
from mtl.methods.toggles import typed_config
from mtl.model.lora import merged_state
from mtl.model.packing import pack
from mtl.runs.folder import RunFolder
from mtl.runs.prepare import prepare
from mtl.runs.verify import verify
from mtl.training.loop import train
from tests.design_tools import cell, plan
from tests.report_tools import GRID, built, fill, section, tables
from tests.training_tools import comparable, config, content, losses, started, trained_with_stops

# --- what trains


def test_only_adapters_pooler_and_heads_move(tiny: dict[str, Any], tmp_path: Path) -> None:
    chosen = config(tiny, lora={"targets": "all"}, train__weight_decay=0.1, train__lr=1e-2)
    record = train(chosen, runs=tmp_path)
    assert record.status == "done" and record.frozen_unchanged
    model = started(chosen, tmp_path / "again").model
    trained = {name.removeprefix("encoder.") for name in model.trainable()}
    own = {name for name in trained if name.startswith("layers.")}
    slices = {"qkv": "qkv", "attention_out": "o", "inner": ["inner"], "outer": ["outer"]}
    assert own == {
        f"layers.{layer}.{product}.{factor}.{name}"
        for layer in (0, 1)
        for product, names in slices.items()
        for factor in "ab"
        for name in names
    }
    assert {name.partition(".")[0] for name in trained - own} == {"pooler", "heads"}
    assert len(model.backbone()) == len(own) + 2
    about = record.diagnostics.lora
    assert about is not None and about["change"] is not None and about["share"] is not None
    assert about["change"] > 1e-3 and 0 < about["share"] < 1
    assert about["trained"] == sum(
        value.numel() for name, value in model.trainable().items() if ".layers." in name
    )


def test_with_freezing_the_lower_layers_have_none_and_are_cached(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    chosen = config(tiny, lora={}, freeze={"unfrozen": 1}, pooling="mean")
    model = started(chosen, tmp_path).model
    assert model.freezing.cacheable_layers == 1
    names = {name for name in model.trainable() if name.startswith("encoder.")}
    assert names == {f"encoder.layers.1.qkv.{factor}.{name}" for factor in "ab" for name in "qv"}
    cached = train(chosen, runs=tmp_path / "cached")
    assert cached.status == "done" and cached.frozen_unchanged


def test_null_is_the_run_without_it(tiny: dict[str, Any], tmp_path: Path) -> None:
    assert prepare(config(tiny, lora=None)).run_id == prepare(config(tiny)).run_id
    runs = {name: prepare(config(tiny, lora=lora)).run_id for name, lora in {
        "off": None, "on": {}, "rank": {"rank": 4}, "alpha": {"alpha": 8.0},
        "targets": {"targets": "all"}}.items()}  # fmt: skip
    assert len(set(runs.values())) == len(runs)
    assert runs["on"] == prepare(config(tiny, lora={"rank": 8, "alpha": 16.0})).run_id


@pytest.mark.parametrize(
    "changes",
    [
        {"smart": {"projection": "normalise"}},
        {"schedule": "consolidated", "surgery": "pcgrad", "train__batch_size": 7},
        {"freeze": {"unfrozen": 1}, "pairing": "concat"},
    ],
    ids=str,
)
def test_a_stopped_run_goes_on_with_the_same_bits(
    tiny: dict[str, Any], tmp_path: Path, changes: dict[str, Any]
) -> None:
    chosen = config(tiny, lora={"targets": "qkvo"}, train__decay="linear", **changes)
    whole = train(chosen, runs=tmp_path / "whole")
    record, stops = trained_with_stops(chosen, tmp_path / "stopped", every=3)
    assert stops >= 2 and whole.status == "done" and whole.frozen_unchanged
    assert comparable(record) == comparable(whole)
    folders = [tmp_path / name / record.run_id for name in ("stopped", "whole")]
    assert content(folders[0]) == content(folders[1])
    assert verify(RunFolder(folders[1])) == []
    plain = config(tiny, train__decay="linear", **changes)
    other = train(plain, runs=tmp_path / "plain")
    assert losses(tmp_path / "plain" / other.run_id) != losses(folders[1])


def test_bf16_trains_too(tiny: dict[str, Any], tmp_path: Path) -> None:
    record = train(config(tiny, lora={"targets": "all"}, train__precision="bf16"), runs=tmp_path)
    assert record.status == "done" and record.frozen_unchanged


# --- what is kept


@pytest.mark.parametrize("changes", [{}, {"freeze": {"unfrozen": 1}}], ids=str)
def test_a_loaded_run_predicts_the_same_and_its_export_has_the_merged_weights(
    tiny: dict[str, Any], tmp_path: Path, changes: dict[str, Any]
) -> None:
    transformers = pytest.importorskip("transformers")
    chosen = config(tiny, lora={"targets": "all"}, train__lr=1e-2, **changes)
    record = train(chosen, runs=tmp_path / "runs")
    folder = RunFolder(tmp_path / "runs" / record.run_id)
    run = load_trained(folder, "cpu")
    rows = load_rows(chosen.data, ("sst",), ("dev",))["sst", "dev"]
    kept = folder.predictions("dev", "sst")
    np.testing.assert_allclose(run.predict(rows).outputs, kept.outputs, rtol=0, atol=1e-6)

    export(run, tmp_path / "model")
    loaded = transformers.AutoModel.from_pretrained(tmp_path / "model").eval()
    ids = np.arange(5, 17)
    with torch.no_grad():
        own = run.evaluator.model.encoder(pack([ids]))
        found = loaded(torch.tensor(ids)[None]).pooler_output
    torch.testing.assert_close(found, own, rtol=0, atol=1e-5)
    before = run.pretrained.load().state_dict()
    merged = merged_state(run.evaluator.model.encoder)
    assert merged.keys() == before.keys()
    changed = {name for name in before if not torch.equal(before[name], merged[name])}
    assert "layers.1.qkv.weight" in changed and "words.weight" not in changed
    assert ("layers.0.qkv.weight" in changed) == (not changes)


@pytest.mark.parametrize("family", ["roberta", "electra", "mpnet"])
def test_every_packed_family_trains_and_exports_with_adapters(
    tiny: dict[str, Any], tmp_path: Path, family: str
) -> None:
    transformers = pytest.importorskip("transformers")
    from tests.family_tools import write_family

    folder = write_family(tmp_path / family, family)
    chosen = config(
        tiny, encoder=str(folder), pooling="mean", lora={"targets": "all"}, tasks=["sst"],
        train__lr=1e-2, train__max_steps=3, max_length=32,
    )  # fmt: skip
    record = train(chosen, runs=tmp_path / "runs")
    assert record.status == "done" and record.frozen_unchanged
    run = load_trained(RunFolder(tmp_path / "runs" / record.run_id), "cpu")
    export(run, tmp_path / "model")
    loaded = transformers.AutoModel.from_pretrained(tmp_path / "model").eval()
    ids = np.arange(6, 14)
    with torch.no_grad():
        own = run.evaluator.model.encoder(pack([ids]), pooling="mean")[0]
        found = loaded(torch.tensor(ids)[None]).last_hidden_state[0].mean(0)
    torch.testing.assert_close(found, own, rtol=0, atol=1e-5)


def test_a_grid_may_have_it_as_a_factor(tmp_path: Path) -> None:
    """Without LoRA, its rank makes no arm of its own."""
    design = plan(
        tmp_path, "grid: {lora: [null, {}], lora.rank: [8, 4], freeze.unfrozen: [all, 0]}"
    )
    assert {arm.cell for arm in design.arms} == {
        cell(), cell("lora={}"), cell("lora.rank=4"), cell("freeze.unfrozen=0")
    }  # fmt: skip
    changes = [dict(arm.changes) for arm in design.arms]
    assert {"lora": {}} in changes and {"lora": {"rank": 4}} in changes


def test_a_report_says_how_far_the_adapters_moved_the_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fill(
        GRID.replace("freeze.unfrozen: 1", "lora.rank: 4"),
        diagnostics={"lora": {"trained": 73728, "share": 0.00325, "change": 0.0003}},
    )
    text = built()
    moved = next(
        table for table in tables(section(text, "Why it did what it did")) if "change" in table[0]
    )
    row = next(row for row in moved if row["arm"] == "better")
    assert (row["numbers in adapters"], row["of the encoder"], row["change"]) == (
        "73728", "0.3 %", "0.0003"
    )  # fmt: skip
    assert "arXiv:2106.09685" in text
    assert "rank" in text


# --- what is refused


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lora=true"], "expected null (off) or settings; lora={} turns LoRA on"),
        (["lora.rank=0"], "lora.rank"),
        (["lora.alpha=0"], "lora.alpha"),
        (["lora.targets=v"], "lora.targets"),
        (["lora=null", "lora.rank=4"], "'lora=null' disables lora"),
        (["lora={}", "freeze.unfrozen=0"], "trains no layer, so no layer has adapters"),
        (["lora.rank=4", "freeze.unfrozen=0"], "Raise freeze.unfrozen"),
    ],
)
def test_what_cannot_be_is_refused_with_the_way_out(words: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        typed_config(words)
    assert said in str(caught.value)


def test_layers_without_adapters_cannot_train_for_some_tasks() -> None:
    for unfrozen in (0, 1):
        chosen = config_from([f"freeze.unfrozen={unfrozen}", "freeze.scope=sts"])
        assert chosen.problems() == []
        with pytest.raises(ConfigError, match=r"Use freeze.scope=all, or lora=null"):
            config_from(["lora={}", f"freeze.unfrozen={unfrozen}", "freeze.scope=sts"]).check()
    config_from(["lora={}", "freeze.unfrozen=1", "tasks=sts", "freeze.scope=sts"]).check()


def test_an_encoder_that_cannot_have_these_adapters_is_refused(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"lora.rank=999: .* Use 1 to \d+"):
        prepare(config(tiny, lora={"rank": 999}))
    pytest.importorskip("transformers")
    from tests.test_fallback import write_kind

    folder = write_kind(tmp_path / "modernbert", "modernbert")
    with pytest.raises(ConfigError, match=r"only a packed encoder can .* Use lora=null, or"):
        prepare(config(tiny, encoder=str(folder), pooling="mean", lora={}))
