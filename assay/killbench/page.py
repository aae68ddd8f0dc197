"""The benchmark's scores as tables of text: one block a level, one line a way of reading; and how sure ours is."""

import math
from collections.abc import Sequence

from assay.killbench.bench import OURS, WAYS, WELLS_LEVEL
from assay.killbench.levels import LEVELS
from assay.killbench.scoring import SceneCounts, pooled
from assay.score.kills import ECE_BINS, reliability

Heading = tuple[str, str, int]  # heading, score, digits

EVENT_COLUMNS: tuple[Heading, ...] = (
    ("death F1", "death_f1", 3),
    ("error min", "death_median_error_min", 1),
    ("onset min", "onset_median_error_min", 2),
    ("kill F1", "kill_f1", 3),
    ("top-1", "top_1", 3),
    ("end-to-end", "end_to_end_f1", 3),
    ("ECE killed", "caused_ece", 3),
    ("ECE who", "effector_ece", 3),
    ("bias pts", "kill_bias_points", 1),
    ("false/100", "false_kills_per_100", 2),
    ("contacts", "contact_count_ratio", 2),
    ("contact F1", "contact_episode_f1", 3),
    ("holds", "hold_count_ratio", 2),
    ("hold F1", "hold_f1", 3),
)
WELL_COLUMNS: tuple[Heading, ...] = (
    ("wells", "scenes", 0),
    ("in interval", "interval_coverage", 3),
    ("width", "interval_width", 1),
    ("true kills", "kills_true", 0),
    ("bias pts", "kill_bias_points", 1),
)
KILL_GROUPS = (("no kill is true", 0, 0), ("1 to 9", 1, 9), ("10 to 29", 10, 29), ("30 or more", 30, 10**9))


def scores_of(counts: Sequence[SceneCounts]) -> dict[str, dict[str, dict[str, float]]]:
    """Level -> way -> scores, in the order of levels and ways."""
    known = [c for c in counts if c.way in WAYS]
    levels = [level for level in (*LEVELS, WELLS_LEVEL) if any(c.level == level for c in known)]
    return {
        level: {
            way: pooled(mine)
            for way in WAYS
            if (mine := [c for c in counts if c.level == level and c.way == way])
        }
        for level in levels
    }


def bench_text(counts: Sequence[SceneCounts]) -> str:
    """All scores for a terminal; "-" where there is nothing to ask."""
    blocks = []
    for level, ways in scores_of(counts).items():
        ours = ways.get(OURS) or next(iter(ways.values()))
        columns = WELL_COLUMNS if level == WELLS_LEVEL else EVENT_COLUMNS
        blocks.append("\n".join([_title(level, ours), *_lines(ways, columns)]))
        mine = [each for each in counts if each.level == level and each.way == OURS]
        if level == WELLS_LEVEL:
            blocks[-1] += "\n" + "\n".join(_lines(_by_kills(mine), columns)[1:])
        elif mine and ours["kills_true"]:
            blocks.append("\n".join(_reliability_lines(mine)))
    return "\n\n".join(blocks) + "\n"


def _by_kills(counts: Sequence[SceneCounts]) -> dict[str, dict[str, float]]:
    """Scores of wells with few and with many true kills; of no well none."""
    groups = {
        name: [each for each in counts if least <= each.kills.n_true <= most]
        for name, least, most in KILL_GROUPS
    }
    return {name: pooled(mine) for name, mine in groups.items() if mine}


def _reliability_lines(counts: Sequence[SceneCounts]) -> list[str]:
    """How often what is stated with so much probability is right, over the deaths found."""
    edges = [f"{k / ECE_BINS:.1f}-{(k + 1) / ECE_BINS:.1f}" for k in range(ECE_BINS)]
    lines = ["  ".join([" " * 14, *(edge.rjust(7) for edge in edges)])]
    asked = {
        "killed": tuple(f for each in counts for f in each.kills.caused),
        "who": tuple(f for each in counts for f in each.kills.top),
    }
    for what, forecasts in asked.items():
        bins = reliability(forecasts)
        for name, place, digits in (("deaths", 0, 0), ("stated", 1, 2), ("right", 2, 2)):
            cells = [_number(float(each[place]), digits).rjust(7) for each in bins]
            lines.append("  ".join([f"{what}: {name}".ljust(14), *cells]))
    return [f"{OURS}: what is stated, and how often it is right", *lines]


def _title(level: str, ours: dict[str, float]) -> str:
    if level == WELLS_LEVEL:
        return "wells of small fields: how often the 90 % interval of kills holds the truth"
    title = f"{level}: {ours['scenes']:.0f} scenes, {ours['deaths_true']:.0f} deaths"
    if not ours["kills_true"]:
        return f"{title}, no kill is true"
    return f"{title}, {ours['kills_true']:.0f} kills; a random choice among those bound names {ours['ceiling']:.3f}"


def _lines(ways: dict[str, dict[str, float]], columns: Sequence[Heading]) -> list[str]:
    width = max(len(way) for way in ways)
    lines = ["  ".join([" " * width, *(heading.rjust(10) for heading, _, _ in columns)])]
    for way, scores in ways.items():
        cells = [_number(scores[name], digits).rjust(10) for _, name, digits in columns]
        lines.append("  ".join([way.ljust(width), *cells]))
    return lines


def _number(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"
