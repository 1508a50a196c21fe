"""Writers for MCAP and MP4, each with a thread of its own."""
