"""Self-normalizing nets on small tables, after Klambauer et al., 2017, section 4.

Multilayer perceptrons of 2, 8, 16 and 32 hidden layers learn four tables that
scikit-learn brings along. A seed draws the split (60% to train on, 20% to choose by,
20% to test on), the weights and the order of the batches, the same for all methods.
All are trained by SGD with momentum 0.9 for the same number of updates; the rate is
the one of a grid with the best validation score (lower validation loss where two are
equal), for each table, method, depth and seed. Momentum makes the steps of a rate ten
times as long: the grid is that of 0.01, 0.1 and 1 without.

The methods are in `tabular_nets.py`. The score is the accuracy; for diabetes, a
regression, it is R squared, 0 if less. Inputs and the target of diabetes are
standardized by the training rows. Methods are ranked in each table and seed: 1 is
best, equal ones share their ranks.

    KERAS_BACKEND=jax python benchmarks/self_normalizing_tabular.py

With `--results`, what the file holds is left out; `--table FILE` only prints it, and
`--picture` draws it.
"""

import argparse
import json
import time
from itertools import product
from pathlib import Path
from typing import Any

import keras
import numpy as np
from compiled_training import compiled, drawn_batches, judged
from markdown_table import mean_and_error, print_table, standard_error
from matplotlib.figure import Figure
from scipy.stats import rankdata
from sklearn import datasets
from tabular_nets import METHODS, net

TABLES = {
    "digits": datasets.load_digits,
    "breast cancer": datasets.load_breast_cancer,
    "wine": datasets.load_wine,
    "diabetes": datasets.load_diabetes,
}
UPDATES = {"digits": 500, "breast cancer": 250, "wine": 250, "diabetes": 250}
DEPTHS, BATCH = (2, 8, 16, 32), 32
RATES, MOMENTUM = (1e-3, 1e-2, 1e-1), 0.9


