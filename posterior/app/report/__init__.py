"""The report of a job: one page that shows its results, without a server and without a network."""
