"""What a person decides about the events of a plate: append-only decisions, their state, agreement, what to look at next.

Numpy and the standard library only: knows no disk, no screen, no images.

    events = review_events(tables)                          # one row per target death
    sitting = Sitting(events, journal, reader="ana", earlier=read_logs(results))
    sitting.decide("reject", "B03/0/d17", reason="debris")  # on the disk when it returns
    sitting.undo()                                          # a record too
    state = replay(read_logs(results), events)              # the same state again
"""
