"""What `pyproject.toml` promises: what installs where, and from which version on."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

import public_api

pytestmark = pytest.mark.backend_free

ROOT = public_api.PACKAGE.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
PAGE = (ROOT / "docs" / "install.md").read_text("utf-8")
# Name on the page -> distributions.
BACKENDS = {
    "TensorFlow": ("tensorflow", "tensorflow-cpu"),
    "JAX": ("jax",),
    "torch": ("torch",),
}
# Extras of those who work on the package, in environments of their own.
OURS = ("test", "docs", "lint", "build")

PLATFORMS = {
    "macOS on ARM": ("darwin", "arm64", "tensorflow"),
    "macOS on Intel": ("darwin", "x86_64", "tensorflow"),
    "Linux on ARM": ("linux", "aarch64", "tensorflow"),
    "Linux on x86-64": ("linux", "x86_64", "tensorflow-cpu"),
    "Windows": ("win32", "AMD64", "tensorflow-cpu"),
}


def requirements(extra: str) -> list[Requirement]:
    return [Requirement(text) for text in EXTRAS[extra]]


def lower_bound(requirement: Requirement) -> Version:
    """The version that `>=` or `==` names."""
    bounds = [one for one in requirement.specifier if one.operator in (">=", "==")]
    assert len(bounds) == 1, requirement
    return Version(bounds[0].version)


def documented(name: str) -> Version:
    """The lowest version of a backend that the page of installation names."""
    found = re.search(rf"\b{name} \(([\d.]+)\s+or\s+later\)", PAGE)
    assert found is not None, name
    return Version(found[1])


@pytest.mark.parametrize("platform", PLATFORMS)
def test_on_every_platform_the_cpu_extra_is_one_tensorflow(platform: str) -> None:
    system, machine, expected = PLATFORMS[platform]
    where = {"sys_platform": system, "platform_machine": machine}
    apply = [
        one.name
        for one in requirements("cpu")
        if one.marker is None or one.marker.evaluate(where)
    ]
    assert apply == [expected]


@pytest.mark.parametrize("name", BACKENDS)
def test_no_extra_asks_for_a_newer_backend_than_the_page_of_installation(
    name: str,
) -> None:
    bounds = {
        extra: lower_bound(one)
        for extra in EXTRAS
        if extra not in OURS
        for one in requirements(extra)
        if one.name in BACKENDS[name]
    }
    assert bounds
    assert set(bounds.values()) == {documented(name)}, bounds


def test_no_extra_of_users_has_an_upper_bound() -> None:
    capped = [
        f"{extra}: {one}"
        for extra in EXTRAS
        if extra not in OURS
        for one in requirements(extra)
        if any(part.operator not in (">=", "!=") for part in one.specifier)
    ]
    assert not capped


def test_keras_is_asked_for_as_the_page_of_installation_says() -> None:
    keras = next(
        one for one in map(Requirement, PROJECT["dependencies"]) if one.name == "keras"
    )
    found = re.search(r"Keras ([\d.]+) or later", PAGE)
    assert found is not None
    assert str(keras.specifier) == f">={found[1]}"


def classified_pythons() -> list[Version]:
    """The versions of Python that the classifiers name."""
    texts = [
        text.rpartition(" :: ")[2]
        for text in PROJECT["classifiers"]
        if text.startswith("Programming Language :: Python :: 3.")
    ]
    return sorted(map(Version, texts))


def test_the_oldest_python_of_the_classifiers_is_the_one_required() -> None:
    assert PROJECT["requires-python"] == f">={classified_pythons()[0]}"


def test_the_required_python_admits_all_that_the_classifiers_name() -> None:
    required = SpecifierSet(PROJECT["requires-python"])
    assert all(required.contains(version) for version in classified_pythons())


def test_the_page_of_installation_names_the_pythons_of_the_classifiers() -> None:
    oldest, *_, newest = classified_pythons()
    assert f"Python {oldest} to {newest}" in PAGE


def test_the_page_of_installation_has_a_row_for_every_extra() -> None:
    rows = re.findall(r"^\| (`[^|]+`) \|", PAGE, re.M)
    named = [name for row in rows for name in re.findall(r"`([\w-]+)`", row)]
    assert sorted(named) == sorted(EXTRAS)
