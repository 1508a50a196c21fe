"""SUMO networks as towns with SUMO's traffic (https://eclipse.dev/sumo; needs the extra ``sumo``)."""
