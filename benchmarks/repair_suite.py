"""What `repair` brings to programs with an injected fault, beside their healthy twins.

    KERAS_BACKEND=torch python benchmarks/repair_suite.py --part tuning --without-images

Each faulty program is trained as it is, beside its healthy twin; only faults that cost
ten points of accuracy, or a tenth of the variance, count. `repair` may train a copy for
as many updates as the program does, scores on the program's validation data as `fit`
would, and the time that it takes, diagnosis included, is told over twice the time of
that training (of the twin's, where the faulty one cannot be trained). Where the fault
lies in the data the answer that no change of the model can fix it counts. Measure times
on an idle machine. Results that `--output` names already are kept, so that a run can go
on where it was stopped; `--sample` draws programs at random.
"""

import argparse
import json
import random
import statistics
import time
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from fault_kinds import FAULTS, Fault
from fault_programs import Program
from fault_suite import LEAST_HARM, PARTS, _data, _model, cases
from markdown_table import print_table

from keras_deeptools.diagnosis import repair

WITHIN = 0.02
"""So near to the twin a repaired program must come."""

IN_THE_DATA = {"labels shuffled", "inputs are noise", "validation data unscaled"}
"""Faults that only an answer can do something about."""


def clocks() -> np.ndarray:
    """Seconds on the wall, and of all processors."""
    return np.array([time.perf_counter(), time.process_time()])


def score(program: Program, model: Any, x: Any, y: Any, num_classes: int) -> float:
    """Accuracy, or the part of the variance that is explained.

    Args:
        program: The healthy one, for its task.
        model: Trained `keras.Model`.
        x: Inputs as the model gets them.
        y: Targets, quantities or numbers of classes from 0.
        num_classes: Int, how many the training labels have.
    """
    try:
        out = np.asarray(model.predict(x, verbose=0, batch_size=256), "float64")
    except Exception as error:
        print("    prediction fails:", str(error).splitlines()[0][:100])
        return 0.0
    if not np.isfinite(out).all():
        return 0.0 if program.task in ("classes", "binary") else -1.0
    if program.task in ("quantities", "images"):
        wanted = np.asarray(y).reshape(len(y), -1)
        return float(
            1 - np.square(out.reshape(wanted.shape) - wanted).mean() / wanted.var()
        )
    if out.shape[-1] > 1:
        return float((out.argmax(axis=-1) == y).mean())
    limit = 0.0 if out.min() < 0 else 0.5
    if num_classes == 2:
        return float(((out.reshape(-1) > limit).astype(int) == y).mean())
    return float((np.round(out.reshape(-1)) == y).mean())


def trained(program: Program) -> tuple[Any, np.ndarray | None]:
    """The program's model after its training, and the seconds; None where it fails."""
    x, y, _, _ = _data(program)
    model = _model(program)
    start = clocks()
    try:
        model.fit(
            x,
            y,
            batch_size=program.batch_size,
            epochs=program.epochs,
            shuffle=program.shuffle,
            verbose=0,
        )
    except Exception as error:
        print("    training fails:", str(error).splitlines()[0][:100])
        return model, None
    return model, clocks() - start


def numbered(program: Program, y: Any, y_val: Any) -> tuple[np.ndarray, int]:
    """Validation targets, classes from 0 however they are told; and how many there are.

    Args:
        program: For its task.
        y: Training targets.
        y_val: Validation targets.
    """
    if program.task not in ("classes", "binary"):
        return y_val, 0
    if np.ndim(y) == 2:
        return np.argmax(y_val, axis=-1), y.shape[-1]
    classes = np.unique(y)
    return np.searchsorted(classes, y_val), len(classes)


@cache
def twin_of(base: Program) -> tuple[float, np.ndarray | None]:
    """The score of a healthy program, and the seconds that it trains for."""
    _, y, x_val, y_val = base.arrays()
    wanted, num_classes = numbered(base, y, y_val)
    model, seconds = trained(base)
    return score(base, model, x_val, wanted, num_classes), seconds


