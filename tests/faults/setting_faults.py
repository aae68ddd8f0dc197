"""Protocol files, plate maps and cluster files as hurried people write them."""

from typing import Any

from tests.faults.bench import PROTOCOL, Bench
from tests.faults.fault import CHECK, RUN, Fault, refused, survived

_CLUSTER = (*RUN, "--cluster", "cluster.toml")
_EDIT = "correct the protocol file"


def _text(old: str, new: str) -> Any:
    return lambda bench: bench.set_protocol(PROTOCOL.replace(old, new, 1))


def _more(text: str) -> Any:
    return lambda bench: bench.add_to_protocol(text)


def _cluster(text: str) -> Any:
    return lambda bench: (bench.root / "cluster.toml").write_text(text)


def _condition(text: str) -> Any:
    return lambda bench: bench.set_protocol(PROTOCOL + text)


def _windows(bench: Bench) -> None:
    bench.protocol.write_bytes(b"\xef\xbb\xbf" + PROTOCOL.replace("\n", "\r\n").encode())


def _latin_1(bench: Bench) -> None:
    bench.protocol.write_bytes(PROTOCOL.replace("CAR-T", "CAR-T µ").encode("latin-1"))


def _no_canary(bench: Bench) -> None:
    assert not (bench.root / "canary").exists()


def _no_kills(bench: Bench) -> None:
    assert bench.table("kills")["well"].size == 0


