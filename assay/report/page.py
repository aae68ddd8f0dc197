"""The report: one HTML file that needs nothing else, not even the network.

Everything that came from outside (names of wells, conditions, channels) is escaped; the page runs no script.
The same results give the same bytes: times come from the provenance only.
"""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from assay.columns import Table
from assay.protocol import Protocol
from assay.report import findings
from assay.report.contact_table import contact_times_cells
from assay.report.figures import (
    IncidenceCurve,
    axis_strip,
    colour_classes,
    incidence_figure,
    interval_strip,
    lag_figure,
)
from assay.report.film_strips import FilmStrip, draw_strip
from assay.report.glossary import MEANS
from assay.report.numbers import (
    UNKNOWN,
    count,
    interval,
    is_known,
    kills_per_100,
    minutes,
    number,
    rows,
    weighted_median,
)
from assay.report.plate_map import condition_letters, layout_map, result_map
from assay.report.reviews import Reviewed, review_section, reviewed_sentence
from assay.report.svg import ticks

FOLD_ABOVE = 24
"""Longer lists are folded up on the screen, except in the version for printing."""
FOLD_WELLS_ABOVE = 48
_WELL_STRIP = 130.0
_SHOWN_IN_LIST = 12  # entries of a long list in the provenance


def write_report(
    path: Path,
    *,
    title: str,
    tables: Mapping[str, Table],
    protocol: Protocol,
    provenance: Mapping[str, Any],
    curves: Sequence[IncidenceCurve] = (),
    strips: Sequence[FilmStrip] = (),
    reviewed: Reviewed | None = None,
    for_print: bool = False,
) -> None:
    """Write the report page.

    Args:
        path: The HTML file.
        title: Name of the plate or experiment.
        tables: Tables of `assay.columns`; `wells`, `conditions` and `fields` at least.
        protocol: Every value that was used.
        provenance: What made the numbers: versions, model, device, input, times; written out as it is.
        curves: Cumulative incidence of each condition, in the order of the legend.
        strips: Film strips to show.
        reviewed: What readers decided; `tables` are then those with the decisions.
        for_print: Unfold everything and keep to black on white.
    """
    page = render_report(
        title=title,
        tables=tables,
        protocol=protocol,
        provenance=provenance,
        curves=curves,
        strips=strips,
        reviewed=reviewed,
        for_print=for_print,
    )
    path.write_text(page, encoding="utf-8", newline="\n")


