"""Measured claims: each module is a command that prints its figures, with a baseline beside ours."""
