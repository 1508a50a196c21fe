"""OpenSCENARIO's distributions of parameter values: the scenarios that one stands for, in the scenario language."""

from collections.abc import Callable, Sequence
from itertools import product
from math import prod
from pathlib import Path

import numpy as np
import yaml

from bridge.untrusted import files, limits
from scenarios.language.problems import ScenarioError
from scenarios.openscenario.elements import Element, parse
from scenarios.openscenario.reader import translate

STEPS = 100_000  # of one range
_Values = dict[str, str]  # of parameters


def write_variations(path: Path, folder: Path, most: int) -> list[Path] | None:
    """Write the scenarios of a distribution to ``folder`` and return their files; None if ``path`` holds none.

    Of more than ``most`` combinations of values, that many are drawn; the same file always gives the same ones.

    Raises:
        ScenarioError: A distribution or its scenario is damaged or not supported.
    """
    if path.suffix.lower() != ".xosc":
        return None
    root = parse(path, _read(path))
    distribution = root.find("ParameterValueDistribution")
    if distribution is None:
        return None
    file = distribution.get("ScenarioFile")
    scenario = path.parent / file.text("filepath").replace("\\", "/")
    raw, written = _read(scenario), []
    folder.mkdir(parents=True, exist_ok=True)
    for number, values in enumerate(variations(distribution, most), 1):
        _, data, _ = translate(scenario, raw, values)
        if data["town"].endswith(".xodr"):
            data["town"] = str((scenario.parent / data["town"]).resolve())
        data["description"] += " With " + ", ".join(f"{name} = {value}" for name, value in values.items()) + "."
        written.append(folder / f"{path.stem}_{number:03d}.yaml")
        text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
        written[-1].write_text(f"# from {path.name}\n{text}", encoding="utf-8")
    return written


def variations(distribution: Element, most: int) -> list[_Values]:
    """Return the values of parameters of up to ``most`` scenarios of a ParameterValueDistribution.

    Raises:
        ScenarioError: It is damaged or not supported.
    """
    kind = distribution.one("ScenarioFile")
    if kind.name == "Stochastic":
        return _stochastic(kind, most)
    if kind.name != "Deterministic":
        raise kind.refuse()
    axes = [_deterministic(each) for each in kind]
    count = prod(len(axis) for axis in axes)
    if count <= most:
        chosen = [list(values) for values in product(*axes)]
    else:  # one after the other, as there may be more combinations than numbers
        rng = np.random.default_rng(0)
        drawn: dict[tuple[int, ...], None] = {}
        while len(drawn) < most:
            drawn[tuple(int(rng.integers(len(axis))) for axis in axes)] = None
        chosen = [[axis[k] for axis, k in zip(axes, indices, strict=True)] for indices in sorted(drawn)]
    return [{name: value for part in parts for name, value in part.items()} for parts in chosen]


def _deterministic(axis: Element) -> list[_Values]:
    """Return the values of one deterministic distribution."""
    inner = axis.one()
    if axis.name == "DeterministicMultiParameterDistribution" and inner.name == "ValueSetDistribution":
        sets = inner.all("ParameterValueSet")
        return [{each.name_of("parameterRef"): each.text("value") for each in one} for one in sets] or _none(axis)
    if axis.name != "DeterministicSingleParameterDistribution":
        raise axis.refuse()
    name = axis.name_of("parameterName")
    if inner.name == "DistributionSet":
        return [{name: each.text("value")} for each in inner.all("Element")] or _none(axis)
    if inner.name != "DistributionRange":
        raise inner.refuse()
    low, high = _range(inner.get("Range"))
    step = inner.number("stepWidth")
    if step <= 0.0 or (high - low) / step > STEPS:
        raise inner.error(f"stepWidth is {step:g}: it must be positive and give at most {STEPS} values")
    return [{name: f"{value:.12g}"} for value in np.arange(low, high + 1e-9 * step, step).tolist()]


def _none(axis: Element) -> list[_Values]:
    raise axis.error("is empty")


def _range(element: Element) -> tuple[float, float]:
    low, high = element.number("lowerLimit"), element.number("upperLimit")
    if low > high:
        raise element.error(f"lowerLimit {low:g} is above upperLimit {high:g}")
    return low, high


def _stochastic(kind: Element, most: int) -> list[_Values]:
    """Draw the values of a Stochastic, with its seed."""
    runs = min(int(kind.number("numberOfTestRuns")), most)
    rng = np.random.default_rng(abs(int(kind.number("randomSeed", 0.0))))
    draws: list[tuple[str, Callable[[], str]]] = [
        (each.name_of("parameterName"), _draw(each.one(), rng)) for each in kind.all("StochasticDistribution")
    ]
    return [{name: draw() for name, draw in draws} for _ in range(runs)]


def _draw(what: Element, rng: np.random.Generator) -> Callable[[], str]:
    """Return what draws a value of a stochastic distribution."""
    if what.name == "ProbabilityDistributionSet":
        return _weighted(what, [each.text("value") for each in what.all("Element")], rng)
    if what.name == "Histogram":
        bins = [_range(each.get("Range")) for each in what.all("Bin")]
        pick = _weighted(what, [str(k) for k in range(len(bins))], rng)
        return lambda: f"{rng.uniform(*bins[int(pick())]):.12g}"
    if what.name == "UniformDistribution":
        low, high = _range(what.get("Range"))
        return lambda: f"{rng.uniform(low, high):.12g}"
    if what.name == "PoissonDistribution":
        mean = what.number("expectedValue")
        draw: Callable[[], float] = lambda: float(rng.poisson(max(mean, 0.0)))  # noqa: E731
    elif what.name in ("NormalDistribution", "LogNormalDistribution"):
        mean, spread = what.number("expectedValue"), max(what.number("variance"), 0.0) ** 0.5
        normal = rng.normal if what.name == "NormalDistribution" else rng.lognormal
        draw = lambda: float(normal(mean, spread))  # noqa: E731
    else:
        raise what.refuse()
    bounds = what.find("Range")
    low, high = (-np.inf, np.inf) if bounds is None else _range(bounds)

    def within() -> str:
        for _ in range(1000):
            if low <= (value := draw()) <= high:
                return f"{value:.12g}"
        raise what.error("hardly ever lies in its Range")

    return within


def _weighted(what: Element, values: Sequence[str], rng: np.random.Generator) -> Callable[[], str]:
    weights = np.array([each.number("weight") for each in what])
    if not len(weights) or weights.min() < 0.0 or weights.sum() <= 0.0:
        raise what.error("has no positive weight")
    return lambda: values[int(rng.choice(len(values), p=weights / weights.sum()))]


def _read(path: Path) -> bytes:
    try:
        return files.read_bytes(path, limits.OPENSCENARIO_SIZE)
    except OSError as error:
        raise ScenarioError(f"{path}: {(error.strerror or 'cannot be read').lower()}") from None
    except ValueError as error:
        raise ScenarioError(f"{path}: {error}") from None
