"""A graph split into the planes that its generator is given, the generator, and the blending with the past.

A generator's convolutions take less than half of a step. The rest, some 260 operations on whole planes, is compiled
instead (``plane_kernels.py``, ``sketch_kernels.py``, ``blend_kernels.py``). Both ends are compared with those of the
graph before they replace them, in fp32: a graph that does something else there runs whole. The generator between them
is the graph's own.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import NamedTuple

import numpy as np

from neuralsim.base.failure import line
from neuralsim.base.log import logger
from neuralsim.base.quiet_openvino import ov
from neuralsim.facades import HEIGHT, LEVELS, WIDTH, instance_code
from neuralsim.models.classes import CHANNELS, MOVERS, Channel
from neuralsim.models.surfaces import BLOCK, SURFACES, WALL
from neuralsim.runtimes import cache
from neuralsim.runtimes.interface import STATE_OUTPUTS, state_shapes
from neuralsim.runtimes.openvino.blend_kernels import Blending, blend
from neuralsim.runtimes.openvino.plane_kernels import (
    INSTANCES,
    add_relief,
    blocks_of,
    embed,
    is_image,
    split_image,
)
from neuralsim.runtimes.openvino.sketch_kernels import SketchTables, draw_detail, draw_texture

_EXACT = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
_TINT_INPUTS = ("tag", "instance", "guide", "style")  # that the tints and codes of pixels depend on
_DETAIL_INPUTS = ("tag", "instance", "depth", "camera", "guide")  # that the detail depends on
_ALL_INPUTS = {*_TINT_INPUTS, *_DETAIL_INPUTS}
#: A camera at the origin, 1 px wide: what is seen of it does not matter.
_LOOKING_AHEAD = np.concatenate([np.eye(4).ravel(), [1.0, 1.0, 0.0, 0.0]]).astype(np.float32)
_DETAIL = 2  # its planes: outlines and sketch
_SAMPLE = (96, 160)  # height and width of the frames that are compared
_FRAMES = 2
_TOLERANCE = 1e-3
_CLOSE_SHARE = 0.99  # of the sketch of each class: at the borders of windows and storeys, rounding makes a difference


class Tables:
    """The tables of the compiled ends, for one style at a time."""

    def __init__(self, parts: Split) -> None:
        self._channel, self._colours, self._codes = parts.channel, parts.colours, parts.codes
        self._sketch, self._is_exact, self._is_guided = parts.sketch, parts.is_exact, parts.is_guided
        self._style: np.ndarray | None = None
        self._of_guide = np.arange(256, dtype=np.float32) / np.float32(255.0) - np.float32(0.5)
        self._guided = self._stored(self._of_guide)
        surfaces = {int(each): place for place, each in enumerate(SURFACES)}
        self._place = np.array([surfaces.get(int(each), -1) for each in parts.channel], np.int8)  # of each tag

    def follow(self, style: np.ndarray) -> None:
        """Fill the tables for ``style`` f32 (classes, 3), unless they are already."""
        if self._style is not None and np.array_equal(style, self._style):
            return
        tints = self._colours.of(style)
        table = np.concatenate([tints, np.repeat(self._codes[:, None], INSTANCES, 1)], 2)
        #: f32 (classes, 256, 3), by class and instance; and with the codes of classes, as the generator takes them.
        self._tints, self.table = tints, self._stored(table)
        self._style = style.copy()

    def embed(
        self, first: int, last: int, frame: dict[str, np.ndarray], embedded: np.ndarray, detail: np.ndarray
    ) -> None:
        """Write rows, an even number, of the generator's inputs: ``embedded`` (H, W, C) in its precision, ``detail``
        f32 (H/2, W/2, 2)."""
        tag, instance, guide = frame["tag"], frame["instance"], frame["guide"]
        planes = tag, instance, frame["depth"], guide
        embed(first, last, tag, instance, guide, self._channel, self.table, self._guided, embedded)
        if not self._is_guided:
            draw_detail(first // 2, last // 2, *planes, frame["camera"], self._channel, self._sketch, False, detail)
            return
        begin, end = (BLOCK * each for each in blocks_of(first, last, len(tag)))
        image, scale, offset = guide, np.float32(1.0 / 255.0), np.float32(-0.5)
        if not is_image(begin, end, guide):
            rows, columns = tag.shape
            relief = np.empty((rows // 2, columns // 2, 2), np.float32)
            around = max(begin // 2 - 1, 0), min(end // 2 + 1, rows // 2)
            draw_detail(*around, *planes, frame["camera"], self._channel, self._sketch, True, relief)
            image, scale, offset = np.empty((rows, columns, 3), np.float32), np.float32(1.0), np.float32(0.0)
            embed(begin, end, tag, instance, guide, self._channel, self._tints, self._of_guide, image)
            add_relief(begin, end, relief, image)
        split_image(first, last, image, scale, offset, tag, self._place, not self._is_exact, embedded, detail)
        seen = frame["depth"], frame["camera"], self._channel, self._sketch.texture
        draw_texture(first // 2, last // 2, tag, *seen, detail)

    def blend(
        self,
        first: int,
        last: int,
        frame: dict[str, np.ndarray],
        generated: np.ndarray,
        past: dict[str, np.ndarray],
        following: dict[str, np.ndarray],
        image: np.ndarray,
    ) -> None:
        """Write rows of ``image`` u8 (H, W, 3) and of the state ``following`` the ``past``, by the names of
        ``state_shapes``, from ``generated`` f32 (1, 3, H, W)."""
        planes = generated[0], frame["tag"], frame["instance"], frame["guide"]
        motion = frame["motion"].view(np.uint16)
        before = past["past_rgb"].reshape(3, -1), past["past_label"].reshape(-1)
        after = following["past_rgb"][0], following["past_label"][0, 0]
        tables = self._channel, self._tints, motion, *before, frame["blend"]
        # a guided generator adds to its guide itself
        constants = Blending(gain=0.0) if self._is_guided else Blending()
        blend(first, last, *planes, *tables, *constants, *after, image)

    def _stored(self, values: np.ndarray) -> np.ndarray:
        """Return f32 values in the generator's precision: f32, or the bits of bf16 as u16, rounded."""
        if self._is_exact:
            return values
        return ((values.view(np.uint32) + 0x8000) >> 16).astype(np.uint16)