def examine(fault: Fault, base: Program) -> dict[str, Any]:
    """Scores and times of one faulty program; nothing is repaired that does no harm."""
    program = fault.inject(base)
    if program is None:
        raise ValueError(f"{fault.name} makes no sense for {base.name}")
    x, y, x_val, y_val = _data(program)
    wanted, num_classes = numbered(base, y, y_val)
    twin, usual = twin_of(base)
    faulty, training = trained(program)
    before = score(base, faulty, x_val, wanted, num_classes)
    found: dict[str, Any] = {
        "fault": fault.name,
        "program": base.name,
        "seed": base.seed,
        "twin": twin,
        "faulty": before,
    }
    if not counts(found):
        return found
    start = clocks()
    result = repair(
        _model(program),
        x,
        y,
        validation_data=(x_val, y_val),
        batch_size=program.batch_size,
        epochs=program.epochs,
        shuffle=program.shuffle,
        budget=program.epochs * -(-len(x) // program.batch_size),
    )
    ratio = (clocks() - start) / (2 * (usual if training is None else training))
    after = before
    if result.model is not None:
        after = score(base, result.model, x_val, wanted, num_classes)
    return found | {
        "repaired": after,
        "wall": float(ratio[0]),
        "cpu": float(ratio[1]),
        "kept": [each.finding.kind for each in result.steps if each.kept],
        "tried": [each.finding.kind for each in result.steps],
        "differences": list(result.differences),
        "advice": list(result.advice),
    }


def counts(result: dict[str, Any]) -> bool:
    """Whether a fault does harm, or lies in the data."""
    harm = result["twin"] - result["faulty"]
    return harm >= LEAST_HARM or result["fault"] in IN_THE_DATA


def is_repaired(result: dict[str, Any]) -> bool:
    """Whether a program is near its twin, or told that its data are at fault."""
    if result["fault"] in IN_THE_DATA:
        return any("No change of the model" in text for text in result["advice"])
    return bool(result["repaired"] >= result["twin"] - WITHIN)


def line_of(result: dict[str, Any]) -> str:
    """One program."""
    name = f"{result['fault']:<36} {result['program']:<20} {result['seed']:>2}"
    start = f"{name} twin {result['twin']:5.2f} faulty {result['faulty']:6.2f}"
    if not counts(result):
        return f"     {start}"
    mark = "ok  " if is_repaired(result) else "MISS"
    kinds = " | ".join(result["kept"]) or f"({' | '.join(result['tried'])})"
    if result["fault"] in IN_THE_DATA:
        kinds = f"{kinds} [{len(result['advice'])} answers]"
    return (
        f"{mark} {start} repaired {result['repaired']:6.2f} wall {result['wall']:5.2f} "
        f"cpu {result['cpu']:5.2f}  {kinds}"
    )


def summary(results: list[dict[str, Any]]) -> str:
    """The share of repaired programs, and the median of the times."""
    harmed = [each for each in results if counts(each)]
    if not harmed:
        return "No fault did harm."
    near = sum(map(is_repaired, harmed))
    walls = [each["wall"] for each in harmed]
    cpus = [each["cpu"] for each in harmed]
    lines = [
        f"{len(harmed)} faulty programs: {near} ({near / len(harmed):.0%}) within "
        f"{WITHIN:.2f} of their twins, or told that their data are at fault; time over "
        f"that of training twice: median {statistics.median(walls):.2f} (wall), "
        f"{statistics.median(cpus):.2f} (processors); at most 1.3 in "
        f"{np.mean(np.array(walls) <= 1.3):.0%} (wall), "
        f"{np.mean(np.array(cpus) <= 1.3):.0%} (processors)"
    ]
    for fault in FAULTS:
        own = [each for each in harmed if each["fault"] == fault.name]
        if own:
            count = sum(map(is_repaired, own))
            ratio = statistics.median(each["wall"] for each in own)
            lines.append(f"    {fault.name:<40} {count}/{len(own)}  {ratio:5.2f}")
    return "\n".join(lines)


def print_tables(paths: list[str]) -> None:
    """What was repaired of each fault, and what was not by name, in Markdown."""
    results = [each for path in paths for each in json.loads(Path(path).read_text())]
    harmed = [each for each in results if counts(each)]
    rows = {}
    for name in dict.fromkeys(fault.name for fault in FAULTS):
        own = [each for each in harmed if each["fault"] == name]
        missed = [
            f"{each['program']} {each['seed']} ({each['repaired']:.2f} for "
            f"{each['twin']:.2f})"
            for each in own
            if not is_repaired(each)
        ]
        if own:
            time = f"{statistics.median(each['cpu'] for each in own):.2f}"
            count = str(sum(map(is_repaired, own)))
            rows[name] = [str(len(own)), count, time, ", ".join(missed)]
    print_table("fault", ["runs", "repaired", "time", "not repaired"], rows)
    print(summary(results))


def main() -> None:
    """Runs a part and prints a line for each program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", nargs="+", help="files of results to tabulate")
    parser.add_argument("--part", default="tuning", choices=list(PARTS))
    parser.add_argument("--without-images", action="store_true")
    parser.add_argument(
        "--only", nargs="+", default=[""], help="faults whose name contains one of them"
    )
    parser.add_argument("--seed", type=int, help="one of the two of the part")
    parser.add_argument("--programs", default="", help="whose name contains this")
    parser.add_argument("--sample", type=int, help="so many, drawn at random")
    parser.add_argument("--output", default="", help="file for all results as JSON")
    parser.add_argument("--details", action="store_true", help="print the differences")
    options = parser.parse_args()
    if options.tables:
        print_tables(options.tables)
        return
    warnings.simplefilter("ignore")
    kept = Path(options.output) if options.output else None
    results: list[dict[str, Any]] = []
    if kept and kept.exists():
        results = json.loads(kept.read_text())
    done = {(each["fault"], each["program"], each["seed"]) for each in results}
    chosen = [
        (fault, base)
        for fault, base in cases(options.part, options.without_images, "")
        if fault is not None
        and options.programs in base.name
        and any(name in fault.name for name in options.only)
        and options.seed in (None, base.seed)
    ]
    if options.sample is not None:
        random.Random(0).shuffle(chosen)
        chosen = chosen[: options.sample]
    for fault, base in chosen:
        if (fault.name, base.name, base.seed) in done:
            continue
        results.append(examine(fault, base))
        print(line_of(results[-1]), flush=True)
        if options.details:
            for text in results[-1].get("differences", ()):
                print(f"        {text}")
        if kept:
            kept.write_text(json.dumps(results, indent=1))
    print(summary(results))


if __name__ == "__main__":
    main()
