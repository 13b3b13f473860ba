"""The conformance kit: client, history, judge, suite and report."""
