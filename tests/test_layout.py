"""The special tokens of sequences equal those of `transformers`, or the encoder is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from mtl.config.settings import config_from
from mtl.errors import EncoderError
from mtl.model.families import FAMILIES
from mtl.model.pairing import PAIRERS
from mtl.model.pretrained import Pretrained
from tests.family_tools import FAMILY_NAMES, PAIRS, write_family

SPECIAL = dict.fromkeys(("bert", "distilbert", "electra"), ("[CLS]", "[SEP]"))
"""The tokens at a sequence's begin and end."""
Folders = dict[str, Path]
Post = Callable[[dict[str, int], str, str], Any]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    root = tmp_path_factory.mktemp("families")
    return {family: write_family(root / family, family) for family in FAMILY_NAMES}


def template(single: str, pair: str) -> Post:
    """A post-processor as a template: B and E stand for the family's begin and end."""

    def build(ids: dict[str, int], begin: str, end: str) -> Any:
        def parts(written: str) -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = []
            for word in written.split():
                what, _, kind = word.partition(":")
                name = {"B": begin, "E": end}.get(what, what)
                text = {"Sequence": {"id": what[1:], "type_id": int(kind or 0)}}
                special = {"SpecialToken": {"id": name, "type_id": int(kind or 0)}}
                found.append(text if what.startswith("$") else special)
            return found

        used = {name: {"id": name, "ids": [ids[name]], "tokens": [name]}
                for name in (begin, end)}  # fmt: skip
        return {"type": "TemplateProcessing", "single": parts(single), "pair": parts(pair),
                "special_tokens": used}  # fmt: skip

    return build


def general(source: Path, folder: Path, post: Post | None = None, **settings: Any) -> Path:
    """A copy whose tokenizer is of the general class, with a post-processor."""
    shutil.copytree(source, folder)
    path = folder / "tokenizer.json"
    stored = json.loads(path.read_text("utf-8"))
    ids = {token["content"]: token["id"] for token in stored["added_tokens"]}
    if post is not None:
        stored["post_processor"] = post(ids, *SPECIAL.get(source.name, ("<s>", "</s>")))
    path.write_text(json.dumps(stored), "utf-8")
    kept = {"tokenizer_class": "PreTrainedTokenizerFast"} | settings
    (folder / "tokenizer_config.json").write_text(json.dumps(kept))
    return folder


def check_sequences(folder: Path, *, types: bool) -> None:
    """Single texts and pairs are laid out as `transformers` does."""
    theirs, pretrained = AutoTokenizer.from_pretrained(folder), Pretrained("x", folder)
    encode, pairer = pretrained.tokenizer().encode, PAIRERS["concat"](pretrained.layout, 128)

    def ids(text: str) -> np.ndarray:
        return np.array(encode(text, add_special_tokens=False).ids, dtype=np.int32)

    for first, second in PAIRS:
        single, pair = theirs(first), both(theirs, first, second)
        ours, kinds = pairer.pairs([ids(first)], [ids(second)])
        assert pairer.single(ids(first)).tolist() == single["input_ids"]
        assert ours[0].tolist() == pair["input_ids"]
        if types:
            assert kinds[0].tolist() == pair["token_type_ids"]


def both(tokenizer: Any, first: str, second: str) -> dict[str, list[int]]:
    """A pair's ids and types. A call without lists takes an empty second text for none."""
    found = tokenizer([first], [second], return_token_type_ids=True)
    return {key: value[0] for key, value in found.items()}


TAKEN = {
    "BERT's": template("B $A E", "B $A E $B:1 E:1"),
    "RoBERTa's": template("B $A E", "B $A E E $B E"),
    "no begin": template("$A E", "$A E $B E"),
    "no end": template("B $A", "B $A E $B"),
    "several tokens": template("B B $A E E", "B B $A E B E $B:1 E:1 E:1"),
    "nothing between": template("B $A E", "B $A $B E"),
    "one type": template("B $A E", "B $A E $B E"),
}


