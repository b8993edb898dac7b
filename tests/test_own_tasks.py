"""Tasks that people bring: they train, judge, report and predict as the shipped ones do."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

import mtl
from mtl.config.settings import config_from
from mtl.data.load import load_rows
from mtl.errors import ConfigError, DataError
from mtl.runs.prepare import Sources
from mtl.tasks.metrics import shares_of
from mtl.tasks.registry import TASKS, course_names, shipped
from tests.cli_tools import mtl as command
from tests.tasks_tools import done
from tests.training_tools import content

TOPICS = ("sea", "sky", "soil")
YAML = """
task: {name}
task_type: classification
text: body
label: topic
labels: [sea, sky, soil]
metric: macro_f1
metrics: [mcc]
data:
  path: csv
  data_files: {{train: {name}.csv}}
  splits: {{train: train, dev: {{from: train, share: 0.3}}}}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the task `topics` in `tasks/`."""
    monkeypatch.chdir(tmp_path)
    write_task(tmp_path / "tasks", "topics")
    return tmp_path


def write_task(folder: Path, name: str, *, rows: int = 60, more: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    words = {"sea": "wave fish ship", "sky": "cloud bird star", "soil": "root worm stone"}
    lines = [f"{words[TOPICS[row % 3]]} number {row % 7},{TOPICS[row % 3]}" for row in range(rows)]
    (folder / f"{name}.csv").write_text("body,topic\n" + "\n".join(lines) + "\n", "utf-8")
    path = folder / f"{name}.yaml"
    path.write_text(YAML.format(name=name) + more, "utf-8")
    return path


SHORT = ["encoder=random-tiny", "train.epochs=2", "train.lr=1e-3", "train.batch_size=8"]


def as_own(data: Path, folder: Path, name: str) -> Path:
    """A shipped task's file that reads the course's files itself."""
    plain = json.loads(command("tasks", "show", name, "--json").stdout)
    stem = TASKS[name].course.stem
    plain["data"] = {
        "path": "tsv",
        "data_files": {split: str(data / f"{stem}-{split}.csv") for split in ("train", "dev")},
        "id": "id",
    }
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps(plain), "utf-8")
    return path


@pytest.mark.parametrize("name", course_names())
def test_a_shipped_task_from_its_own_file_is_the_same_run(
    tiny_data: Path, tmp_path: Path, name: str
) -> None:
    words = [*SHORT, f"data={tiny_data}"]
    ours = config_from([f"tasks={name}", *words])
    shipped_run = mtl.train(ours, runs=tmp_path / "shipped")
    path = as_own(tiny_data, tmp_path / "mine", name)
    own_run = mtl.train(config_from([f"tasks={path}", *SHORT]), runs=tmp_path / "own")
    assert not isinstance(TASKS[name].data, type(shipped()[name].data))
    assert own_run.run_id == shipped_run.run_id
    assert own_run.metrics == shipped_run.metrics
    assert own_run.tasks == shipped_run.tasks == {}
    own, ours_again = (content(tmp_path / runs / own_run.run_id) for runs in ("own", "shipped"))
    assert own == ours_again


@pytest.mark.parametrize(
    "change",
    ["labels: [sky, sea, soil]", "metric: accuracy", "weight: 2", "text: [body, topic2]"],
)
def test_what_changes_numbers_changes_the_cell(here: Path, change: str) -> None:
    before = config_from(["tasks=topics", *SHORT]).canonical()["definitions"]["topics"]
    path = here / "tasks" / "topics.yaml"
    key = change.partition(":")[0]
    lines = [line for line in path.read_text("utf-8").splitlines() if not line.startswith(key)]
    path.write_text("\n".join([*lines, change]), "utf-8")
    after = config_from(["tasks=topics", *SHORT]).canonical()["definitions"]["topics"]
    assert before != after


def test_paths_titles_and_columns_do_not_change_the_cell(here: Path) -> None:
    cell = Sources().cell(config_from(["tasks=topics", *SHORT]))
    moved = write_task(here / "elsewhere", "topics", more="title: Topics of the world\n")
    table = (here / "elsewhere" / "topics.csv").read_text("utf-8")
    (here / "elsewhere" / "topics.csv").write_text(table.replace("body,", "text,"), "utf-8")
    moved.write_text(moved.read_text("utf-8").replace("text: body", "text: text"), "utf-8")
    assert Sources().cell(config_from([f"tasks={moved}", *SHORT])) == cell


def test_the_dev_split_is_cut_by_ids_and_shares_no_row(here: Path) -> None:
    rows = load_rows("sample", ("topics",), ("train", "dev"))
    train, dev = (rows["topics", split] for split in ("train", "dev"))
    assert (len(train), len(dev)) == (42, 18)
    assert not set(train.ids) & set(dev.ids)
    assert sorted(map(int, [*train.ids, *dev.ids])) == list(range(60))


def test_a_run_trains_is_verified_and_predicts_where_no_file_is(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = command("train", "tasks=topics", *SHORT, "--runs", here / "runs", "--quiet")
    assert made.exit_code == 0, made.output
    (run,) = (path for path in (here / "runs").iterdir() if path.is_dir())
    record = json.loads((run / "record.json").read_text("utf-8"))
    assert record["tasks"]["topics"]["labels"] == list(TOPICS)
    assert "dev/topics/mcc" in record["metrics"]
    elsewhere = here / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    TASKS.forget()
    checked = command("runs", "verify", "--runs", here / "runs")
    assert checked.exit_code == 0, checked.output
    found = command(
        "predict", run.name, "--task", "topics", "--json", "--runs", here / "runs",
        stdin="body\nwave fish\n",
    )  # fmt: skip
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)["prediction"] in TOPICS
    assert command("report", run.name, "--no-text", "--runs", here / "runs").exit_code == 0


def test_a_grid_over_a_path_and_a_shipped_task_reports_its_classes(
    here: Path, tiny_data: Path
) -> None:
    more = "weight: 3\npublished: {BERT: {score: 0.91, source: a paper}}\n"
    write_task(here / "mine", "other", more=more)
    (here / "grid.yaml").write_text(
        "question: does it help?\n"
        f"set: {{tasks: [mine/other.yaml, sst], data: {tiny_data}, encoder: random-tiny,\n"
        "  train.epochs: 1, train.batch_size: 8}\n"
        "seeds: [0, 1]\n"
        "grid: {heads.other: [mlp, linear]}\n",
        "utf-8",
    )
    made = command("ablate", "--grid", "grid.yaml", "--runs", "runs", "--workers", "1")
    assert made.exit_code == 0, made.output
    results = json.loads((here / "runs" / "grids" / "grid" / "results.json").read_text("utf-8"))
    arm = results["arms"][0]
    scores = {name: arm["scores"][name]["mean"] for name in ("other", "sst", "overall")}
    assert scores["overall"] == pytest.approx((3 * scores["other"] + scores["sst"]) / 4)
    TASKS.forget()
    assert command("report", "grid", "--runs", "runs").exit_code == 0
    text = (here / "reports" / "grid.md").read_text("utf-8")
    assert "| model | 0 sea | 1 sky | 2 soil |" in text
    assert "other-confusion.svg" in text
    assert "| BERT (a paper) | published | - | 0.910 | - |" in text
    assert command("report", "grid", "--check").exit_code == 0


def test_an_auxiliary_task_trains_and_does_not_count(here: Path, tiny_data: Path) -> None:
    write_task(here / "tasks", "aux", more="weight: 0\n")
    config = config_from(["tasks=aux,sst", f"data={tiny_data}", *SHORT])
    record = mtl.train(config, runs=here / "runs")
    assert record.metrics["dev/overall"] == record.metrics["dev/sst/accuracy"]
    assert record.metrics["dev/aux/macro_f1"] is not None
    assert shares_of(("aux", "sst")) == {"sst": 1.0}
    with pytest.raises(ConfigError, match="none of them counts in overall"):
        config_from(["tasks=aux"]).check()


def test_all_that_is_wrong_with_a_file_is_said_at_once(here: Path) -> None:
    path = here / "tasks" / "wrong.yaml"
    path.write_text(
        "task: wrong\ntask_type: clasification\ntext: [a, a]\nlabel: a\nlabels: [x]\n"
        "metrc: f1\ndata: {path: cvs}\n",
        "utf-8",
    )
    with pytest.raises(ConfigError) as caught:
        config_from(["tasks=wrong"])
    said = str(caught.value)
    for line, part in ((2, "Did you mean 'classification'?"), (6, "Did you mean 'metric'?")):
        assert f"wrong.yaml:{line}: " in said and part in said
    assert "metric: expected one of" in said


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("loss: mse", "loss: mse does not fit"),
        ("metric: pearson", "metric: pearson is not defined here"),
        ("head: cosine", "head: 'cosine' does not fit pairing=siamese"),
        ("range: [0, 5]", "range: only for task_type: regression"),
        ("labels: [sea, sea]", "labels: a class is named twice"),
        ("label: body", "label: 'body' is a column of text too"),
    ],
)
def test_what_a_task_cannot_have_is_named_with_its_line(here: Path, lines: str, said: str) -> None:
    path = here / "tasks" / "topics.yaml"
    key = lines.partition(":")[0]
    kept = [line for line in path.read_text("utf-8").splitlines() if not line.startswith(f"{key}:")]
    path.write_text("\n".join([*kept, lines]), "utf-8")
    with pytest.raises(ConfigError) as caught:
        config_from(["tasks=topics"])
    assert f"tasks/topics.yaml:{len(kept) + 1}: {said}" in str(caught.value)


def test_data_that_is_wrong_is_said_at_once_with_places(here: Path) -> None:
    (here / "tasks" / "topics.csv").write_text(
        "body,topic\nwave,sea\n,sky\nroot,soill\nstar,sky\n", "utf-8"
    )
    write_task(here / "tasks", "other")
    (here / "tasks" / "other.csv").write_text("bodi,topic\nwave,sea\n", "utf-8")
    with pytest.raises(DataError) as caught:
        load_rows("sample", ("topics", "other"), ("train", "dev"))
    said = str(caught.value)
    assert "topics.csv:3: column 'body': expected a sentence, the cell is empty" in said
    assert "topics.csv:4: column 'topic': expected one of 'sea', 'sky', 'soil', got 'soill'" in said
    assert "Did you mean 'soil'?" in said
    assert "other.csv:1: column 'body': expected, the data has 'bodi', 'topic'" in said


# --- no task is wired in

ALLOWED = ("tasks/definitions", "data/sample", "data/course", "report/published.py",
           "config/presets.py", "data/hub.py", "data/hub_files.py")  # fmt: skip


def test_no_code_names_a_task() -> None:
    root = Path(mtl.__file__).parent
    named: list[str] = []
    for path in sorted(root.rglob("*.py")):
        if str(path.relative_to(root)).startswith(ALLOWED):
            continue
        tree = ast.parse(path.read_text("utf-8"))
        documented = [id(text) for node in ast.walk(tree) for text in _docstrings(node)]
        for node in ast.walk(tree):
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and text in course_names() and id(node) not in documented:
                named.append(f"{path}:{node.lineno}")
    assert named == []


def _docstrings(node: Any) -> list[ast.AST]:
    body = getattr(node, "body", [])
    return [one.value for one in body if isinstance(one, ast.Expr)] if type(body) is list else []


# --- records stay what they were


def test_a_run_keeps_its_metric_where_its_file_is_changed_wrong_or_gone(here: Path) -> None:
    path = write_task(here / "tasks", "mine")
    config = config_from(["tasks=mine", *SHORT])
    record = mtl.train(config, runs=here / "runs")
    score = f"{record.metrics['dev/mine/macro_f1']:.3f}"
    listed = f"mine {score}"
    text = path.read_text("utf-8")
    for changed in (text.replace("macro_f1", "mcc"), "task: mine\n", None):
        TASKS.forget()
        path.unlink() if changed is None else path.write_text(changed, "utf-8")
        assert listed in done("runs", "list", "--runs", here / "runs")
        shown = done("runs", "show", record.run_id, "--runs", here / "runs")
        assert re.search(rf"mine +macro_f1 +{score}", shown)
        assert done("runs", "verify", record.run_id, "--runs", here / "runs").endswith(": ok\n")
        report = done("report", record.run_id, "--runs", here / "runs", "--output", here / "rep")
        assert "rep" in report
        words = (here / "rep" / f"{record.run_id}.md").read_text("utf-8")
        assert score in words


def test_a_report_quotes_no_text_of_own_data_unless_told(here: Path) -> None:
    write_task(here / "tasks", "mine")
    record = mtl.train(config_from(["tasks=mine", *SHORT]), runs=here / "runs")
    words = [record.run_id, "--runs", here / "runs", "--output", here / "rep"]
    done("report", *words)
    page = here / "rep" / f"{record.run_id}.md"
    bodies = load_rows("sample", ("mine",), ("dev",))["mine", "dev"].first
    assert not [body for body in bodies if body in page.read_text("utf-8")]
    done("report", *words, "--text")
    assert [body for body in bodies if body in page.read_text("utf-8")]


def test_hidden_test_labels_of_own_data_are_one_error(here: Path) -> None:
    path = write_task(here / "tasks", "mine")
    text = path.read_text("utf-8")
    (here / "tasks" / "test.csv").write_text("body\na wave\n", "utf-8")
    path.write_text(re.sub(r"(data_files: \{)", r"\1test: test.csv, ", text), "utf-8")
    record = mtl.train(config_from(["tasks=mine", *SHORT]), runs=here / "runs")
    result = command("test", record.run_id, "--runs", here / "runs")
    assert result.exit_code == 2
    assert "task mine: its test split: no labels to score against" in result.stderr


def test_a_run_on_a_shipped_task_stays_so_beside_a_file_of_the_same_name(
    here: Path, tiny_data: Path
) -> None:
    words = ["tasks=sst", f"data={tiny_data}", *SHORT]
    record = mtl.train(config_from(words), runs=here / "runs")
    plain = json.loads(command("tasks", "show", "sst", "--json").stdout)
    changed = plain | {"metric": "macro_f1", "labels": list("abcde")}
    (here / "tasks" / "sst.yaml").write_text(json.dumps(changed), "utf-8")
    TASKS.forget()
    checked = command("runs", "verify", "--runs", here / "runs")
    assert checked.exit_code == 0, checked.output
    listed = command("runs", "list", "--runs", here / "runs").stdout
    assert f"sst {record.metrics['dev/sst/accuracy']:.3f}" in listed
    found = command(
        "predict", record.run_id, "--task", "sst", "--runs", here / "runs",
        stdin="sentence\ngood\n",
    )  # fmt: skip
    assert found.stdout.splitlines()[1].split("\t")[1] in "01234"


# --- weights of losses


def test_a_weight_multiplies_a_tasks_loss_and_logs_stay_plain(
    tiny_data: Path, tmp_path: Path
) -> None:
    words = [f"data={tiny_data}", "tasks=sst,quora", "schedule=consolidated", *SHORT,
             "train.max_grad_norm=null", "train.max_steps=1", "train.dropout=0"]  # fmt: skip
    plain, heavy = (
        mtl.train(config_from([*words, *more]), runs=tmp_path)
        for more in ([], ["task_weights.quora=50"])
    )
    assert "task_weights" not in plain.config
    assert heavy.config["task_weights"] == {"quora": 50}
    logs = [
        json.loads((tmp_path / run.run_id / "metrics.jsonl").read_text().splitlines()[0])
        for run in (plain, heavy)
    ]
    assert logs[0]["loss"] == pytest.approx(logs[1]["loss"])
    assert logs[1]["grad_norm"] > 5 * logs[0]["grad_norm"]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("task_weights.quora=0", "expected a number above 0, got 0"),
        ("task_weights.quora=high", "expected a number above 0, got 'high'"),
        ("task_weights.qora=2", "Did you mean 'quora'?"),
    ],
)
def test_a_wrong_weight_is_named(word: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config_from([word])
    assert "task_weights.q" in str(caught.value) and said in str(caught.value)
