"""What `diagnose` says about programs with an injected fault, and about healthy ones.

    KERAS_BACKEND=torch python benchmarks/fault_suite.py --part tuning

Each faulty program is trained beside its healthy twin first; only faults that cost ten
points of accuracy, or a tenth of the variance, count. MNIST and Fashion-MNIST are read
from Keras' cache; without them `--without-images` leaves their programs out.
"""

import argparse
import importlib
import json
import time
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
from fault_kinds import FAULTS, Fault
from fault_other_programs import others
from fault_programs import METRICS, Program, healthy

from keras_deeptools.diagnosis import diagnose

LEAST_HARM = 0.1
PARTS = {"tuning": (0, 1), "held-out": (10, 11)}
"""Seeds of the two parts; the second is looked at once."""


def score(program: Program) -> float:
    """Accuracy, or the part of the variance that is explained, on validation data."""
    x, y, x_val, y_val = _data(program)
    model = _model(program)
    try:
        model.fit(
            x,
            y,
            batch_size=program.batch_size,
            epochs=program.epochs,
            shuffle=program.shuffle,
            verbose=0,
        )
        out = np.asarray(model.predict(x_val, verbose=0, batch_size=256))
    except Exception as error:
        print("    training fails:", str(error).splitlines()[0][:100])
        return 0.0
    if program.task in ("quantities", "images"):
        wanted = np.asarray(y_val).reshape(len(y_val), -1)
        error = np.square(out.reshape(wanted.shape) - wanted).mean()
        return float(np.nan_to_num(1 - error / wanted.var(), nan=-1.0))
    if program.task == "binary":
        found = (out.reshape(-1) > 0.5) if out.shape[-1] == 1 else out.argmax(-1)
        return float((found.astype(int) == np.asarray(y_val).reshape(-1)).mean())
    if np.ndim(y_val) == 2:
        y_val = np.argmax(y_val, axis=-1)
    if out.shape[-1] == 1:
        return float((np.round(out.reshape(-1)) == y_val).mean())
    if not np.isfinite(out).all():
        return 0.0
    return float((out.argmax(-1) == y_val).mean())


def _data(program: Program) -> tuple[np.ndarray, ...]:
    x, y, x_val, y_val = program.arrays()
    return x, y, x_val * np.float32(program.extra.get("validation_scale", 1.0)), y_val


def _model(program: Program) -> keras.Model:
    model = program.model()
    if program.extra.get("frozen"):
        for layer in [each for each in model.layers if each.weights][:-1]:
            layer.trainable = False
        if not model.built:
            return model
        model.compile(
            type(model.optimizer).from_config(model.optimizer.get_config()),
            program.loss or model.loss,
            metrics=list(program.metrics or METRICS[program.task]),
        )
    return model


def examine(program: Program) -> dict[str, Any]:
    """What is said of one program, and in how many seconds."""
    x, y, x_val, y_val = _data(program)
    model = _model(program)
    start = time.perf_counter()
    result = diagnose(
        model,
        x,
        y,
        validation_data=(x_val, y_val),
        batch_size=program.batch_size,
        epochs=program.epochs,
        shuffle=program.shuffle,
    )
    causes = [each for each in result.findings if not each.caused_by]
    return {
        "program": program.name,
        "seed": program.seed,
        "learning": result.learning,
        "seconds": time.perf_counter() - start,
        "problems": [each.kind for each in causes if each.severity == "problem"],
        "kinds": [each.kind for each in causes if each.severity != "note"],
        "folded": [each.kind for each in result.findings if each.caused_by],
        "findings": [
            (each.kind, each.severity, each.confidence, bool(each.caused_by))
            for each in result.findings
        ],
        "gaps": list(result.not_seen),
    }


