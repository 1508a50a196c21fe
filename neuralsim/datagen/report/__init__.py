"""``report.html``: a recording that one can look at; ``index.html``: all scenarios of a run."""