FAULTS: list[Fault] = [
    refused(
        "protocol-not-there",
        87,
        "There is no protocol file",
        None,
        r"protocol gone\.toml cannot be read: No such file.*killassay protocol",
        "write one with `killassay protocol`",
        words=("run", "{plate}", "--protocol", "gone.toml", "--out", "{out}"),
        mends=False,
    ),
    refused(
        "protocol-is-a-folder",
        87,
        "The protocol is a folder",
        lambda b: (b.root / "p").mkdir(),
        r"protocol p cannot be read",
        _EDIT,
        words=("run", "{plate}", "--protocol", "p", "--out", "{out}"),
        mends=False,
    ),
    refused(
        "protocol-empty",
        87,
        "The protocol file is empty",
        lambda b: b.set_protocol(""),
        r"assay\.toml: section \[channels\] is missing",
        _EDIT,
    ),
    refused(
        "protocol-is-yaml",
        92,
        "The protocol is YAML",
        lambda b: b.set_protocol("channels:\n  target: GFP\n"),
        r"assay\.toml: this is not TOML",
        _EDIT,
    ),
    refused(
        "protocol-is-a-python-tag",
        92,
        "The protocol is YAML that would run a command",
        lambda b: b.set_protocol("!!python/object/apply:os.system ['touch canary']"),
        r"assay\.toml: this is not TOML",
        "do not use this file",
        holds=_no_canary,
    ),
    refused(
        "protocol-is-a-picture",
        87,
        "The protocol is a picture",
        lambda b: b.protocol.write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe"),
        r"assay\.toml is not UTF-8 text",
        _EDIT,
    ),
    refused(
        "protocol-latin-1",
        87,
        "The protocol was saved in an old encoding",
        _latin_1,
        r"assay\.toml is not UTF-8 text. Save it as UTF-8",
        "save it as UTF-8",
    ),
    survived(
        "protocol-from-windows",
        38,
        "The protocol was written on Windows (byte-order mark, CRLF)",
        _windows,
        is_clean=True,
    ),
    refused(
        "typo-in-a-key",
        87,
        "A typo in a key: min_probabilty",
        _more("[death]\nmin_probabilty = 0.6"),
        r"\[death\] has an unknown key 'min_probabilty'.*Did you mean 'min_probability'",
        _EDIT,
    ),
    refused(
        "typo-in-a-section",
        87,
        "A typo in a section: [contacts]",
        _more("[contacts]\nenter_um = 1.0"),
        r"unknown key 'contacts'.*Did you mean 'contact'",
        _EDIT,
    ),
    refused(
        "typo-in-a-role",
        87,
        "A typo in a role: targets",
        _text("target =", "targets ="),
        r"\[channels\] has an unknown key 'targets'.*Did you mean 'target'",
        _EDIT,
    ),
    refused(
        "key-twice",
        87,
        "A key stands twice",
        _text('death = "PI"', 'death = "PI"\ndeath = "PI"'),
        r"assay\.toml: this is not TOML: .*line",
        _EDIT,
    ),
    refused(
        "number-as-text",
        87,
        'A number in quotes: "1.0"',
        _more('[contact]\nenter_um = "1.0"'),
        r"\[contact\] enter_um = '1\.0': expected a float",
        _EDIT,
    ),
    refused(
        "number-with-a-decimal-comma",
        87,
        "A decimal comma: 1,5",
        _more("[contact]\nenter_um = 1,5"),
        r"assay\.toml: this is not TOML",
        _EDIT,
    ),
    refused(
        "negative-distance",
        87,
        "A negative distance",
        _more("[contact]\nenter_um = -1.0"),
        r"\[contact\] enter_um = -1\.0: expected 0 or more",
        _EDIT,
    ),
    refused(
        "contact-ends-before-it-begins",
        87,
        "leave_um below enter_um",
        _more("[contact]\nenter_um = 5.0\nleave_um = 3.0"),
        r"leave_um = 3\.0 is below enter_um = 5\.0",
        _EDIT,
    ),
    refused(
        "probability-above-one",
        87,
        "A probability of 50",
        _more("[death]\nmin_probability = 50.0"),
        r"\[death\] min_probability = 50\.0: expected between 0 and 1",
        _EDIT,
    ),
    refused(
        "not-a-number",
        87,
        "A threshold of nan",
        _more("[contact]\nenter_um = nan"),
        r"\[contact\] enter_um",
        _EDIT,
    ),
    refused(
        "pixel-size-of-three-numbers",
        87,
        "A pixel size of three numbers",
        _more("[calibration]\npixel_um = [1.0, 1.0, 1.0]"),
        r"pixel_um = \[1\.0, 1\.0, 1\.0\]: expected \[y, x\] in um",
        _EDIT,
    ),
    refused(
        "pixel-size-impossible-in-protocol",
        29,
        "A pixel size of 650 um in the protocol",
        _more("[calibration]\npixel_um = [650.0, 650.0]"),
        r"pixel size in y is 650\.0 um, expected",
        _EDIT,
    ),
    refused(
        "channel-not-in-the-images",
        42,
        "A channel that the images do not have",
        _text('"GFP"', '"GFQ"'),
        r"well B02, field 0: the protocol's target channel 'GFQ' is not in the images.*Did you mean 'GFP'",
        _EDIT,
    ),
    refused(
        "no-target-channel",
        16,
        "No channel shows the targets",
        lambda b: b.set_protocol('[channels]\neffector = "CTDR"\n'),
        r"no channel shows the targets",
        _EDIT,
    ),
    survived(
        "no-effector-channel",
        16,
        "No channel shows the effectors",
        lambda b: b.set_protocol('[channels]\ntarget = "GFP"\ndeath = "PI"\n'),
        says="B03",
        keeps_others=False,
        mends=False,
        todo="nothing: deaths are counted, no kill is credited",
        holds=_no_kills,
    ),
    refused(
        "channel-name-is-a-number",
        87,
        "A channel given as a number",
        _text('"GFP"', "1"),
        r"\[channels\] target = 1: expected a channel name",
        _EDIT,
    ),
    refused(
        "well-in-two-conditions",
        35,
        "A well stands in two conditions",
        _condition('[[condition]]\nname = "mock"\nwells = ["B03"]\nkind = "mock"\n'),
        r"well B03 stands in two conditions, 'CAR-T' and 'mock'",
        _EDIT,
    ),
    refused(
        "two-conditions-of-one-name",
        35,
        "Two conditions are called alike",
        _condition('[[condition]]\nname = "CAR-T"\nwells = ["C02"]\n'),
        r"two conditions are called 'CAR-T'",
        _EDIT,
    ),
    refused(
        "condition-without-wells",
        39,
        "A condition without wells",
        _condition('[[condition]]\nname = "mock"\nwells = []\n'),
        r"condition 'mock' has no wells",
        _EDIT,
    ),
    refused(
        "condition-of-unknown-kind",
        87,
        "A condition of kind 'targets'",
        _condition('[[condition]]\nname = "t"\nwells = ["C02"]\nkind = "targets"\n'),
        r"condition 't': kind = 'targets', expected one of.*Did you mean 'target_only'",
        _EDIT,
    ),
    refused(
        "condition-with-one-bracket",
        87,
        "[condition] with one bracket",
        _text("[[condition]]", "[condition]"),
        r"\[\[condition\]\], with two brackets",
        _EDIT,
    ),
    refused("well-that-is-none", 36, "A well called 'row B'", _text('"B03"', '"row B"'), r"'row B'", _EDIT),
    survived(
        "wells-spelled-as-people-do",
        36,
        "Wells written b2 and B3",
        _text('["B02", "B03"]', '["b2", "B3"]'),
        is_clean=True,
    ),
    survived(
        "map-lists-a-well-that-was-not-filmed",
        37,
        "The plate map lists a well that was not filmed",
        _text('"B03"]', '"B03", "H12"]'),
        words=CHECK,
        says=r"WARNING in the plate map but not on the plate: H12",
        todo="nothing, or correct the plate map",
    ),
    survived(
        "well-filmed-but-not-mapped",
        37,
        "A filmed well stands in no condition",
        _text('"B02", "B03"', '"B02"'),
        words=CHECK,
        says=r"WARNING on the plate but in no condition: B03",
        todo="nothing, or correct the plate map",
    ),
    refused(
        "map-of-another-plate",
        37,
        "No well of the plate map was filmed",
        _text('"B02", "B03"', '"G02", "G03"'),
        r"none of the wells.*G02",
        "take the protocol of this plate",
    ),
    refused(
        "model-not-known",
        88,
        "A model that does not exist",
        _more('[model]\nname = "standrad"'),
        r"no model 'standrad'\. Models that come with killassay",
        _EDIT,
        real_model=True,
    ),
    refused(
        "precision-not-known",
        87,
        "A precision that does not exist",
        _more('[model]\nprecision = "fp8"'),
        r"\[model\] precision = 'fp8': expected one of",
        _EDIT,
    ),
    refused(
        "cluster-file-not-there",
        87,
        "There is no cluster file",
        None,
        r"cluster file cluster\.toml cannot be read.*docs/cluster\.md",
        "write one (docs/cluster.md)",
        words=_CLUSTER,
        mends=False,
    ),
    refused(
        "cluster-key-unknown",
        87,
        "A typo in the cluster file: job = 4",
        _cluster("[cluster]\njob = 4\n"),
        r"cluster\.toml: \[cluster\] has an unknown key 'job'.*Did you mean 'jobs'",
        "correct the cluster file",
        words=_CLUSTER,
        mends=False,
    ),
    refused(
        "cluster-walltime",
        87,
        "A walltime of '2 days'",
        _cluster('[cluster]\nwalltime = "2 days"\n'),
        r"walltime = '2 days': expected HH:MM:SS",
        "correct the cluster file",
        words=_CLUSTER,
        mends=False,
    ),
    refused(
        "cluster-two-lines-in-a-directive",
        100,
        "A job directive of two lines",
        _cluster('[cluster]\nextra_directives = ["--x\\nrm -rf /"]\n'),
        r"a text of more than one line",
        "correct the cluster file",
        words=_CLUSTER,
        mends=False,
    ),
    refused(
        "cluster-without-jobs",
        87,
        "A cluster of no jobs",
        _cluster("[cluster]\njobs = 0\n"),
        r"\[cluster\] jobs = 0: expected 1 or more",
        "correct the cluster file",
        words=_CLUSTER,
        mends=False,
    ),
]
