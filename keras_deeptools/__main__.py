"""The command line: `python -m keras_deeptools demo`, `... diagnose`, `... tune`."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from keras_deeptools._backend_check import (
    BACKENDS,
    VARIABLE,
    installed_backends,
    missing_backend,
)

BAD_ARGUMENTS = 2
"""Exit code of a command that cannot do what it is asked to, as in argparse itself."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit code."""
    options = _parser().parse_args(arguments)
    return options.run(options)


def _demo(options: argparse.Namespace) -> int:
    chosen = _checked_backend(options.backend)
    os.environ[VARIABLE] = chosen or installed_backends()[0]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from keras_deeptools.demo import run_demo

    return 0 if run_demo(options.output, options.seed) else 1


def _diagnose(options: argparse.Namespace) -> int:
    chosen = _checked_backend(options.backend, BAD_ARGUMENTS)
    os.environ[VARIABLE] = chosen or installed_backends()[0]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # The model may contain layers of these modules.
    import keras_deeptools.pretraining
    import keras_deeptools.transfer  # noqa: F401
    from keras_deeptools.diagnosis import diagnose
    from keras_deeptools.diagnosis._diagnose.diagnose import (
        saved_arrays,
        saved_model,
        validation_of,
    )

    try:
        arrays = saved_arrays(options.data)
        result = diagnose(
            saved_model(options.model),
            arrays["x"],
            arrays.get("y"),
            validation_data=validation_of(arrays),
            batch_size=options.batch_size,
            epochs=options.epochs,
            trial_steps=options.trial_steps,
        )
        _say(str(result))
        if options.html:
            result.to_html(options.html)
        if options.json:
            result.to_json(options.json)
    except (OSError, TypeError, ValueError) as error:
        _end_with(BAD_ARGUMENTS, str(error))
    return 1 if result.problems else 0


def _tune(options: argparse.Namespace) -> int:
    from keras_deeptools._distributed_search import launch_search, run_as_member

    _checked_backend(options.backend)
    if options.backend:
        os.environ[VARIABLE] = options.backend
    limits = {name: getattr(options, name) for name in ("worker_timeout", "max_losses")}
    try:
        if options.join:
            settings = {**limits, "patience": options.patience}
            run_as_member(options.script, options.arguments, settings)
        signal.signal(signal.SIGTERM, _end)
        run = launch_search(
            options.script,
            options.arguments,
            workers=options.workers,
            restarts=options.restart_workers,
            directory=options.directory,
            gpus_per_worker=options.gpus_per_worker,
            show_logs=options.show_logs,
            say=_say,
            **limits,
        )
    except (FileNotFoundError, NotImplementedError, ValueError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        _say("Interrupted; all processes have ended.")
        return 128 + signal.SIGINT
    _say(str(run))
    return 0 if run.ok else 1


def _say(line: str) -> None:
    print(line, flush=True)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """Ends like Ctrl-C does: everything that was started ends, too."""
    sys.exit(128 + number)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m keras_deeptools")
    commands = parser.add_subparsers(required=True, metavar="command")
    _add_demo(commands)
    _add_diagnose(commands)
    _add_tune(commands)
    return parser


def _add_demo(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    demo = commands.add_parser(
        "demo",
        help="repair a deep network that does not learn, in under two minutes",
        description="Trains a deep network that does not learn, finds out why, repairs "
        "it and trains it again, on scikit-learn's handwritten digits. Exits with 0 if "
        "the repaired network learned more, else with 1.",
    )
    demo.add_argument(
        "--backend",
        choices=BACKENDS,
        help="Keras backend (default: KERAS_BACKEND, else the first one installed)",
    )
    demo.add_argument(
        "--output",
        default="keras_deeptools_demo",
        help="folder for the pictures (default: %(default)s)",
    )
    demo.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    demo.set_defaults(run=_demo)


def _add_diagnose(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> None:
    command = commands.add_parser(
        "diagnose",
        help="say what is wrong with a saved model and its data",
        description="Loads a compiled model, without running code that is in the file, "
        "looks at it and at its data, and trains it for some updates, which are not "
        "saved. Exits with 0 if no problem was found, with 1 if one was, and with 2 if "
        "the files or the options are none that it can use.",
    )
    add = command.add_argument
    add("model", help="path of a .keras file")
    add("--data", required=True, help="path of a .npz file with x, y, x_val, y_val")
    add("--backend", choices=BACKENDS, help="default: as for demo")
    add("--batch-size", type=int, help="as planned for fit")
    add("--epochs", type=int, help="as planned for fit")
    add("--trial-steps", type=int, default=40, help="default: %(default)s")
    add("--html", default="", help="file to write the report to as a page")
    add("--json", default="", help="file to write the report to as JSON")
    command.set_defaults(run=_diagnose)


def _add_tune(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    tune = commands.add_parser(
        "tune",
        help="run a script's search with KerasTuner in several processes",
        description="Runs a script that calls `search` of a tuner in a chief, which "
        "gives out the trials, and workers, which train them. A lost worker's trial "
        "is run again. Exits with 0 if the search came to its end.",
    )
    how = tune.add_mutually_exclusive_group(required=True)
    how.add_argument("--workers", type=int, help="number of workers on this machine")
    how.add_argument(
        "--join",
        action="store_true",
        help="be the one process that KERASTUNER_TUNER_ID, KERASTUNER_ORACLE_IP and "
        "KERASTUNER_ORACLE_PORT say; for clusters",
    )
    tune.add_argument("--backend", choices=BACKENDS, help="default: the script's")
    add = tune.add_argument
    add(
        "--restart-workers",
        type=int,
        default=1,
        metavar="M",
        help="how often each lost worker is started again (default: %(default)s)",
    )
    add(
        "--directory",
        default="search_logs",
        help="folder for what the processes print (default: %(default)s)",
    )
    add(
        "--gpus-per-worker",
        type=int,
        default=1,
        metavar="K",
        help="default: %(default)s",
    )
    add(
        "--worker-timeout",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="silence after which a worker is lost (default: %(default)s)",
    )
    add(
        "--patience",
        type=float,
        default=600.0,
        metavar="SECONDS",
        help="with --join, how long a chief waits without any worker, and a worker "
        "without the chief (default: %(default)s)",
    )
    add(
        "--max-losses",
        type=int,
        default=2,
        metavar="K",
        help="a trial that lost so many workers has failed (default: %(default)s)",
    )
    add("--show-logs", action="store_true", help="print what the processes print")
    add("script", help="path of the script")
    add("arguments", nargs=argparse.REMAINDER, help="what the script is given")
    tune.set_defaults(run=_tune)


def _checked_backend(option: str | None, code: int = 1) -> str | None:
    """Returns the backend from the option or the environment, or exits."""
    chosen = option or os.environ.get(VARIABLE) or None
    missing = missing_backend(chosen, "--backend" if option else "")
    if missing is not None:
        _end_with(code, missing)
    return chosen


def _end_with(code: int, text: str) -> NoReturn:
    print(text, file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    sys.exit(main())
