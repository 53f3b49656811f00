import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras_tuner
import pytest

from keras_deeptools.tuning import SearchedTrial, SearchReport, search_report
from keras_deeptools.tuning._search_report.trials import aligned, short_name
from keras_deeptools.tuning._trials.searched_trial import write_record
from report_pages import PageReader, charts_of
from tuning.searches import hyperband, random_search

pytestmark = pytest.mark.backend_free


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Twenty trials, of which some have failed."""
    tuner = random_search(tmp_path_factory.mktemp("search"))
    tuner.search(verbose=0)
    return tuner


def test_the_best_trial_comes_first_and_failed_ones_last(searched: Any) -> None:
    report = search_report(searched)
    assert report.best.trial_id == searched.oracle.get_best_trials()[0].trial_id
    scores = [trial.score for trial in report.ranked if trial.has_score]
    assert scores == sorted(scores, reverse=True)
    assert {trial.status for trial in report.ranked[len(scores) :]} == {"failed"}
    assert len(report.trials) == 20


def test_a_smaller_score_is_better_where_the_objective_says_so(tmp_path: Path) -> None:
    tuner = random_search(tmp_path, 4)
    tuner.oracle.objective = keras_tuner.Objective("score", "min")
    tuner.search(verbose=0)
    report = search_report(tuner)
    assert report.best.score == min(t.score for t in report.trials if t.has_score)


def test_the_table_has_a_line_for_each_trial_with_what_was_active(
    searched: Any,
) -> None:
    lines = search_report(searched).table().splitlines()
    assert len(lines) == 21
    assert {"rate", "units", "norm", "kind"} <= set(lines[0].split())
    assert search_report(searched).table(3).count("\n") == 3


def test_a_tuner_made_again_over_the_files_gives_the_same_report(
    searched: Any,
) -> None:
    again = random_search(searched.directory)
    assert search_report(again).table() == search_report(searched).table()


def test_what_matters_is_clear_and_the_rest_is_not(searched: Any) -> None:
    clear = [one.name for one in search_report(searched).importance if one.is_clear]
    assert clear == ["rate"]


def test_rates_are_drawn_on_the_scale_that_they_are_searched_on(
    searched: Any,
) -> None:
    assert search_report(searched).logarithmic == {"rate"}


def test_a_running_trial_is_told_as_such(tmp_path: Path) -> None:
    tuner = random_search(tmp_path, 3)
    tuner.oracle.create_trial("tuner0")
    report = search_report(tuner)
    assert [trial.status for trial in report.trials] == ["running"]
    assert report.notes[0] == "1 of 1 trials running or cut off."
    with pytest.raises(ValueError, match="`best` must be a trial that completed"):
        report.best_recipe()
    with pytest.raises(ValueError, match="Received: 1 trials, running"):
        report.plot()


def test_a_search_can_be_read_while_it_runs(tmp_path: Path) -> None:
    seen = []

    def score(hp: Any) -> float:
        seen.append([trial.status for trial in search_report(tuner).trials])
        return hp.Float("rate", 0.1, 1.0)

    tuner = random_search(tmp_path, 3, score=score)
    tuner.search(verbose=0)
    assert seen[-1] == ["completed", "completed", "running"]


def test_a_search_without_results_has_a_page_with_its_trials(tmp_path: Path) -> None:
    tuner = random_search(tmp_path, 3)
    tuner.oracle.create_trial("tuner0")
    path = search_report(tuner).save(tmp_path / "page.html")
    page = PageReader(path.read_text("utf-8"))
    assert "running" in page.texts and "The best as code" not in page.texts


def test_a_trial_to_be_tried_again_is_told_as_such(tmp_path: Path) -> None:
    tuner = random_search(tmp_path, 1, max_retries_per_trial=1)
    trial = tuner.oracle.create_trial("tuner0")
    trial.status = "INVALID"
    tuner.oracle.end_trial(trial)
    assert search_report(tuner).trials[0].status == "invalid"


def test_one_trial_is_enough_for_everything(tmp_path: Path) -> None:
    tuner = random_search(tmp_path, 1)
    tuner.search(verbose=0)
    report = search_report(tuner)
    assert report.importance == ()
    assert "too few to tell which" in report.notes[-1]
    assert len(charts_of(report.save("page.html").read_text("utf-8"))) == 2
    assert report.plot() is not None


def test_before_the_first_trial_the_error_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Call its `search` first"):
        search_report(random_search(tmp_path))


def test_a_worker_is_told_to_ask_the_chief() -> None:
    with pytest.raises(ValueError, match="ask on the chief"):
        search_report(SimpleNamespace(oracle=object()))


def test_what_is_no_tuner_is_refused() -> None:
    with pytest.raises(TypeError, match="`search` must be a tuner of KerasTuner"):
        search_report(3)


def test_a_folder_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="`search` must be a tuner or the folder"):
        search_report("nowhere")


def test_a_folder_without_trials_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`search` must be one that has at least one"):
        search_report(tmp_path)


def test_files_that_do_not_tell_the_objective_need_the_tuner(searched: Any) -> None:
    with pytest.raises(ValueError, match="do not tell what the search looks for"):
        search_report(searched.project_dir)


# Hyperband


@pytest.fixture(scope="module")
def halved(tmp_path_factory: pytest.TempPathFactory) -> SearchReport:
    tuner = hyperband(tmp_path_factory.mktemp("halved"))
    tuner.search(verbose=0)
    return search_report(tuner)


def test_every_round_of_hyperband_stands_with_what_it_goes_on_from(
    halved: SearchReport,
) -> None:
    by_id = {trial.trial_id: trial for trial in halved.trials}
    promoted = [trial for trial in halved.trials if trial.parent]
    assert promoted
    for trial in promoted:
        before = by_id[trial.parent]
        assert trial.rung == (before.rung[0], before.rung[1] + 1)
        assert trial.values == before.values
        assert trial.epochs > before.epochs
    assert "bracket.round" in halved.table().splitlines()[0]


def test_a_configuration_is_compared_once_in_its_last_round(
    halved: SearchReport,
) -> None:
    compared = halved.configurations
    first = [trial for trial in halved.trials if trial.rung[1] == 0]
    assert len(compared) == len(first)
    followed = {trial.parent for trial in halved.trials}
    assert not followed & {trial.trial_id for trial in compared}


def test_scores_of_different_epochs_do_not_hide_what_matters(
    halved: SearchReport,
) -> None:
    (found,) = halved.importance
    assert found.name == "units" and found.is_clear and found.share > 0.7
    assert "different rungs" in halved.notes[-1]


# What is recorded beside KerasTuner


@pytest.fixture
def recorded(tmp_path: Path) -> SearchReport:
    tuner = random_search(tmp_path, 3, score=lambda hp: hp.Float("rate", 0.1, 1.0))
    tuner.search(verbose=0)
    for number in range(3):
        record = SearchedTrial(
            str(number),
            status="stopped" if number == 1 else "completed",
            finding="no learning" if number == 1 else "",
            started=1000.0 + 10 * number,
            seconds=5.0,
            epochs=4,
            peak_memory=100 * 2**20,
        )
        folder = Path(tuner.get_trial_dir(str(number)))
        write_record(folder, record)
    return search_report(tuner)


def test_time_memory_epochs_and_findings_come_from_the_records(
    recorded: SearchReport,
) -> None:
    trial = recorded.trials[1]
    assert (trial.status, trial.finding, trial.epochs) == ("stopped", "no learning", 4)
    assert (trial.seconds, trial.peak_memory) == (5.0, 100 * 2**20)
    head = recorded.table().splitlines()[0]
    assert "seconds" in head and "memory (MiB)" in head and "finding" in head


def test_progress_by_time_begins_with_the_first_trial(recorded: SearchReport) -> None:
    assert [end for end, _ in recorded.ends] == [5.0, 15.0, 25.0]
    page = recorded.save("page.html").read_text("utf-8")
    assert "Best so far, by time" in PageReader(page).texts


def test_without_records_there_is_progress_by_trial_only(searched: Any) -> None:
    report = search_report(searched)
    assert report.ends == []
    page = PageReader(report.save("page.html").read_text("utf-8"))
    assert "Best so far, by trial" in page.texts
    assert "Best so far, by time" not in page.texts


# Charts and the page


def test_the_figure_has_every_chart_and_goes_to_a_file(searched: Any) -> None:
    figure = search_report(searched).plot("search.png")
    assert len(figure.axes) == 3
    assert Path("search.png").stat().st_size > 10_000


def test_more_hyperparameters_than_fit_are_cut_to_the_most_important() -> None:
    trials = [
        SearchedTrial(
            f"{i}",
            i + 1,
            "completed",
            {f"h{j}": (i * (j % 6 + 1) + j) % 7 for j in range(30)},
            score=float((i * 17) % 7),
        )
        for i in range(14)
    ]
    report = SearchReport(tuple(trials), "score", True)
    assert len(report.varied) == 30
    labels = [
        [text.get_text() for text in ax.get_xticklabels()] for ax in report.plot().axes
    ]
    assert any(len(names) == 11 and names[-1] == "score" for names in labels)


def test_a_page_shows_trials_code_and_what_mattered(searched: Any) -> None:
    report = search_report(searched)
    path = report.save("page.html", title="Rates & <units>")
    page = PageReader(path.read_text("utf-8"))
    assert page.left_open == []
    assert len(page.values("id")) == len(set(page.values("id")))
    assert "Rates & <units>" in page.texts
    assert report.best_recipe() in page.texts
    assert {"What mattered", "All trials", "rate", "failed"} <= set(page.texts)
    assert len(charts_of(path.read_text("utf-8"))) == 3


def test_a_page_is_not_written_over_a_folder(searched: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="SearchReport.save: `path` must be the path"):
        search_report(searched).save(tmp_path)


def test_without_matplotlib_there_is_still_the_table(
    searched: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = search_report(searched)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert "rate" in report.table()
    for draw in (report.plot, lambda: report.save("page.html")):
        with pytest.raises(ImportError, match=r"keras-deeptools\[plot\]"):
            draw()
    assert not Path("page.html").exists()


def test_long_names_are_cut_to_the_parts_that_tell_them_apart() -> None:
    known = {"adamw/rate", "sgd/rate", "one_cycle", "one_cycle/warmup"}
    short = [short_name(name, known) for name in sorted(known)]
    assert short == ["adamw/rate", "one_cycle", "warmup", "sgd/rate"]


def test_a_wide_table_goes_on_below_with_the_trials_repeated() -> None:
    titles = ["trial", *(f"hyperparameter_{n:02}" for n in range(8))]
    lines = aligned(titles, [[str(n) for n in range(9)]]).splitlines()
    assert max(map(len, lines)) <= 100
    assert [line.split()[0] for line in lines if line] == ["trial", "0"] * 2
