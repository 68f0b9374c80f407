"""The kit: files of a run that a paper or the leaderboard needs."""
