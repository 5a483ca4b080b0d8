# SPDX-License-Identifier: ISC
"""A chart of latency over time as an SVG file: a logarithmic axis, a shaded period, two lines for each series."""

import math
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 960, 500
LEFT, RIGHT, TOP, BOTTOM = 76, 24, 92, 56
COLOURS = ("#0a7d3c", "#c62828", "#1f5fbf", "#8a6d00")
STYLE = ("text { font: 13px sans-serif; fill: #222 } .title { font-size: 17px; font-weight: bold } .small { font-size: 12px; fill: #555 } "
         ".grid { stroke: #ddd } .axis { stroke: #444 } .storm { fill: #f6e7d8 } .edge { stroke: #b36b1e; stroke-dasharray: 5 4 } "
         ".high { fill: none; stroke-width: 2.2; stroke-linejoin: round } .middle { fill: none; stroke-width: 1.1; stroke-dasharray: 2 3 }")


class Axes:
    """Seconds and milliseconds to places of the picture."""

    def __init__(self, from_s, to_s, low_ms, high_ms):
        self.from_s, self.to_s = from_s, to_s
        self.low, self.high = math.floor(math.log10(low_ms)), math.ceil(math.log10(high_ms))

    def x(self, at_s):
        return LEFT + (at_s - self.from_s) / (self.to_s - self.from_s) * (WIDTH - LEFT - RIGHT)

    def y(self, ms):
        share = (math.log10(ms) - self.low) / max(1, self.high - self.low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def line(x1, y1, x2, y2, kind):
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def text(x, y, words, anchor="start", kind=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{f" class={chr(34)}{kind}{chr(34)}" if kind else ""}>{escape(words)}</text>'


def milliseconds(exponent):
    return f"{10 ** exponent:g} ms" if exponent < 3 else f"{10 ** (exponent - 3):g} s"


def grid(axes):
    parts = []
    for exponent in range(axes.low, axes.high + 1):
        y = axes.y(10 ** exponent)
        parts += [line(LEFT, y, WIDTH - RIGHT, y, "grid"), text(LEFT - 8, y + 4, milliseconds(exponent), "end")]
    step = max(1, round((axes.to_s - axes.from_s) / 12))
    for at_s in range(math.ceil(axes.from_s / step) * step, math.floor(axes.to_s) + 1, step):
        x = axes.x(at_s)
        parts += [line(x, HEIGHT - BOTTOM, x, HEIGHT - BOTTOM + 5, "axis"), text(x, HEIGHT - BOTTOM + 20, f"{at_s}", "middle")]
    parts += [line(LEFT, TOP, LEFT, HEIGHT - BOTTOM, "axis"), line(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, "axis"),
              text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, "seconds since the storm began", "middle", "small")]
    return parts


def storm_period(axes, storm_s):
    begin, end, bottom = axes.x(0), axes.x(storm_s), HEIGHT - BOTTOM
    return [f'<rect class="storm" x="{begin:.1f}" y="{TOP}" width="{end - begin:.1f}" height="{bottom - TOP}"/>',
            line(begin, TOP, begin, bottom, "edge"), line(end, TOP, end, bottom, "edge"),
            text(begin + 6, TOP + 16, "storm begins", kind="small"), text(end - 6, TOP + 16, "storm ends", "end", "small")]


def curve(axes, points, column, colour, kind):
    places = " ".join(f"{axes.x(point[0]):.1f},{axes.y(point[column]):.1f}" for point in points)
    return f'<polyline class="{kind}" stroke="{colour}" points="{places}"/>'


def legend(names):
    parts, x = [], LEFT
    for name, colour in zip(names, COLOURS):
        parts += [f'<line class="high" stroke="{colour}" x1="{x}" y1="62" x2="{x + 26}" y2="62"/>', text(x + 32, 66, name)]
        x += 48 + 7 * len(name)
    return parts


def latency_chart(title, subtitle, series, storm_s):
    """The SVG's text. series: [(name, [(seconds, median ms, p99 ms)])]; the storm is from 0 to storm_s. The first series is drawn last."""
    every = [point for _, points in series for point in points]
    axes = Axes(min(point[0] for point in every), max(point[0] for point in every),
                min(point[1] for point in every), max(point[2] for point in every))
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img">',
             f"<title>{escape(title)}</title>", f"<style>{STYLE}</style>", f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
             text(LEFT, 24, title, kind="title"), text(LEFT, 43, subtitle, kind="small")]
    parts += legend([name for name, _ in series]) + storm_period(axes, storm_s) + grid(axes)
    for (_, points), colour in reversed(list(zip(series, COLOURS))):
        parts += [curve(axes, points, 1, colour, "middle"), curve(axes, points, 2, colour, "high")]
    return "\n".join([*parts, "</svg>"]) + "\n"
