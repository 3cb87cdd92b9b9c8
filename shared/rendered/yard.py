"""A loading yard, painted: the background of the rendered scene. Ring: domain (OpenCV arithmetic)."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.rendered.noise import sample_noise


def paint_yard(width: int, height: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Paint sky, a hall with a gate, asphalt, containers, pallets, then the camera's own softness.

    Args:
        width: of the picture in pixels.
        height: the same.
        rng: decides colours, places and the time of day.

    Returns:
        a picture, shape (height, width, 3), uint8, BGR.
    """
    daylight = float(rng.uniform(0.6, 1.2))
    canvas = np.zeros((height, width, 3), np.float32)
    horizon = int(height * rng.uniform(0.30, 0.38))
    _paint_sky(canvas, horizon, daylight, rng)
    ground = int(height * rng.uniform(0.56, 0.62))
    canvas[horizon:ground] = _tone((78, 84, 82), daylight)
    _paint_ground(canvas, ground, daylight, rng)
    _paint_hall(canvas, horizon, ground, daylight, rng)
    _paint_containers(canvas, ground, daylight, rng)
    _paint_pallets(canvas, ground, daylight, rng)
    _paint_lines(canvas, ground, daylight)
    _vignette(canvas)
    soft = cv2.GaussianBlur(canvas, (0, 0), max(0.6, width / 1400.0))
    return np.asarray(np.clip(soft, 0, 255), np.uint8)


def _tone(bgr: tuple[float, float, float], daylight: float) -> NDArray[np.float32]:
    return np.asarray(bgr, np.float32) * np.float32(daylight)


def _cloud(rows: int, cols: int, rng: np.random.Generator, scale: float) -> NDArray[np.float32]:
    """Sample a stretch of noise, shape (rows, cols), 0…1."""
    u = np.linspace(0, scale * cols / max(rows, 1), cols, dtype=np.float32)[None, :] + np.float32(
        rng.random()
    )
    v = np.linspace(0, scale, rows, dtype=np.float32)[:, None] + np.float32(rng.random())
    return sample_noise(u, v, rows, cols)


def _paint_sky(
    canvas: NDArray[np.float32], horizon: int, daylight: float, rng: np.random.Generator
) -> None:
    width = canvas.shape[1]
    top, low = _tone((196, 178, 160), daylight), _tone((224, 218, 210), daylight)
    share = np.linspace(0, 1, horizon, dtype=np.float32)[:, None, None]
    clouds = _cloud(horizon, width, rng, 0.35)[:, :, None]
    canvas[:horizon] = top * (1 - share) + low * share + (clouds - 0.5) * 26 * daylight


def _paint_ground(
    canvas: NDArray[np.float32], ground: int, daylight: float, rng: np.random.Generator
) -> None:
    height, width = canvas.shape[:2]
    rows = height - ground
    asphalt = _tone((92, 94, 96), daylight)
    patches = _cloud(rows, width, rng, 0.6)[:, :, None]
    gravel = rng.standard_normal((rows, width, 1), dtype=np.float32)
    nearer = np.linspace(0.86, 1.06, rows, dtype=np.float32)[:, None, None]
    canvas[ground:] = asphalt * nearer + (patches - 0.5) * 34 * daylight + gravel * 5.0 * daylight


