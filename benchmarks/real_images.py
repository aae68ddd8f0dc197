"""How well a model finds targets in real images it never saw, with thresholds and a watershed beside it.

    python -m benchmarks.real_images --data FOLDER [--model NAME] [--sets a,b] [--json F] [--markdown F]
    python -m benchmarks.real_images --data FOLDER --finetune adcc_mcf7|t98g_phase --results F.json
                                     [--minutes 3] [--folds 5] [--only 0,1] [--model NAME] [--markdown F]

The first form scores the model as it is, in about two minutes. The second learns from some images and scores the
others: whole experiments of `adcc_mcf7` left out (5 folds), each image of `t98g_phase` left out (8 folds). Every
fold takes the given processor minutes and is written to F.json when it is done: run again with the same file, the
folds that are there are kept. FOLDER may also be given as KILLASSAY_DATA. Sets that are not there are skipped, and
said so.

Only targets are scored: effectors are not outlined in any of these sets. A nucleus of an effector that is called a
target counts as invented.
"""

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from assay.labels import Segmenter
from benchmarks.classical import Classical
from benchmarks.real_sets import DATA_VARIABLE, SETS, RealImage
from benchmarks.tables import figure, markdown_table
from models.devices import one_thread
from models.training.evaluate import Counts, Tally, tally_frames
from models.weights import load_model

BARS = {"adcc_mcf7": ("f1_50", 0.70), "dsb2018_fluo": ("ap50", 0.85)}
BASELINES = {"Otsu": Classical(threshold="otsu"), "local threshold": Classical(threshold="local")}
WITH_GROUPS = ("adcc_mcf7",)


def main() -> None:
    """Entry point."""
    given = _arguments()
    one_thread()
    data = data_folder(given.data)
    if given.finetune:
        from benchmarks.real_finetuning import cross_validate

        figures = cross_validate(given.finetune, data, given)
        page = finetuned_page(figures)
    else:
        figures = as_it_is(data, given.sets.split(","), given.model, given.precision)
        page = zero_shot_page(figures)
        if given.json:
            given.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print("\n" + page)
    if given.markdown:
        given.markdown.write_text(page + "\n", encoding="utf-8")


def as_it_is(data: Path, sets: Sequence[str], model_name: str, precision: str) -> dict[str, Any]:
    """Score the model and the baselines on whole sets."""
    model = load_model(model_name, device="cpu", precision=precision)
    segmenters: dict[str, Segmenter] = {"model": model, **BASELINES}
    scores = {}
    for name in sets:
        if not (data / SETS[name].folder).is_dir():
            print(f"{name}: skipped, {data} has no folder {SETS[name].folder}", flush=True)
            continue
        scores[name] = score_set(SETS[name].images(data), segmenters)
        print(
            f"{name}: " + ", ".join(f"{way} {of['f1_50']:.3f}" for way, of in scores[name]["all"].items()),
            flush=True,
        )
    return {"model": dict(model.identity), "sets": scores}


def score_set(images: Sequence[RealImage], segmenters: Mapping[str, Segmenter]) -> dict[str, Any]:
    """Figures of targets over all images, and of each group of images; counts are pooled."""
    groups = sorted({image.group for image in images})
    tallies = {
        (way, group): tally_of(segmenter, [image for image in images if image.group == group])
        for way, segmenter in segmenters.items()
        for group in groups
    }
    pooled = {way: sum((tallies[way, group] for group in groups), Tally()) for way in segmenters}
    return {
        "images": len(images),
        "all": {way: figures_of(tally) for way, tally in pooled.items()},
        "groups": {
            group: {
                "images": sum(image.group == group for image in images),
                **{way: figures_of(tallies[way, group]) for way in segmenters},
            }
            for group in groups
        },
    }


def tally_of(segmenter: Segmenter, images: Sequence[RealImage]) -> Tally:
    """Sums over images of targets alone."""
    total = Tally()
    for image in images:
        total += tally_frames(segmenter, [image.frame], pixel_um=image.pixel_um)["target"]
    return total


def figures_of(tally: Tally) -> dict[str, Any]:
    """Shares, and the counts behind them."""
    shares = {key: value for key, value in tally.figures().items() if key != "class_right"}
    return {**shares, "at_50": asdict(tally.half), "at_75": asdict(tally.three_quarters)}


