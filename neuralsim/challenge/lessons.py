"""The lessons: scenarios of the library in which the learner drives the ego."""

from dataclasses import dataclass

from neuralsim.challenge.tasks import Goal, LessonTask
from neuralsim.session.options import DriveOptions
from scenarios import library
from scenarios.engine.loader import load

_UNHURT = Goal("hit nothing", lambda driving: not driving.collisions, must=True)
_RED = Goal("pass no red light", lambda driving: not driving.reds, must=True)


@dataclass(frozen=True)
class Lesson:
    """A lesson in ``scenario`` of the library: what it is about in a sentence, its goals, the seconds it may take."""

    title: str
    about: str
    scenario: str
    goals: tuple[Goal, ...]
    limit: float

    def task(self, name: str) -> LessonTask:
        """Return it as a task."""
        return LessonTask(name, self.title, self.goals, self.limit)


def _travels(metres: float) -> Goal:
    return Goal(f"drive {metres:.0f} m", lambda driving: driving.distance >= metres)


LESSONS: dict[str, Lesson] = {
    "junction": Lesson(
        "Junction with lights",
        "Stop at the red light ahead, go on when it is green.",
        "junction_with_lights",
        (
            Goal("stop at the red light", lambda driving: driving.stood >= 1.0),
            _travels(90.0),
            _RED,
            _UNHURT,
        ),
        75.0,
    ),
    "merge": Lesson(
        "Motorway merge",
        "Gain speed on the ramp and find a gap on the right lane.",
        "motorway_merge",
        (Goal("reach 80 km/h", lambda driving: driving.top >= 80.0 / 3.6), _travels(350.0), _UNHURT),
        60.0,
    ),
    "night": Lesson(
        "Night in rain",
        "Follow the car in front with lamps on; the road is wet and slippery.",
        "night_in_rain",
        (
            _travels(220.0),
            Goal("keep below 45 km/h", lambda driving: driving.top < 45.0 / 3.6, must=True),
            _RED,
            _UNHURT,
        ),
        120.0,
    ),
}


def options_of(lesson: Lesson, options: DriveOptions) -> DriveOptions:
    """Return ``options`` for a drive in which the learner takes over the scenario's ego at its first frame, at rest.

    Raises ``scenarios.engine.loader.ScenarioError``.
    """
    path = library.find(lesson.scenario)
    loaded = load(path)
    scenario = loaded.scenario
    changed = {
        "scenario": path,
        "hand_over_at": 0,
        "hand_over_place": None,
        "at_rest": True,
        "town": loaded.town,
        "seed": scenario.seed,
        "vehicles": scenario.traffic.vehicles,
        "walkers": scenario.traffic.walkers,
        "weather": None,
        "autopilot": False,
        "carla": None,
    }
    return options.model_copy(update=changed)
