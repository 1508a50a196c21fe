"""Something to do on a drive: a marked place to reach, lessons, a score for smooth driving, a ghost of the last run."""
