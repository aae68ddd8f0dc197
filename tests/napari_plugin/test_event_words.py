from typing import Any

from napari_plugin.event_words import headline, is_asked, verdict_line


def event(**more: Any) -> dict[str, Any]:
    return {
        "well": "B03", "target_track_id": 12, "frame": 17, "death_id": 4, "probability": 0.3, "killer": 6.0,
        "uncredited_share": 0.2, "killer_share": 0.6, "contact_min": 18.0,
    } | more  # fmt: skip


def test_a_death_that_was_not_called_is_a_question_until_somebody_decides():
    uncalled = event(death_id=0)
    asked = is_asked(uncalled, "pending", blinded=False)
    assert headline(uncalled, blinded=False, time_min=102, asked=asked) == (
        "B03 · did target 12 die at 1:42 h (frame 17)?"
    )
    assert verdict_line(uncalled, blinded=False, killer_chosen=False, asked=asked) == (
        "death P 0.30, not called: counts if accepted · then by effector 6: share 0.60, 18 min in contact"
    )
    assert not is_asked(uncalled, "accepted", blinded=False)
    assert not is_asked(event(), "pending", blinded=False)


def test_a_blinded_reader_is_not_told_which_deaths_were_not_called():
    uncalled = event(death_id=0)
    assert not is_asked(uncalled, "pending", blinded=True)
    assert headline(uncalled, blinded=True, time_min=102) == headline(event(), blinded=True, time_min=102)