def pooled(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Figures of several parts together, from their counts."""
    half, quarters = (sum((Counts(**part[at]) for part in parts), Counts()) for at in ("at_50", "at_75"))
    return figures_of(Tally(half=half, three_quarters=quarters))


def zero_shot_page(figures: Mapping[str, Any]) -> str:
    """The tables of a model as it is."""
    ways = ("model", *BASELINES)
    head = ("images", "cells", *(f"{way} {what}" for way in ways for what in ("F1", "AP50", "AP75")))
    rows = [
        (
            f"`{name}`, {SETS[name].scored} ({of['images']})",
            _n_cells(of["all"]["model"]),
            *_shares(of["all"], ways),
        )
        for name, of in figures["sets"].items()
    ]
    lines = [
        f"Model {figures['model']['model']}, {figures['model']['numerics']}.",
        "",
        markdown_table(head, rows),
    ]
    for name in WITH_GROUPS:
        if name in figures["sets"]:
            groups = figures["sets"][name]["groups"]
            rows = [
                (f"{group} ({of['images']})", _n_cells(of["model"]), *_shares(of, ways))
                for group, of in groups.items()
            ]
            lines += ["", f"`{name}` by experiment:", "", markdown_table(("experiment", *head[1:]), rows)]
    verdicts = [
        _verdict(f"{name} {key}", figures["sets"][name]["all"]["model"][key], bar)
        for name, (key, bar) in BARS.items()
        if name in figures["sets"]
    ]
    return "\n".join([*lines, "", *verdicts])


def finetuned_page(figures: Mapping[str, Any]) -> str:
    """The table of a cross-validation, before and after."""
    ways = ("fine-tuned", "before", *BASELINES)
    folds = figures["folds"]
    head = ("left out", "cells", *(f"{way} {what}" for way in ways for what in ("F1", "AP50", "AP75")))
    rows = [
        (", ".join(fold["left_out"]), _n_cells(fold["before"]), *_shares(fold, ways))
        for fold in folds.values()
    ]
    together = {way: pooled([fold[way] for fold in folds.values()]) for way in ways}
    rows.append((f"all {len(folds)} folds", _n_cells(together["before"]), *_shares(together, ways)))
    settings = figures["settings"]
    lines = [
        f"`{settings['set']}`, model {settings['model']}, {settings['minutes']:g} processor minutes a fold, "
        f"{len(folds)} of {settings['n_folds']} folds done. The model's card says what it learned from before: "
        f"{settings['learned_from']}.",
        "",
        markdown_table(head, rows),
        "",
        *(_verdict(key, together["fine-tuned"][key], bar) for key, bar in settings["bars"].items()),
    ]
    return "\n".join(lines)


def _shares(of: Mapping[str, Any], ways: Sequence[str]) -> list[str]:
    return [figure(of[way][key]) for way in ways for key in ("f1_50", "ap50", "ap75")]


def _n_cells(of: Mapping[str, Any]) -> str:
    return str(of["cells"])


def _verdict(what: str, value: float, bar: float) -> str:
    return f"- {what}: {value:.3f}, bar {bar:g} {'reached' if value >= bar else 'not reached'}"


def data_folder(given: Path | None) -> Path:
    """Where the real images lie.

    Raises:
        SystemExit: Nobody said, or there is no such folder.
    """
    named = given or (Path(os.environ[DATA_VARIABLE]) if DATA_VARIABLE in os.environ else None)
    if named is None or not named.is_dir():
        raise SystemExit(
            f"{named or 'no folder'}: the real images are not part of the project. Say with --data or {DATA_VARIABLE} "
            "where they lie; docs/accuracy.md says where they come from."
        )
    return named


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path)
    parser.add_argument("--model", default="standard", help="name, or the path of a model's card")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--finetune", choices=("adcc_mcf7", "t98g_phase"))
    parser.add_argument("--results", type=Path, help="of a cross-validation: written after each fold")
    parser.add_argument("--minutes", type=float, default=3.0, help="of the processor, per fold")
    parser.add_argument("--folds", type=int, help="how many; 5 and 8 if not given")
    parser.add_argument("--only", default="", help="folds to do now, as 0,1; all if not given")
    return parser.parse_args()


if __name__ == "__main__":
    main()
