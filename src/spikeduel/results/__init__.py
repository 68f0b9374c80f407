"""Results of runs: types, statistics, findings, the answer, tables and sentences."""
