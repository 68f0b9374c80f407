"""Tables and sentences over results, for the terminal, the report and the docs."""
