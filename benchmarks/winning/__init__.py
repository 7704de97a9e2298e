"""Exact winners against every other way to name them: subjects, rivals, measuring, the page."""
