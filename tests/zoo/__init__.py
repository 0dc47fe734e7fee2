"""Models that the tests of several packages share."""
