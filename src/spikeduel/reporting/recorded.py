"""Figures of recordings of event cameras: what their time adds, who is right how soon, and what spikes make of one."""

import io
from pathlib import Path

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from spikeduel.networks.models import Model, StreamState
from spikeduel.reporting import anytime, spikes, style
from spikeduel.results.run import Results

_GROUP_HEIGHT, _ROW_HEIGHT = 0.16, 0.15
"""Inches between controls, and for each contender in one."""
MOST_NEURONS, MOST_MEMBRANES, MOST_CLASSES = 40, 3, 4
"""Of those that are shown while a recording goes on."""
LEAST_NAMED = 0.05
"""Classes less probable than this, but for the first, lose their names: these would lie over one another."""
FRAME_MS = 350
DARKER, BRIGHTER = style.OTHER_COLOURS[0], style.SPIKING_COLOURS[0]
_SCREEN_DPI = 100


def time_controls(results: Results) -> Figure:
    """For each control on recordings and each contender, the points of accuracy that it took or gave, with their 95 %
    interval; the margin is shaded.
    """
    controlled = [each for each in results.comparison.controls if each.of_recordings]
    colours = style.contender_colours(results.trials)
    titles = [row.title for row in controlled[0].rows]
    between = _GROUP_HEIGHT + (0.18 if style.canvas().narrow else 0)
    height = between + _ROW_HEIGHT * len(controlled)
    figure = style.new_figure(0.9 + height * len(titles))
    axes = style.quiet(figure.subplots(), x="change in accuracy, points")
    margin = style.margin_band(axes, 100 * results.experiment.equivalence_margin)
    for group, title in enumerate(titles):
        for place, each in enumerate(controlled):
            found = next((row.found for row in each.rows if row.title == title), None)
            if found is None:
                continue
            at, colour = group * height + _ROW_HEIGHT * place, colours[each.contender]
            high, low = (-100 * bound for bound in found.ci95)
            (line,) = axes.plot([low, high], [at, at], color=colour, linewidth=1.6, zorder=2)
            (dot,) = axes.plot([-100 * found.difference], [at], "o", color=colour, markersize=5, zorder=3)
            for mark in (line, dot):
                style.told(mark, [{
                    "contender": each.contender, "control": title, "change, points": -100 * found.difference,
                    "95 % interval from, points": low, "95 % interval to, points": high,
                }])  # fmt: skip
    middle = 0.0 if style.canvas().narrow else _ROW_HEIGHT * (len(controlled) - 1) / 2
    style.name_rows(axes, [group * height + middle for group in range(len(titles))], titles)
    axes.set_ylim(len(titles) * height - between / 2, -between)
    axes.grid(axis="x", color=style.FAINT, linewidth=0.8)
    style.signed_axis(axes.xaxis)
    entries = style.keys({each.contender: colours[each.contender] for each in controlled}, marker="o")
    style.legend(figure, [*entries, margin])
    return figure


def while_it_happens(results: Results) -> Figure | None:
    """Accuracy against the milliseconds and the events of a recording that have come; None of images.

    Solid: every recording is answered after so many frames. Dashed, and the star: leaving early, as in
    `anytime.curves`. Squares: who needs all frames before the first answer.
    """
    over_time, colours = anytime.followed(results), style.contender_colours(results.trials)
    known = {
        name: [trial.anytime.received for trial in trials if trial.anytime and trial.anytime.received]
        for name, trials in over_time.items()
    }
    known = {name: found for name, found in known.items() if found}
    if not known:
        return None
    figure, panels = style.new_panels(2, 2.8, sharey=True)
    for axes, unit, x in zip(panels, ("milliseconds", "events"), ("ms of the recording", "events"), strict=True):
        style.quiet(axes, f"accuracy by {unit}", x=x, y="accuracy on the test set", grid=True)
        for name, found in known.items():
            costs = [getattr(each, unit) for each in found]
            anytime.accuracy_over(axes, costs, over_time[name], colours[name], unit)
        whole = np.mean([getattr(each, unit)[-1] for found in known.values() for each in found])
        late = [name for name in colours if name not in known and results.of(name)]
        for place, name in enumerate(late):
            accuracy = float(np.mean([trial.test.accuracy for trial in results.of(name) if trial.test]))
            # Beside one another: equal ones would hide one another.
            at = whole * (1 + 0.03 * place)
            square = axes.scatter(at, accuracy, marker="s", s=30, color=colours[name], linewidths=0, zorder=3)
            style.told(square, [{"contender": name, "accuracy, %": 100 * accuracy, unit: whole}])
        axes.set_xlim(left=0)
        style.accuracy_axis(axes)
    squares = {"marker": "s", "markersize": 5, "linestyle": "none"}
    handles = [style.key(name, colours[name], **({"linewidth": 2.2} if name in known else squares)) for name in colours]
    handles += [
        style.key("leaving early", linewidth=1.1, linestyle=style.DASHED),
        style.key("threshold chosen on validation", marker="*", markersize=9, linestyle="none"),
    ]
    style.legend(figure, handles, columns=4)
    return figure


