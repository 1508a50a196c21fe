"""``neuralsim serve``: a drive in a browser, by WebRTC."""