def parts(table: str, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows to train on, to choose by and to test on."""
    x, y = TABLES[table](return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(x))
    rows = np.split(order, [int(0.6 * len(x)), int(0.8 * len(x))])
    x = standardized(x, rows[0])
    if table == "diabetes":
        y = standardized(y, rows[0])
    return [(x[each], y[each]) for each in rows]


def standardized(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Columns less the mean of `rows`, over their deviation; constant ones are 0."""
    mean, std = values[rows].mean(axis=0), values[rows].std(axis=0)
    return ((values - mean) / np.where(std > 0, std, 1)).astype("float32")


def cell(table: str, method: str, depth: int, seeds: int, updates: int) -> dict:
    """Trains one net from all seeds, at all rates.

    Returns:
        Dict with `validation`, `loss` (of validation) and `test`, each a list over
        seeds of lists over rates.
    """
    num_classes = 1 if table == "diabetes" else len(np.unique(parts(table, 0)[0][1]))
    is_classes = num_classes > 1
    loss = "sparse_categorical_crossentropy" if is_classes else "mean_squared_error"
    found: dict[str, Any] = {name: [] for name in ("validation", "loss", "test")}
    train = None
    for seed in range(seeds):
        (x, y), validation, test = parts(table, seed)
        y = y if is_classes else y[:, None]
        held = np.concatenate([validation[0], test[0]])
        batches = drawn_batches(seed, len(x), updates, BATCH)
        keras.utils.set_random_seed(seed)
        model = net(method, depth, x.shape[1], num_classes)
        train = train or compiled(model, getattr(keras.losses, loss), MOMENTUM)
        weights = [variable.value for variable in model.trainable_variables]
        others = [variable.value for variable in model.non_trainable_variables]
        runs = []
        for rate in RATES:
            outputs = np.asarray(train(weights, others, rate, x, y, batches, held))
            chosen_by = judged(outputs[: len(validation[0])], validation[1])
            result = judged(outputs[len(validation[0]) :], test[1])[0]
            runs.append((*chosen_by, result))
        for values, name in zip(zip(*runs, strict=True), found, strict=True):
            found[name].append([round(float(value), 4) for value in values])
    return found


def chosen(cells: list[dict]) -> np.ndarray:
    """Test score of each seed, of the best by validation among all rates and cells."""
    score, loss, test = (
        np.concatenate([one[name] for one in cells], axis=1)
        for name in ("validation", "loss", "test")
    )
    best = [np.lexsort((row[1], -row[0]))[0] for row in zip(score, loss, strict=True)]
    return test[np.arange(len(test)), best]


def scores(cells: list[dict]) -> dict[tuple[str, int | str, str], np.ndarray]:
    """Test scores over seeds by table, depth (or "chosen") and method."""
    found: dict[tuple[str, int | str, str], np.ndarray] = {}
    for table, method in product(TABLES, METHODS):
        mine = [
            one for one in cells if (one["table"], one["method"]) == (table, method)
        ]
        for one in mine:
            found[table, one["depth"], method] = chosen([one])
        if len(mine) == len(DEPTHS):
            found[table, "chosen", method] = chosen(mine)
    return found


def print_tables(found: dict) -> None:
    """Scores for each table of data, then the average ranks."""
    columns = [*DEPTHS, "chosen"]
    tables = list(dict.fromkeys(key[0] for key in found))
    everywhere = [
        method
        for method in METHODS
        if all((table, "chosen", method) in found for table in tables)
    ]
    for table in tables:
        rows = {}
        for method in METHODS:
            keys = [(table, depth, method) for depth in columns]
            rows[method] = [mean_and_error(found[k]) for k in keys if k in found]
        print_table(table, columns, rows)
    rows = {method: [] for method in everywhere}
    for depth in columns if everywhere else []:
        values = [[found[t, depth, method] for t in tables] for method in everywhere]
        places = rankdata(-np.array(values), axis=0).mean(axis=1)
        for method, row in zip(everywhere, places, strict=True):
            rows[method].append(mean_and_error(row, 2))
    print_table(f"average rank of {len(everywhere)}", columns, rows)


def draw(found: dict, path: Path) -> None:
    """Score against depth, a panel for each table of data."""
    tables = list(dict.fromkeys(key[0] for key in found))
    columns, lines = min(2, len(tables)), -(-len(tables) // 2)
    figure = Figure((4.5 * columns + 1, 3.2 * lines), layout="constrained")
    for place, table in enumerate(tables):
        ax = figure.add_subplot(lines, columns, place + 1)
        for method in METHODS:
            depths = [d for d in DEPTHS if (table, d, method) in found]
            if not depths:
                continue
            rows = [found[table, depth, method] for depth in depths]
            errors = [standard_error(row) for row in rows]
            style = {"lw": 2.2} if "SELU" in method else {"ls": "--"}
            means = [np.mean(row) for row in rows]
            ax.errorbar(depths, means, errors, marker="o", label=method, **style)
        ax.set_xscale("log", base=2)
        ax.set_xticks(DEPTHS, [str(depth) for depth in DEPTHS])
        label = "R squared, %" if table == "diabetes" else "accuracy, %"
        ax.set(title=table, xlabel="hidden layers", ylabel=label)
    figure.axes[0].legend(fontsize=8)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Train what is asked for and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--updates", type=int, help="of all tables, not as in UPDATES")
    parser.add_argument("--results", type=Path, help="file to add results to")
    parser.add_argument("--table", type=Path, help="file to print only")
    parser.add_argument("--picture", type=Path, help="where to draw the scores")
    options = parser.parse_args()
    path = options.table or options.results
    cells = json.loads(path.read_text("utf-8")) if path and path.exists() else []
    done = {(one["table"], one["method"], one["depth"]) for one in cells}
    wanted = [] if options.table else product(options.tables, options.methods, DEPTHS)
    for table, method, depth in wanted:
        if (table, method, depth) in done:
            continue
        start = time.process_time()
        updates = options.updates or UPDATES[table]
        result = cell(table, method, depth, options.seeds, updates)
        seconds = round(time.process_time() - start, 1)
        one = {"table": table, "method": method, "depth": depth, "seconds": seconds}
        cells.append(one | {"backend": keras.backend.backend()} | result)
        print(one, mean_and_error(chosen([cells[-1]])), flush=True)
        if options.results:
            lines = ",\n".join(json.dumps(each) for each in cells)
            options.results.write_text(f"[\n{lines}\n]\n", "utf-8")
    found = scores(cells)
    print_tables(found)
    if options.picture:
        draw(found, options.picture)


if __name__ == "__main__":
    main()
