"""Shapeset-3x2 (Glorot and Bengio, 2010, section 2.1): an endless stream of images.

Images of 32 x 32 gray pixels show one or two objects, each a triangle, a parallelogram
or an ellipse of random proportions, size, rotation, place and gray level. The class
says which kinds are there, not which is in front: three classes of single objects and
six of pairs. Of two objects neither may cover more than half of the other.

Where the paper gives no numbers, this is our reading:

- one object or two, each as often, every kind as likely: a pair of unlike kinds has
  1/9 of the images, one of like kinds 1/18, a single object 1/6. Whoever always says
  the same class is wrong in 83.3% (the paper's worst network: 82.61%);
- the square root of an object's area is uniform in [7, 12] pixels for every kind, so
  that area tells nothing; proportions and angles are uniform in the ranges below;
- objects lie inside the image; place and rotation are uniform;
- the background is 0, gray levels are uniform in [0.3, 1], and those of two objects
  differ by 0.1 at least; edges are smooth over one pixel;
- of a pair that overlaps too much the second object is drawn anew, its kind kept.

    python benchmarks/glorot_shapeset.py --picture docs/images/glorot-shapeset.png
"""

import argparse
import time
from pathlib import Path

import numpy as np

SIZE, NUM_CLASSES = 32, 9
KINDS = ("triangle", "parallelogram", "ellipse")
TRIANGLE, PARALLELOGRAM, ELLIPSE = range(3)
PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
NAMES = (*KINDS, *(f"{KINDS[a]}, {KINDS[b]}" for a, b in PAIRS))
ROOT_AREA = (7.0, 12.0)
GRAY, LEAST_CONTRAST = (0.3, 1.0), 0.1
MOST_HIDDEN = 0.5
RATIO = (0.5, 1.0)
"""Of the shorter to the longer of two sides, or axes."""
ANGLE = (np.pi / 4, 3 * np.pi / 4)
"""Between the two sides, of triangles and parallelograms."""
CHUNK = 500
PIXELS = np.arange(SIZE, dtype="float32") + 0.5

_CLASS_OF = np.zeros((3, 3), int)
for _index, (_a, _b) in enumerate(PAIRS):
    _CLASS_OF[_a, _b] = _CLASS_OF[_b, _a] = 3 + _index


def draw(rng: np.random.Generator, num_images: int) -> tuple[np.ndarray, np.ndarray]:
    """Images and classes.

    Args:
        rng: Generator that all is drawn from.
        num_images: Int.

    Returns:
        Pixels, uint8 `(num_images, 32, 32)`; classes, int `(num_images,)`.
    """
    sizes = [min(CHUNK, num_images - i) for i in range(0, num_images, CHUNK)]
    parts = [_draw_chunk(rng, size) for size in sizes]
    images, classes = zip(*parts, strict=True)
    return np.concatenate(images), np.concatenate(classes)


