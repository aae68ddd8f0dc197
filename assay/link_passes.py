"""The passes over a film: link, measure how its cells move and look, link again knowing what comes after.

Knows one role's detections and the linker that goes from frame to frame. Knows nothing of tracks.
"""

from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
from numpy.typing import NDArray

from assay.linking import Detections, Knowledge, Links, Reach, ahead, link_detections
from assay.looks import better_of, first_looks, fit_looks
from assay.missed import Linked, Stays, find_stays
from assay.motion import first_model, fit_model

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NEW_SHARES = (5e-4, 0.01)  # what the share of new detections away from the edge may be
FITS = 3  # times the model is measured from links
ENOUGH = 20_000  # detections to measure motion and looks in
LEAST_FRAMES = 15  # to measure them in, however many cells each has
LOOKS_BACK = 1  # times all is linked again with what each cell does afterwards
SURE = 0.9  # links to learn looks from
LEAST_CONFIDENCE = 0.3  # of a link that is kept


def link_film(
    detections: Detections,
    *,
    frames: Sequence[int],
    reach: Reach,
    max_gap_frames: int,
    area_um2: float,
    smallest_um: float,
) -> Links:
    """Link a film, measure motion and looks from the links, link again, and again knowing what comes after.

    A link that is far more likely wrong than right is taken back at the end.
    """
    per_um2 = max(len(detections.frame), 1) / max(len(frames), 1) / area_um2
    half = np.ones(detections.features.shape[1])
    half[[column for pair in detections.twins for column in pair]] = 0.5
    known = Knowledge(
        motion=first_model(per_um2=per_um2, um_per_frame=reach.um_per_frame, slack_um=reach.slack_um),
        looks=first_looks(detections.frame, detections.features, half),
        reach=reach,
        max_gap_frames=max_gap_frames,
    )
    stretch = _stretch(detections, frames)
    for _ in range(FITS):
        links = link_detections(detections, frames=stretch, known=known)
        known = _learned(known, detections, links, stretch, per_um2=per_um2, smallest_um=smallest_um)
    links = link_detections(detections, frames=frames, known=known)
    for _ in range(LOOKS_BACK):
        links = _link_again(detections, links, frames=frames, known=known, area_um2=area_um2)
    return taken_back(links)


def taken_back(links: Links) -> Links:
    """The links without those that are not worth a claim: the track ends, and another begins."""
    doubtful = (links.previous >= 0) & (links.confidence < LEAST_CONFIDENCE)
    none = Links.none(*links.change.shape)
    return Links(
        **{
            entry.name: np.where(
                doubtful.reshape(-1, *[1] * (getattr(links, entry.name).ndim - 1)),
                getattr(none, entry.name),
                getattr(links, entry.name),
            )
            for entry in fields(links)
        }
    )


def _link_again(
    detections: Detections, before: Links, *, frames: Sequence[int], known: Knowledge, area_um2: float
) -> Links:
    """Link knowing what each cell did afterwards, and where cells at rest were missed."""
    _, looks, weight = ahead(detections, before, known)
    stays = find_stays(
        Linked(
            place=np.searchsorted(np.asarray(frames), detections.frame),
            yx_um=detections.yx_um,
            looks=looks,
            weight=weight,
            previous=before.previous,
            confidence=before.confidence,
        ),
        frames=frames,
        most_missed=known.max_gap_frames,
        area_um2=area_um2,
        motion=known.motion,
        looks=known.looks,
    )
    if not len(stays.before):
        return link_detections(detections, frames=frames, known=known, before=before)
    filled, old, real, sure = _filled(detections, before, stays, frames, looks)
    return _without_filled(link_detections(filled, frames=frames, known=known, before=old), real, sure)


