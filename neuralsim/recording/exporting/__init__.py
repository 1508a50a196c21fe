"""Exports of a recording to the data set formats of other projects."""
