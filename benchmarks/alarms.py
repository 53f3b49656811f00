"""What `audit`, `signal_propagation` and `GradientMonitor` say of healthy models.

    KERAS_BACKEND=torch python benchmarks/alarms.py

Each model is looked at untrained, and again after two short epochs; an alarm is a
finding of severity "problem" or "warning". Faulty models must be found by the tools
that `faulty_cases.py` names. `--programs` takes the healthy programs of the fault
suite.
"""

import argparse
import warnings
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from faulty_cases import FAULTY
from healthy_cases import HEALTHY
from healthy_models import Case

from keras_deeptools.callbacks import GradientMonitor
from keras_deeptools.diagnosis import audit, signal_propagation

TOOLS = ("audit", "signals", "gradients")
BATCH = 16
ROWS = 64


def some(data: Any) -> Any:
    """The first samples."""
    return keras.tree.map_structure(lambda v: np.asarray(v)[:ROWS], data)


def alarms(findings: Any) -> list[Any]:
    """Those that are more than a note."""
    return [each for each in findings if each.severity != "note"]


def examined(case: Case) -> Iterator[tuple[str, str, Any]]:
    """Tool, time and finding for each alarm."""
    x, y = case.data()
    model = case.compiled()
    loss = None
    for time in ("untrained", "trained"):
        if time == "trained":
            monitor = GradientMonitor(on_problem="ignore")
            try:
                model.fit(
                    x,
                    y,
                    batch_size=BATCH,
                    epochs=case.epochs,
                    verbose=0,
                    callbacks=[monitor],
                )
            except Exception as error:
                found = getattr(error, "findings", ())
                yield from (("gradients", "fit", each) for each in found)
                print(f"    {case.name}: {type(error).__name__}: {str(error)[:200]}")
            yield from (("gradients", "fit", each) for each in alarms(monitor.findings))
        result = signal_propagation(model, *some((x, y)), loss)
        yield from (("signals", time, each) for each in alarms(result.findings))
        yield from (("audit", time, each) for each in alarms(audit(model).findings))


def is_named(kinds: str, found: list[Any]) -> bool:
    """Whether one of the findings begins as one of the kinds does."""
    return any(
        each.kind.startswith(kind) for each in found for kind in kinds.split(",")
    )


def of_programs() -> "list[Case | Program]":
    """The healthy programs of the fault suite, but for those that need a download."""
    from fault_programs import healthy

    return [
        Program(each) for each in healthy() if each.data not in ("mnist", "fashion")
    ]


class Program:
    """A program of the fault suite as a case."""

    def __init__(self, program: Any) -> None:
        self.name, self.epochs, self.named_by = program.name, program.epochs, ()
        self.data = lambda: program.arrays()[:2]
        self.compiled = program.model


def main() -> None:
    """Prints alarms of healthy models, and faulty models that are not found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    healthy = of_programs() if options.programs else HEALTHY
    count: dict[tuple[str, str], set[str]] = {}
    for case in healthy:
        if options.only not in case.name:
            continue
        for tool, time, finding in examined(case):
            count.setdefault((tool, finding.severity), set()).add(case.name)
            count.setdefault(("any", finding.severity), set()).add(case.name)
            print(f"{case.name} | {time} | {tool} | {finding.severity} | {finding}")
    print(f"\n{len(healthy)} healthy models. With an alarm:")
    for (tool, severity), names in sorted(count.items()):
        print(f"  {tool:<10} {severity:<8} {len(names):>3}  {', '.join(sorted(names))}")
    if options.programs:
        return
    missed, wanted = [], 0
    for case in FAULTY:
        if options.only not in case.name:
            continue
        found = list(examined(case))
        for tool, kinds in case.named_by:
            wanted += 1
            of_tool = [each for name, _, each in found if name == tool]
            if not is_named(kinds, of_tool):
                said = sorted({each.kind for each in of_tool})
                missed.append(f"{case.name}: {tool} says {said}, not {kinds}")
            elif options.verbose:
                said = [f"{each.kind} ({each.severity})" for each in of_tool]
                print(f"{case.name} | {tool} | {', '.join(said)}")
    print(f"\n{len(FAULTY)} faulty models, {wanted} to be found, not found:")
    print("\n".join(f"  {each}" for each in missed) or "  none")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
