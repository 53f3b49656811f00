"""Draws `docs/images/training-report.png` and `search-report.png`: pages in a browser.

    KERAS_BACKEND=jax python benchmarks/report_pictures.py [--browser chromium]

Needs a headless Chromium on the path; its screenshots are wide and light on the left,
as narrow as a phone and dark on the right.
"""

import argparse
import importlib.util
import subprocess
import tempfile
from pathlib import Path

import keras
import keras_tuner
from PIL import Image
from sklearn.datasets import load_digits

from keras_deeptools.tuning import DeepHyperModel, search_report

ROOT = Path(__file__).parents[1]
WIDE, PHONE, HEIGHT = 1280, 390, 1500
GAP = 24


def run_page(folder: Path) -> Path:
    """The page that `examples/report_a_run.py` writes."""
    file = ROOT / "examples" / "report_a_run.py"
    spec = importlib.util.spec_from_file_location("report_a_run", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main(path=folder / "run.html")


def search_page(folder: Path, num_trials: int) -> Path:
    """The page of a search on digits."""
    keras.utils.set_random_seed(0)
    x, y = load_digits(return_X_y=True)
    x, y = (x[:600] / 16).astype("float32"), keras.utils.to_categorical(y[:600])

    def build(hp: keras_tuner.HyperParameters) -> keras.Model:
        width, depth = hp.Int("width", 8, 64, sampling="log"), hp.Int("layers", 1, 4)
        activation = hp.Choice("activation", ["relu", "tanh", "sigmoid"])
        hidden = [keras.layers.Dense(width, activation) for _ in range(depth)]
        top = keras.layers.Dense(10, "softmax")
        model = keras.Sequential([keras.Input((64,)), *hidden, top])
        model.compile(loss="categorical_crossentropy", metrics=["accuracy"])
        return model

    parts = ["optimizer", "one_cycle", "batch_size"]
    tuner = keras_tuner.RandomSearch(
        DeepHyperModel(build, max_epochs=5, parts=parts, optimizers=["adamw"]),
        keras_tuner.Objective("val_accuracy", "max"),
        max_trials=num_trials,
        seed=0,
        directory=folder,
    )
    tuner.search(x, y, validation_split=0.3, epochs=5, verbose=0)
    report = search_report(tuner)
    print(report)
    return report.save(folder / "search.html")


def picture(page: Path, browser: str, path: Path) -> None:
    """Two screenshots of a page side by side."""
    shots = []
    for width, dark in ((WIDE, False), (PHONE, True)):
        shot = page.with_suffix(f".{width}.png")
        options = [
            "--no-sandbox",
            "--hide-scrollbars",
            f"--window-size={width},{HEIGHT}",
            f"--screenshot={shot}",
        ]
        if dark:
            options.append("--blink-settings=preferredColorScheme=0")
        command = [browser, "--headless", *options, page.resolve().as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        shots.append(Image.open(shot).convert("RGB"))
    whole = Image.new("RGB", (WIDE + GAP + PHONE, HEIGHT), "#8a929a")
    whole.paste(shots[0], (0, 0))
    whole.paste(shots[1], (WIDE + GAP, 0))
    whole.quantize(256).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1024:.0f} KiB")


def main() -> None:
    """Makes both pages and their pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--browser", default="chromium")
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--images", type=Path, default=ROOT / "docs" / "images")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run, search = run_page(folder), search_page(folder, options.trials)
        picture(run, options.browser, options.images / "training-report.png")
        picture(search, options.browser, options.images / "search-report.png")


if __name__ == "__main__":
    main()
