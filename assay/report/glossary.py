"""What every number of the report means, and what it does not."""

MEANS: tuple[tuple[str, str, str], ...] = (
    (
        "kills",
        "Expected number of target deaths caused by effectors: each death counts with the probability that it is one, "
        "times the share that effectors are credited with.",
        "Not a count of certain events, hence the decimals. Who killed is inferred from who touched the target and "
        "when; nobody saw the granules.",
    ),
    (
        "90 % interval",
        "The range that holds the true value nine times in ten.",
        "Not the spread of the wells, and not a p-value. It knows the errors of counting and of crediting, not "
        "whether the protocol names the right channels.",
    ),
    (
        "kills per 100 targets",
        "Kills divided by the live targets of the first usable frame. For a condition, the mean over its wells: the "
        "well is the unit, not the cell.",
        "Can exceed 100 where targets divide during the film. Not comparable between films of different length.",
    ),
    (
        "cytolysis_percent",
        "Dead share of targets, corrected by the target-only wells for what dies anyway.",
        "Not given without target-only wells. Below zero means fewer deaths than in those wells: it is not cut off.",
    ),
    (
        "deaths",
        "Sum of the probabilities of target deaths seen in the film, whoever caused them.",
        "A cell that enters the film dead, leaves it, or is lost by the tracking has not died: it is censored when "
        "it was last seen.",
    ),
    (
        "targets, effectors",
        "Live cells in the first usable frame; E:T is their ratio, as counted in the images.",
        "Not what was pipetted. A target that shows only its nucleus is counted by its nucleus.",
    ),
    (
        "contacts",
        "Episodes in which the outlines of an effector and a live target come closer than enter_um of the protocol.",
        "Touching is not attacking. Contacts that begin after the death's onset are neither hits nor misses.",
    ),
    (
        "share",
        "How much one effector's contacts contributed to a death. Shares and the uncredited share sum to 1.",
        "A share of 0.6 is not a verdict: another effector, or none, did it with 0.4.",
    ),
    (
        "lag",
        "From the beginning of the credited contact to the onset of the death.",
        "Not the time that killing takes: an effector may wait, or hit several times.",
    ),
    (
        "focus",
        "Sharpness relative to contrast, median over the frames.",
        "Comparable between fields of one plate only; it has no unit and no good value.",
    ),
    (
        "lost",
        "Share of tracks that end although the cell was still expected to be there.",
        "A statement about the tracking, never about the cell.",
    ),
)
