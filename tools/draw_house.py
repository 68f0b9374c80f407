"""Draws docs/figures/house.png from the code: the rooms of the package, their lines, and who
imports whom.

    python tools/draw_house.py

A room stands on the floor that the import contract in pyproject.toml gives it; an arrow leads from
who imports to whom.
"""

import tomllib
from pathlib import Path

import grimp
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "spikeduel"
SAYS = {
    "cli": "commands, options, terminal",
    "studying": "many duels, one verdict",
    "comparing": "the whole comparison on one page",
    "playing": "a page to try models on",
    "reporting": "page and figures",
    "exchange": "NIR and ONNX files, in and out",
    "auditing": "can a result be trusted?",
    "trials": "plan, train, store, control, tune",
    "measuring": "scores, times, robustness",
    "concluding": "what follows, and verifying",
    "energy": "tables and accountings",
    "counting": "operations of any network",
    "networks": "shapes, models and their files",
    "data": "inventory, arrays, splits, batches",
    "results": "types, findings, words",
    "settings": "the experiment, recipes",
    "spiking": "neurons, encoders, surrogates, kernels",
    "statistics": "paired tests, intervals, power",
    "system": "errors, files, hardware, types",
}
WIDTH, HEIGHT = 2.75, 0.62


def floors() -> list[list[str]]:
    """The rooms from the top floor down, as the contract has them."""
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ][0]
    return [[room.strip() for room in layer.split("|")] for layer in contract["layers"]]


def num_lines(room: str) -> int:
    """Lines of Python in a room."""
    path = PACKAGE / room
    files = path.rglob("*.py") if path.is_dir() else [path.with_suffix(".py")]
    return sum(len(file.read_text().splitlines()) for file in files)


def imports() -> dict[tuple[str, str], int]:
    """(who, whom): how many imports lead from one room to another."""
    graph = grimp.build_graph("spikeduel")
    found: dict[tuple[str, str], int] = {}
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            rooms = [name.split(".")[1] for name in (module, imported) if "." in name]
            if len(rooms) == 2 and rooms[0] != rooms[1] and rooms[0] in SAYS:
                found[rooms[0], rooms[1]] = found.get((rooms[0], rooms[1]), 0) + 1
    return found


def main() -> None:
    layers = floors()
    figure = Figure(figsize=(9, 0.98 * len(layers)), dpi=130, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, 9)
    axes.set_ylim(-0.2, 0.98 * len(layers))
    axes.axis("off")
    places = {}
    for floor, rooms in enumerate(layers):
        for place, room in enumerate(rooms):
            shift = 3.3 * (place - (len(rooms) - 1) / 2) + (0.9 if floor % 2 else -0.9) * (
                len(rooms) == 1
            )
            places[room] = (4.5 + shift, 0.98 * (len(layers) - floor) - 0.6)
    for (who, whom), number in imports().items():
        (x, y), (to_x, to_y) = places[who], places[whom]
        axes.add_patch(
            FancyArrowPatch(
                (x, y - HEIGHT / 2),
                (to_x, to_y + HEIGHT / 2),
                arrowstyle="-|>",
                mutation_scale=8,
                color="#5F6B7A",
                alpha=0.35,
                linewidth=0.5 + 0.06 * min(number, 30),
                connectionstyle="arc3,rad=0.12",
                zorder=1,
            )
        )
    for room, (x, y) in places.items():
        axes.add_patch(
            FancyBboxPatch(
                (x - WIDTH / 2, y - HEIGHT / 2),
                WIDTH,
                HEIGHT,
                boxstyle="round,pad=0.02,rounding_size=0.08",
                facecolor="#F4F5F7",
                edgecolor="#0072B2",
                linewidth=1.2,
                zorder=2,
            )
        )
        axes.text(
            x,
            y + 0.12,
            f"{room}  {num_lines(room):,}",
            ha="center",
            va="center",
            fontsize=11,
            zorder=3,
            fontweight="bold",
            color="#1F2933",
        )
        axes.text(
            x, y - 0.16, SAYS[room], ha="center", va="center", fontsize=8, color="#5F6B7A", zorder=3
        )
    figure.savefig(ROOT / "docs" / "figures" / "house.png")


if __name__ == "__main__":
    main()
