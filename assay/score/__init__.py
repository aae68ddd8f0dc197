"""How far a run is from the known truth: every score of the contract, section 6.

scores = score_results(Path("RESULTS"), Path("PLATE-truth"))
text = format_scores(scores)      # the page that `killassay score` shows
named = scores.as_dict()             # what its --json writes
"""

from assay.score.plates import score_results
from assay.score.scores import Scores, format_scores

__all__ = ["Scores", "format_scores", "score_results"]
