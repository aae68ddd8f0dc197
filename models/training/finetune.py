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
import torch
from torch import nn

from assay.errors import ModelError
from models.devices import one_thread
from models.network import SegmentationNet
from models.training.dataset import TileSet, TileSource, TrainingFrame, cache_tiles
from models.training.held_out import AnnotatedFrame, Division, HeldOutScore, divide
from models.training.train import PIXEL_UM, Session, TrainingSettings, batches
from models.training.verdicts import Comparison, Judge, Verdict, forgets, ordered
from models.weights import ZOO, ModelCard, load_network, save_model

LICENCE = "of your images"
_WAYS = (1.0, 0.75, 0.5)  # from the base to what was learned
_WARM_UP = 20  # steps; there are a few hundred in all
_FEW_CELLS = 30  # held-out cells below which before and after are told apart coarsely


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneSettings:
    """How long and how fast to learn, and when to give up on what was learned."""

    minutes: float = 3.0  # of the processor, making the crops included
    steps: int | None = None  # instead of minutes: the same weights on every run
    seed: int = 0
    batch: int = 4
    side_px: int = 256
    learning_rate: float = 1e-3
    simulated_share: float = 0.25  # of the crops
    most_forgotten: float = 0.02  # loss of AP50 on simulated frames that is taken
    device: str = "auto"
    force: bool = False  # write the model even if it is worse

    def __post_init__(self) -> None:
        if not (self.minutes > 0 or self.steps):
            raise ModelError(f"minutes is {self.minutes:g}, expected more than 0.")
        if not 0 <= self.simulated_share < 1:
            raise ModelError(f"simulated_share is {self.simulated_share:g}, expected 0 to less than 1.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finetuned:
    """A model that was written, and why."""

    card: ModelCard
    verdict: Verdict
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
    judge = Judge(division.held_out, judged, pixel_um=PIXEL_UM, device=settings.device)
    rival, before = _best_so_far(base_card, network, out, judge)
    simulated_before = judge.simulated(network)
    log(f"held out: {division.by}; {before.cells} cells")
    if before.cells < _FEW_CELLS:
        log(f"only {before.cells} cells are held out: take the difference with care")
    log(_line("before", before, simulated_before))
    session = _learned(division, mixed, deepcopy(network), settings, progress)
    tuned, way, simulated_after = _far_enough(
        network, session.averaged.network, simulated_before, judge, settings.most_forgotten
    )
    verdict = Verdict(
        rival=rival,
        before=before,
        after=judge.held_out(tuned),
        simulated_before=simulated_before,
        simulated_after=simulated_after,
    )
    log(_line("after", verdict.after, simulated_after))
    why_not = verdict.why_not(most_forgotten=settings.most_forgotten)
    if why_not and not settings.force:
        raise ModelError(
            f"{out} was not written: {why_not}. Outline more cells, or give --force to take it as it is."
        )
    outcome = {"forced": bool(why_not), "share_of_the_way": way, **(facts or {})}
    card = replace(_card(base_card, out.stem, division, session, settings, outcome), scores=verdict.as_json())
    return Finetuned(
        card=_write(tuned, out, card), verdict=verdict, comparisons=judge.comparisons(network, tuned)
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


def _best_so_far(
    base_card: ModelCard, network: SegmentationNet, out: Path, judge: Judge
) -> tuple[str, HeldOutScore]:
    """The model to beat, in words, and its score: the base, or the one that would be replaced."""
    rival, best = f"model {base_card.name!r}", judge.held_out(network)
    if out.exists():
        there = judge.held_out(load_network(out)[1])
        if ordered(there.f1_50) > ordered(best.f1_50):
            rival, best = f"the model that is in {out}", there
    return rival, best


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
        warm_up=_WARM_UP,
        device=settings.device,
    )
    with tempfile.TemporaryDirectory(prefix="killassay-finetune-") as folder:
        sources = [TileSource(folder=Path(folder) / "outlined", share=1 - settings.simulated_share)]
        cache_tiles([one.frame for one in division.learned], sources[0].folder)
        if mixed and settings.simulated_share:
            sources.append(TileSource(folder=Path(folder) / "simulated", share=settings.simulated_share))
            cache_tiles(mixed, sources[1].folder)
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
    """A session whose minutes are the processor's, and whose normalisations stay as they are.

    Their means belong to thousands of frames; those of a few images, mixed with simulated ones, fit neither, and
    cost most of what is forgotten.
    """

    def __init__(self, network: SegmentationNet, settings: TrainingSettings) -> None:
        super().__init__(network, settings)
        self._norms = [module for module in self.network.modules() if isinstance(module, nn.BatchNorm2d)]

    def progress(self) -> float:
        """Share of the steps or of the processor's minutes that is done."""
        if self.settings.steps:
            return self.step / self.settings.steps
        return self.processor_s() / 60 / (self.settings.minutes or 1.0)

    def _make_ready(self) -> None:
        super()._make_ready()
        for norm in self._norms:
            norm.eval()


def _far_enough(
    base: SegmentationNet,
    tuned: SegmentationNet,
    simulated_before: HeldOutScore | None,
    judge: Judge,
    most_forgotten: float,
) -> tuple[SegmentationNet, float, HeldOutScore | None]:
    """Go all the way from the base to the tuned weights, or only as far as hardly anything is forgotten.

    Judged on simulated frames alone: what is held out has no say, else it would be learned from after all. Where
    even half of the way forgets too much it is the whole way, to be refused.

    Source: Wortsman 2022, arXiv:2109.01903.

    Returns:
        The network, its share of the way, and how well it does on simulated frames.
    """
    whole = judge.simulated(tuned)
    for way in _WAYS:
        moved = tuned if way == 1 else _between(base, tuned, way)
        figure = whole if way == 1 else judge.simulated(moved)
        if not (
            simulated_before and figure and forgets(simulated_before, figure, most_forgotten=most_forgotten)
        ):
            return moved, way, figure
    return tuned, 1.0, whole


def _between(base: SegmentationNet, tuned: SegmentationNet, way: float) -> SegmentationNet:
    """A network whose weights lie on the straight way from the base to the tuned ones."""
    between = deepcopy(tuned)
    start, end = base.state_dict(), tuned.state_dict()
    between.load_state_dict(
        {
            name: torch.lerp(start[name].to(value.device), value, way) if value.is_floating_point() else value
            for name, value in end.items()
        }
    )
    return between


def _line(when: str, held_out: HeldOutScore, simulated: HeldOutScore | None) -> str:
    text = f"{when}: held-out F1 {held_out.f1_50:.3f}, AP50 {held_out.ap50:.3f}, AP75 {held_out.ap75:.3f}"
    return text if simulated is None else f"{text}; simulated frames AP50 {simulated.ap50:.3f}"


def _card(
    base: ModelCard,
    name: str,
    division: Division,
    session: Session,
    settings: FinetuneSettings,
    outcome: Mapping[str, Any],
) -> ModelCard:
    learned = [one.name for one in division.learned]
    return replace(
        base,
        name=name,
        sha256="",
        confidence=None,  # the base's was fitted to other weights, and to other images
        training_data=f"{base.training_data}; then {len(learned)} outlined images: {', '.join(learned)}",
        licence=LICENCE,
        training={
            "base": base.name,
            "base_sha256": base.sha256,
            "images": learned,
            "held_out": division.by,
            "steps": session.step,
            "processor_minutes": round(session.processor_s() / 60, 2),
            "settings": {key: value for key, value in asdict(settings).items() if value is not None},
            **outcome,
        },
    )


def _write(network: SegmentationNet, out: Path, card: ModelCard) -> ModelCard:
    """Write a model whole, then put it in the place of the one that was there."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.stem}.", dir=out.parent) as folder:
        making = Path(folder) / out.name
        sealed = save_model(network, making, card)
        making.with_suffix(".safetensors").replace(out.with_suffix(".safetensors"))
        making.replace(out)
    return sealed