def render_report(
    *,
    title: str,
    tables: Mapping[str, Table],
    protocol: Protocol,
    provenance: Mapping[str, Any],
    curves: Sequence[IncidenceCurve] = (),
    strips: Sequence[FilmStrip] = (),
    reviewed: Reviewed | None = None,
    for_print: bool = False,
) -> str:
    """The page as text; see `write_report`."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("assay.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = files("assay.report").joinpath("page.css").read_text(encoding="utf-8")
    conditions, wells = rows(tables.get("conditions")), rows(tables.get("wells"))
    classes = colour_classes(_conditions_in_order(conditions, wells, curves))
    letters = condition_letters(list(classes))
    no_events = findings.is_without_events(tables)
    context = {
        "title": title,
        "style": Markup(style),  # ours, nothing of the user's in it
        "for_print": for_print,
        "facts": _facts(tables, curves, no_events),
        "headline": findings.headline(tables),
        "reviewed_sentence": reviewed_sentence(reviewed) if reviewed else None,
        "review": review_section(reviewed) if reviewed else None,
        "control_note": " ".join(
            filter(None, (findings.death_note(protocol), findings.control_note(tables)))
        ),
        "outlines_note": findings.outlines_note(provenance),
        "label_doubts": findings.label_doubts(provenance),
        "no_events": findings.NO_EVENTS if no_events else None,
        "left_out": findings.left_out(tables, protocol),
        "conditions": _condition_rows(conditions, classes, letters),
        "curve_figure": incidence_figure(curves, classes) if curves else None,
        "plate": _plate(wells, classes, letters, no_events),
        "wells": _well_rows(wells, classes, letters),
        "strips": [_strip(strip) for strip in strips],
        "lags": _lags(tables),
        "contact_times": [] if no_events else contact_times_cells(tables.get("contact_times")),
        "fields": _field_rows(tables),
        "meanings": MEANS,
        "protocol_text": protocol.to_toml(),
        "provenance": _flat(provenance),
        "fold_above": FOLD_ABOVE,
        "fold_wells_above": FOLD_WELLS_ABOVE,
        "kind_words": findings.KIND_WORDS,
        "count": count,
    }
    return environment.get_template("page.html").render(context)


def _conditions_in_order(
    conditions: Sequence[Mapping[str, Any]],
    wells: Sequence[Mapping[str, Any]],
    curves: Sequence[IncidenceCurve],
) -> list[tuple[str, str]]:
    named = [(str(row["condition"]), str(row["kind"])) for row in conditions]
    named += [(curve.condition, curve.kind) for curve in curves]
    named += [(str(well["condition"]), str(well["kind"])) for well in wells if well["condition"] is not None]
    return list(dict(named).items())


def _facts(
    tables: Mapping[str, Table], curves: Sequence[IncidenceCurve], no_events: bool
) -> list[tuple[str, str]]:
    """The numbers under the title: (number, what it counts)."""
    wells, fields = rows(tables.get("wells")), rows(tables.get("fields"))
    used = sum(well["status"] in ("ok", "no_events") for well in wells)
    facts = [(f"{used} of {len(wells)}", "wells used")]
    facts.append((f"{sum(field['status'] == 'ok' for field in fields)} of {len(fields)}", "fields used"))
    targets = [float(well["n_targets"]) for well in wells if is_known(well["n_targets"])]
    if targets:
        facts.append((f"{sum(targets):,.0f}".replace(",", " "), "targets at the start"))
    effectors = [float(well["n_effectors"]) for well in wells if is_known(well["n_effectors"])]
    if effectors:
        facts.append((f"{sum(effectors):,.0f}".replace(",", " "), "effectors at the start"))
    ends = [float(curve.time_min[-1]) for curve in curves if len(curve.time_min)]
    if ends and not no_events:
        facts.append((minutes(max(ends)), "of film"))
    return facts


def _condition_rows(
    conditions: Sequence[Mapping[str, Any]], classes: Mapping[str, str], letters: Mapping[str, str]
) -> dict[str, Any]:
    names = ("kills_per_100_targets", "kills_per_100_targets_low", "kills_per_100_targets_high")
    axis = _axis([float(row[name]) for row in conditions for name in names if is_known(row[name])])
    shown = []
    for row in conditions:
        value, low, high = (float(row[name]) for name in names)
        difference = (row["difference_to_control"], row["difference_low"], row["difference_high"])
        cytolysis = (row["cytolysis_percent"], row["cytolysis_percent_low"], row["cytolysis_percent_high"])
        shown.append(
            {
                "name": row["condition"],
                "letter": letters[str(row["condition"])],
                "kind": row["kind"],
                "class": classes[str(row["condition"])],
                "n_wells": int(row["n_wells"]),
                "strip": interval_strip(value, low, high, axis=axis, class_=classes[str(row["condition"])]),
                "kills": interval(value, low, high),
                "difference": interval(*difference),
                "cytolysis": interval(*cytolysis),
                "note": row["note"],
            }
        )
    known = any(row["kills"] != UNKNOWN for row in shown)
    return {"rows": shown, "axis": axis_strip(axis) if known else None}


def _axis(values: Sequence[float]) -> list[float]:
    return ticks(min([0.0, *values]), max([5.0, *values]), about=4)


def _well_rows(
    wells: Sequence[Mapping[str, Any]], classes: Mapping[str, str], letters: Mapping[str, str]
) -> dict[str, Any]:
    rates = [kills_per_100(well) for well in wells]
    axis = _axis([value for rate in rates for value in rate if is_known(value)])
    shown = []
    for well, rate in zip(wells, rates, strict=True):
        cytolysis = (well["cytolysis_percent"], well["cytolysis_percent_low"], well["cytolysis_percent_high"])
        class_ = classes.get(str(well["condition"]), "k-none")
        shown.append(
            {
                "well": well["well"],
                "condition": well["condition"] or UNKNOWN,
                "letter": letters.get(str(well["condition"])),
                "kind": well["kind"],
                "class": class_,
                "status": well["status"],
                "n_fields": int(well["n_fields"]),
                "targets": number(well["n_targets"], 0),
                "effectors": number(well["n_effectors"], 0),
                "et_ratio": number(well["measured_et_ratio"], 2),
                "contacts": number(well["contacts"], 0),
                "deaths": number(well["deaths"]),
                "kills": interval(well["kills"], well["kills_low"], well["kills_high"]),
                "rate": interval(*rate),
                "strip": interval_strip(*rate, axis=axis, class_=class_, width=_WELL_STRIP),
                "cytolysis": interval(*cytolysis),
                "why": findings.well_numbers(well),
                "reason": well["reason"],
            }
        )
    known = any(is_known(rate[0]) for rate in rates)
    axis_drawn = axis_strip(axis, width=_WELL_STRIP) if known else None
    return {"rows": shown, "axis": axis_drawn, "many_fields": any(row["n_fields"] > 1 for row in shown)}


def _plate(
    wells: Sequence[Mapping[str, Any]],
    classes: Mapping[str, str],
    letters: Mapping[str, str],
    no_events: bool,
) -> dict[str, Any] | None:
    if len(wells) < 2:
        return None
    names = list(dict.fromkeys(str(well["condition"]) for well in wells if well["condition"] is not None))
    legend = [(letter, name, classes[name]) for name, letter in letters.items() if name in names]
    return {
        "layout": layout_map(wells, letters, classes) if names else None,
        "result": result_map(wells, counts_only=no_events),
        "legend": legend,
    }


def _strip(strip: FilmStrip) -> dict[str, Any]:
    return {
        "figure": draw_strip(strip),
        "where": str(strip.field),
        "for_review": strip.for_review,
        "target": strip.target_track_id,
        "effector": strip.effector_track_id,
        "lag": minutes(strip.lag_min),
        "probability": _sure(strip.probability),
        "share": number(100 * strip.share, 0),
        "others": number(100 * max(0.0, 1 - strip.share - strip.uncredited_share), 0),
        "nobody": number(100 * strip.uncredited_share, 0),
    }


def _sure(probability: float) -> str:
    """A probability as percent; nothing is ever quite certain."""
    return "more than 99 %" if probability > 0.995 else f"{number(100 * probability, 0)} %"


def _lags(tables: Mapping[str, Table]) -> dict[str, Any] | None:
    kills, deaths = rows(tables.get("kills")), rows(tables.get("deaths"))
    probability = {(d["well"], d["field"], d["death_id"]): float(d["probability"]) for d in deaths}
    known = [kill for kill in kills if is_known(kill["lag_min"])]
    if not known:
        return None
    lag = np.array([float(kill["lag_min"]) for kill in known])
    weight = np.array(
        [
            float(kill["share"]) * probability.get((kill["well"], kill["field"], kill["death_id"]), 1.0)
            for kill in known
        ]
    )
    if weight.sum() <= 0:
        return None
    quartiles = [_quantile(lag, weight, share) for share in (0.25, 0.75)]
    return {
        "figure": lag_figure(lag, weight),
        "n": number(float(weight.sum())),
        "median": minutes(weighted_median(lag, weight)),
        "middle_half": f"{minutes(quartiles[0])} and {minutes(quartiles[1])}",
    }


def _quantile(values: NDArray[np.float64], weights: NDArray[np.float64], share: float) -> float:
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, share * reached[-1])])


def _field_rows(tables: Mapping[str, Table]) -> list[dict[str, Any]]:
    return [
        {
            "well": field["well"],
            "field": int(field["field"]),
            "status": field["status"],
            "frames": int(field["n_frames"]),
            "masked": field["masked_frames"] or "none",
            "focus": number(field["focus"], 2),
            "drift": number(field["drift_um"]),
            "saturated": number(field["saturated_percent"], 2),
            "brightness": number(field["brightness_change_percent"], 0),
            "lost": number(field["lost_percent"], 0),
            "warning": field["warning"] or "",
            "why": "" if field["status"] == "ok" else str(field["reason"] or "no reason was recorded"),
        }
        for field in rows(tables.get("fields"))
    ]


def _flat(values: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """Nested provenance as (name, text) lines, in the order given; long lists are shortened."""
    lines: list[tuple[str, str]] = []
    for key, value in values.items():
        name = f"{before}{str(key).replace('_', ' ')}"
        if isinstance(value, Mapping):
            nested = [entry for entry in value.values() if isinstance(entry, Mapping | list | tuple)]
            if len(value) > 2 and len(nested) == len(value):  # a list of things, not a group of facts
                lines.append((name, f"{len(value)} entries, in provenance.json"))
            else:
                lines += _flat(value, f"{name} · ")
        elif isinstance(value, list | tuple):
            shown = ", ".join(str(entry) for entry in value[:_SHOWN_IN_LIST])
            more = len(value) - _SHOWN_IN_LIST
            lines.append((name, f"{shown} and {more} more" if more > 0 else shown or "none"))
        else:
            lines.append((name, UNKNOWN if value is None else str(value)))
    return lines
