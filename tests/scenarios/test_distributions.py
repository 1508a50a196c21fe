"""Parameter value distributions of OpenSCENARIO become scenarios with these values."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.openscenario_text import lead

from scenarios.engine.loader import ScenarioError, load
from scenarios.openscenario.distributions import write_variations

_SINGLE = (
    '<DeterministicSingleParameterDistribution parameterName="leading">{}</DeterministicSingleParameterDistribution>'
)
_RANGE = '<DistributionRange stepWidth="{}"><Range lowerLimit="1" upperLimit="3"/></DistributionRange>'


def speeds(folder: Path, distribution: str, most: int = 10) -> list[float]:
    """Return the speed to which the vehicle ahead accelerates, which is the parameter "leading", in each variation."""
    scenario = lead(folder)
    text = f'<ScenarioFile filepath=".\\{scenario.name}"/>{distribution}'
    path = folder / "many.xosc"
    head = '<FileHeader revMajor="1" revMinor="1" date="" description="" author=""/>'
    path.write_text(
        f"<OpenSCENARIO>{head}<ParameterValueDistribution>{text}</ParameterValueDistribution></OpenSCENARIO>",
        encoding="utf-8",
    )
    assert write_variations(scenario, folder / "out", most) is None, "one scenario"
    written = write_variations(path, folder / "out", most)
    assert written is not None
    assert [each.name for each in written] == [f"many_{k:03d}.yaml" for k in range(1, len(written) + 1)]
    found = []
    for each in written:
        goes = load(each).scenario.actors[0].events[0]
        assert goes.set_speed is not None
        assert goes.set_speed.speed is not None
        found.append(goes.set_speed.speed)
    return found


def test_deterministic_values_are_all_combined(tmp_path: Path) -> None:
    ranged = _SINGLE.format(_RANGE.format("0.5"))
    assert speeds(tmp_path, f"<Deterministic>{ranged}</Deterministic>") == [1.0, 1.5, 2.0, 2.5, 3.0]
    listed = _SINGLE.format('<DistributionSet><Element value="4"/><Element value="2"/></DistributionSet>')
    assert speeds(tmp_path, f"<Deterministic>{listed}</Deterministic>") == [4.0, 2.0]
    assignments = "".join(
        f'<ParameterValueSet><ParameterAssignment parameterRef="leading" value="{value}"/></ParameterValueSet>'
        for value in (7, 8)
    )
    several = f"<ValueSetDistribution>{assignments}</ValueSetDistribution>"
    several = f"<DeterministicMultiParameterDistribution>{several}</DeterministicMultiParameterDistribution>"
    assert speeds(tmp_path, f"<Deterministic>{several}</Deterministic>") == [7.0, 8.0]


def test_of_more_combinations_the_same_ones_are_always_drawn(tmp_path: Path) -> None:
    many = f"<Deterministic>{_SINGLE.format(_RANGE.format('0.001'))}</Deterministic>"
    drawn = speeds(tmp_path, many, 7)
    assert len(set(drawn)) == 7
    assert all(1.0 <= each <= 3.0 for each in drawn)
    assert speeds(tmp_path, many, 7) == drawn


@pytest.mark.parametrize(
    ("distribution", "within"),
    [
        ('<UniformDistribution><Range lowerLimit="2" upperLimit="4"/></UniformDistribution>', (2.0, 4.0)),
        (
            '<NormalDistribution expectedValue="9" variance="4"><Range lowerLimit="8" upperLimit="9"/>'
            "</NormalDistribution>",
            (8.0, 9.0),
        ),
        (
            '<LogNormalDistribution expectedValue="1" variance="0.1"><Range lowerLimit="1" upperLimit="9"/>'
            "</LogNormalDistribution>",
            (1.0, 9.0),
        ),
        (
            '<PoissonDistribution expectedValue="5"><Range lowerLimit="1" upperLimit="9"/></PoissonDistribution>',
            (1.0, 9.0),
        ),
        (
            '<Histogram><Bin weight="0"><Range lowerLimit="1" upperLimit="2"/></Bin>'
            '<Bin weight="3"><Range lowerLimit="5" upperLimit="6"/></Bin></Histogram>',
            (5.0, 6.0),
        ),
        (
            '<ProbabilityDistributionSet><Element value="3" weight="1"/><Element value="1" weight="0"/>'
            "</ProbabilityDistributionSet>",
            (3.0, 3.0),
        ),
    ],
)
def test_stochastic_values_are_drawn_by_their_seed(
    distribution: str, within: tuple[float, float], tmp_path: Path
) -> None:
    text = f'<StochasticDistribution parameterName="$leading">{distribution}</StochasticDistribution>'
    text = f'<Stochastic numberOfTestRuns="6" randomSeed="{{}}">{text}</Stochastic>'
    drawn = speeds(tmp_path, text.format(1))
    assert len(drawn) == 6
    assert all(within[0] <= each <= within[1] for each in drawn)
    assert speeds(tmp_path, text.format(1)) == drawn
    if within[0] < within[1]:
        assert speeds(tmp_path, text.format(2)) != drawn


@pytest.mark.parametrize(
    ("distribution", "complaint"),
    [
        (f"<Deterministic>{_SINGLE.format(_RANGE.format('0'))}</Deterministic>", "stepWidth is 0"),
        (f"<Deterministic>{_SINGLE.format(_RANGE.format('1e-9'))}</Deterministic>", "at most 100000 values"),
        (f"<Deterministic>{_SINGLE.format('<DistributionSet/>')}</Deterministic>", "is empty"),
        ("<Deterministic><UserDefinedDistribution/></Deterministic>", "UserDefinedDistribution"),
        (f"<Deterministic>{_SINGLE.format(_RANGE.format('1'))}</Deterministic>".replace("leading", "x"), "parameter x"),
    ],
)
def test_what_cannot_be_varied_is_refused(distribution: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=complaint):
        speeds(tmp_path, distribution)


def test_a_distribution_is_not_one_scenario(tmp_path: Path) -> None:
    speeds(tmp_path, f"<Deterministic>{_SINGLE.format(_RANGE.format('1'))}</Deterministic>")
    with pytest.raises(ScenarioError, match="a distribution of parameters is not one scenario"):
        load(tmp_path / "many.xosc")