def _draw_chunk(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    kinds = rng.integers(0, 3, (size, 2))
    is_pair = rng.random(size) < 0.5
    classes = np.where(is_pair, _CLASS_OF[kinds[:, 0], kinds[:, 1]], kinds[:, 0])
    first = coverage(rng, kinds[:, 0])
    second = np.zeros_like(first)
    wanted = np.flatnonzero(is_pair)
    while wanted.size:
        drawn = coverage(rng, kinds[wanted, 1])
        fits = hidden(first[wanted], drawn) <= MOST_HIDDEN
        second[wanted[fits]] = drawn[fits]
        wanted = wanted[~fits]
    gray = _gray_levels(rng, size)[:, :, None, None]
    shown = first * gray[:, 0] * (1 - second) + second * gray[:, 1]
    return np.rint(255 * shown).astype("uint8"), classes


def hidden(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The larger of the two fractions that objects would cover of each other."""
    both = (first * second).sum((1, 2))
    return both / np.minimum(first.sum((1, 2)), second.sum((1, 2)))


def _gray_levels(rng: np.random.Generator, size: int) -> np.ndarray:
    """Pairs that differ enough, float32 `(size, 2)`."""
    gray = rng.uniform(*GRAY, (size, 2))
    while (close := np.abs(gray[:, 0] - gray[:, 1]) < LEAST_CONTRAST).any():
        gray[close] = rng.uniform(*GRAY, (int(close.sum()), 2))
    return gray.astype("float32")


def coverage(rng: np.random.Generator, kinds: np.ndarray) -> np.ndarray:
    """One object in each image: how much of every pixel it covers.

    Args:
        rng: Generator that all is drawn from.
        kinds: Int array `(rows,)`, index into `KINDS`.

    Returns:
        Float32 `(rows, 32, 32)` in [0, 1].
    """
    rows = len(kinds)
    area = rng.uniform(*ROOT_AREA, rows) ** 2
    ratio, angle = rng.uniform(*RATIO, rows), rng.uniform(*ANGLE, rows)
    angle[kinds == ELLIPSE] = np.pi / 2
    # Area of the shape whose longer side, or half-axis, is 1.
    unit = ratio * np.sin(angle) * np.array([0.5, 1.0, np.pi])[kinds]
    longer = np.sqrt(area / unit)
    turn = rng.uniform(0, 2 * np.pi, rows)
    a = longer * np.exp(1j * turn)
    b = longer * ratio * np.exp(1j * (turn + angle))
    reach_x, reach_y = _reach(a, b, kinds)
    center = _place(rng, reach_x) + 1j * _place(rng, reach_y)
    covered = np.empty((rows, SIZE, SIZE), "float32")
    for kind, inside in ((0, _triangle), (1, _parallelogram), (2, _ellipse)):
        chosen = np.flatnonzero(kinds == kind)
        distance = inside(a[chosen], b[chosen], center[chosen])
        covered[chosen] = np.clip(distance + 0.5, 0, 1, out=distance)
    return covered


def _corners(a: np.ndarray, b: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """Corners about the center, complex `(4, rows)`; a triangle's last is double."""
    triangle = np.stack([-(a + b), 2 * a - b, 2 * b - a, 2 * b - a]) / 3
    parallelogram = np.stack([-a - b, a - b, a + b, b - a]) / 2
    return np.where(kinds == TRIANGLE, triangle, parallelogram)


def _reach(a: np.ndarray, b: np.ndarray, kinds: np.ndarray) -> tuple:
    """How far objects reach from their center, `(2, rows)`, for columns and rows."""
    corners, round_ = _corners(a, b, kinds), kinds == ELLIPSE
    both = []
    for part in (np.real, np.imag):
        low, high = part(corners).min(0), part(corners).max(0)
        half = np.hypot(part(a), part(b))
        both.append(np.where(round_, [-half, half], [low, high]))
    return tuple(both)


def _place(rng: np.random.Generator, reach: np.ndarray) -> np.ndarray:
    """Where centers lie along an axis, so that all of the object is inside."""
    low, high = -reach[0], SIZE - reach[1]
    middle = (low + high) / 2
    return middle + (rng.random(len(low)) - 0.5) * np.maximum(high - low, 0)


def _linear(normal: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """`normal . position + offset` at every pixel, float32 `(rows, 32, 32)`."""
    along_x = normal.real.astype("float32")[:, None] * PIXELS
    along_y = normal.imag.astype("float32")[:, None] * PIXELS
    along_y += offset.astype("float32")[:, None]
    return along_y[:, :, None] + along_x[:, None, :]


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a.real * b.real + a.imag * b.imag


def _triangle(a: np.ndarray, b: np.ndarray, center: np.ndarray) -> np.ndarray:
    """Distance to the nearest of three edges, positive inside."""
    corners = _corners(a, b, np.zeros(len(a), int))[:3] + center
    nearest = None
    for start, end in zip(corners, np.roll(corners, -1, 0), strict=True):
        normal = 1j * (end - start) / np.abs(end - start)
        edge = _linear(normal, -_dot(normal, start))
        nearest = edge if nearest is None else np.minimum(nearest, edge, out=nearest)
    return nearest


def _parallelogram(a: np.ndarray, b: np.ndarray, center: np.ndarray) -> np.ndarray:
    """Distance to the nearest of four edges, positive inside."""
    nearest = None
    for side, other in ((a, b), (b, a)):
        normal = 1j * side / np.abs(side)
        half = np.abs(_dot(normal, other)) / 2
        edge = _linear(normal, -_dot(normal, center))
        np.subtract(half.astype("float32")[:, None, None], np.abs(edge), out=edge)
        nearest = edge if nearest is None else np.minimum(nearest, edge, out=nearest)
    return nearest


def _ellipse(a: np.ndarray, b: np.ndarray, center: np.ndarray) -> np.ndarray:
    """About the distance to the outline, positive inside."""
    squares = None
    for axis in (a, b):
        normal = axis / np.abs(axis) ** 2
        part = np.square(_linear(normal, -_dot(normal, center)))
        squares = part if squares is None else squares + part
    radius = np.sqrt(squares, out=squares)
    scale = np.sqrt(np.abs(a) * np.abs(b)).astype("float32")
    return (1 - radius) * scale[:, None, None]


def picture(path: Path, columns: int = 9, rows: int = 4) -> None:
    """Draws some images of each class."""
    from matplotlib.figure import Figure

    images, classes = draw(np.random.default_rng(0), 2000)
    figure = Figure((columns, rows + 0.4), layout="constrained")
    axes = figure.subplots(rows, columns)
    for kind in range(columns):
        for row, index in enumerate(np.flatnonzero(classes == kind)[:rows]):
            axes[row, kind].imshow(images[index], cmap="gray", vmin=0, vmax=255)
            axes[row, kind].set_axis_off()
        axes[0, kind].set_title(NAMES[kind].replace(", ", ",\n"), fontsize=7)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Prints how fast images are drawn, and draws some."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--picture", type=Path, help="file to draw images of each class"
    )
    options = parser.parse_args()
    start = time.process_time()
    images, classes = draw(np.random.default_rng(0), 20_000)
    each = (time.process_time() - start) / len(images)
    shares = np.bincount(classes, minlength=NUM_CLASSES) / len(classes)
    print(f"{1e6 * each:.0f} CPU-microseconds an image")
    print(f"pixels: mean {images.mean():.1f}, standard deviation {images.std():.1f}")
    for name, share in zip(NAMES, shares, strict=True):
        print(f"{name}: {share:.3f}")
    if options.picture:
        picture(options.picture)


if __name__ == "__main__":
    main()
