from pathlib import Path

import pytest

from assay.errors import ProtocolError
from assay.protocol import parse_protocol, read_protocol
from assay.protocol_template import protocol_template, suggest_roles
from assay.toml_values import toml_value
from assay.units import Calibration

FULL = """
[channels]
effector = "CTDR"
target = ["GFP", "mCherry"]
death = "PI"
[calibration]
pixel_um = [0.65, 0.5]
frame_min = 4
[contact]
enter_um = 2.0
leave_um = 4.0
[[condition]]
name = "CAR-T 1:1"
wells = ["b2", "B03"]
seeded_et_ratio = 1
donor = "D1"
[[condition]]
name = "targets alone"
wells = ["C2"]
kind = "target_only"
"""


def test_what_is_left_out_takes_the_documented_value():
    protocol = parse_protocol('[channels]\ntarget = "GFP"')
    assert protocol.contact.enter_um == 1.0
    assert protocol.contact.leave_um == 3.0
    assert protocol.contact.bridge_frames == protocol.contact.min_frames == 2
    assert protocol.kill.max_lag_min == 360.0


def test_a_protocol_written_and_read_again_is_the_same():
    protocol = parse_protocol(FULL)
    assert parse_protocol(protocol.to_toml()) == protocol


def test_wells_find_their_condition_and_keep_free_keys():
    protocol = parse_protocol(FULL)
    condition = protocol.condition_of("B02")
    assert condition is not None
    assert (condition.name, condition.kind, condition.seeded_et_ratio) == ("CAR-T 1:1", "sample", 1.0)
    assert condition.extra == {"donor": "D1"}
    assert protocol.condition_of("H12") is None


def test_hostile_names_survive_writing():
    name = 'a"b\\c\n[contact]\nenter_um = 99 <script>'
    protocol = parse_protocol(FULL.replace("CAR-T 1:1", "X"))
    hostile = protocol.to_toml().replace('"X"', toml_value(name))
    assert parse_protocol(hostile).conditions[0].name == name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[chanels]\ntarget = "a"', r"unknown key 'chanels'.*Did you mean 'channels'"),
        (
            '[channels]\ntarget = "a"\n[contact]\nentr_um = 1.0',
            r"unknown key 'entr_um'.*Did you mean 'enter_um'",
        ),
        (
            '[channels]\ntarget = "a"\n[contact]\nenter_um = "1"',
            r"\[contact\] enter_um = '1': expected a float",
        ),
        ('[channels]\ntarget = "a"\n[contact]\nmin_frames = 2.5', r"min_frames = 2.5: expected a int"),
        ('[channels]\ntarget = "a"\n[contact]\nleave_um = 0.5', r"leave_um = 0.5 is below enter_um"),
        ('[channels]\ntarget = "a"\n[contact]\nenter_um = nan', r"enter_um = nan"),
        ('[channels]\neffector = "a"', r"no channel shows the targets"),
        ("", r"\[channels\] is missing"),
        ("[channels", r"not TOML"),
        ('[channels]\ntarget = "a"\n[calibration]\npixel_um = [1]', r"expected \[y, x\] in um"),
        (
            '[channels]\ntarget = "a"\n[[condition]]\nname = "x"\nwells = ["B2"]\nkind = "mok"',
            r"kind = 'mok'.*Did you mean 'mock'",
        ),
        (
            '[channels]\ntarget = "a"\n[[condition]]\nname = "x"\nwells = ["B2"]\n'
            '[[condition]]\nname = "y"\nwells = ["b02"]',
            r"well B02 stands in two conditions, 'x' and 'y'",
        ),
    ],
)
def test_what_is_wrong_is_named_with_the_cure(text: str, message: str):
    with pytest.raises(ProtocolError, match=f"(?s){message}"):
        parse_protocol(text)


def test_an_unknown_channel_is_refused_with_the_nearest_name():
    protocol = parse_protocol('[channels]\ntarget = "GPF"')
    with pytest.raises(ProtocolError, match=r"well B02.*'GPF' is not in the images.*Did you mean 'GFP'"):
        protocol.channel_indices(("CTDR", "GFP"), "well B02, field 0")


def test_a_missing_file_says_which_command_writes_one(tmp_path: Path):
    with pytest.raises(ProtocolError, match=r"killassay protocol PLATE\.zarr -o P\.toml"):
        read_protocol(tmp_path / "P.toml")


def test_roles_are_guessed_from_names_and_a_dead_nucleus_is_a_death_dye():
    names = ("brightfield_channel", "live_nuclei_channel", "dead_nuclei_channel", "effector_fluo_channel")
    assert suggest_roles(names) == {
        "effector": "effector_fluo_channel",
        "nuclei": "live_nuclei_channel",
        "death": "dead_nuclei_channel",
        "brightfield": "brightfield_channel",
    }


def test_names_that_say_nothing_are_left_to_the_user():
    text = protocol_template(channel_names=("Green", "Red"), calibration=None, wells=("B02",))
    assert "PLEASE FILL IN" in text
    assert "NO PIXEL SIZE" in text
    with pytest.raises(ProtocolError, match=r"\[channels\] is missing"):
        parse_protocol(text)


def test_targets_that_show_their_nucleus_only_get_wider_gaps():
    calibration = Calibration(pixel_um=(0.65, 0.65), frame_min=4.0)
    text = protocol_template(channel_names=("Hoechst", "CTDR"), calibration=calibration, wells=("B02",))
    contact = parse_protocol(text).contact
    assert (contact.enter_um, contact.leave_um) == (8.0, 10.0)
