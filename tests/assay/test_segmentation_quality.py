from assay.labels import Doubt
from assay.segmentation_quality import doubts_table, segmentation_warnings, unseen_texts


def wrong(value, of="target"):
    return Doubt(about="wrong", of=of, value=value, least=0.0, most=0.25)


def swap(value, of="effector target"):
    return Doubt(about="swap", of=of, value=value, least=-1.0, most=0.04)


def test_a_field_as_it_should_be_says_nothing():
    tables = [doubts_table(frame, [wrong(0.05), swap(-0.3)]) for frame in range(5)]
    assert segmentation_warnings(tables, masked=()) == []
    assert segmentation_warnings([], masked=()) == []
    assert segmentation_warnings([doubts_table(0, ())], masked=()) == []


def test_doubts_count_by_the_median_of_the_usable_frames():
    tables = [doubts_table(frame, [wrong(value)]) for frame, value in enumerate([0.1, 0.4, 0.5, 0.9])]
    [said] = segmentation_warnings(tables, masked=[3])
    assert said.startswith(
        "the model doubts itself: about 40 % of what it takes for targets is probably wrong (at most 25 % expected): "
    )
    assert "--labels" in said
    assert segmentation_warnings(tables, masked=[1, 2, 3]) == []


def test_unknown_values_do_not_count():
    tables = [doubts_table(0, [wrong(float("nan"))]), doubts_table(1, [wrong(0.5)])]
    assert "about 50 %" in segmentation_warnings(tables, masked=())[0]
    assert segmentation_warnings(tables[:1], masked=()) == []


def test_cells_of_an_unknown_size_question_the_pixel_size():
    small = Doubt(about="area_um2", of="effector", value=20.0, least=40.0, most=126.0)
    [said] = segmentation_warnings([doubts_table(0, [small])], masked=())
    assert "effectors are 20 um2, where it knows 40 to 126: is the pixel size right?" in said


def test_channels_are_called_swapped_only_if_every_frame_says_so():
    both = [doubts_table(0, [swap(0.3)]), doubts_table(9, [swap(0.1)])]
    assert segmentation_warnings(both, masked=()) == [
        "the effector and target channels look swapped: exchanged, 10 % more of the cells would be right; check "
        "[channels] in the protocol and, if they are right, pixel size and focus"
    ]
    assert segmentation_warnings([both[0], doubts_table(9, [swap(0.01)])], masked=()) == []


def test_the_clearest_exchange_is_named():
    table = doubts_table(0, [swap(0.1), swap(0.3, of="target death")])
    [said] = segmentation_warnings([table], masked=())
    assert said.startswith("the target and death channels look swapped")


def test_what_no_channel_shows_is_said_before_the_run():
    assert unseen_texts(["effector", "target"], ["A", "B"], {"A", "B"}) == []
    assert unseen_texts(["target", "brightfield"], ["B", "C"], {"B", "C"}) == [
        "no dye shows effectors: they are sought in brightfield, where outlines are less sure"
    ]
    missing, unused = unseen_texts(["target"], ["A", "B"], {"B"})
    assert missing.startswith("no channel shows effectors: none will be found")
    assert unused == (
        "channels without a role: A (roles without a channel: effector, nuclei, death, brightfield)"
    )
