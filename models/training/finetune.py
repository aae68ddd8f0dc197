"""A model made better on somebody's own images, or left as it is.

Learns from a few outlined images, with simulated frames mixed in so that it does not forget the rest, and is
judged on outlined cells that it has not learned from. Only a model that is better there is written.
"""

import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from assay.errors import ModelError
from assay.labels import FrameLabels
from models.devices import one_thread, pick_device
from models.network import SegmentationNet
from models.predictor import Predictor
from models.training.dataset import TileSet, TileSource, TrainingFrame, cache_tiles
from models.training.held_out import AnnotatedFrame, Division, HeldOutScore, divide, labels_of, score
from models.training.train import PIXEL_UM, Session, TrainingSettings, batches
from models.weights import ZOO, ModelCard, load_network, save_model

LICENCE = "of your images"
_FEW_CELLS = 30  # held-out cells below which before and after are told apart coarsely


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneSettings:
    """How long and how fast to learn, and when to give up on what was learned."""

    minutes: float = 3.0  # of the processor, making the crops included
    steps: int | None = None  # instead of minutes: the same weights on every run
    seed: int = 0
    batch: int = 8
    side_px: int = 256
    learning_rate: float = 1.5e-3
    simulated_share: float = 0.2  # of the crops
    most_forgotten: float = 0.02  # loss of AP50 on simulated frames that is taken
    device: str = "auto"
    force: bool = False  # write the model even if it is worse

    def __post_init__(self) -> None:
        if not (self.minutes > 0 or self.steps):
            raise ModelError(f"minutes is {self.minutes:g}, expected more than 0.")
        if not 0 <= self.simulated_share < 1:
            raise ModelError(f"simulated_share is {self.simulated_share:g}, expected 0 to less than 1.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What a held-out frame looked like to the model before and after."""

    frame: AnnotatedFrame
    before: FrameLabels
    after: FrameLabels


@dataclass(frozen=True, slots=True, kw_only=True)
class Finetuned:
    """A model that was written, and why."""

    card: ModelCard
    before: HeldOutScore
    after: HeldOutScore
    simulated_before: HeldOutScore | None  # None: no simulated frames were given to judge by
    simulated_after: HeldOutScore | None
    comparisons: Sequence[Comparison]


def finetune(
    frames: Sequence[AnnotatedFrame],
    *,
    base: str | Path,
    out: Path,
    held_out: Collection[str] | None,
    mixed: Sequence[TrainingFrame],
    judged: Sequence[TrainingFrame],
    settings: FinetuneSettings,
    log: Callable[[str], None],
    progress: Callable[[float], None] = lambda share: None,
    facts: Mapping[str, Any] | None = None,
) -> Finetuned:
    """Fine-tune a model and write it to `out` (a card, NAME.json, with the weights beside it) if it is better.

    Better than the model it began from and, where `out` is a model already, than that: more held-out cells
    right (F1 at IoU 0.5), and hardly anything forgotten of the simulated frames.

    Args:
        frames: With truth, at the model's pixel size; where a role was not outlined it is unknown.
        base: Name or path of the model to begin from.
        out: Path of the card.
        held_out: Names of the frames or groups to judge by; None chooses them.
        mixed: Simulated frames to learn from too, so that nothing is forgotten.
        judged: Other simulated frames, that tell whether something was.
        settings: How long and how fast.
        log: Is told how it goes, a line at a time.
        progress: Is told the share that is done.
        facts: More for the card's `training`, for instance the command.

    Raises:
        ModelError: There is nothing to learn from or to judge by, `out` is no place for a model, or the model
            became no better and was not written.
    """
    one_thread()
    check_place(out)
    division = divide(frames, held_out)
    base_card, network = load_network(base)
    rivals = {f"model {base_card.name!r}": network}
    if out.exists():
        rivals[f"the model that is in {out}"] = load_network(out)[1]
    judge = _Judge(division.held_out, judged, settings.device)
    before = {name: judge.held_out(rival) for name, rival in rivals.items()}
    simulated_before = judge.simulated(network)
    best = max(before, key=lambda name: _ordered(before[name].f1_50))
    log(f"held out: {division.by}; {before[best].cells} cells")
    log(_line("before", before[best], simulated_before))
    session = _learned(division, mixed, deepcopy(network), settings, progress)
    tuned = session.averaged.network
    after, simulated_after = judge.held_out(tuned), judge.simulated(tuned)
    log(_line("after", after, simulated_after))
    if after.cells < _FEW_CELLS:
        log(f"only {after.cells} cells were held out: take the difference with care")
    worse = _why_not(before[best], after, simulated_before, simulated_after, settings, best)
    if worse and not settings.force:
        raise ModelError(
            f"{out} was not written: {worse}. Outline more cells, or give --force to take it as it is."
        )
    card = _card(base_card, out.stem, division, session, settings, facts or {}, forced=bool(worse))
    card = replace(card, scores=_scores(before[best], after, simulated_before, simulated_after))
    return Finetuned(
        card=_write(tuned, out, card),
        before=before[best],
        after=after,
        simulated_before=simulated_before,
        simulated_after=simulated_after,
        comparisons=judge.comparisons(network, tuned),
    )


def check_place(out: Path) -> None:
    """Whether a model may be written there.

    Raises:
        ModelError: It is no card's name, lies among the models that come with killassay, or is something else.
    """
    if out.suffix != ".json":
        raise ModelError(f"{out}: expected the name of a model card, NAME.json.")
    if out.resolve().is_relative_to(ZOO.resolve()):
        raise ModelError(
            f"{out}: lies among the models that come with killassay, which are never changed. Choose another folder."
        )
    if out.exists() or out.with_suffix(".safetensors").exists():
        load_network(out)  # says so if it is no model: nothing else is overwritten


def _learned(
    division: Division,
    mixed: Sequence[TrainingFrame],
    network: SegmentationNet,
    settings: FinetuneSettings,
    progress: Callable[[float], None],
) -> "_Tuning":
    training = TrainingSettings(
        steps=settings.steps,
        minutes=None if settings.steps else settings.minutes,
        seed=settings.seed,
        batch=settings.batch,
        side_px=settings.side_px,
        learning_rate=settings.learning_rate,
        device=settings.device,
    )
    with tempfile.TemporaryDirectory(prefix="killassay-finetune-") as folder:
        sources = [TileSource(folder=Path(folder) / "outlined", share=1 - settings.simulated_share)]
        list(cache_tiles([one.frame for one in division.learned], sources[0].folder))
        if mixed and settings.simulated_share:
            sources.append(TileSource(folder=Path(folder) / "simulated", share=settings.simulated_share))
            list(cache_tiles(mixed, sources[1].folder))
        tiles = TileSet(sources)
    session = _Tuning(network, training)
    with batches(tiles, training, first=0) as prepared:
        while session.progress() < 1:
            loss = session.learn(next(prepared))
            if not np.isfinite(loss):
                raise ModelError(f"learning broke off at step {session.step}: the loss is {loss}.")
            progress(min(1.0, session.progress()))
    return session


class _Tuning(Session):
    """A session whose minutes are the processor's."""

    def progress(self) -> float:
        """Share of the steps or of the processor's minutes that is done."""
        if self.settings.steps:
            return self.step / self.settings.steps
        return self.processor_s() / 60 / (self.settings.minutes or 1.0)


class _Judge:
    """Scores networks on the held-out and on the simulated frames."""

    def __init__(
        self, frames: Sequence[AnnotatedFrame], simulated: Sequence[TrainingFrame], device: str
    ) -> None:
        self._frames = frames
        self._simulated = [AnnotatedFrame(name=str(n), frame=frame) for n, frame in enumerate(simulated)]
        self._device = pick_device(device)

    def held_out(self, network: SegmentationNet) -> HeldOutScore:
        return score(self._segmenter(network), self._frames, pixel_um=PIXEL_UM)

    def simulated(self, network: SegmentationNet) -> HeldOutScore | None:
        if not self._simulated:
            return None
        return score(self._segmenter(network), self._simulated, pixel_um=PIXEL_UM)

    def comparisons(self, before: SegmentationNet, after: SegmentationNet) -> list[Comparison]:
        first, second = self._segmenter(before), self._segmenter(after)
        return [
            Comparison(
                frame=one,
                before=labels_of(first, one.frame, pixel_um=PIXEL_UM),
                after=labels_of(second, one.frame, pixel_um=PIXEL_UM),
            )
            for one in self._frames
        ]

    def _segmenter(self, network: SegmentationNet) -> Predictor:
        return Predictor(
            deepcopy(network), name="", sha256="", pixel_um=PIXEL_UM, device=self._device
        )  # a copy: the predictor folds the normalisations away


def _ordered(figure: float) -> float:
    return -1.0 if np.isnan(figure) else figure


def _line(when: str, held_out: HeldOutScore, simulated: HeldOutScore | None) -> str:
    text = f"{when}: held-out F1 {held_out.f1_50:.3f}, AP50 {held_out.ap50:.3f}, AP75 {held_out.ap75:.3f}"
    return text if simulated is None else f"{text}; simulated frames AP50 {simulated.ap50:.3f}"


def _why_not(
    before: HeldOutScore,
    after: HeldOutScore,
    simulated_before: HeldOutScore | None,
    simulated_after: HeldOutScore | None,
    settings: FinetuneSettings,
    rival: str,
) -> str:
    """Why a model is not better; empty where it is."""
    if not _ordered(after.f1_50) > _ordered(before.f1_50):
        return (
            f"on {after.cells} held-out cells it finds no more than {rival} (F1 at IoU 0.5 is {after.f1_50:.3f}, was "
            f"{before.f1_50:.3f})"
        )
    if simulated_before and simulated_after:
        forgotten = simulated_before.ap50 - simulated_after.ap50
        if forgotten > settings.most_forgotten:
            return (
                f"it forgets what the model it began from knew (AP50 on simulated frames is {simulated_after.ap50:.3f}, was "
                f"{simulated_before.ap50:.3f}; at most {settings.most_forgotten:g} may be lost)"
            )
    return ""


def _card(
    base: ModelCard,
    name: str,
    division: Division,
    session: Session,
    settings: FinetuneSettings,
    facts: Mapping[str, Any],
    *,
    forced: bool,
) -> ModelCard:
    learned = [one.name for one in division.learned]
    return replace(
        base,
        name=name,
        sha256="",
        training_data=f"{base.training_data}; then {len(learned)} outlined images: {', '.join(learned)}",
        licence=LICENCE,
        training={
            "base": base.name,
            "base_sha256": base.sha256,
            "images": learned,
            "held_out": division.by,
            "forced": forced,
            "steps": session.step,
            "processor_minutes": round(session.processor_s() / 60, 2),
            "settings": {key: value for key, value in asdict(settings).items() if value is not None},
            **facts,
        },
    )


def _scores(
    before: HeldOutScore,
    after: HeldOutScore,
    simulated_before: HeldOutScore | None,
    simulated_after: HeldOutScore | None,
) -> dict[str, Any]:
    scores: dict[str, Any] = {"held_out": {"before": asdict(before), "after": asdict(after)}}
    if simulated_before and simulated_after:
        scores["simulated"] = {"before": asdict(simulated_before), "after": asdict(simulated_after)}
    return scores


def _write(network: SegmentationNet, out: Path, card: ModelCard) -> ModelCard:
    """Write a model whole, then put it in the place of the one that was there."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.stem}.", dir=out.parent) as folder:
        making = Path(folder) / out.name
        sealed = save_model(network, making, card)
        making.with_suffix(".safetensors").replace(out.with_suffix(".safetensors"))
        making.replace(out)
    return sealed
