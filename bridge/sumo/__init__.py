"""SUMO's networks as towns, and its traffic in them (https://eclipse.dev/sumo; needs the extra ``sumo``)."""
