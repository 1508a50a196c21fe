"""Pseudo-depth: a depth map and a camera for each frame of label maps that come without them.

Models need the place of a pixel in the world, to which surface noise and windows are fixed. A folder of labels has
none, so a simple street is assumed. Road and pavement are a plane below the camera. Upright surfaces (houses, fences,
trees) have one depth per class and column, as stixels have (Badino et al., DAGM 2009), taken from the foot where that
is visible; houses form plane walls. Movers are upright cards at their own foot; the sky is far.

The motion between frames adds more. The camera's own movement is that of six degrees of freedom that explains the flow
on static surfaces best (Longuet-Higgins & Prazdny 1980, iteratively reweighted); its scale comes from the camera's
height over the feet of objects. Parallax then measures each stixel, and a Kalman filter per class and column carries
the result from frame to frame. Points of the assumed world keep their place, as far as the flow allows.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.linalg import solveh_banded

from bridge.ego_camera import EGO_CAMERA
from neuralsim.models.classes import CARLA_TO_CHANNEL, CHANNELS, MOVERS, Channel

EYE = EGO_CAMERA.z  # m, height of the camera over the road, as in the models' own drives
FAR = 1000.0  # m, the sky
_DEPTH_FLOOR = 1.5  # m
_DEPTH_CEILING = 160.0  # m
_GROUND = (Channel.ROAD, Channel.SIDEWALK, Channel.TERRAIN, Channel.ROAD_LINE)
_STANDING = tuple(Channel(c) for c in range(CHANNELS) if c not in (*_GROUND, *MOVERS, Channel.SKY))
#: u8 by channel: a number for each kind of surface whose points are carried from frame to frame; 0: not carried.
_CARRIED = np.array(
    [0 if c in (*_GROUND, *MOVERS, Channel.SKY, Channel.BUILDING) else 1 + c for c in range(CHANNELS)], np.uint8
)
_GRID = 4  # px between the pixels whose flow is used
_FLOW_NOISE = 0.35  # px, of dense inverse search on a well-textured surface
_ROW_NOISE = 2.0  # px, of the rows where objects meet the ground
_BEND_COST = 5e-6  # of bends of walls, against the errors of their columns, for a frame one pixel wide
_FORGETTING = 1.02  # growth of a stixel's variance per frame: a new measurement moves it by hundredths
_SETTLING = 0.01  # share of the way back to its stixel that a carried point moves in each frame
_LEVELLING = 0.03  # share of pitch, roll and height that returns to rest in each frame
_GROUND_TRUST = 0.02  # in an unconfirmed flow of the ground: asphalt has little texture
_CONFIRMED = 0.3  # share by which the ground's flow may differ from the prediction to be trusted fully
_ROLLING = 0.1  # m per frame, from which the direction of movement is clear
_TILTING = 0.1  # share of the way to the tilt of the last movement
_PLOT = 12.0  # m of street per building
_TREE = 6.0  # m of street per tree
_RAGGED = ((0.25, 1.3), (0.12, 3.1))  # edge of a tree: share of its width, 1/m of its height


@dataclass
class PseudoView:
    """Depth, camera and plots of a frame."""

    depth: np.ndarray  # f32 (H, W), m
    pose: np.ndarray  # f64 (4, 4), world <- camera
    plot: np.ndarray  # i32 (H, W), number of a building by its place


def horizon_row(channels: list[np.ndarray]) -> float:
    """Return the row of the horizon, px, from channel maps (H, W): a little above the farthest visible road."""
    height = channels[0].shape[0]
    tops = []
    for channel in channels:
        rows = np.flatnonzero(np.isin(channel, _GROUND).mean(1) > 0.01)
        if len(rows):
            tops.append(rows[0])
    row = float(np.percentile(tops, 20)) - 0.015 * height if tops else 0.5 * height
    return float(np.clip(row, 0.25 * height, 0.65 * height))


class PseudoDepth:
    """Computes depth and camera of one frame after another of a clip.

    ``focal`` and ``horizon`` are in pixels of ``size`` = (width, height).
    """

    def __init__(self, size: tuple[int, int], focal: float, horizon: float) -> None:
        self.width, self.height = size
        self.focal = focal
        self._tilt = float(np.arctan2(horizon - self.height / 2.0, focal))  # pitch at rest, rad, upwards positive
        columns, rows = np.arange(self.width) + 0.5, np.arange(self.height) + 0.5
        self._y = ((columns - self.width / 2.0) / focal)[None, :].repeat(self.height, 0)  # ray (1, y, z)
        self._z = (-(rows - self.height / 2.0) / focal)[:, None].repeat(self.width, 1)
        self._pose = _pose(self._tilt, 0.0, EYE)
        self._rho: np.ndarray | None = None  # f64 (classes, W): inverse depth of stixels, 1/m
        self._variance = np.zeros(0)
        self._last: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None  # channels, depth, pose of the last frame

    def view(
        self, tag: np.ndarray, instance: np.ndarray, motion: np.ndarray | None, valid: np.ndarray | None
    ) -> PseudoView:
        """Return depth, camera and plots of the next frame.

        Args:
            tag: u8 (H, W).
            instance: u16 (H, W).
            motion: f32 (H, W, 2), px back to the last frame; None = unknown: each frame is independent.
            valid: bool (H, W), validity of ``motion``.
        """
        channel = CARLA_TO_CHANNEL[tag]
        if motion is None or self._rho is None:
            self._pose = _pose(self._tilt, 0.0, EYE)
            ground = self._ground(self._pose)
            rho, variance = self._feet(channel, ground)
        else:
            rho, variance = self._follow(channel, motion, valid)
            ground = self._ground(self._pose)
        house = _STANDING.index(Channel.BUILDING)
        rho[house] = _in_planes(rho[house], variance[house]).clip(1.0 / _DEPTH_CEILING, 1.0 / _DEPTH_FLOOR)
        self._rho, self._variance = rho, variance
        inverse = np.where(np.isin(channel, _GROUND), ground, 1.0 / _DEPTH_CEILING)
        for row, standing in enumerate(_STANDING):
            inverse = np.where(channel == standing, rho[row][None, :], inverse)
        inverse = self._settled(channel, inverse, motion, valid)
        inverse = self._stand_movers(inverse, channel, instance, ground)
        inverse = inverse.clip(1.0 / _DEPTH_CEILING, 1.0 / _DEPTH_FLOOR)
        depth = np.where(channel == Channel.SKY, FAR, 1.0 / inverse)
        depth = np.where(channel == Channel.VEGETATION, self._trees(depth), depth)
        self._last = channel, depth, self._pose
        return PseudoView(depth.astype(np.float32), self._pose.copy(), self._plots(channel, depth))

    def _ground(self, pose: np.ndarray) -> np.ndarray:
        """Return the inverse depth of the plane z = 0, f64 (H, W); 0 or less above the horizon."""
        fall = pose[2, 0] + pose[2, 1] * self._y + pose[2, 2] * self._z
        return -fall / pose[2, 3]

    def _settled(
        self, channel: np.ndarray, inverse: np.ndarray, motion: np.ndarray | None, valid: np.ndarray | None
    ) -> np.ndarray:
        """Return ``inverse`` depth with points that the last frame saw too at their place along the street.

        A column of pixels far ahead spans metres of hedge: stixels alone would jump by them with every unexplained
        tremor. Houses keep their stixels: windows need plane walls. The road keeps its plane: asphalt has little
        texture for a flow, and its errors would twist the generated texture into swirls.
        """
        if motion is None or self._last is None:
            return inverse
        before, depth, pose = self._last
        x = (np.arange(self.width)[None, :] + motion[..., 0]).astype(np.float32)
        y = (np.arange(self.height)[:, None] + motion[..., 1]).astype(np.float32)
        # distance of the last frame's points along the axis of this camera, less the way driven since
        to_old = np.linalg.inv(self._pose) @ pose
        along = depth * (to_old[0, 0] + to_old[0, 1] * self._y + to_old[0, 2] * self._z) + to_old[0, 3]
        carried = cv2.remap(along.astype(np.float32), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        old = _CARRIED[before]
        box = np.ones((3, 3), np.uint8)
        inner = np.where(cv2.erode(old, box) == cv2.dilate(old, box), old, 0)  # no mixture of two surfaces
        known = cv2.remap(inner, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT) == _CARRIED[channel]
        known &= _CARRIED[channel] > 0
        if valid is not None:
            known &= valid
        kept = 1.0 / np.maximum(carried, _DEPTH_FLOOR)
        known &= np.abs(kept - inverse) < 0.5 * inverse + 0.01
        return np.where(known, kept + _SETTLING * (inverse - kept), inverse)

    def _feet(self, channel: np.ndarray, ground: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return inverse depth and variance of each standing class and column, f64 (classes, W), from its foot.

        A surface that meets no ground in a column (a crown over a fence, a house behind a car) is placed behind the
        surface below it, with a large variance. Columns without the class are filled from their neighbours.
        """
        rows = np.arange(self.height)[:, None]
        least = 1.0 / _DEPTH_CEILING
        row_noise = _ROW_NOISE / (self.focal * EYE)
        rho = np.full((len(_STANDING), self.width), least)
        variance = np.full_like(rho, 0.05**2)
        on_ground = np.isin(channel, _GROUND)
        columns = np.arange(self.width)
        for index, standing in enumerate(_STANDING):
            mask = channel == standing
            seen = mask.any(0)
            foot = np.where(mask, rows, -1).max(0)
            below = np.minimum(foot + 1, self.height - 1)
            footed = seen & on_ground[below, columns] & (foot < self.height - 2)
            at_foot = ground[below, columns].clip(least)
            # the first ground below the occluder in front is a bound
            under = np.where(on_ground & (rows > foot[None, :]), rows, self.height - 1).min(0)
            bound = ground[under, columns].clip(least)
            rho[index] = np.where(footed, at_foot, 0.6 * bound)
            variance[index] = np.where(footed, row_noise**2, np.square(0.5 * bound))
            variance[index][~seen] = 1.0
        return self._smooth(rho, variance)

    def _smooth(self, rho: np.ndarray, variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Smooth along the columns, weighted by certainty; inverse depth is linear over a plane: walls stay plane."""
        weight = 1.0 / variance
        sigma = self.width / 64.0
        total = cv2.GaussianBlur(weight, (0, 0), sigmaX=sigma, sigmaY=1e-3) + 1e-9
        mean = cv2.GaussianBlur(weight * rho, (0, 0), sigmaX=sigma, sigmaY=1e-3) / total
        return mean, np.minimum(variance, 1.0 / total)

    def _follow(
        self, channel: np.ndarray, motion: np.ndarray, valid: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Move the camera and update the stixels by the motion from the last frame."""
        assert self._rho is not None
        g = slice(_GRID // 2, None, _GRID)
        small = channel[g, g]
        known = np.ones(small.shape, bool) if valid is None else valid[g, g]
        y, z = self._y[g, g], self._z[g, g]
        flow_y = motion[g, g, 0].astype(np.float64) / self.focal
        flow_z = -motion[g, g, 1].astype(np.float64) / self.focal
        # the stixels of the last frame, moved by the flow
        rho, variance = self._carried(channel, motion)
        twist = np.zeros(6)
        pose = self._pose
        flat = np.isin(small, _GROUND)
        road = _GROUND_TRUST
        for _ in range(2):  # the second time with the new pitch, and with the road if it agrees
            inverse = np.where(flat, self._ground(pose)[g, g], 0.0)
            trust = np.where(flat, road, 0.0)
            for index, standing in enumerate(_STANDING):
                here = small == standing
                inverse = np.where(here, rho[index][None, g], inverse)
                sure = 1.0 / (1.0 + variance[index][g] / np.square(0.1 * rho[index][g]))
                trust = np.where(here, sure[None, :], trust)
            trust = np.where(small == Channel.SKY, 0.05, trust) * known
            inverse = inverse.clip(0.0)
            twist = _ego_motion(y, z, inverse, flow_y, flow_z, trust, 0.5 / self.focal, twist)
            pose = self._pose @ _moved(twist)
            turn_y, turn_z, slide_y, slide_z = _basis(y, z, twist)
            slid = np.hypot(flow_y - turn_y, flow_z - turn_z)[flat & known]
            wrong = np.hypot(flow_y - turn_y - inverse * slide_y, flow_z - turn_z - inverse * slide_z)[flat & known]
            if len(slid) and np.median(wrong) < _CONFIRMED * np.median(slid):
                road = 1.0
        measured, noise = self._parallax(small, y, z, flow_y, flow_z, known, twist)
        feet, doubt = self._feet(channel, self._ground(pose))
        if twist[3] > _ROLLING:  # a car drives along its road: its direction of travel gives the camera's tilt
            tilt = float(np.arctan2(-twist[5], twist[3])) - self._tilt
            self._tilt += _TILTING * float(np.clip(tilt, -0.1, 0.1))
        self._pose = _levelled(pose, self._tilt)
        rho, variance = _moved_away(rho, twist), variance * _FORGETTING + 1e-8
        for other, unsure in ((measured, noise), (feet, doubt)):
            gain = variance / (variance + unsure)
            rho = rho + gain * (other - rho)
            variance = (1.0 - gain) * variance
        rho, _ = self._smooth(rho, variance)
        return rho.clip(1.0 / _DEPTH_CEILING, 1.0 / _DEPTH_FLOOR), variance

    def _carried(self, channel: np.ndarray, motion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return inverse depth and variance of each class and column, read from its place in the last frame."""
        assert self._rho is not None
        rho, variance = self._rho.copy(), self._variance.copy()
        columns = np.arange(self.width, dtype=np.float64)
        for index, standing in enumerate(_STANDING):
            mask = channel == standing
            count = mask.sum(0)
            if not count.any():
                continue
            shift = (motion[..., 0] * mask).sum(0) / np.maximum(count, 1)
            seen = np.flatnonzero(count)
            source = columns + np.interp(columns, seen, shift[seen])
            rho[index] = np.interp(source, columns, self._rho[index])
            variance[index] = np.interp(source, columns, self._variance[index])
            new = (source < 0) | (source > self.width - 1)
            variance[index][new] = np.maximum(variance[index][new], 0.02**2)
        return rho, variance

    def _parallax(
        self,
        small: np.ndarray,
        y: np.ndarray,
        z: np.ndarray,
        flow_y: np.ndarray,
        flow_z: np.ndarray,
        known: np.ndarray,
        twist: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the inverse depth of stixels, f64 (classes, W), measured by parallax, and its variance."""
        turn_y, turn_z, slide_y, slide_z = _basis(y, z, twist)
        length = np.square(slide_y) + np.square(slide_z)
        along = (flow_y - turn_y) * slide_y + (flow_z - turn_z) * slide_z
        columns = np.arange(self.width)
        places = np.arange(_GRID // 2, self.width, _GRID)
        rho, variance = np.empty((len(_STANDING), self.width)), np.empty((len(_STANDING), self.width))
        for index, standing in enumerate(_STANDING):
            mask = (small == standing) & known
            inverse = np.where(mask & (length > 1e-12), along / np.maximum(length, 1e-12), 0.0)
            good = mask & (inverse > 0.0) & (inverse < 1.0 / _DEPTH_FLOOR)
            total = (length * good).sum(0)
            value = (length * inverse * good).sum(0) / np.maximum(total, 1e-12)
            # errors of neighbouring flow vectors are correlated: a patch of them counts as one
            doubt = (_FLOW_NOISE / self.focal) ** 2 / np.maximum(total / 4.0, 1e-12)
            rho[index] = np.interp(columns, places, value)
            variance[index] = np.interp(columns, places, np.minimum(doubt, 1.0))
        return rho, variance

    def _trees(self, depth: np.ndarray) -> np.ndarray:
        """Return the depth of cards across the street, one for each stretch of it, with ragged edges, f64 (H, W).

        A row of crowns along a street would be a plane seen at a slant, and noise on it long streaks.
        """
        ahead = self._pose[0, 0] + self._pose[0, 1] * self._y + self._pose[0, 2] * self._z
        rise = self._pose[2, 3] + depth * (self._pose[2, 0] + self._pose[2, 1] * self._y + self._pose[2, 2] * self._z)
        place = (self._pose[0, 3] + depth * ahead) / _TREE
        edge = sum(share * np.sin(rate * rise + 2.4 * np.floor(place / 4.0)) for share, rate in _RAGGED)
        card = (np.floor(place + edge) + 0.5) * _TREE - self._pose[0, 3]
        cards = card / np.where(np.abs(ahead) > 0.2, ahead, 1.0)
        return np.where((np.abs(ahead) > 0.2) & (cards > _DEPTH_FLOOR), cards.clip(_DEPTH_FLOOR, _DEPTH_CEILING), depth)

    def _stand_movers(
        self, inverse: np.ndarray, channel: np.ndarray, instance: np.ndarray, ground: np.ndarray
    ) -> np.ndarray:
        """Return ``inverse`` depth with each mover as a card at the depth of its lowest pixels."""
        rows, columns = np.nonzero(np.isin(channel, MOVERS))  # from top to bottom
        ids = instance[rows, columns].astype(np.int64) * CHANNELS + channel[rows, columns]
        foot = np.zeros((1 << 16) * CHANNELS, np.int64)
        foot[ids] = rows  # of several rows, the last is kept: the lowest
        at = ground[:, self.width // 2].clip(1.0 / _DEPTH_CEILING)[foot[ids]]
        out = inverse.copy()
        out[rows, columns] = at
        return out

    def _plots(self, channel: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """Return a number for each stretch of frontage, left and right of the street, i32 (H, W), 0 off buildings."""
        x = self._pose[0, 3] + depth * (self._pose[0, 0] + self._pose[0, 1] * self._y + self._pose[0, 2] * self._z)
        y = self._pose[1, 3] + depth * (self._pose[1, 0] + self._pose[1, 1] * self._y + self._pose[1, 2] * self._z)
        plot = np.floor(x / _PLOT).astype(np.int64) * 2 + (y > self._pose[1, 3])
        return np.where(channel == Channel.BUILDING, 1 + plot % 997, 0).astype(np.int32)


def _in_planes(rho: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Fit the inverse depth of columns f64 (W,) by a piecewise linear function: over a plane wall it is linear.

    Trend filtering with the absolute values of second differences (Kim, Koh, Boyd & Gorinevsky, "l1 Trend Filtering",
    SIAM Review 2009), by iteratively reweighted least squares: few bends, and sharp ones.
    """
    weight = 1.0 / np.maximum(variance, 1e-6)
    weight /= weight.mean()
    strength = _BEND_COST * len(rho) ** 2
    out = rho
    for _ in range(12):
        bend = strength / (np.abs(np.diff(out, 2)) + 1e-6)
        matrix = np.zeros((3, len(rho)))  # diagonals of the symmetric matrix, the upper ones shifted to the right
        matrix[0, 2:] = bend
        matrix[1, 1:-1] -= 2.0 * bend
        matrix[1, 2:] -= 2.0 * bend
        matrix[2] = weight
        matrix[2, :-2] += bend
        matrix[2, 1:-1] += 4.0 * bend
        matrix[2, 2:] += bend
        out = solveh_banded(matrix, weight * rho)
    return np.asarray(out)


def _pose(pitch: float, roll: float, height: float) -> np.ndarray:
    """Return the pose f64 (4, 4), world <- camera, looking along x (UE axes: y right, z up); angles in rad."""
    cp, sp, cr, sr = np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    pose = np.eye(4)
    pose[:3, :3] = np.array([[cp, 0, -sp], [0, 1, 0], [sp, 0, cp]]) @ np.array([[1, 0, 0], [0, cr, sr], [0, -sr, cr]])
    pose[2, 3] = height
    return pose


def _basis(y: np.ndarray, z: np.ndarray, twist: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the image motion of rays (1, y, z): by rotation, and by translation per unit of inverse depth.

    ``twist`` (wx, wy, wz, tx, ty, tz) is small and takes points of this frame into the last camera.
    """
    wx, wy, wz, tx, ty, tz = twist
    ahead = wy * z - wz * y
    return (wz - wx * z) - y * ahead, (wx * y - wy) - z * ahead, ty - y * tx, tz - z * tx


def _ego_motion(
    y: np.ndarray,
    z: np.ndarray,
    rho: np.ndarray,
    flow_y: np.ndarray,
    flow_z: np.ndarray,
    trust: np.ndarray,
    scale: float,
    start: np.ndarray,
) -> np.ndarray:
    """Return the twist f64 (6,) that explains the flow best: least squares, reweighted by Cauchy's function.

    ``scale`` is that of the function, ``start`` the result with too few pixels.
    """
    used = trust > 0
    y, z, rho, flow_y, flow_z, trust = (a[used] for a in (y, z, rho, flow_y, flow_z, trust))
    if len(y) < 50:
        return start
    zero = np.zeros_like(y)
    rows_y = np.stack([-z, -y * z, 1 + y * y, -y * rho, rho, zero], 1)
    rows_z = np.stack([y, -1 - z * z, y * z, -z * rho, zero, rho], 1)
    matrix, right = np.concatenate([rows_y, rows_z]), np.concatenate([flow_y, flow_z])
    twist = start
    # cars neither slide sideways nor lift off: a prior for directions that the flow leaves open
    prior = np.diag([1e-4, 0.0, 0.0, 0.0, 1e-3, 1e-3]) * len(y)
    weight = np.concatenate([trust, trust])
    for _ in range(8):
        residual = matrix @ twist - right
        robust = weight / (1.0 + np.square(residual / scale))
        twist = np.linalg.solve(matrix.T @ (robust[:, None] * matrix) + prior * 1e-3, matrix.T @ (robust * right))
    return twist


def _moved(twist: np.ndarray) -> np.ndarray:
    """Return the pose f64 (4, 4), last camera <- this camera."""
    moved = np.eye(4)
    moved[:3, :3] = cv2.Rodrigues(twist[:3])[0]
    moved[:3, 3] = twist[3:]
    return moved


def _moved_away(rho: np.ndarray, twist: np.ndarray) -> np.ndarray:
    """Return the inverse depth in this frame of points with ``rho`` in the last: they came nearer by the way driven."""
    return rho / np.maximum(1.0 - twist[3] * rho, 0.2)


def _levelled(pose: np.ndarray, tilt: float) -> np.ndarray:
    """Return ``pose`` with pitch, roll and height pulled a little towards rest, so that their errors do not add up."""
    forward = pose[:3, 0]
    yaw = np.arctan2(forward[1], forward[0])
    pitch = np.arctan2(forward[2], np.hypot(forward[0], forward[1]))
    turn = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    upright = turn.T @ pose[:3, :3]
    roll = np.arctan2(-upright[2, 1], upright[2, 2])
    out = _pose(
        tilt + (1 - _LEVELLING) * (pitch - tilt), (1 - _LEVELLING) * roll, EYE + (1 - _LEVELLING) * (pose[2, 3] - EYE)
    )
    out[:3, :3] = turn @ out[:3, :3]
    out[:2, 3] = pose[:2, 3]
    return out
