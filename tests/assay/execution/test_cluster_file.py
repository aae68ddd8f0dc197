from pathlib import Path

import pytest

from assay.errors import ProtocolError
from assay.execution import ClusterSettings, read_cluster_file


def written(folder: Path, text: str) -> Path:
    path = folder / "cluster.toml"
    path.write_text(text)
    return path


def test_what_is_left_out_takes_its_documented_value(tmp_path: Path):
    settings = read_cluster_file(written(tmp_path, '[cluster]\nkind = "pbs"\njobs = 8\ngpus = 2\n'))
    assert settings == ClusterSettings(kind="pbs", jobs=8, gpus=2)
    assert settings.workers_per_job == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[cluster]\nkind = "slrum"',
            r"kind = 'slrum': expected one of slurm, pbs, .* Did you mean 'slurm'\?",
        ),
        ('[cluster]\nquue = "gpu"', r"\[cluster\] has an unknown key 'quue'.* Did you mean 'queue'\?"),
        ("[cluster]\njobs = 0", r"\[cluster\] jobs = 0: expected 1 or more"),
        ('[cluster]\njobs = "4"', r"\[cluster\] jobs = '4': expected a int"),
        ('[cluster]\nwalltime = "4h"', r"walltime = '4h': expected HH:MM:SS, as 04:00:00"),
        ('[cluster]\nmemory = "lots"', r"memory = 'lots': expected a size such as 8GB"),
        ('[cluster]\nkind = "address"', r"address = '': expected a scheduler such as tcp://node:8786"),
        ('[cluster]\naddress = "tcp://n:1"', r"address = 'tcp://n:1': .*nothing with any other kind"),
        ("[cluster]\nextra_directives = 3", r"extra_directives = 3: expected a list of texts"),
        ('[cluster]\nprologue = ["a\\nb"]', r"a text of more than one line"),
        ("[slurm]\njobs = 2", r"the cluster file has an unknown key 'slurm'"),
        ("jobs = ", r"this is not TOML"),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected(tmp_path: Path, text: str, said: str):
    with pytest.raises(ProtocolError, match=said):
        read_cluster_file(written(tmp_path, text))


def test_a_file_that_is_not_there_says_what_it_is_to_be(tmp_path: Path):
    with pytest.raises(
        ProtocolError, match=r"cluster file .*none\.toml cannot be read: .*section \[cluster\]"
    ):
        read_cluster_file(tmp_path / "none.toml")
