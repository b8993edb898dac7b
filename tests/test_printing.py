"""Long tables look as rich prints them."""

from __future__ import annotations

import pytest

from mtl.commands import printing


@pytest.mark.parametrize(
    "last",
    [("abcdefg-s0", "done", "sst .5", "55"), ("é", "漢", "x", "1"), ("a" * 200, "b", "c", "2")],
)
def test_a_long_table_looks_as_rich_prints_it(
    last: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [("abc-s0", "failed", "", "5"), last]
    printed = []
    for limit in (10, 1):
        monkeypatch.setattr(printing, "LONG_TABLE", limit)
        printing.print_table(["run", "status", "dev", "seconds"], rows, numbers=(3,))
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert printed[0].count("\n") >= 4
