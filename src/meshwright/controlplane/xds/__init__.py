"""The aggregated discovery service: the snapshot in force, the streams, and what is sent to whom."""
