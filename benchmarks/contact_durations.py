"""How long contacts last: real ones of Occident beside those of our simulator, by Occident's own definition.

    python -m benchmarks.contact_durations OCCIDENT.csv PLATE-truth [PLATE-truth ...] [--svg FIGURE.svg]

Occident: outlines that are neighbours, in successive frames of 4 min, of 2 frames or more; a frame without contact begins
a new one (github.com/bee-hive/Occident-Paper-Cluster). The simulator's true outlines are asked the same; beside it stand its
true contacts by our own definition, and as `min_frames` = 2 counts them.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from assay.contact_times import share_lasting
from assay.io.event_tables import read_contacts
from assay.io.lineage_sources import open_lineages
from assay.io.tables import read_table
from assay.report.svg import line, polyline, tag, text
from assay.touching import touching_pairs
from benchmarks.tables import markdown_table

FRAME_MIN = 4.0
AT_LEAST = (2, 3, 4, 5, 8, 10, 15, 20, 30)  # frames
_STYLE = (
    "text{font:12px system-ui,Arial,sans-serif;fill:#5a646f}.t{fill:#15191d;font-weight:600}.a{stroke:#8b949e}.g{stroke:#e4e8ec}"
    ".c{fill:none;stroke-width:2.2}.c0{stroke:#15191d}.c1{stroke:#d55e00}.c2{stroke:#0072b2}"
    ".k0{fill:#15191d}.k1{fill:#d55e00}.k2{fill:#0072b2}"
)
Frames = NDArray[np.int64]


def runs_of_touching(truth: Path) -> Frames:
    """Lengths of the runs of successive frames in which two true outlines are neighbours, 2 frames or more."""
    films = {(film.place, film.role): film for film in open_lineages(truth).films}
    lengths: list[int] = []
    for (place, role), effectors in sorted(films.items()):
        if role != "effector" or not len(effectors.cells["frame"]):
            continue
        targets = films[place, "target"]
        assert effectors.calibration is not None
        open_runs: dict[tuple[int, int], int] = {}
        for (frame, ours), (_, theirs) in zip(effectors.images(), targets.images(), strict=True):
            pairs = touching_pairs(
                ours, theirs, frame=frame, calibration=effectors.calibration, max_gap_um=0.0, enter_um=0.0
            )
            here = zip(pairs.effector_label.tolist(), pairs.target_label.tolist(), strict=True)
            going_on = {pair: open_runs.pop(pair, 0) + 1 for pair in here}
            lengths += open_runs.values()
            open_runs = going_on
        lengths += open_runs.values()
    found = np.array(lengths, dtype=np.int64)
    return found[found >= AT_LEAST[0]]


def true_contacts(truth: Path) -> Frames:
    """Lengths of the simulator's true contacts with live targets, by our definition, 2 frames or more."""
    table = read_table(truth / "tables", "contacts")
    frames = (table["last_frame"] - table["first_frame"] + 1)[~table["target_dead"]]
    return np.asarray(frames[frames >= AT_LEAST[0]], dtype=np.int64)


def table_of(named: dict[str, Frames]) -> str:
    """Number, mean, median, longest, and the share that lasts at least so long."""
    head = ["frames of 4 min", *named]
    rows = [
        ["contacts", *(str(len(frames)) for frames in named.values())],
        ["mean", *(f"{frames.mean():.2f}" for frames in named.values())],
        ["median", *(f"{np.median(frames):g}" for frames in named.values())],
        ["longest", *(str(frames.max()) for frames in named.values())],
    ]
    shares = {name: share_lasting(frames, AT_LEAST) for name, frames in named.items()}
    for k, at_least in enumerate(AT_LEAST):
        label = f"share of {at_least} or more ({at_least * FRAME_MIN:g} min)"
        rows.append([label, *(f"{share[k]:.3f}" for share in shares.values())])
    return markdown_table(head, rows)


def figure_of(named: dict[str, Frames]) -> Markup:
    """Share of contacts that last at least so long, both axes logarithmic."""
    width, height, left, right, top, bottom = 620.0, 340.0, 58.0, 16.0, 44.0, 46.0
    longest, least = 100, 4e-4

    def place(frames: float, share: float) -> tuple[float, float]:
        across = np.log(frames / AT_LEAST[0]) / np.log(longest / AT_LEAST[0])
        down = np.log(share) / np.log(least)
        return left + across * (width - left - right), top + down * (height - top - bottom)

    parts = [tag("style", Markup(_STYLE)), tag("rect", width=width, height=height, fill="#ffffff")]
    parts.append(text(left, 20, "Contacts that last at least so long", "t"))
    for share, said in ((1.0, "100 %"), (0.1, "10 %"), (0.01, "1 %"), (0.001, "0.1 %")):
        y = place(AT_LEAST[0], share)[1]
        parts += [line(left, y, width - right, y, "g"), text(left - 8, y + 4, said, anchor="end")]
    for frames in (2, 5, 10, 20, 50, 100):
        x = place(frames, 1.0)[0]
        parts += [line(x, height - bottom, x, height - bottom + 4, "a")]
        parts.append(text(x, height - bottom + 18, f"{frames * FRAME_MIN:g}", anchor="middle"))
    parts.append(line(left, height - bottom, width - right, height - bottom, "a"))
    parts.append(text((left + width - right) / 2, height - 8, "minutes", anchor="middle"))
    for number, (name, frames) in enumerate(named.items()):
        lengths = range(AT_LEAST[0], min(int(frames.max()), longest) + 1)
        shares = share_lasting(frames, lengths).tolist()
        points = [
            place(length, share) for length, share in zip(lengths, shares, strict=True) if share >= least
        ]
        parts.append(polyline(points, f"c c{number}"))
        y = top + 14 + 18 * number
        parts += [tag("rect", x=width - right - 236, y=y - 9, width=14, height=4, class_=f"k{number}")]
        parts.append(text(width - right - 216, y, name))
    label = "Share of contacts that last at least so many minutes, real and simulated, on logarithmic axes"
    return tag(
        "svg",
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        aria_label=label,
    )


def main(words: Sequence[str] | None = None) -> None:
    """Print the table, write the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("occident", type=Path)
    parser.add_argument("truth", type=Path, nargs="+")
    parser.add_argument("--svg", type=Path)
    asked = parser.parse_args(words)
    real = read_contacts(asked.occident)
    named = {
        "Occident, real": real["last_frame"] - real["first_frame"] + 1,
        "simulator, Occident's rule": np.concatenate([runs_of_touching(truth) for truth in asked.truth]),
        "simulator, our contacts": np.concatenate([true_contacts(truth) for truth in asked.truth]),
    }
    print(table_of(named))
    if asked.svg is not None:
        asked.svg.write_text(str(figure_of(named)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