class Colours(NamedTuple):
    """The colours of instances: constants of the graph's ``Surface``."""

    palette: np.ndarray  # f32 (3, 256, 3): of movers, by hashed instance
    facades: np.ndarray  # f32 (256, 3): what each building adds to the style's

    def of(self, style: np.ndarray) -> np.ndarray:
        """Return tints f32 (classes, 256, 3) by class and instance, as ``Surface`` computes them."""
        code = instance_code(np.arange(INSTANCES))
        tints = np.repeat(style.astype(np.float32)[:, None], INSTANCES, 1)
        for place, mover in enumerate(MOVERS):
            tints[mover] = np.clip(self.palette[place] * (style[mover] + 0.5), 0.0, 1.0)[code] - 0.5
        wall = style[Channel.BUILDING] + 0.5
        tints[Channel.BUILDING] = (wall + self.facades * (wall.mean() / WALL) - 0.5)[code]
        return tints


class Split(NamedTuple):
    """The parts of a graph."""

    generator: ov.Model  # ``embedded`` (1, H, W, C), ``detail`` (1, H/2, W/2, 2) -> ``generated`` f32 (1, 3, H, W)
    planes: ov.CompiledModel  # ``_TINT_INPUTS`` -> ``embedded`` f32 (1, C, H, W), ``label`` f32 (1, 1, H, W)
    channel: np.ndarray  # u8 (256,): class by tag
    sketch: SketchTables
    colours: Colours
    codes: np.ndarray  # f32 (classes, C - 3), of ``embedded``
    is_exact: bool  # the generator takes ``embedded`` as f32, else as bf16
    is_guided: bool  # its tints and sketch are those of an image, and it adds what it draws to the tints itself

    def generator_of(self, height: int, width: int) -> ov.Model:
        """Return the generator of frames of one size, px."""
        model, sizes = self.generator.clone(), {"embedded": (height, width), "detail": (height // 2, width // 2)}
        inputs = {port.get_any_name(): port.partial_shape[3] for port in model.inputs}
        model.reshape({name: [1, *sizes[name], channels] for name, channels in inputs.items()})
        return model


_KNOWN: dict[tuple[str, bool], Split | None] = {}
_SPLITTING = threading.Lock()  # threads that load the same graph would do the same work


def split_once(core: ov.Core, model: ov.Model, graph: Path, is_exact: bool) -> Split | None:
    """Return what ``split`` returns for ``model``, read from the file ``graph``: once in each process."""
    key = cache.sha256(graph), is_exact
    with _SPLITTING:
        if key not in _KNOWN:
            _KNOWN[key] = split(core, model, is_exact)
        return _KNOWN[key]


def split(core: ov.Core, model: ov.Model, is_exact: bool) -> Split | None:
    """Return the parts of ``model``, whose sizes are free, or None if it does not consist of them.

    ``is_exact``: the generator's precision is fp32, else bf16.
    """
    if model.input("past_label").partial_shape[1] != 1:
        return None
    try:
        is_guided = _embedded(model)[1]
        planes = core.compile_model(_planes(model), "CPU", _EXACT)
        detail = core.compile_model(_detail(model), "CPU", _EXACT)
        blending = core.compile_model(_blending(model), "CPU", _EXACT)
        generator, constants = _generator(model, is_exact), _constants(model)
        channel, codes = _classes(planes)
        tables = _sketch_tables(constants), Colours(constants["palette"], constants["facades"]), codes
        parts = Split(generator, planes, channel, *tables, is_exact, is_guided)
        if _compute_the_same(parts._replace(is_exact=True), detail, blending):
            if not is_exact:
                _compile_for(parts)
            return parts
        different = "they compute something else"
    except (LookupError, RuntimeError, ValueError) as error:  # no such part, one of other inputs, one of other planes
        different = line(str(error))
    logger().info(f"openvino: the graph runs whole, its ends are not those that are compiled: {different}")
    return None


def _constants(model: ov.Model) -> dict[str, np.ndarray]:
    """Return the constants of ``model`` that its sketch and tints are computed from, f32. Raises LookupError if it has
    other ones."""
    found = {op.get_friendly_name().removesuffix("_fp16"): op for op in model.get_ops()}
    shapes = {
        "texture": [1, 1, 129, 129],
        "amplitude": [CHANNELS],
        "fronts.atlas": [1, 1, -1, sum(WIDTH >> level for level in range(LEVELS))],
        "fronts.houses": [256, 5],
        "palette": [len(MOVERS), INSTANCES, 3],
        "facades": [INSTANCES, 3],
    }
    values = {}
    for name, shape in shapes.items():
        op = found[f"surface.{name}"]
        is_same = op.get_output_partial_shape(0).compatible(ov.PartialShape(shape))
        if not isinstance(op, ov.op.Constant) or not is_same:
            raise LookupError(f"surface.{name}")  # the kernels would read beyond it
        values[name] = op.data.astype(np.float32)
    if values["fronts.atlas"].shape[2] % (2 * HEIGHT):
        raise LookupError("surface.fronts.atlas")
    return values


def _sketch_tables(constants: dict[str, np.ndarray]) -> SketchTables:
    names = "texture", "amplitude", "fronts.atlas", "fronts.houses"
    texture, amplitude, atlas, houses = (constants[name] for name in names)
    return SketchTables(texture[0, 0], amplitude, atlas[0, 0], houses)


def _classes(planes: ov.CompiledModel) -> tuple[np.ndarray, np.ndarray]:
    """Return u8 (256,): class by tag; and the codes of classes, f32 (classes, C - 3). Raises LookupError if a class has
    no tag."""
    tags = np.repeat(np.repeat(np.arange(256, dtype=np.uint8)[:, None], BLOCK, 0), BLOCK, 1)
    values = {
        "tag": tags,
        "instance": np.zeros(tags.shape, np.uint16),
        "guide": np.zeros((*tags.shape, 4), np.uint8),
        "style": np.zeros(planes.input("style").shape, np.float32),
        "depth": np.ones(tags.shape, np.float32),
        "camera": _LOOKING_AHEAD,
    }
    found = planes({port.get_any_name(): values[port.get_any_name()] for port in planes.inputs})
    channel = np.asarray(found["label"][0, 0, ::BLOCK, 0] - 1.0).astype(np.uint8)
    present, first = np.unique(channel, return_index=True)
    if not np.array_equal(present, np.arange(CHANNELS)):
        raise LookupError("classes")  # tables have a row for each
    return channel, np.asarray(found["embedded"][0, 3:, BLOCK * first, 0], np.float32).copy()


def _embedded(model: ov.Model) -> tuple[ov.Output, bool]:
    """Return tints and codes: what the first convolution of ``model`` reads of ``_TINT_INPUTS`` and nothing else; and
    whether it is guided: then tints are those of an image, of ``_ALL_INPUTS``, as is the detail that another reads."""
    inputs: dict[str, set[str]] = {}
    for op in model.get_ordered_ops():
        name, sources = op.get_friendly_name(), [value.get_node().get_friendly_name() for value in op.input_values()]
        is_input = op.get_type_name() == "Parameter"
        inputs[name] = {op.output(0).get_any_name()} if is_input else set().union(*(inputs[each] for each in sources))
        if op.get_type_name() != "Convolution" or inputs[name] not in (set(_TINT_INPUTS), _ALL_INPUTS):
            continue
        value = op.input_value(0)
        if value.get_partial_shape()[1].get_length() > _DETAIL:
            return value, inputs[name] == _ALL_INPUTS
    raise LookupError("embedded")


def _generated(model: ov.Model) -> ov.Output:
    """Return the value of the last convolution before the state ``next_rgb`` of ``model``; of a guided one, that and
    what it is added to."""
    is_guided = _embedded(model)[1]
    waiting, seen = [model.output("next_rgb").get_node()], set()
    for op in waiting:  # grows
        sources = [value.get_node() for value in op.input_values()]
        if op.get_type_name() == "Add" and "Convolution" in [each.get_type_name() for each in sources]:
            if not is_guided:
                return op.output(0)
            (user,) = {target.get_node() for target in op.output(0).get_target_inputs()}
            return user.output(0)
        for each in sources:
            if each.get_friendly_name() not in seen:
                seen.add(each.get_friendly_name())
                waiting.append(each)
    raise LookupError("generated")


def _parameter(shape: ov.PartialShape, kind: ov.Type, name: str) -> ov.op.Parameter:
    parameter = ov.opset8.parameter(shape, kind, name=name)
    parameter.output(0).set_names({name})
    return parameter


def _subgraph(outputs: dict[str, ov.Output], parameters: list[ov.op.Parameter]) -> ov.Model:
    """Return the graph from ``parameters``, of which some may be unused, to ``outputs`` by name."""
    results = []
    for name, value in outputs.items():
        results.append(ov.opset8.result(value))
        value.set_names({name})
    return ov.Model(results, parameters)


def _planes(model: ov.Model) -> ov.Model:
    """Return the graph to tints and codes, and labels."""
    model = model.clone()
    embedded, is_guided = _embedded(model)
    outputs = {"embedded": embedded, "label": model.output("next_label").get_node().input_value(0)}
    names = (*_TINT_INPUTS, "depth", "camera") if is_guided else _TINT_INPUTS
    return _subgraph(outputs, [model.input(name).get_node() for name in names])


def _detail(model: ov.Model) -> ov.Model:
    """Return the graph to outlines and sketch."""
    model = model.clone()
    names = (*_TINT_INPUTS, "depth", "camera") if _embedded(model)[1] else _DETAIL_INPUTS
    outputs = {"detail": model.output("detail").get_node().input_value(0)}
    return _subgraph(outputs, [model.input(name).get_node() for name in names])


def _generator(model: ov.Model, is_exact: bool) -> ov.Model:
    """Return the graph from ``embedded`` and ``detail``, in the order (H, W, C), to ``generated``."""
    model = model.clone()
    generated = _generated(model)
    values = {"embedded": _embedded(model)[0], "detail": model.output("detail").get_node().input_value(0)}
    types = {"embedded": ov.Type.f32 if is_exact else ov.Type.bf16, "detail": ov.Type.f32}
    parameters = []
    for name, value in values.items():
        shape = ov.PartialShape([1, -1, -1, value.get_partial_shape()[1]])
        parameters.append(_parameter(shape, types[name], name))
        planes = ov.opset8.transpose(parameters[-1], ov.opset8.constant(np.array([0, 3, 1, 2])))
        single = ov.opset8.convert(planes, "f32").output(0)
        value.replace(single)
        single.set_names(set())  # else the input and what it replaces have the same name
    return _subgraph({"generated": generated}, parameters)


def _blending(model: ov.Model) -> ov.Model:
    """Return the graph from ``generated`` to image and state."""
    model = model.clone()
    value = _generated(model)
    generated = _parameter(value.get_partial_shape(), ov.Type.f32, "generated")
    value.replace(generated.output(0))
    generated.output(0).set_names({"generated"})
    outputs = {name: model.output(name).get_node().input_value(0) for name in ("rgb", "next_rgb", "next_label")}
    names = (*_TINT_INPUTS, "motion", "blend", "past_rgb", "past_label")
    return _subgraph(outputs, [*(model.input(name).get_node() for name in names), generated])


def _compute_the_same(parts: Split, detailed: ov.CompiledModel, blending: ov.CompiledModel) -> bool:
    """Return whether what is compiled instead of ``parts.planes``, ``detailed`` and ``blending`` computes what they do,
    for a few random frames."""
    height, width = _SAMPLE
    rng = np.random.default_rng(0)
    tables = Tables(parts)
    past = {name: np.full(shape, nothing, np.float32) for name, (shape, nothing) in state_shapes(*_SAMPLE).items()}
    for number in range(_FRAMES):
        frame = _random_frame(rng, number * 3.0) | {
            "style": rng.uniform(-0.5, 0.5, parts.planes.input("style").shape).astype(np.float32),
            "blend": rng.uniform(size=blending.input("blend").shape).astype(np.float32),
            "generated": rng.normal(scale=0.3, size=(1, 3, height, width)).astype(np.float32),
        }
        if parts.is_guided and number:  # an image, as of a simulator, in place of surfaces
            frame["guide"] = rng.integers(1, 256, (height, width, 4), np.uint8)
            frame["guide"][..., 3] = 128
        tables.follow(frame["style"])
        embedded = np.empty((height, width, tables.table.shape[-1]), np.float32)
        detail = np.empty((height // 2, width // 2, 2), np.float32)
        tables.embed(0, height, frame, embedded, detail)
        expected = parts.planes({port.get_any_name(): frame[port.get_any_name()] for port in parts.planes.inputs})[0]
        are_close = np.isclose(embedded.transpose(2, 0, 1), expected[0], atol=_TOLERANCE)
        if are_close.mean() < (_CLOSE_SHARE if parts.is_guided else 1.0):  # a tint with relief is one with a sketch
            return False
        inputs = [port.get_any_name() for port in detailed.inputs]
        planes = np.moveaxis(detailed({name: frame[name] for name in inputs})[0][0], 0, -1)
        close, classes = np.isclose(detail, planes, atol=_TOLERANCE), parts.channel[frame["tag"][::2, ::2]]
        shares = [close[classes == each].mean(0) for each in np.unique(classes)]
        if np.min(shares) < _CLOSE_SHARE:
            return False
        image = np.empty((height, width, 3), np.uint8)
        following = {name: np.empty_like(value) for name, value in past.items()}
        tables.blend(0, height, frame, frame["generated"], past, following, image)
        whole = blending({port: (frame | past)[port.get_node().get_friendly_name()] for port in blending.inputs})
        state = all(np.allclose(following[name], whole[STATE_OUTPUTS[name]], atol=_TOLERANCE) for name in following)
        if not state or np.abs(image.astype(np.int16) - whole["rgb"]).max() > 1:
            return False
        past = following
    return True


def _compile_for(parts: Split) -> None:
    """Compile what the first frame would wait for: tables of bf16."""
    tables, (height, width) = Tables(parts), _SAMPLE
    tables.follow(np.zeros(parts.planes.input("style").shape, np.float32))
    embedded = np.empty((height, width, tables.table.shape[-1]), tables.table.dtype)
    detail = np.empty((height // 2, width // 2, 2), np.float32)
    tables.embed(0, height, _random_frame(np.random.default_rng(0), 0.0), embedded, detail)


def _random_frame(rng: np.random.Generator, speed: float) -> dict[str, np.ndarray]:
    """Return planes of blocks of different tags, of which half have a guide, and a camera."""
    height, width = _SAMPLE
    blocks = np.ones((4, 4), np.uint8)
    guide = rng.integers(1, 256, (height, width, 4), np.uint8)
    guide[:, : width // 2] = 0
    depth = np.kron(rng.uniform(3.0, 60.0, (height // 4, width // 4)), blocks) + rng.uniform(0.0, 0.2, (height, width))
    lens = np.array([width * 0.7, width * 0.6, width / 2 + 3.0, height / 2 - 2.0])
    turned, _ = np.linalg.qr(rng.normal(size=(3, 3)))  # any pitch and roll
    pose = np.concatenate([turned, [[30.0], [-20.0], [1.5]]], 1)
    return {
        "tag": np.kron(rng.integers(0, 32, (height // 4, width // 4), np.uint8), blocks),
        "instance": np.kron(rng.integers(0, 1 << 16, (height // 4, width // 4), np.uint16), blocks),
        "guide": guide,
        "depth": depth.astype(np.float32),
        "camera": np.concatenate([pose.ravel(), [0.0, 0.0, 0.0, 1.0], lens]).astype(np.float32),
        "motion": (rng.normal(size=(height, width, 2)) * speed).astype(np.float16),
    }