def cases(
    part: str, without_images: bool, only: str
) -> list[tuple[Fault | None, Program]]:
    """Healthy programs, and faults spread over them."""
    found: list[tuple[Fault | None, Program]] = []
    for seed in PARTS[part]:
        sound = healthy() if part == "tuning" else others()
        if part != "tuning" and seed == PARTS[part][0]:
            sound += healthy()
        programs = [each.but(seed=seed) for each in sound]
        if without_images:
            programs = [p for p in programs if p.data not in ("mnist", "fashion")]
        found += [(None, program) for program in programs]
        for number, fault in enumerate(FAULTS):
            fitting = [p for p in programs if fault.inject(p) is not None]
            # Three programs a fault and seed, others from fault to fault.
            for step in range(min(3, len(fitting))):
                base = fitting[(number + seed * 7 + step * 5) % len(fitting)]
                found.append((fault, base))
    if only:
        found = [c for c in found if c[0] is not None and only in c[0].name]
    unique = {(f.name if f else "", p.name, p.seed): (f, p) for f, p in found}
    return list(unique.values())


def main() -> None:
    """Runs a part and prints a line for each program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", default="tuning", choices=list(PARTS))
    parser.add_argument("--without-images", action="store_true")
    parser.add_argument("--scores", default="", help="file that keeps trained scores")
    parser.add_argument("--output", default="", help="file for all results as JSON")
    parser.add_argument(
        "--stated", action="store_true", help="confidences as rules state them"
    )
    parser.add_argument("--only", default="", help="faults whose name contains this")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.stated:
        importlib.import_module(diagnose.__module__).calibrated = list
    kept = Path(options.scores) if options.scores else None
    scores = json.loads(kept.read_text()) if kept and kept.exists() else {}
    results = []
    for fault, base in cases(options.part, options.without_images, options.only):
        program = base if fault is None else fault.inject(base)
        for each, name in ((base, ""), (program, fault.name if fault else "")):
            key = f"{name}|{each.name}|{each.seed}"
            if key not in scores:
                scores[key] = score(each)
                if kept:
                    kept.write_text(json.dumps(scores, indent=0))
        name = fault.name if fault else "healthy"
        harm = (
            scores[f"|{base.name}|{base.seed}"]
            - scores[f"{fault.name if fault else ''}|{base.name}|{base.seed}"]
        )
        result = examine(program)
        result |= {
            "fault": name,
            "harm": harm,
            "named_by": sorted(fault.named_by) if fault else [],
        }
        results.append(result)
        if options.output:
            Path(options.output).write_text(json.dumps(results, indent=1))
        print(line_of(result, fault), flush=True)
    print(summary(results))


def line_of(result: dict[str, Any], fault: Fault | None) -> str:
    """How one program went: `1st`, `2-3`, `MISS`; `!!!!` for a false alarm."""
    mark = "    "
    if fault is None:
        mark = "!!!!" if result["problems"] else "ok  "
    elif result["harm"] >= LEAST_HARM:
        place = _place(result)
        mark = {0: "1st ", 1: "2-3 ", 2: "2-3 "}.get(place, "MISS")
        if place == 99 and set(result["folded"]) & fault.named_by:
            mark = "FOLD"
    return (
        f"{mark} {result['fault']:<36} {result['program']:<20} {result['seed']:>2} "
        f"harm {result['harm']:5.2f} {result['learning']:<9} "
        f"{result['seconds']:5.1f}s  {' | '.join(result['kinds'])}"
    )


def _place(result: dict[str, Any]) -> int:
    for place, kind in enumerate(result["kinds"]):
        if kind in result["named_by"]:
            return place
    return 99


def summary(results: list[dict[str, Any]]) -> str:
    """The counts."""
    sound = [each for each in results if each["fault"] == "healthy"]
    faulty = [
        each
        for each in results
        if each["fault"] != "healthy" and each["harm"] >= LEAST_HARM
    ]
    first = sum(_place(each) == 0 for each in faulty)
    three = sum(_place(each) < 3 for each in faulty)
    alarms = sum(bool(each["problems"]) for each in sound)
    count = max(len(faulty), 1)
    return (
        f"{len(faulty)} faulty: first {first} ({first / count:.0%}), among three "
        f"{three} ({three / count:.0%}); {len(sound)} healthy: {alarms} alarms "
        f"({alarms / max(len(sound), 1):.0%})"
    )


if __name__ == "__main__":
    main()
