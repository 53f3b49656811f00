"""The page of measurements: sections, and the table of the ratios in all of them."""

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from benchmark_modules import benchmark_modules

pytestmark = pytest.mark.backend_free

PAGE = Path(__file__).parents[1] / "docs" / "measurements.md"
OVERHEAD = """## overhead, jax

`python benchmarks/overhead.py`, 4.0 minutes; 2-core machine, Python 3.11.

```text
3 ms per plain step
```

| way to train | step | end of epoch |
|---|---|---|
| GradientMonitor, norm | 1.061 ± 0.011 | 2.1 ms |
| WeightAveraging | 1.033 ± 0.009 | 0.0 ms |
"""
PEERS = """## peers, torch

`python benchmarks/peers.py`, 9.0 minutes; 2-core machine, Python 3.11.

| trainer | with | step | over its own plain |
| --- | --- | --- | --- |
| Keras | plain | 23.44 ms |  |
| Keras | 1cycle: OneCycleScheduler | 24.10 ms | 1.028 ± 0.032 |
| Lightning | 1cycle: OneCycleLR | 15.75 ms | 1.000 ± 0.033 |
"""


@pytest.fixture
def all_ratios() -> Iterator[ModuleType]:
    with benchmark_modules("all_ratios") as [module]:
        yield module


def row_of(table: str, what: str) -> list[str]:
    [line] = [line for line in table.splitlines() if line.startswith(f"| {what} |")]
    return [text.strip() for text in line.strip("|").split("|")]


def test_ratio_stands_under_its_backend(all_ratios: ModuleType) -> None:
    table = all_ratios.ratio_table(OVERHEAD)
    values = row_of(table, "step with GradientMonitor, norm")[2:]
    assert values == ["", "1.061 ± 0.011", ""]


def test_row_is_found_by_two_names(all_ratios: ModuleType) -> None:
    table = all_ratios.ratio_table(PEERS)
    [ours, theirs] = [line for line in table.splitlines() if "1cycle" in line]
    assert "1.028 ± 0.032" in ours
    assert "1.000 ± 0.033" in theirs


def test_ratio_that_no_section_has_is_left_out(all_ratios: ModuleType) -> None:
    assert "MaxNormEnforcer" not in all_ratios.ratio_table(OVERHEAD)


def test_machine_is_named_once(all_ratios: ModuleType) -> None:
    table = all_ratios.ratio_table(OVERHEAD + "\n" + PEERS)
    assert table.count("2-core machine, Python 3.11.") == 1


def test_page_without_ratios_has_no_table(all_ratios: ModuleType) -> None:
    assert all_ratios.with_ratios("# Measurements\n\n## other, jax\n\ntext\n") == (
        "# Measurements\n\n## other, jax\n\ntext\n"
    )


def test_table_comes_before_all_sections(all_ratios: ModuleType) -> None:
    page = all_ratios.with_ratios(f"# Measurements\n\nTitle.\n\n{OVERHEAD}")
    order = [page.index(text) for text in ("Title.", "## All ratios", "## overhead")]
    assert order == sorted(order)


def test_table_is_replaced_not_repeated(all_ratios: ModuleType) -> None:
    once = all_ratios.with_ratios(f"# Measurements\n\nTitle.\n\n{OVERHEAD}")
    assert all_ratios.with_ratios(once) == once


def test_page_in_docs_has_the_ratios_of_its_sections(all_ratios: ModuleType) -> None:
    page = PAGE.read_text("utf-8")
    assert all_ratios.with_ratios(page) == page


def test_every_section_in_docs_has_its_ratios(all_ratios: ModuleType) -> None:
    page = PAGE.read_text("utf-8")
    table = all_ratios.ratio_table(page)
    missing = [
        ratio.what
        for ratio in all_ratios.RATIOS
        if f"\n## {ratio.benchmark}, " in page
        and f"| {ratio.what} | {ratio.beside} |" not in table
    ]
    assert missing == []


def test_some_ratios_are_on_the_page_in_docs(all_ratios: ModuleType) -> None:
    table = all_ratios.ratio_table(PAGE.read_text("utf-8"))
    assert all(row_of(table, "step with GradientMonitor, norm"))
