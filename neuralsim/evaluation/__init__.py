"""Evaluation of models: measures, metric networks, and the report of ``neuralsim model evaluate``.

Arguments of one name mean the same in all measurements: ``model`` is the name of a shipped model or a folder,
``runtime`` as for ``neuralsim.runtimes.create``, ``guide`` one of ``neuralsim.guide.GUIDES``. ``frames`` are those of
one drive, or of all ``towns`` (names of maps) together, None for all of a clip; ``seed`` is that of the traffic.
``threads`` are the CPU threads of the metric networks, None for all; ``steps`` are left out one by one; ``progress`` is
called with the number of finished frames and of all frames.
"""