@pytest.mark.parametrize("name", TAKEN)
@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_the_general_class_has_the_layout_of_its_file(
    folders: Folders, tmp_path: Path, family: str, name: str
) -> None:
    folder = general(folders[family], tmp_path / "encoder", TAKEN[name])
    check_sequences(folder, types=FAMILIES[family].types)


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_the_file_of_a_family_has_its_layout(folders: Folders, tmp_path: Path, family: str) -> None:
    own, copy = Pretrained("x", folders[family]), general(folders[family], tmp_path / "encoder")
    check_sequences(copy, types=False)
    assert Pretrained("x", copy).layout.after == own.layout.after


REFUSED: dict[str, tuple[Post, dict[str, Any], str]] = {
    "second text first": (
        template("B $A E", "B $B E $A E"), {}, "puts the second text first"),
    "another end of pairs": (
        template("B $A E", "B $A E $B"), {}, "are not those around two"),
    "another begin of pairs": (
        template("B $A E", "$A E $B E"), {}, "are not those around two"),
    "type 1 before the second text": (
        template("B $A E", "B $A E:1 $B:1 E:1"), {}, "token types: expected 0"),
    "type 2": (template("B $A E", "B $A E $B:2 E:2"), {}, "token types: expected 0"),
    "type 1 of one text": (template("B $A:1 E", "B $A E $B:1 E:1"), {}, "token types: expected 0"),
    "no special tokens": (template("$A", "$A $B"), {}, "adds no special tokens"),
    "no post-processor": (lambda *_: None, {}, "adds no special tokens"),
    "begin asked for": (TAKEN["BERT's"], {"add_bos_token": True}, "add_bos_token"),
    "no end asked for": (TAKEN["BERT's"], {"add_eos_token": False}, "add_eos_token"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_layout_that_is_not_computed_is_refused(
    folders: Folders, tmp_path: Path, name: str
) -> None:
    post, settings, message = REFUSED[name]
    folder = general(folders["bert"], tmp_path / "encoder", post, **settings)
    with pytest.raises(EncoderError, match=message) as caught:
        _ = Pretrained("x", folder).layout
    assert str(folder / "tokenizer.json") in str(caught.value)


@pytest.mark.parametrize("kind", ["BertTokenizer", "PreTrainedTokenizerFast"])
def test_settings_without_token_types_are_obeyed(
    folders: Folders, tmp_path: Path, kind: str
) -> None:
    folder = general(
        folders["bert"],
        tmp_path / "encoder",
        TAKEN["BERT's"],
        tokenizer_class=kind,
        model_input_names=["input_ids", "attention_mask"],
    )
    assert "token_type_ids" not in AutoTokenizer.from_pretrained(folder)("a", "b")
    assert not Pretrained("x", folder).layout.typed


def test_a_name_has_the_layout_where_it_is_not_the_familys(
    folders: Folders, tmp_path: Path
) -> None:
    def name(number: int, **settings: Any) -> str:
        folder = tmp_path / str(number)
        shutil.copytree(folders["bert"], folder)
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
        return Pretrained("x", folder).fingerprint

    plain = name(0)
    assert name(1, cls_token="[CLS]") == plain
    assert name(2, tokenizer_class="PreTrainedTokenizerFast", cls_token="[CLS]") == plain
    assert name(3, cls_token="[MASK]") != plain


def test_a_run_on_another_layout_exports_it(
    folders: Folders, tiny_data: Path, tmp_path: Path
) -> None:
    import mtl
    from mtl.inference.export import export
    from mtl.inference.trained import load_trained
    from mtl.runs.folder import RunFolder

    folder = general(folders["bert"], tmp_path / "encoder", TAKEN["several tokens"])
    words = [f"encoder={folder}", f"data={tiny_data}", "pairing=concat", "max_length=32",
             "train.max_steps=1", "limit=20", "tasks=quora"]  # fmt: skip
    record = mtl.train(config_from(words), runs=tmp_path / "runs")
    run = load_trained(RunFolder(tmp_path / "runs" / record.run_id), "cpu")
    export(run, tmp_path / "model")
    ours, theirs = map(AutoTokenizer.from_pretrained, (folder, tmp_path / "model"))
    for first, second in PAIRS:
        assert ours(first)["input_ids"] == theirs(first)["input_ids"]
        assert both(ours, first, second) == both(theirs, first, second)
    check_sequences(tmp_path / "model", types=True)
