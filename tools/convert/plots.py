"""The report's plots as inline SVG, made by hand: no script, no font, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

_WIDTH = 880
_LEFT, _RIGHT, _ROW, _BAR = 330, 80, 26, 16
_SIDE, _PAD = 260, 34
_HIGH, _FOOT = 260, 30


def bars(values: Sequence[tuple[str, float, str]], reference: float) -> str:
    """Horizontal bars of (name, value, CSS class), and a line at the reference."""
    top = max([reference, *(value for _, value, _ in values)]) or 1.0
    scale = (_WIDTH - _LEFT - _RIGHT) / top
    height = _ROW * len(values) + 10
    parts = [_open(_WIDTH, height, "mAP of each build")]
    for number, (name, value, kind) in enumerate(values):
        y = number * _ROW + 5
        parts.append(
            f'<text x="{_LEFT - 8}" y="{y + 13}" text-anchor="end">{escape(name)}</text>'
            f'<rect x="{_LEFT}" y="{y}" width="{value * scale:.1f}" height="{_BAR}" '
            f'class="{kind}"/><text x="{_WIDTH - _RIGHT + 8}" y="{y + 13}">'
            f"{value:.3f}</text>"
        )
    x = _LEFT + reference * scale
    parts.append(f'<line x1="{x:.1f}" y1="0" x2="{x:.1f}" y2="{height}" class="reference"/>')
    return "".join([*parts, "</svg>"])


def scatter(title: str, pairs: Sequence[tuple[float, float]]) -> str:
    """Scores of the same boxes in float (across) and in a build (up), from 0 to 1."""
    side = _SIDE - 2 * _PAD
    parts = [_open(_SIDE, _SIDE + 16, f"scores: {title}")]
    parts.append(f'<rect x="{_PAD}" y="{_PAD}" width="{side}" height="{side}" class="frame"/>')
    parts.append(
        f'<line x1="{_PAD}" y1="{_PAD + side}" x2="{_PAD + side}" y2="{_PAD}" class="reference"/>'
    )
    for float_score, other in pairs:
        x, y = _PAD + float_score * side, _PAD + (1 - other) * side
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2" class="dot"/>')
    middle = _SIDE / 2
    parts.append(f'<text x="{middle}" y="20" text-anchor="middle">{escape(title)}</text>')
    parts.append(f'<text x="{middle}" y="{_SIDE - 4}" text-anchor="middle">score in float</text>')
    parts.append(
        f'<text transform="translate(12 {middle}) rotate(-90)" text-anchor="middle">'
        "score here</text>"
    )
    for value in (0.0, 1.0):
        x, y = _PAD + value * side, _PAD + (1 - value) * side
        parts.append(
            f'<text x="{x:.1f}" y="{_SIDE - 18}" text-anchor="middle">{value:g}</text>'
            f'<text x="{_PAD - 5}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
        )
    return "".join([*parts, "</svg>"])


def profile(alone: Sequence[float], up_to: Sequence[float]) -> str:
    """Cosines along the network, from the input (left) to the outputs."""
    width, height = _WIDTH - 60, _HIGH - _FOOT - 10
    low = min([0.99, *alone, *up_to])
    low = int(low * 20) / 20
    parts = [_open(_WIDTH, _HIGH, "cosine of each layer")]
    for step in range(5):
        value = low + (1 - low) * step / 4
        y = 10 + height * (1 - step / 4)
        parts.append(
            f'<line x1="50" y1="{y:.1f}" x2="{50 + width}" y2="{y:.1f}" class="rule"/>'
            f'<text x="44" y="{y + 4:.1f}" text-anchor="end">{value:.3f}</text>'
        )
    for values, kind in ((up_to, "up"), (alone, "alone")):
        points = " ".join(
            f"{50 + width * number / max(1, len(values) - 1):.1f},"
            f"{10 + height * (1 - (value - low) / (1 - low)):.1f}"
            for number, value in enumerate(values)
        )
        parts.append(f'<polyline points="{points}" class="{kind}"/>')
    y = _HIGH - 8
    parts.append(f'<text x="50" y="{y}">input</text>')
    parts.append(f'<text x="{50 + width}" y="{y}" text-anchor="end">outputs</text>')
    return "".join([*parts, "</svg>"])


def _open(width: float, height: float, title: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img"><title>{escape(title)}</title>'
    )
