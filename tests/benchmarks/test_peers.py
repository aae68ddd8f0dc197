import io
import json
import sys

import numpy as np
import pytest

from benchmarks.peer_protocol import measured, serve, versions
from benchmarks.peers import parts_of, report


def test_our_cells_are_what_the_whole_way_takes_beyond_the_network():
    ours = parts_of("killassay", {"network": 2.0, "network of the model": 1.0, "all of it": 1.25})
    assert ours == {"network": 2.0, "cells": 0.25}  # a wider network is timed alone


def test_of_two_ways_to_call_a_network_the_cheaper_counts():
    theirs = parts_of("StarDist", {"network": 5.0, "network, called straight": 4.0, "cells": 1.0})
    assert theirs == {"network": 4.0, "cells": 1.0}


def test_the_report_divides_by_ours_and_warns_of_more_than_one_thread():
    def program(network, cells, threads):
        return {"parts": {"network": network, "cells": cells}, "threads": threads, "rounds": 3, "found": {"cells": 7},
                "versions": {"numpy": "2"}, "settings": "plain"}  # fmt: skip

    figures = {
        "frame": {"side_px": 2048, "cells": 2000, "seed": 1},
        "machine": {"cores": 2, "load": 0.5},
        "programs": {"killassay": program(0.9, 0.1, 1.0), "StarDist": program(5.0, 1.5, 1.6)},
    }
    page = report(figures)
    assert "| StarDist | 5.00 | 1.500 | 6.50 | 6.5 (bar 5) | 7 | 1.60 |" in page
    assert "More than one thread was at work in StarDist" in page


def test_a_worker_answers_each_line_with_its_cost(monkeypatch):
    said = io.StringIO()
    monkeypatch.setattr(sys, "stdin", io.StringIO("count\nnothing\n"))
    monkeypatch.setattr(sys, "__stdout__", said)
    serve({"count": lambda: 41 + 1, "nothing": lambda: np.zeros(3)}, {"settings": "plain"})
    about, count, nothing = map(json.loads, said.getvalue().splitlines())
    assert about == {"jobs": ["count", "nothing"], "settings": "plain"}
    assert count["answer"] == 42
    assert set(nothing) == {"cpu_s", "wall_s"}


def test_waiting_costs_no_processor_time():
    import time

    cost = measured(lambda: time.sleep(0.05))
    assert cost["cpu_s"] < 0.04
    assert cost["wall_s"] == pytest.approx(0.05, abs=0.5)


def test_packages_that_are_not_here_have_no_version():
    assert versions("no-such-package-at-all") == {}
