"""Results of runs: types, accuracies, tests, findings and the recommendation."""
