"""How far a run is from the known truth: every score of the contract, section 6.

scores = score_results(Path("RESULTS"), Path("PLATE-truth"))
text = format_scores(scores)      # the page that `killassay score` shows
named = scores.flat()             # what its --json writes
"""
