"""Files that strangers wrote: one guarded reader for each format, and the limits they all keep to."""