def _paint_hall(
    canvas: NDArray[np.float32],
    horizon: int,
    ground: int,
    daylight: float,
    rng: np.random.Generator,
) -> None:
    """Paint a hall of corrugated sheet with a roller gate, a door and a band of windows."""
    width = canvas.shape[1]
    left, right = int(width * rng.uniform(0.0, 0.12)), int(width * rng.uniform(0.82, 1.0))
    roof = int(horizon * rng.uniform(0.35, 0.6))
    hues = ((150, 146, 138), (138, 150, 158), (160, 150, 128), (120, 132, 128))
    wall = _tone(hues[int(rng.integers(len(hues)))], daylight)
    columns = np.arange(right - left, dtype=np.float32)
    pitch = max(5.0, width / 110.0)
    ribs = (np.sin(columns * (2 * math.pi / pitch)) * 9.0 * daylight)[None, :, None]
    dirt = _cloud(ground - roof, right - left, rng, 0.5)[:, :, None]
    shade = np.linspace(1.0, 0.84, ground - roof, dtype=np.float32)[:, None, None]
    canvas[roof:ground, left:right] = wall * shade + ribs + (dirt - 0.5) * 20 * daylight
    canvas[roof : roof + max(2, ground // 70), left:right] = _tone((70, 70, 72), daylight)
    span = right - left
    for place in (0.08, 0.66):
        x0 = left + int(span * (place + rng.uniform(0, 0.05)))
        x1, y0 = x0 + int(span * 0.22), ground - int((ground - roof) * 0.62)
        gate = _tone((112, 108, 104), daylight)
        slats = np.sin(
            np.arange(ground - y0, dtype=np.float32) * (2 * math.pi / max(4.0, pitch * 0.7))
        )
        canvas[y0:ground, x0:x1] = gate + (slats * 8 * daylight)[:, None, None]
        cv2.rectangle(canvas, (x0, y0), (x1, ground), _scalar(_tone((52, 54, 56), daylight)), 2)
    window_y = roof + int((ground - roof) * 0.14)
    for k in range(6):
        x0 = left + int(span * (0.05 + 0.155 * k))
        x1, y1 = x0 + int(span * 0.09), window_y + int((ground - roof) * 0.11)
        pane = _tone((120, 112, 96), daylight * float(rng.uniform(0.5, 1.1)))
        cv2.rectangle(canvas, (x0, window_y), (x1, y1), _scalar(pane), -1)


def _paint_containers(
    canvas: NDArray[np.float32], ground: int, daylight: float, rng: np.random.Generator
) -> None:
    """Paint one or two shipping containers against the hall."""
    height, width = canvas.shape[:2]
    paints = ((118, 70, 42), (60, 92, 60), (70, 70, 120), (128, 120, 104))
    for _ in range(int(rng.integers(1, 3))):
        x0 = int(width * rng.uniform(0.0, 0.8))
        x1 = min(width, x0 + int(width * rng.uniform(0.14, 0.22)))
        y1 = ground + int(height * rng.uniform(0.02, 0.08))
        y0 = y1 - int(height * rng.uniform(0.13, 0.18))
        paint = _tone(paints[int(rng.integers(len(paints)))], daylight)
        ribs = np.sin(np.arange(x1 - x0, dtype=np.float32) * (2 * math.pi / max(4.0, width / 150)))
        canvas[y0:y1, x0:x1] = paint + (ribs * 10 * daylight)[None, :, None]
        canvas[y1 : y1 + max(2, height // 90), x0:x1] *= 0.55


def _paint_pallets(
    canvas: NDArray[np.float32], ground: int, daylight: float, rng: np.random.Generator
) -> None:
    """Paint stacks of cartons and pallets on the yard."""
    height, width = canvas.shape[:2]
    for _ in range(int(rng.integers(4, 8))):
        depth = float(rng.uniform(0.1, 0.75))
        size = int(height * (0.035 + 0.06 * depth))
        x0 = int(rng.uniform(0, 0.95) * width)
        y1 = ground + int((height - ground) * depth)
        for level in range(int(rng.integers(1, 4))):
            y = y1 - level * size
            wood = _tone((92, 126, 150), daylight * float(rng.uniform(0.75, 1.05)))
            cv2.rectangle(canvas, (x0, y - size), (x0 + int(size * 1.4), y), _scalar(wood), -1)
            cv2.rectangle(canvas, (x0, y - size), (x0 + int(size * 1.4), y), _scalar(wood * 0.6), 1)
        canvas[y1 : y1 + max(1, size // 8), x0 : x0 + int(size * 1.4)] *= 0.6


def _paint_lines(canvas: NDArray[np.float32], ground: int, daylight: float) -> None:
    """Paint worn parking lines that run to a vanishing point."""
    height, width = canvas.shape[:2]
    paint = _scalar(_tone((150, 156, 158), daylight))
    for share in (-0.3, 0.05, 0.4, 0.75, 1.1):
        far = (int(width * (0.5 + (share - 0.4) * 0.45)), ground + (height - ground) // 6)
        near = (int(width * share), height)
        cv2.line(canvas, far, near, paint, max(1, height // 240), cv2.LINE_AA)


def _vignette(canvas: NDArray[np.float32]) -> None:
    height, width = canvas.shape[:2]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    canvas *= (1.0 - 0.16 * (x * x + y * y))[:, :, None]


def _scalar(bgr: NDArray[np.float32]) -> tuple[float, float, float]:
    return float(bgr[0]), float(bgr[1]), float(bgr[2])
