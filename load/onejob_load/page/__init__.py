"""The contention page: in Locust's web UI while a run goes on, and afterwards as report.html."""
