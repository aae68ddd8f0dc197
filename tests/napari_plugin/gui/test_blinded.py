import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from napari.components import ViewerModel

from assay.review.agreement import Agreement, PairAgreement
from napari_plugin.sessions import close_session, open_session, session_of
from napari_plugin.widgets.blinded import BlindedPanel, agreement_words
from napari_plugin.widgets.plate_view import PlateView


@pytest.fixture
def results(sample_results: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "results"
    shutil.copytree(sample_results, copy)
    return copy


@pytest.fixture
def viewer(results: Path) -> Any:
    viewer = ViewerModel()
    open_session(viewer, results, reader="ana")
    yield viewer
    close_session(viewer)


@pytest.fixture
def panel(qtbot: Any, viewer: Any) -> BlindedPanel:
    panel = BlindedPanel(viewer)
    qtbot.addWidget(panel, before_close_func=lambda widget: widget.close())
    panel.show()
    return panel


def test_a_blinded_sitting_is_written_down_with_its_seed(panel: BlindedPanel, viewer: Any, results: Path):
    panel.reader.setText("ben")
    panel.seed.setValue(42)
    panel.begin()
    assert panel.is_blinded
    session = session_of(viewer)
    assert session is not None
    session.step(1)
    assert session.decide("accept")
    (log,) = (results / "review").glob("ben-*.jsonl")
    header, decision = (json.loads(line) for line in log.read_text().splitlines())
    assert header["blinding"] == {"seed": 42, "repeat_share": 0.1}
    assert decision["blinded"] is True
    assert "1 of" in panel._words.text()


def test_the_plate_is_hidden_while_read_blinded_and_shown_after(panel: BlindedPanel, viewer: Any, qtbot: Any):
    view = PlateView(viewer)
    qtbot.addWidget(view, before_close_func=lambda widget: widget.close())
    assert set(view.values) == {"B02", "C03"}
    panel.begin()
    qtbot.waitUntil(lambda: not view.values, timeout=5000)
    assert view._title.text() == "Hidden while you read blinded"
    view.open_well("B02")
    assert not view._words.text()
    panel.end()
    qtbot.waitUntil(lambda: set(view.values) == {"B02", "C03"}, timeout=5000)


def test_the_order_cannot_be_changed_in_the_middle_of_a_blinded_sitting(panel: BlindedPanel):
    panel.begin()
    assert not panel.seed.isEnabled()
    assert not panel.begin_button.isEnabled()
    assert panel.end_button.isEnabled()
    panel.end()
    assert panel.seed.isEnabled()


def test_a_reader_without_a_name_cannot_begin(panel: BlindedPanel):
    panel.reader.setText(" ")
    panel.begin()
    assert not panel.is_blinded
    assert "Give your name first" in panel._words.text()


def test_agreement_is_said_in_words_and_never_as_a_made_up_kappa():
    def pair(**values: Any) -> PairAgreement:
        base = dict.fromkeys(
            ("n_unsure", "both_accepted", "both_rejected", "only_reader_accepted", "only_other_accepted"), 0
        )
        return PairAgreement(**base, **values)

    nan = float("nan")
    sure = pair(reader="ana", other="ben", n=30, kappa=0.8, kappa_low=0.6, kappa_high=0.95,
                n_killers=20, killer_agreement=0.9, median_dt_frames=1.0)  # fmt: skip
    same = pair(reader="ana", other="ana", n=4, kappa=nan, kappa_low=nan, kappa_high=nan,
                n_killers=0, killer_agreement=nan, median_dt_frames=nan)  # fmt: skip
    found = Agreement(
        readers=("ana", "ben"),
        pairs=(sure,),
        repeats=(same,),
        fleiss_kappa=nan,
        n_by_all=30,
        n_disagreements=3,
        n_settled=0,
    )
    words = agreement_words(found)
    assert "ana and ben: 30 events, kappa 0.80 (0.60 to 0.95), same killer in 90 % of 20" in words
    assert "second readings: 4 events, all verdicts the same one, so kappa says nothing." in words
    assert "3 disagreements are not settled" in words
