"""Call metrics and their evaluation against the thresholds of an analysis. Pure."""