def _filled(
    detections: Detections, before: Links, stays: Stays, frames: Sequence[int], looks: Floats
) -> tuple[Detections, Links, Ints, Floats]:
    """Put a detection where a resting cell was missed.

    Returns:
        The detections, the links so far through the new ones, for each row the row it was (-1: new), and the
        probability that it is truly there (1 for those that were seen).
    """
    usable = np.asarray(frames)
    first, last = (np.searchsorted(usable, detections.frame[rows]) for rows in (stays.before, stays.after))
    n_new = last - first - 1
    stay = np.repeat(np.arange(len(n_new)), n_new)
    nth = np.arange(len(stay)) - np.repeat(np.cumsum(n_new) - n_new, n_new) + 1
    a, b = stays.before[stay], stays.after[stay]
    part = (nth / (n_new[stay] + 1))[:, None]
    n = len(detections.frame)
    frame = np.concatenate([detections.frame, usable[first[stay] + nth]])
    order = np.argsort(frame, kind="stable")
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    filled = replace(
        detections,
        frame=frame[order],
        yx_um=np.concatenate(
            [detections.yx_um, (1 - part) * detections.yx_um[a] + part * detections.yx_um[b]]
        )[order],
        features=np.concatenate([detections.features, looks[a]])[order],
        near_edge=np.concatenate([detections.near_edge, detections.near_edge[a]])[order],
    )
    previous = np.concatenate([before.previous, np.where(nth == 1, a, n + np.arange(len(stay)) - 1)])
    confidence = np.concatenate([before.confidence, stays.probability[stay]])
    following = np.flatnonzero(before.previous >= 0)
    cut = following[
        np.isin(before.previous[following], stays.before)
    ]  # whoever was taken for the cell before
    previous[cut] = -1
    previous[stays.after] = n + np.cumsum(n_new) - 1
    confidence[stays.after] = stays.probability
    moved = np.where(previous >= 0, place[previous], -1)[order]
    old = Links.none(len(order), detections.features.shape[1])
    old = replace(old, previous=moved, confidence=confidence[order])
    return (
        filled,
        old,
        np.where(order < n, order, -1),
        np.concatenate([np.ones(n), stays.probability[stay]])[order],
    )


def _without_filled(links: Links, real: Ints, sure: Floats) -> Links:
    """The links between what was truly seen: a link over a filled gap is as sure as all its parts."""
    kept = np.flatnonzero(real >= 0)
    origin, frames, step = links.previous.copy(), links.frames.copy(), links.step_um.copy()
    confidence = links.confidence.copy()
    through = np.flatnonzero((links.previous >= 0) & (real[links.previous] < 0))
    for row in through.tolist():  # the rows before are done already
        before = origin[row]
        frames[row] += frames[before]
        step[row] += step[before]
        confidence[row] = min(confidence[row], sure[before]) * confidence[before]
        origin[row] = origin[before]
    alone = origin[kept] < 0
    back = np.where(alone, -1, real[np.maximum(origin[kept], 0)])
    return Links(
        previous=back,
        frames=np.where(alone, 0, frames[kept]),
        step_um=np.where(alone[:, None], 0.0, step[kept]),
        velocity_um=np.where(alone[:, None], np.nan, links.velocity_um[kept]),
        change=np.where(alone[:, None], 0.0, links.change[kept]),
        weight=np.where(alone[:, None], 1.0, links.weight[kept]),
        confidence=np.where(alone, np.nan, confidence[kept]),
    )


def _stretch(detections: Detections, frames: Sequence[int]) -> Sequence[int]:
    """The frames to measure cells in: all, or where there is plenty to see as many from the middle as are enough."""
    enough = max(round(len(frames) * ENOUGH / max(len(detections.frame), 1)), LEAST_FRAMES)
    first = max((len(frames) - enough) // 2, 0)
    return frames[first : first + enough]


def _learned(
    known: Knowledge,
    detections: Detections,
    links: Links,
    stretch: Sequence[int],
    *,
    per_um2: float,
    smallest_um: float,
) -> Knowledge:
    rows = (links.previous >= 0) & (links.frames == 1)
    motion = fit_model(
        replace(known.motion, new_per_um2=per_um2 * _new_share(detections, links, stretch)),
        step=links.step_um[rows],
        velocity=links.velocity_um[rows],
        smallest_um=smallest_um,
    )
    sure = rows & (links.confidence >= SURE)
    looks = fit_looks(
        known.looks,
        features=detections.features,
        previous=links.previous,
        frames=links.frames,
        change=links.change,
        weight=links.weight,
        sure=sure,
    )
    if sure.any():
        use = better_of(looks, links.change[sure], links.weight[sure], detections.twins)
        looks = replace(looks, use=use)
    return replace(known, motion=motion, looks=looks)


def _new_share(detections: Detections, links: Links, stretch: Sequence[int]) -> float:
    """Share of the detections away from the edge that continue no track, after the first frame with cells."""
    seen = detections.frame[np.isin(detections.frame, stretch)]
    asked = np.isin(detections.frame, stretch) & (detections.frame > (seen.min() if len(seen) else 0))
    asked &= ~detections.near_edge
    new = int((asked & (links.previous < 0)).sum())
    return float(np.clip(new / max(int(asked.sum()), 1), *NEW_SHARES))