def inside(model: Model, frames: np.ndarray, path: Path) -> Path:
    """Writes a GIF of a recording and of a spiking network that sees it: frame by frame its events, the spikes and
    membranes of some neurons so far, and how probable it finds the classes. The last frame is also a PNG, beside it.

    `frames` is uint8 `[2·T, H, W]`.
    """
    trace = model.trace(frames[None])
    fired = {name: spk[:, 0].flatten(1).numpy() > 0 for name, spk in trace.spk.items()}
    chosen = {name: _from_busy_to_still(spk, MOST_NEURONS // len(fired)) for name, spk in fired.items()}
    raster = np.concatenate([spk[:, chosen[name]] for name, spk in fired.items()], 1)
    last = trace.output_layer
    membranes = trace.mem[last][:, 0].flatten(1).numpy()[:, _from_busy_to_still(fired[last], MOST_MEMBRANES)]
    threshold = getattr(model.module.get_submodule(last), "threshold", None)
    evidence, state = [], StreamState()
    for frame in model.frames(frames[None]):
        scores, state = model.step(frame, state)
        evidence.append(model.probabilities(scores[0]).cpu().numpy())
    probable = np.array(evidence)
    shown = np.argsort(-probable.max(0), kind="stable")[:MOST_CLASSES]
    events = frames.reshape(-1, 2, *frames.shape[1:])

    def drawn(levels: int) -> list[Image.Image]:
        return [_while(step, levels) for step in range(len(events))]

    def _while(step: int, levels: int) -> Image.Image:
        figure = style.new_figure(2.7)
        panels = figure.subplots(1, 4, width_ratios=[1.15, 1.5, 1.2, 1.2])
        title = f"events, frame {step + 1} of {len(events)}"
        style.bare(panels[0], title).imshow(_coloured(events[step]), interpolation="nearest")
        for axes, name in zip(panels[1:], ("spikes so far", "membranes", "evidence"), strict=True):
            style.quiet(axes, x="frame").set_title(name, loc="center", fontsize=style.SMALL, color=style.INK)
            axes.set_xlim(0.4, len(events) + 0.6)
            style.count_axis(axes.xaxis)
        steps, so_far = np.arange(1, step + 2), slice(step + 1)
        at, neurons = np.nonzero(raster[so_far])
        panels[1].scatter(at + 1, neurons, s=5, marker="|", color=style.SPIKING_COLOURS[0], linewidths=1.1)
        panels[1].set_ylim(raster.shape[1], -1)
        panels[1].set_yticks(
            np.cumsum([0, *map(len, chosen.values())])[:-1], [f"layer {n + 1}" for n in range(len(chosen))]
        )
        for membrane in membranes.T:
            panels[2].plot(steps, membrane[so_far], color=style.SPIKING_COLOURS[0], linewidth=1.2, alpha=0.8)
        if isinstance(threshold, int | float):
            panels[2].axhline(threshold, color=style.INK, linewidth=0.9, linestyle=style.DASHED)
        low, high = float(membranes.min()), float(membranes.max())
        panels[2].set_ylim(low - 0.1 * (high - low) - 1e-3, high + 0.1 * (high - low) + 1e-3)
        for place, k in enumerate(shown):
            colour = (style.RIGHT, *style.OTHER_COLOURS)[place]
            panels[3].plot(steps, probable[so_far, k], color=colour, linewidth=1.4, marker="o", markersize=2.5)
            if place and probable[step, k] < LEAST_NAMED:
                continue
            name = style.shortened(str(model.card.classes[k]), 12)
            panels[3].annotate(
                name, (steps[-1], probable[step, k]), (4, 0), textcoords="offset points", color=colour,
                fontsize=style.SMALL, va="center", annotation_clip=False,
            )  # fmt: skip
        panels[3].set_ylim(-0.03, 1.05)
        style.per_cent_axis(panels[3].yaxis)
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=_SCREEN_DPI, facecolor="white")
        return Image.open(picture).convert("RGB").quantize(levels)

    return spikes.animated(drawn, path, FRAME_MS)


def _from_busy_to_still(spk: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the neurons of `spk` bool `[T, N]` that spike, from the busiest to the stillest in even steps;
    the first one where none does.
    """
    counts = spk.sum(0)
    spiking = np.argsort(-counts, kind="stable")[: max(1, int((counts > 0).sum()))]
    return spiking[np.unique(np.linspace(0, len(spiking) - 1, max(1, most)).astype(int))]


def _coloured(counts: np.ndarray) -> np.ndarray:
    """float `[H, W, 3]` of counts `[2, H, W]`: darker and brighter in colours of their own on white."""
    strength = np.sqrt(counts / max(counts.max(), 1))[..., None]
    inks = 1 - np.array([to_rgb(DARKER), to_rgb(BRIGHTER)])
    return np.clip(1 - (strength * inks[:, None, None]).sum(0), 0, 1)
